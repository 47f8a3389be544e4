"""Adversarial images: how small a change makes the network predict another class."""

import numpy as np

from ...evaluation.statistics import wilson
from ...support.text import format_probability, shorten_end, shorten_middle
from ...visualize.attacks.attack import amplify_difference
from ...visualize.attacks.fool import fool
from ...visualize.attacks.pgd import fgsm, pgd
from .. import figures
from ..figures import code_details, concentration, figure_code, pixel_picture, section_progress
from ..page import Section, block_row, figure, heading, paragraph

MAX_PHOTOS = 4  # photos
SIZES = (0.25, 0.5, 1, 2, 4, 8)  # largest change of a pixel, of 255
SIDE = 252  # CSS pixels, four in a row
TIMES = (10, 50)  # that changes are drawn as strong
LEAD = 2.0  # by how many logits the other class is to win: at equality, any noise would undo it
NOTE = (
    "For each photo, the smallest L2 change in integer pixels found that raises another class two "
    "logits above all others, also in a saved image. The change is shown amplified 10 and 50 times on "
    "mid-gray, because at its true size it is hardly visible. Such changes exist for nearly every "
    "network and image, and say little about accuracy on unmodified photos."
)


def fooling_section(subject):
    """The smallest change that fools the network on each photo, and the fraction of images fooled by size of the
    change."""
    samples, names = subject.photos[:MAX_PHOTOS], subject.class_names
    photos = subject.photo_inputs(MAX_PHOTOS)
    steps, on_progress = subject.by_effort(20, 60, 120), section_progress(subject, 0, 0.6, "smallest changes")
    adversarial = fool(subject.lens, photos, steps=steps, lead=LEAD, class_names=names, on_progress=on_progress)
    rows = [block for i in range(len(samples)) for block in fooling_blocks(subject, adversarial, i)]
    code = f"visualize.fool(model, photos[:{len(samples)}], steps={steps}, lead={LEAD}, class_names=False).plot()"
    scale = (
        f"L2 and Linf in pixel values 0 to 255; {steps} search steps; a change d is drawn as 128 + 10 d and 128 + 50 d."
    )
    rates_figure, rates = success_by_size(subject, names)
    below = (
        code_details(figure_code(subject, code)),
        paragraph(scale, soft=True),
        heading("By size of the change"),
        rates_figure,
    )
    results = {"samples": [fooling_numbers(subject, adversarial, i) for i in range(len(samples))], "rates": rates}
    return Section("Adversarial images", (paragraph(NOTE), *rows, *below), results)


def fooling_blocks(subject, adversarial, i):
    """Photo, adversarial image and the change between them, in a row."""
    name = subject.sample_names[i]
    if not adversarial.success[i]:
        return [
            heading(shorten_middle(name, 60)),
            paragraph("No change was found that raises another class two logits above all others."),
        ]
    before, after = (
        shorten_end(adversarial.class_name(classes[i]), 22) for classes in (adversarial.before, adversarial.after)
    )
    confidence_before, confidence_after = (
        format_probability(adversarial.confidence_before[i]),
        format_probability(adversarial.confidence_after[i]),
    )
    size = f"L2 {adversarial.l2[i]:.4g}, Linf {adversarial.linf[i]:.3g}"
    share, position = concentration(np.abs(adversarial.difference[i]).max(-1))
    alt = f"times the change of {name}: {size}; half of it lies in {share:.0%} of the pixels, around the {position}"
    pictures = [
        pixel_picture(
            adversarial.originals[i],
            f"{name} unchanged: {before}, p = {confidence_before}",
            f"{before}: {confidence_before}",
            SIDE,
        ),
        pixel_picture(
            adversarial.images[i],
            f"{name} changed by {size}: {after}, p = {confidence_after}",
            f"{after}: {confidence_after}",
            SIDE,
        ),
    ]
    for times, caption in zip(TIMES, (f"{TIMES[0]} ×: {size}", f"{TIMES[1]} ×"), strict=True):
        change = amplify_difference(adversarial.difference[i], times)
        pictures.append(pixel_picture(change, f"{times} {alt}", caption, SIDE, kind="map"))
    return [heading(shorten_middle(name, 60)), block_row(pictures)]


def fooling_numbers(subject, adversarial, i):
    """The numbers of a photo as plain data."""
    return {
        "image": subject.sample_names[i],
        "fooled": bool(adversarial.success[i]),
        "l2": float(adversarial.l2[i]),
        "linf": float(adversarial.linf[i]),
        "confidence_before": float(adversarial.confidence_before[i]),
        "confidence_after": float(adversarial.confidence_after[i]),
        "before": adversarial.class_name(adversarial.before[i]),
        "after": adversarial.class_name(adversarial.after[i]),
    }


def success_by_size(subject, names):
    """(figure of the fraction of images fooled by the size of the change, the same as plain data)."""
    limit = subject.by_effort(8, 16, 64)
    images = subject.pool_inputs(limit)
    count = min(limit, len(subject.photos if subject.pool is None else subject.pool))
    attacks = {"one step (FGSM)": (fgsm, {})}
    if subject.effort != "quick":
        attacks["five steps (PGD)"] = (pgd, {"steps": 5, "seed": subject.seed})
    curves, total = {}, len(attacks) * len(SIZES)
    for k, (name, (attack, options)) in enumerate(attacks.items()):
        curves[name] = []
        for j, size in enumerate(SIZES):
            subject.on_progress(0.6 + 0.4 * (k * len(SIZES) + j) / total, 1, name)
            adversarial = attack(subject.lens, images, epsilon=size, integer_pixels=False, class_names=names, **options)
            curves[name].append(wilson(int(adversarial.success.sum()), count))
    rates = {name: [interval.value for interval in intervals] for name, intervals in curves.items()}
    rate_texts = [
        f"{name} {format_probability(shares[SIZES.index(1)])} at 1, {format_probability(shares[-1])} at 8"
        for name, shares in rates.items()
    ]
    alt = f"fraction of {count} images whose predicted class changes: {'; '.join(rate_texts)} of 255"
    caption = (
        f"Predicted class differs from that of the unchanged image; 95 % intervals, n = {count}, seed {subject.seed}"
    )
    code = figure_code(
        subject,
        f"for size in {SIZES}:",
        "    found = visualize.fgsm(model, photos, epsilon=size, integer_pixels=False, class_names=False)",
        "    print(size, found.success.mean())",
    )
    return figure(figures.success_figure(SIZES, curves, count), alt, caption, code), {
        "n": count,
        "sizes": SIZES,
    } | rates
