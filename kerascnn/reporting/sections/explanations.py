"""Explanations of the predictions for each photo: saliency, guided backpropagation, Grad-CAM, occlusion."""

import numpy as np

from ...plots.primitives import scale_for
from ...support.text import format_probability, shorten_middle
from ...visualize.registry import METHODS, ROWS
from .. import figures
from ..figures import code_details, concentration, figure_code, pixel_picture, section_progress
from ..page import Section, block_row, figure, heading, paragraph

NOTE = (
    "For the score of the predicted class: the effect of small changes of each pixel (saliency); the "
    "part of it that passes all ReLUs as positive evidence (guided backpropagation); the regions of "
    "the last feature maps that support the class (Grad-CAM); and the probability with a gray patch "
    "at each position (occlusion; dark where the class is lost). All four are local explanations: "
    "they describe this photo, not others."
)
SCALES = (
    "Saliency: largest absolute gradient over the colors; black is 0, white the 99th percentile. "
    "Guided backpropagation: gray is 0, the ends of the scale are ± the 99.9th percentile. Grad-CAM: "
    "over the gray photo, from 0 to its maximum, with a contour at half of it. "
)


def explanations_section(subject):
    """A row of maps for each sample; for the first one three maps of the occlusion too."""
    samples, predicted = subject.photos, subject.photo_probs.argmax(1)
    attributions, refused = {}, {}
    for i, (name, options) in enumerate(method_options(subject).items()):
        subject.on_progress(0.2 * i, 1, ROWS[name].title)
        try:
            attributions[name] = METHODS[name](subject.lens, subject.photo_inputs(), predicted, **options)
        except ValueError as error:
            refused[name] = str(error)
    blocks = [paragraph(NOTE)]
    results = []
    for i in range(len(samples)):
        blocks += explanation_blocks(subject, i, attributions)
        results.append(explanation_numbers(subject, i, attributions))
    blocks += [paragraph(SCALES + describe_occlusion(attributions.get("occlusion")), soft=True)]
    blocks += [paragraph(f"No {ROWS[name].title}: {why}", soft=True) for name, why in refused.items()]
    if "occlusion" in attributions:
        blocks += [
            heading(f"{shorten_middle(subject.sample_names[0], 40)} with an occluding patch"),
            occlusion_maps(subject, attributions["occlusion"]),
        ]
    return Section("Explanations of predictions", tuple(blocks), {"samples": results, "refused": refused})


