"""What each layer keeps of a photo: another image with the same activations."""

from dataclasses import replace

from ...visualize import RECIPES, invert
from .. import figures
from ..asked import code, cut, photos, snippet, within
from ..page import Section, paragraph, picture, row

SIDES = figures.SIDE, 252  # CSS pixels of a picture: five in a row, or four of more
NOTE = (
    "From noise, an image is looked for that gives the same activations at a layer as the photo (after Mahendran & "
    "Vedaldi 2015): what looks the same is kept by that layer, what looks different is lost or no longer has a place. "
    "Under each picture the error at the layer, |a - a0|² / |a0|², and how near the pixels are (PSNR)."
)


def inversion(subject):
    """The first photo from each chosen layer and from the scores, with the errors."""
    first, name = photos(subject)[:1], subject.sample_names[0]
    layers, steps = chosen(subject), subject.of_effort(40, 200, 512)
    recipe = replace(RECIPES["lucid"], what="waves in decorrelated colours, not shaken", shakes=())
    heard = within(subject, 0, 1, "inverting")
    found = invert(subject.probe, first, layers, recipe=recipe, steps=steps, seed=subject.seed, tell=heard)
    again = code(
        subject,
        "from dataclasses import replace",
        "recipe = replace(visualize.RECIPES['lucid'], shakes=())",
        f"visualize.invert(model, photos[:1], {layers}, recipe=recipe, steps={steps}, seed={subject.seed}).plot()",
    )
    side = SIDES[len(layers) > 4]
    photo = figures.enlarged(figures.rgb(first[0]), side)
    pictured = [picture(photo, f"the photo {name}", cut(name), width=side)]
    results = []
    for i, each in enumerate(found.table.itertuples()):
        pixels = figures.enlarged(figures.rgb(found.reconstructions[i, 0, 0]), side)
        alt = f"{name} from {each.layer}: error {each.error:.2g} at the layer, pixels {each.psnr:.1f} dB"
        caption = f"{cut(each.layer, 22)}: {each.error:.2g}, {each.psnr:.1f} dB"
        pictured.append(picture(pixels, alt, caption, width=side))
        results.append({"layer": each.layer, "error": float(each.error), "psnr": float(each.psnr)})
    scale = f"{recipe.what.capitalize()}: {steps} steps, seed {subject.seed}, one start for each layer."
    blocks = paragraph(NOTE), row(pictured), snippet(again), paragraph(scale, soft=True)
    return Section("What layers keep", blocks, {"image": name, "steps": steps, "layers": results})


def chosen(subject):
    """The report's layers and the scores; of the layers a quick report has the first and the last."""
    layers = [*subject.layers]
    if subject.effort == "quick" and len(layers) > 2:
        layers = [layers[0], layers[-1]]
    return [*layers, "logits"]
