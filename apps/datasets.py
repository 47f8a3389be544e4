"""Labeled images that commands learn from, other images on which they test, and what came of a test."""

from dataclasses import replace

from .errors import BadFile
from .output import percent

IMAGES = "digits, or a folder with a folder of images for each class"  # what to try where a dataset cannot be read


def with_test_set(data, other):
    """The data with the images of another dataset as its test."""
    return replace(data, test=relabel(other.test or other.train, data.classes))


def relabel(images, classes):
    """The same images, labeled by the places of their classes among others."""
    import numpy as np

    strange = [name for name in images.classes if name not in classes]
    if strange:
        text = f"--test-data has classes that --data has not: {', '.join(map(str, strange[:5]))}"
        raise BadFile(text, f"images of {', '.join(map(str, classes[:8]))}{' ...' * (len(classes) > 8)}")
    places = np.array([classes.index(name) for name in images.classes])
    return replace(images, labels=places[images.labels], classes=classes)


def summarize_test(evaluation):
    """How many images of a test are right, and how sure their share is, as JSON holds it."""
    accuracy = evaluation.interval["accuracy"]
    return {
        "images": len(evaluation),
        "right": int(evaluation.right.sum()),
        "accuracy": evaluation.accuracy,
        "interval": [accuracy.low, accuracy.high],
    }


def describe_test(facts):
    """The same in words."""
    low, high = (percent(end, 1) for end in facts["interval"])
    return f"  {facts['right']} right of {facts['images']}, 95 % interval {low} to {high}"
