"""What a network takes for a typical image of a class: pictures that climb its score."""

from dataclasses import replace

import numpy as np

from ...support.text import cut, probability
from ...visualize.synthesis.invert import invert
from ...visualize.synthesis.maximize import maximize
from ...visualize.synthesis.recipes import RECIPES
from ..figures import SIDE as FIVE
from ..figures import code, enlarged_picture, snippet, within
from ..page import Section, paragraph, row

FOUR = 252  # CSS pixels of a picture, four in a row
CLASSES_NOTE = (
    "From noise, pixels are changed until the score of a class is high (activation maximization); that the image is "
    "shaken on the way, and written as waves, keeps it from becoming noise that only fools. It shows what is enough "
    "for the class, not all that the network knows of it. After each name the probability that the picture gets: "
    "it is low where the score of another class rose still higher."
)


def classes(subject):
    """A picture for each of a few classes: those that the photos are taken for, then others at equal distances."""
    subject.need_one_input()
    numbers, names = select_classes(subject), subject.class_names
    recipe, steps = subject.of_effort(("brisk", 64), ("lucid", 160), ("lucid", 512))
    labels, heard = [names[k] for k in numbers], within(subject, 0, 1, "climbing")
    made = maximize(
        subject.probe, classes=numbers, recipe=recipe, steps=steps, seed=subject.seed, names=labels, on_progress=heard
    )
    certain = subject.probabilities(made.images)[np.arange(len(numbers)), numbers]
    scale = f"Recipe {recipe}, {steps} steps, seed {subject.seed}; pixels 0 to 255, nothing stretched."
    again = code(
        subject,
        f"made = visualize.maximize(model, classes={numbers}, recipe={recipe!r}, steps={steps}, seed={subject.seed})",
        "made.plot()",
    )
    pictured = [of_class(made, i, name, certain[i]) for i, name in enumerate(labels)]
    results = [
        {"class": int(k), "name": name, "probability": float(p), "score": float(score)}
        for k, name, p, score in zip(numbers, labels, certain, made.scores, strict=True)
    ]
    blocks = paragraph(CLASSES_NOTE), row(pictured), snippet(again), paragraph(scale, soft=True)
    return Section("What classes look like", blocks, {"recipe": recipe, "steps": steps, "classes": results})


def select_classes(subject):
    """Class numbers: those predicted for the samples first, then others spread over all classes."""
    count, most = len(subject.class_names), subject.of_effort(3, 6, 12)
    found = [] if subject.samples is None else subject.photo_probabilities.argmax(1).tolist()
    spread = np.linspace(0, count - 1, min(2 * most, count)).round().astype(int).tolist()
    return [*dict.fromkeys(found + spread[::2] + spread[1::2])][: min(most, count)]


def of_class(made, i, name, certain):
    """The picture of one class."""
    alt = f"a picture made for {name}: the network gives it p = {probability(certain)}, score {made.scores[i]:.3g}"
    return enlarged_picture(made.images[i], alt, f"{cut(name, 22)}: {probability(certain)}", FOUR)


INVERSION_NOTE = (
    "From noise, an image is looked for that gives the same activations at a layer as the photo (after Mahendran & "
    "Vedaldi 2015): what looks the same is kept by that layer, what looks different is lost or no longer has a place. "
    "Under each picture the error at the layer, |a - a0|² / |a0|², and how near the pixels are (PSNR)."
)


def inversion(subject):
    """The first photo from each chosen layer and from the scores, with the errors."""
    first, name = subject.photos[:1], subject.sample_names[0]
    layers, steps = select_layers(subject), subject.of_effort(40, 200, 512)
    recipe = replace(RECIPES["lucid"], what="waves in decorrelated colors, not shaken", shakes=())
    heard = within(subject, 0, 1, "inverting")
    found = invert(subject.probe, first, layers, recipe=recipe, steps=steps, seed=subject.seed, on_progress=heard)
    again = code(
        subject,
        "from dataclasses import replace",
        "recipe = replace(visualize.RECIPES['lucid'], shakes=())",
        f"visualize.invert(model, photos[:1], {layers}, recipe=recipe, steps={steps}, seed={subject.seed}).plot()",
    )
    side = FOUR if len(layers) > 4 else FIVE
    pictured = [enlarged_picture(first[0], f"the photo {name}", cut(name), side)]
    results = []
    for i, each in enumerate(found.table.itertuples()):
        alt = f"{name} from {each.layer}: error {each.error:.2g} at the layer, pixels {each.psnr:.1f} dB"
        caption = f"{cut(each.layer, 22)}: {each.error:.2g}, {each.psnr:.1f} dB"
        pictured.append(enlarged_picture(found.reconstructions[i, 0, 0], alt, caption, side))
        results.append({"layer": each.layer, "error": float(each.error), "psnr": float(each.psnr)})
    scale = f"{recipe.what.capitalize()}: {steps} steps, seed {subject.seed}, one start for each layer."
    blocks = paragraph(INVERSION_NOTE), row(pictured), snippet(again), paragraph(scale, soft=True)
    return Section("What layers keep", blocks, {"image": name, "steps": steps, "layers": results})


def select_layers(subject):
    """The report's layers and the scores; of the layers a quick report has the first and the last."""
    layers = [*subject.layers]
    if subject.effort == "quick" and len(layers) > 2:
        layers = [layers[0], layers[-1]]
    return [*layers, "logits"]
