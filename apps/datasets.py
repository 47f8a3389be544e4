"""Labelled images that commands learn from, and other images on which they test."""

from dataclasses import replace

from .errors import BadFile

IMAGES = "digits, or a folder with a folder of images for each class"  # what to try where a dataset cannot be read


def tested_on(data, other):
    """The data with the images of another dataset as its test."""
    return replace(data, test=sorted_as(other.test or other.train, data.classes))


def sorted_as(images, classes):
    """The same images, labelled by the places of their classes among others."""
    import numpy as np

    strange = [name for name in images.classes if name not in classes]
    if strange:
        text = f"--test-data has classes that --data has not: {', '.join(map(str, strange[:5]))}"
        raise BadFile(text, f"images of {', '.join(map(str, classes[:8]))}{' ...' * (len(classes) > 8)}")
    places = np.array([classes.index(name) for name in images.classes])
    return replace(images, labels=places[images.labels], classes=classes)
