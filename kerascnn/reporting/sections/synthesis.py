"""What classes look like to the network, and what its layers preserve of a photo."""

from dataclasses import replace

import numpy as np

from ...support.text import format_probability, shorten_end, shorten_middle
from ...visualize.synthesis.invert import invert
from ...visualize.synthesis.maximize import maximize
from ...visualize.synthesis.recipes import RECIPES
from ..figures import SIDE as FIVE
from ..figures import code_details, figure_code, pixel_picture, section_progress
from ..page import Section, block_row, paragraph

FOUR = 252  # CSS pixels of a picture, four in a row
CLASSES_NOTE = (
    "Starting from noise, the pixels are optimized until the score of a class is high (activation "
    "maximization). Random transforms and a decorrelated Fourier basis keep the image from turning "
    "into noise that merely fools the network. The result shows what is sufficient for the class, "
    "not everything the network has learned about it. The number after each name is the probability "
    "of the image; it is low where the score of another class rose even higher."
)


def classes_section(subject):
    """An image synthesized for each of a few classes."""
    subject.require_one_input()
    numbers, names = select_classes(subject), subject.class_names
    recipe, steps = subject.by_effort(("brisk", 64), ("lucid", 160), ("lucid", 512))
    labels, on_progress = [names[k] for k in numbers], section_progress(subject, 0, 1, "climbing")
    synthesis = maximize(
        subject.lens,
        classes=numbers,
        recipe=recipe,
        steps=steps,
        seed=subject.seed,
        titles=labels,
        on_progress=on_progress,
    )
    probabilities = subject.probs(synthesis.images)[np.arange(len(numbers)), numbers]
    scale = f"Recipe {recipe}, {steps} steps, seed {subject.seed}; pixel values 0 to 255, contrast unchanged."
    code = figure_code(
        subject,
        f"result = visualize.maximize(model, classes={numbers}, recipe={recipe!r}, steps={steps}, seed={subject.seed})",
        "result.plot()",
    )
    pictures = [class_picture(synthesis, i, name, probabilities[i]) for i, name in enumerate(labels)]
    results = [
        {"class": int(k), "name": name, "probability": float(p), "score": float(score)}
        for k, name, p, score in zip(numbers, labels, probabilities, synthesis.scores, strict=True)
    ]
    blocks = paragraph(CLASSES_NOTE), block_row(pictures), code_details(code), paragraph(scale, soft=True)
    return Section("What classes look like", blocks, {"recipe": recipe, "steps": steps, "classes": results})


def select_classes(subject):
    """Class numbers: those predicted for the samples first, then others spread over all classes."""
    count, limit = len(subject.class_names), subject.by_effort(3, 6, 12)
    predicted = [] if subject.samples is None else subject.photo_probs.argmax(1).tolist()
    spread = np.linspace(0, count - 1, min(2 * limit, count)).round().astype(int).tolist()
    return [*dict.fromkeys(predicted + spread[::2] + spread[1::2])][: min(limit, count)]


def class_picture(synthesis, i, name, probability):
    """The image of one class."""
    alt = f"an image synthesized for {name}: p = {format_probability(probability)}, score {synthesis.scores[i]:.3g}"
    return pixel_picture(synthesis.images[i], alt, f"{shorten_end(name, 22)}: {format_probability(probability)}", FOUR)


INVERSION_NOTE = (
    "Starting from noise, an image is reconstructed that has the same activations at a layer as the "
    "photo (after Mahendran & Vedaldi 2015). What looks the same is preserved by the layer; what "
    "looks different is lost or has lost its position. Below each image: the error at the layer, |a "
    "- a0|² / |a0|², and the similarity of the pixels (PSNR)."
)


def inversion_section(subject):
    """The first photo reconstructed from each layer and from the logits, with the errors."""
    first, name = subject.photo_inputs(1), subject.sample_names[0]
    layers, steps = select_layers(subject), subject.by_effort(40, 200, 512)
    recipe = replace(RECIPES["lucid"], description="decorrelated Fourier basis, no random transforms", transforms=())
    on_progress = section_progress(subject, 0, 1, "inverting")
    inversion = invert(
        subject.lens, first, layers, recipe=recipe, steps=steps, seed=subject.seed, on_progress=on_progress
    )
    code = figure_code(
        subject,
        "from dataclasses import replace",
        "recipe = replace(visualize.RECIPES['lucid'], transforms=())",
        f"visualize.invert(model, photos[:1], {layers}, recipe=recipe, steps={steps}, seed={subject.seed}).plot()",
    )
    side = FOUR if len(layers) > 4 else FIVE
    pictures = [pixel_picture(subject.photos[0], f"the photo {name}", shorten_middle(name, 24), side)]
    results = []
    for i, row in enumerate(inversion.table.itertuples()):
        alt = f"{name} reconstructed from {row.layer}: error {row.error:.2g} at the layer, pixels {row.psnr:.1f} dB"
        caption = f"{shorten_end(row.layer, 22)}: {row.error:.2g}, {row.psnr:.1f} dB"
        pictures.append(pixel_picture(inversion.reconstructions[i, 0, 0], alt, caption, side))
        results.append({"layer": row.layer, "error": float(row.error), "psnr": float(row.psnr)})
    scale = f"{recipe.description.capitalize()}: {steps} steps, seed {subject.seed}, one random start per layer."
    blocks = paragraph(INVERSION_NOTE), block_row(pictures), code_details(code), paragraph(scale, soft=True)
    return Section("What layers preserve", blocks, {"image": name, "steps": steps, "layers": results})


def select_layers(subject):
    """The report's layers and the logits; a quick report has the first and the last layer only."""
    layers = [*subject.layers]
    if subject.effort == "quick" and len(layers) > 2:
        layers = [layers[0], layers[-1]]
    return [*layers, "logits"]
