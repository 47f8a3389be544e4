"""How little is needed to make a network say something else."""

import numpy as np

from ...evaluation.statistics import wilson
from ...support.text import cut, probability
from ...visualize.attacks.attack import amplified
from ...visualize.attacks.fool import fool
from ...visualize.attacks.pgd import fgsm, pgd
from .. import figures
from ..figures import code, concentration, enlarged_picture, snippet, within
from ..page import Section, figure, heading, paragraph, row

MOST = 4  # photos
SIZES = (0.25, 0.5, 1, 2, 4, 8)  # largest change of a pixel, of 255
SIDE = 252  # CSS pixels, four in a row
TIMES = (10, 50)  # that changes are drawn as strong
LEAD = 2.0  # by how many logits the other class is to win: at equality, any noise would undo it
NOTE = (
    "For each photo the smallest change (in L2) found that makes another class win by two logits. The change is shown "
    "ten and fifty times as strong on mid-gray; as it is, it can hardly be seen. Such changes exist for nearly every "
    "image and network, and say little of how it does on photos that nobody tampered with."
)


def fooling(subject):
    """The smallest change of each photo that fools, and how many images changes of a given size fool."""
    samples, names = subject.photos[:MOST], subject.class_names
    steps, heard = subject.of_effort(20, 60, 120), within(subject, 0, 0.6, "smallest changes")
    found = fool(subject.probe, samples, steps=steps, lead=LEAD, labels=names, on_progress=heard)
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
    sure, then = probability(found.confidence_before[i]), probability(found.confidence_after[i])
    size = f"L2 {found.l2[i]:.4g}, Linf {found.linf[i]:.3g}"
    share, where = concentration(np.abs(found.difference[i]).max(-1))
    alt = f"times the change of {name}: {size}, half of it in {share:.0%} of the pixels, around the {where}"
    pictured = [
        enlarged_picture(found.originals[i], f"{name} as it is: {before}, p = {sure}", f"{before}: {sure}", SIDE),
        enlarged_picture(found.images[i], f"{name} changed by {size}: {after}, p = {then}", f"{after}: {then}", SIDE),
    ]
    for times, caption in zip(TIMES, (f"{TIMES[0]} ×: {size}", f"{TIMES[1]} ×"), strict=True):
        change = amplified(found.difference[i], times)
        pictured.append(enlarged_picture(change, f"{times} {alt}", caption, SIDE, kind="map"))
    return [heading(cut(name, 60)), row(pictured)]


def numbers(subject, found, i):
    """What is told of a photo, as plain data."""
    return {
        "image": subject.sample_names[i],
        "fooled": bool(found.success[i]),
        "l2": float(found.l2[i]),
        "linf": float(found.linf[i]),
        "confidence_before": float(found.confidence_before[i]),
        "confidence_after": float(found.confidence_after[i]),
        "before": found.label(found.before[i]),
        "after": found.label(found.after[i]),
    }


def curve(subject, names):
    """(the share of images fooled by the size of the change drawn, as plain data)."""
    images = subject.samples if subject.pool is None else subject.pool
    images = images[: subject.of_effort(8, 16, 64)]
    attacks = {"one step (FGSM)": (fgsm, {})}
    if subject.effort != "quick":
        attacks["five steps (PGD)"] = (pgd, {"steps": 5, "seed": subject.seed})
    curves, total = {}, len(attacks) * len(SIZES)
    for k, (name, (attack, options)) in enumerate(attacks.items()):
        curves[name] = []
        for j, size in enumerate(SIZES):
            subject.on_progress(0.6 + 0.4 * (k * len(SIZES) + j) / total, 1, name)
            made = attack(subject.probe, images, size=size, labels=names, **options)
            curves[name].append(wilson(int(made.success.sum()), len(images)))
    rates = {name: [interval.value for interval in found] for name, found in curves.items()}
    said = [
        f"{name} {probability(shares[SIZES.index(1)])} at 1, {probability(shares[-1])} at 8"
        for name, shares in rates.items()
    ]
    alt = f"share of {len(images)} images taken for another class: {'; '.join(said)} steps of 255"
    caption = f"Another class than without the change; 95 % intervals, n = {len(images)}, seed {subject.seed}"
    again = code(
        subject,
        f"for size in {SIZES}:",
        "    print(size, visualize.fgsm(model, photos, size=size, labels=False).success.mean())",
    )
    return figure(figures.success(SIZES, curves, len(images)), alt, caption, again), {
        "n": len(images),
        "sizes": SIZES,
    } | rates
