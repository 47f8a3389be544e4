"""How little is needed to make a network say something else."""

import numpy as np

from ...evaluation.statistics import wilson
from ...visualize.attacks.attack import amplified
from ...visualize.attacks.fool import fool
from ...visualize.attacks.pgd import fgsm, pgd
from .. import figures
from ..page import Section, figure, heading, paragraph, picture, row
from .common import class_names, code, concentration, cut, percent, photos, snippet, within

MOST = 4  # photos
SIZES = (0.25, 0.5, 1, 2, 4, 8)  # largest change of a pixel, of 255
SIDE = 252  # CSS pixels, four in a row
TIMES = (10, 50)  # that changes are drawn as strong
LEAD = 2.0  # by how many logits the other class is to win: at equality, any noise would undo it
NOTE = (
    "For each photo the smallest change (in L2) found that makes another class win by two logits. The change is shown "
    "ten and fifty times as strong on mid-grey; as it is, it can hardly be seen. Such changes exist for nearly every "
    "image and network, and say little of how it does on photos that nobody tampered with."
)


def fooling(subject):
    """The smallest change of each photo that fools, and how many images changes of a given size fool."""
    samples, names = photos(subject)[:MOST], class_names(subject)
    steps, heard = subject.of_effort(20, 60, 120), within(subject, 0, 0.6, "smallest changes")
    found = fool(subject.probe, samples, steps=steps, lead=LEAD, labels=names, tell=heard)
    rows = [block for i in range(len(samples)) for block in of_sample(subject, found, i)]
    again = f"visualize.fool(model, photos[:{len(samples)}], steps={steps}, lead={LEAD}, labels=False).plot()"
    scale = (
        f"L2 and Linf in steps of 0 to 255; {steps} steps of the search; a change d is drawn as 128 + 10 d, 128 + 50 d."
    )
    drawn, rates = curve(subject, names)
    below = snippet(code(subject, again)), paragraph(scale, soft=True), heading("By the size of the change"), drawn
    results = {"samples": [numbers(subject, found, i) for i in range(len(samples))], "rates": rates}
    return Section("Fooling", (paragraph(NOTE), *rows, *below), results)


def of_sample(subject, found, i):
    """Photo, fooled photo and the change, a row."""
    name = subject.sample_names[i]
    if not found.success[i]:
        return [heading(cut(name, 60)), paragraph("No change was found that makes another class win by two logits.")]
    before, after = (cut(found.label(each[i]), 22) for each in (found.before, found.after))
    sure, then = percent(found.confidence_before[i]), percent(found.confidence_after[i])
    size = f"L2 {found.l2[i]:.4g}, Linf {found.linf[i]:.3g}"
    shown = [figures.enlarged(figures.rgb(each[i]), SIDE) for each in (found.originals, found.images)]
    share, where = concentration(np.abs(found.difference[i]).max(-1))
    alt = f"times the change of {name}: {size}, half of it in {share:.0%} of the pixels, around the {where}"
    pictured = (
        picture(shown[0], f"{name} as it is: {before}, p = {sure}", f"{before}: {sure}", width=SIDE),
        picture(shown[1], f"{name} changed by {size}: {after}, p = {then}", f"{after}: {then}", width=SIDE),
        *(changed(found, i, times, alt, size) for times in TIMES),
    )
    return [heading(cut(name, 60)), row(pictured)]


def changed(found, i, times, alt, size):
    """What was added, so many times as strong."""
    pixels = figures.enlarged(amplified(found.difference[i], times), SIDE)
    caption = f"10 ×: {size}" if times == TIMES[0] else f"{times} ×"
    return picture(pixels, f"{times} {alt}", caption, kind="map", width=SIDE)


def numbers(subject, found, i):
    """What is told of a photo, as plain data."""
    measures = {
        name: float(getattr(found, name)[i]) for name in ("l2", "linf", "confidence_before", "confidence_after")
    }
    told = {"image": subject.sample_names[i], "fooled": bool(found.success[i])} | measures
    return told | {"before": found.label(found.before[i]), "after": found.label(found.after[i])}


def curve(subject, names):
    """(the share of images fooled by the size of the change drawn, as plain data)."""
    images = subject.samples if subject.pool is None else subject.pool
    images = images[: subject.of_effort(8, 16, 64)]
    attacks = {"one step (FGSM)": (fgsm, {})}
    if subject.effort != "quick":
        attacks["five steps (PGD)"] = (pgd, {"steps": 5, "seed": subject.seed})
    curves, total = {}, len(attacks) * len(SIZES)
    for k, (name, (attack, options)) in enumerate(attacks.items()):
        fooled = []
        for j, size in enumerate(SIZES):
            subject.on_progress(0.6 + 0.4 * (k * len(SIZES) + j) / total, 1, name)
            made = attack(subject.probe, images, size=size, labels=names, **options)
            fooled.append(wilson(int(made.success.sum()), len(images)))
        curves[name] = (SIZES, fooled)
    rates = {name: [*map(float, np.array(found)[:, 0])] for name, (_, found) in curves.items()}
    said = [
        f"{name} {percent(shares[SIZES.index(1)])} at 1, {percent(shares[-1])} at 8" for name, shares in rates.items()
    ]
    alt = f"share of {len(images)} images taken for another class: {'; '.join(said)} steps of 255"
    caption = f"Another class than without the change; 95 % intervals, n = {len(images)}, seed {subject.seed}"
    again = code(
        subject,
        f"for size in {SIZES}:",
        "    print(size, visualize.fgsm(model, photos, size=size, labels=False).success.mean())",
    )
    return figure(figures.success(curves, len(images)), alt, caption, again), {"n": len(images), "sizes": SIZES} | rates
