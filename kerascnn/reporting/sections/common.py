"""What sections of pictures have in common: photos, probabilities, names, refusals, places in words, code that runs."""

import numpy as np

from ..context import Skipped
from ..page import code as verbatim
from ..page import folded

ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")


def photos(subject):
    """The samples, (N, H, W, C), or `Skipped`, also where a network takes more than images."""
    alone(subject)
    return subject.need_samples()


def alone(subject):
    """`Skipped` where a network has inputs beside the images."""
    if len(subject.probe.inputs) > 1:
        inputs = ", ".join(subject.probe.inputs)
        raise Skipped(
            f"the network has several inputs ({inputs}), and images for one of them: call the methods yourself"
        )


def class_count(subject):
    """How many classes a network knows, or `Skipped` where it gives no scores of classes."""
    shape = subject.probe.output.shape
    if len(shape) != 1:
        raise Skipped(f"the network gives {shape} for an image, no scores of classes")
    return max(shape[0], 2)  # a single sigmoid tells two apart


def class_names(subject):
    """What all classes are called, by their numbers."""
    return tuple(map(subject.class_name, range(class_count(subject))))


def probabilities(subject, images):
    """(N, classes) of images as the network's probe reads them, whatever the network ends with."""
    from ...visualize.attribution.attribution import predicted
    from ...visualize.engine.pictures import pictures

    return predicted(subject.probe, pictures(subject.probe, images))


def attempted(method, *given, **named):
    """(what a method finds, ""), or (None, why it refuses)."""
    try:
        return method(*given, **named), ""
    except ValueError as error:
        return None, str(error)


def within(subject, first, last, what):
    """``on_progress`` of a method, for a part of a section from ``first`` to ``last``, 0 to 1."""

    def on_progress(done, total, method=""):
        subject.on_progress(first + (last - first) * done / max(total, 1), 1, what)

    return on_progress


def code(subject, *lines):
    """Lines that make a figure again, given ``model`` and ``photos``, the samples of the report."""
    size = "x".join(map(str, subject.probe.shape))
    begin = [f"# model: {subject.name}; photos: the samples of the report, (N, {size}), pixels 0 to 255"]
    begin += ["from kerascnn import visualize"]
    if subject.preprocess is not None:
        begin += ["model = visualize.probe(model, preprocess=preprocess)"]
    return "\n".join((*begin, *lines))


def snippet(text):
    """Code that a click shows, for a row of pictures."""
    return folded("Code", verbatim(text))


def concentration(values):
    """(the least share of pixels that holds half of |values| (H, W), where in words); (0, "nowhere") of zeros."""
    flat = np.abs(np.nan_to_num(values)).ravel()
    order = np.argsort(-flat, kind="stable")
    total = np.cumsum(flat[order], dtype=np.float64)
    if not len(flat) or total[-1] == 0:
        return 0.0, "nowhere"
    count = int(np.searchsorted(total, total[-1] / 2)) + 1
    place = np.stack(np.unravel_index(order[:count], values.shape), 1).mean(0)
    return count / flat.size, place_of(place, values.shape)


def place_of(place, shape):
    """A place (row, column) of an image in words: top left, middle centre .."""
    thirds = (min(int(3 * (at + 0.5) / side), 2) for at, side in zip(place, shape, strict=True))
    return " ".join(words[third] for words, third in zip((ROWS, COLUMNS), thirds, strict=True))


def percent(share):
    """A probability in as many digits as tell it from 0 and 1."""
    return f"{share:.1%}" if 0.0005 <= share <= 0.9995 else "< 0.1%" if share < 0.5 else "> 99.9%"


def cut(text, letters=24):
    """A text that fits under a picture."""
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "…"
