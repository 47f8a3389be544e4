"""Why the photos are taken for what they are: a row of maps for each, and what covering a part changes."""

import numpy as np

from ...plots.primitives import scale_of
from ...support.text import cut, probability
from ...visualize.registry import METHODS, ROWS
from .. import figures
from ..figures import code, concentration, enlarged_picture, snippet, within
from ..page import Section, figure, heading, paragraph, row

NOTE = (
    "How much the score of the predicted class changes with each pixel (saliency), what of that passes the ReLUs as "
    "evidence for it (guided backpropagation), which places of the last maps speak for it (Grad-CAM), and its "
    "probability when a gray patch covers a place (occlusion: dark where the class is lost). All are local: they speak "
    "of this photo, not of what the network would do with another."
)
SCALES = (
    "Saliency: the largest |slope| of the colors, black is 0, white its 99th percentile. Guided backpropagation: gray "
    "is exactly 0, the ends are ± the 99.9th percentile. Grad-CAM over the gray photo, from 0 to its largest value, "
    "the line at half of that. "
)


def explanations(subject):
    """For each sample: photo, saliency, guided, Grad-CAM, occlusion; of the first, three maps of the occlusion."""
    samples, predicted = subject.photos, subject.photo_probabilities.argmax(1)
    found, refused = {}, {}
    for i, (name, options) in enumerate(ways(subject).items()):
        subject.on_progress(0.2 * i, 1, ROWS[name].title)
        try:
            found[name] = METHODS[name](subject.probe, samples, predicted, **options)
        except ValueError as error:
            refused[name] = str(error)
    blocks = [paragraph(NOTE)]
    results = []
    for i in range(len(samples)):
        blocks += of_sample(subject, i, found)
        results.append(numbers(subject, i, found))
    blocks += [paragraph(SCALES + setting(found.get("occlusion")), soft=True)]
    blocks += [paragraph(f"No {ROWS[name].title}: {why}", soft=True) for name, why in refused.items()]
    if "occlusion" in found:
        blocks += [heading(f"{subject.sample_names[0]} with a part covered"), first(subject, found["occlusion"])]
    return Section("Why it says so", tuple(blocks), {"samples": results, "refused": refused})


def ways(subject):
    """{method: options}; the patch of occlusion is finer, and its steps smaller, the more effort is made."""
    share, steps = subject.of_effort((4, 2), (5, 3), (7, 4))  # of a side of the image, and of the patch
    patch = tuple(max(round(side / share), 1) for side in subject.samples.shape[1:3])
    stride = tuple(max(side // steps, 1) for side in patch)
    options = {name: {"labels": subject.class_names} for name in DRAWN}
    options["occlusion"] |= {"patch": patch, "stride": stride, "on_progress": within(subject, 0.6, 1, "occlusion")}
    options["occlusion"]["windows"] = subject.effort != "quick"  # building them takes longer than a few passes
    return options


def of_sample(subject, i, found):
    """A title and the pictures of one photo."""
    names, probs, name = subject.class_names, subject.photo_probabilities[i], subject.sample_names[i]
    number = int(probs.argmax())
    said = f"{names[number]}, {probability(probs[number])}"
    if subject.sample_labels is not None:
        true = int(subject.sample_labels[i])
        wrong = f"✗ it is {names[true]}, {probability(probs[true])}"
        said += f" {'✓' if true == number else wrong}"
    pictured = [enlarged_picture(subject.samples[i], f"{name}: taken for {said}", cut(name))]
    pictured += [draw(subject, found[way], i, name) for way, draw in DRAWN.items() if way in found]
    lines = [
        f"visualize.{way}(model, photos[{i}:{i + 1}]{options(found[way])}).plot()" for way in DRAWN if way in found
    ]
    return [heading(f"{cut(name, 40)}: {said}"), row(pictured), snippet(code(subject, *lines))]


def pixels_of(subject, found, i, name):
    """Saliency, white on black."""
    values = found.map[i]
    share, where = concentration(values)
    alt = f"saliency of {name}: half of it lies in {share:.1%} of the pixels, around the {where}"
    shown = figures.colored(values, scale_of(values, False, 99, "gray"))
    return enlarged_picture(shown, alt, f"saliency, half in {share:.0%}", kind="map")


def evidence(subject, found, i, name):
    """The guided signal in color."""
    share, where = concentration(found.map[i])
    alt = f"guided backpropagation on {name}: half of it lies in {share:.1%} of the pixels, around the {where}"
    shown, scale = figures.signal(found.values[i])
    return enlarged_picture(shown, f"{alt}; {scale.words}", ROWS["guided_backprop"].title, kind="map")


def places(subject, found, i, name):
    """Grad-CAM over the photo."""
    values = found.map[i]
    inside = values >= values.max() / 2 if values.max() > 0 else np.zeros(values.shape, bool)
    _, where = concentration(values)
    alt = f"Grad-CAM of {name}: above half of its largest value on {inside.mean():.0%} of the photo, around the {where}"
    return enlarged_picture(figures.overlay(subject.samples[i], values), alt, ROWS["grad_cam"].title)


def covered(subject, found, i, name):
    """p(class) by where a patch was."""
    low, high, lost = when_covered(found, i)
    alt = f"occlusion of {name}: p from {low} to {high}; another class wins at {lost} of the places"
    return figure(figures.covered(found, i), alt, "p(class), part covered")


def when_covered(found, i):
    """(lowest, highest p(class), share of the places where another class wins) of a photo, in words."""
    low, high = found.probability[i].min(), found.probability[i].max()
    return probability(low), probability(high), f"{(found.predicted[i] != found.classes[i]).mean():.0%}"


DRAWN = {"saliency": pixels_of, "guided_backprop": evidence, "grad_cam": places, "occlusion": covered}


def options(found):
    """What a method has to be given beside the photo, as code."""
    return f", patch={found.patch}, stride={found.stride}" if hasattr(found, "patch") else ""


def setting(found):
    """How the photos were covered, in words."""
    if found is None:
        return ""
    (high, wide), (down, right) = found.patch, found.stride
    return f"Occlusion: a patch of {high}×{wide} pixels, mid-gray, every {down}×{right} pixels; p from 0 to 1."


def first(subject, found):
    """The three maps of the first photo."""
    low, high, lost = when_covered(found, 0)
    alt = (
        f"with a patch at each place: the sum of {found.layer}:{found.channels[0]}, the strongest map, p of "
        f"{found.label(found.classes[0])} ({low} to {high}), and the most probable class, another one at {lost} of the "
        "places"
    )
    caption = (
        f"What is left of the strongest map of {found.layer}, p of the class, and the class that wins, by where the "
        f"center of the patch was (pixels; dotted: the photo's border). {setting(found)}"
    )
    again = code(subject, f"visualize.occlusion(model, photos[:1]{options(found)}).plot()")
    return figure(figures.triptych(found), alt, caption, again)


def numbers(subject, i, found):
    """What is told of a photo, as plain data."""
    probs = subject.photo_probabilities[i]
    number = int(probs.argmax())
    told = {"image": subject.sample_names[i], "predicted": number, "name": subject.class_names[number]}
    told["p"] = float(probs[number])
    if subject.sample_labels is not None:
        true = int(subject.sample_labels[i])
        told |= {"true": true, "p_true": float(probs[true])}
    if "saliency" in found:
        told["half_of_saliency"] = concentration(found["saliency"].map[i])[0]
    if "occlusion" in found:
        told["least_p_covered"] = float(found["occlusion"].probability[i].min())
    return told
