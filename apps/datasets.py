"""Datasets of commands: their test images, and the result of a test as data and text."""

from dataclasses import replace

from .errors import BadFile
from .output import percent

IMAGES = "digits, or a folder with one subfolder per class"  # advice if a dataset cannot be read


def with_test_set(data, test_data):
    """The dataset with the images of another one as its test set."""
    return replace(data, test=relabel(test_data.test or test_data.train, data.class_names))


def relabel(images, class_names):
    """The same images, labeled by the positions of their classes in ``class_names``."""
    import numpy as np

    strange = [name for name in images.class_names if name not in class_names]
    if strange:
        text = f"`--test-data` should have only classes of --data. Received also: {', '.join(map(str, strange[:5]))}"
        raise BadFile(text, f"images of {', '.join(map(str, class_names[:8]))}{' ...' * (len(class_names) > 8)}")
    places = np.array([class_names.index(name) for name in images.class_names])
    return replace(images, labels=places[images.labels], class_names=class_names)


def summarize_test(evaluation):
    """Number of images, correct ones, accuracy and its interval, as plain data."""
    accuracy = evaluation.intervals["accuracy"]
    return {
        "images": len(evaluation),
        "right": int(evaluation.correct.sum()),
        "accuracy": evaluation.accuracy,
        "interval": [accuracy.low, accuracy.high],
    }


def describe_test(facts):
    """The same as text."""
    low, high = (percent(end, 1) for end in facts["interval"])
    return f"  {facts['right']} of {facts['images']} correct, 95 % interval {low} to {high}"