def method_options(subject):
    """{method: options}; more effort makes the occluding patch smaller and its steps finer."""
    share, steps = subject.by_effort((4, 2), (5, 3), (7, 4))  # of a side of the image, and of the patch
    patch = tuple(max(round(side / share), 1) for side in subject.samples.shape[1:3])
    stride = tuple(max(side // steps, 1) for side in patch)
    options = {name: {"class_names": subject.class_names} for name in PICTURES}
    options["occlusion"] |= {
        "patch": patch,
        "stride": stride,
        "on_progress": section_progress(subject, 0.6, 1, "occlusion"),
    }
    options["occlusion"]["windows"] = subject.effort != "quick"  # building them takes longer than a few passes
    return options


def explanation_blocks(subject, i, attributions):
    """Heading and pictures of one photo."""
    names, probs, name = subject.class_names, subject.photo_probs[i], subject.sample_names[i]
    number = int(probs.argmax())
    prediction = f"{names[number]}, {format_probability(probs[number])}"
    if subject.sample_labels is not None:
        label = int(subject.sample_labels[i])
        wrong = f"✗ label {names[label]}, {format_probability(probs[label])}"
        prediction += f" {'✓' if label == number else wrong}"
    pictures = [pixel_picture(subject.samples[i], f"{name}: predicted {prediction}", shorten_middle(name, 24))]
    pictures += [
        draw(subject, attributions[method], i, name) for method, draw in PICTURES.items() if method in attributions
    ]
    lines = [
        f"visualize.{method}(model, photos[{i}:{i + 1}]{options_code(attributions[method])}).plot()"
        for method in PICTURES
        if method in attributions
    ]
    return [
        heading(f"{shorten_middle(name, 40)}: {prediction}"),
        block_row(pictures),
        code_details(figure_code(subject, *lines)),
    ]


def saliency_picture(subject, attribution, i, name):
    """Saliency, white on black."""
    values = attribution.map[i]
    share, position = concentration(values)
    alt = f"saliency of {name}: half of its sum lies in {share:.1%} of the pixels, around the {position}"
    pixels = figures.color_map_or_stripes(values, scale_for(values, False, 99, "gray"))
    return pixel_picture(pixels, alt, f"saliency; half in {share:.0%} of the pixels", kind="map")


def backprop_picture(subject, attribution, i, name):
    """Guided backpropagation in color."""
    share, position = concentration(attribution.map[i])
    alt = f"guided backpropagation on {name}: half of its sum lies in {share:.1%} of the pixels, around the {position}"
    pixels, scale = figures.signal_colors(attribution.values[i])
    return pixel_picture(pixels, f"{alt}; {scale.words}", ROWS["guided_backprop"].title, kind="map")


def grad_cam_picture(subject, attribution, i, name):
    """Grad-CAM over the photo."""
    values = attribution.map[i]
    inside = values >= values.max() / 2 if values.max() > 0 else np.zeros(values.shape, bool)
    _, position = concentration(values)
    alt = f"Grad-CAM of {name}: above half of its maximum on {inside.mean():.0%} of the photo, around the {position}"
    return pixel_picture(figures.heat_overlay(subject.samples[i], values), alt, ROWS["grad_cam"].title)


def occlusion_picture(subject, occlusion, i, name):
    """p(class) by the position of the patch."""
    low, high, lost = occlusion_effect(occlusion, i)
    alt = f"occlusion of {name}: p from {low} to {high}; another class is predicted at {lost} of the positions"
    return figure(figures.occlusion_figure(occlusion, i), alt, "p(class) under occlusion")


def occlusion_effect(occlusion, i):
    """(lowest p(class), highest p(class), share of positions with another predicted class) of a photo, in words."""
    low, high = occlusion.probability[i].min(), occlusion.probability[i].max()
    return (
        format_probability(low),
        format_probability(high),
        f"{(occlusion.predicted[i] != occlusion.classes[i]).mean():.0%}",
    )


PICTURES = {
    "saliency": saliency_picture,
    "guided_backprop": backprop_picture,
    "grad_cam": grad_cam_picture,
    "occlusion": occlusion_picture,
}


def options_code(attribution):
    """The options of a method as code."""
    return f", patch={attribution.patch}, stride={attribution.stride}" if hasattr(attribution, "patch") else ""


def describe_occlusion(occlusion):
    """The patch of the occlusion in words."""
    if occlusion is None:
        return ""
    (high, wide), (down, right) = occlusion.patch, occlusion.stride
    return f"Occlusion: a mid-gray patch of {high}×{wide} pixels, every {down}×{right} pixels; p from 0 to 1."


def occlusion_maps(subject, occlusion):
    """Three occlusion maps of the first photo."""
    low, high, lost = occlusion_effect(occlusion, 0)
    alt = (
        f"for each position of the patch: the sum of {occlusion.layer}:{occlusion.channels[0]}, the strongest "
        f"feature map; p of {occlusion.class_name(occlusion.classes[0])} ({low} to {high}); and the predicted class, "
        f"another one at {lost} of the positions"
    )
    caption = (
        f"Sum of the strongest feature map of {occlusion.layer}, p of the class, and predicted class, by the "
        f"center of the patch (in pixels; dotted: border of the photo). {describe_occlusion(occlusion)}"
    )
    code = figure_code(subject, f"visualize.occlusion(model, photos[:1]{options_code(occlusion)}).plot()")
    return figure(figures.occlusion_triptych(occlusion), alt, caption, code)


def explanation_numbers(subject, i, attributions):
    """The numbers of a photo as plain data."""
    probs = subject.photo_probs[i]
    number = int(probs.argmax())
    numbers = {"image": subject.sample_names[i], "predicted": number, "name": subject.class_names[number]}
    numbers["p"] = float(probs[number])
    if subject.sample_labels is not None:
        label = int(subject.sample_labels[i])
        numbers |= {"true": label, "p_true": float(probs[label])}
    if "saliency" in attributions:
        numbers["half_of_saliency"] = concentration(attributions["saliency"].map[i])[0]
    if "occlusion" in attributions:
        numbers["least_p_covered"] = float(attributions["occlusion"].probability[i].min())
    return numbers
