"""What a network takes for a typical image of a class: pictures that climb its score."""

import numpy as np

from ...visualize import maximize
from .. import figures
from ..asked import alone, class_count, class_names, code, cut, percent, probabilities, snippet, within
from ..page import Section, paragraph, picture, row

SIDE = 252  # CSS pixels, four in a row
NOTE = (
    "From noise, pixels are changed until the score of a class is high (activation maximisation); that the image is "
    "shaken on the way, and written as waves, keeps it from becoming noise that only fools. It shows what is enough "
    "for the class, not all that the network knows of it. After each name the probability that the picture gets: "
    "it is low where the score of another class rose still higher."
)


def classes(subject):
    """A picture for each of a few classes: those that the photos are taken for, then others at equal distances."""
    alone(subject)
    numbers, names = chosen(subject), class_names(subject)
    recipe, steps = subject.of_effort(("brisk", 64), ("lucid", 160), ("lucid", 512))
    labels, heard = [names[k] for k in numbers], within(subject, 0, 1, "climbing")
    made = maximize(
        subject.probe, classes=numbers, recipe=recipe, steps=steps, seed=subject.seed, names=labels, tell=heard
    )
    certain = probabilities(subject, made.images)[np.arange(len(numbers)), numbers]
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
    blocks = paragraph(NOTE), row(pictured), snippet(again), paragraph(scale, soft=True)
    return Section("What classes look like", blocks, {"recipe": recipe, "steps": steps, "classes": results})


def chosen(subject):
    """Class numbers: those predicted for the samples first, then others spread over all classes."""
    count, most = class_count(subject), subject.of_effort(3, 6, 12)
    found = [] if subject.samples is None else probabilities(subject, subject.samples).argmax(1).tolist()
    spread = np.linspace(0, count - 1, min(2 * most, count)).round().astype(int).tolist()
    return [*dict.fromkeys(found + spread[::2] + spread[1::2])][: min(most, count)]


def of_class(made, i, name, certain):
    """The picture of one class."""
    alt = f"a picture made for {name}: the network gives it p = {percent(certain)}, score {made.scores[i]:.3g}"
    pixels = figures.enlarged(figures.rgb(made.images[i]), SIDE)
    return picture(pixels, alt, f"{cut(name, 22)}: {percent(certain)}", width=SIDE)
