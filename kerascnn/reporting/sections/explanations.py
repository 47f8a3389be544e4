"""Why the photos are taken for what they are: a row of maps for each, and what covering a part changes."""

import numpy as np

from ...plots.primitives import scale_of
from ...visualize.registry import METHODS, ROWS
from .. import figures
from ..page import Section, figure, heading, paragraph, picture, row
from .common import attempted, class_names, code, concentration, cut, percent, photos, probabilities, snippet, within

SIDE = figures.SIDE
NOTE = (
    "How much the score of the predicted class changes with each pixel (saliency), what of that passes the ReLUs as "
    "evidence for it (guided backpropagation), which places of the last maps speak for it (Grad-CAM), and its "
    "probability when a grey patch covers a place (occlusion: dark where the class is lost). All are local: they speak "
    "of this photo, not of what the network would do with another."
)
SCALES = (
    "Saliency: the largest |slope| of the colours, black is 0, white its 99th percentile. Guided backpropagation: grey "
    "is exactly 0, the ends are ± the 99.9th percentile. Grad-CAM over the grey photo, from 0 to its largest value, "
    "the line at half of that. "
)


def explanations(subject):
    """For each sample: photo, saliency, guided, Grad-CAM, occlusion; of the first, three maps of the occlusion."""
    samples = photos(subject)
    probs, names = probabilities(subject, samples), class_names(subject)
    predicted = probs.argmax(1)
    found, refused = {}, {}
    for i, (name, options) in enumerate(ways(subject, samples, names).items()):
        subject.on_progress(0.2 * i, 1, ROWS[name].title)
        made, why = attempted(METHODS[name], subject.probe, samples, predicted, **options)
        found |= {name: made} if made else {}
        refused |= {} if made else {name: why}
    blocks = [paragraph(NOTE)]
    results = []
    for i in range(len(samples)):
        blocks += of_sample(subject, i, names, probs[i], found)
        results.append(numbers(subject, i, names, probs[i], found))
    blocks += [paragraph(SCALES + setting(found.get("occlusion")), soft=True)]
    blocks += [paragraph(f"No {ROWS[name].title}: {why}", soft=True) for name, why in refused.items()]
    if "occlusion" in found:
        blocks += [heading(f"{subject.sample_names[0]} with a part covered"), first(subject, found["occlusion"])]
    return Section("Why it says so", tuple(blocks), {"samples": results, "refused": refused})


def ways(subject, samples, names):
    """{method: options}; the patch of occlusion is finer, and its steps smaller, the more effort is made."""
    share, steps = subject.of_effort((4, 2), (5, 3), (7, 4))  # of a side of the image, and of the patch
    patch = tuple(max(round(side / share), 1) for side in samples.shape[1:3])
    stride = tuple(max(side // steps, 1) for side in patch)
    heard = within(subject, 0.6, 1, "occlusion")
    how = {"patch": patch, "stride": stride, "labels": names, "tell": heard}
    how["windows"] = subject.effort != "quick"  # building them takes longer than a few passes
    return {name: how if name == "occlusion" else {"labels": names} for name in DRAWN}


def of_sample(subject, i, names, probs, found):
    """A title and the pictures of one photo."""
    number, name = int(probs.argmax()), subject.sample_names[i]
    said = f"{names[number]}, {percent(probs[number])}"
    if subject.sample_labels is not None:
        true = int(subject.sample_labels[i])
        wrong = f"✗ it is {names[true]}, {percent(probs[true])}"
        said += f" {'✓' if true == number else wrong}"
    photo = figures.enlarged(figures.rgb(subject.samples[i]))
    pictured = [picture(photo, f"{name}: taken for {said}", cut(name), width=SIDE)]
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
    shown = figures.enlarged(figures.coloured(values, scale_of(values, False, 99, "gray")))
    return picture(shown, alt, f"saliency, half in {share:.0%}", kind="map", width=SIDE)


def evidence(subject, found, i, name):
    """The guided signal in colour."""
    share, where = concentration(found.map[i])
    alt = f"guided backpropagation on {name}: half of it lies in {share:.1%} of the pixels, around the {where}"
    shown, scale = figures.signal(found.values[i])
    return picture(
        figures.enlarged(shown), f"{alt}; {scale.words}", ROWS["guided_backprop"].title, kind="map", width=SIDE
    )


def places(subject, found, i, name):
    """Grad-CAM over the photo."""
    values = found.map[i]
    inside = values >= values.max() / 2 if values.max() > 0 else np.zeros(values.shape, bool)
    _, where = concentration(values)
    alt = f"Grad-CAM of {name}: above half of its largest value on {inside.mean():.0%} of the photo, around the {where}"
    return picture(figures.overlay(subject.samples[i], values), alt, ROWS["grad_cam"].title, width=SIDE)


def covered(subject, found, i, name):
    """p(class) by where a patch was."""
    lost = (found.predicted[i] != found.classes[i]).mean()
    low, high = found.probability[i].min(), found.probability[i].max()
    alt = (
        f"occlusion of {name}: p from {percent(low)} to {percent(high)}; another class wins at {lost:.0%} of the places"
    )
    return figure(figures.covered(found, i), alt, "p(class), part covered")


DRAWN = {"saliency": pixels_of, "guided_backprop": evidence, "grad_cam": places, "occlusion": covered}


def options(found):
    """What a method has to be given beside the photo, as code."""
    return f", patch={found.patch}, stride={found.stride}" if hasattr(found, "patch") else ""


def setting(found):
    """How the photos were covered, in words."""
    if found is None:
        return ""
    (high, wide), (down, right) = found.patch, found.stride
    return f"Occlusion: a patch of {high}×{wide} pixels, mid-grey, every {down}×{right} pixels; p from 0 to 1."


def first(subject, found):
    """The three maps of the first photo."""
    lost = (found.predicted[0] != found.classes[0]).mean()
    alt = (
        f"with a patch at each place: the sum of {found.layer}:{found.channels[0]}, the strongest map, p of "
        f"{found.label(found.classes[0])} ({percent(found.probability[0].min())} to "
        f"{percent(found.probability[0].max())}), and the most probable class, another one at {lost:.0%} of the places"
    )
    caption = (
        f"What is left of the strongest map of {found.layer}, p of the class, and the class that wins, by where the "
        f"centre of the patch was (pixels; dotted: the photo's border). {setting(found)}"
    )
    again = code(subject, f"visualize.occlusion(model, photos[:1]{options(found)}).plot()")
    return figure(figures.triptych(found), alt, caption, again)


def numbers(subject, i, names, probs, found):
    """What is told of a photo, as plain data."""
    number = int(probs.argmax())
    told = {"image": subject.sample_names[i], "predicted": number, "name": names[number], "p": float(probs[number])}
    if subject.sample_labels is not None:
        true = int(subject.sample_labels[i])
        told |= {"true": true, "p_true": float(probs[true])}
    if "saliency" in found:
        told["half_of_saliency"] = concentration(found["saliency"].map[i])[0]
    if "occlusion" in found:
        told["least_p_covered"] = float(found["occlusion"].probability[i].min())
    return told
