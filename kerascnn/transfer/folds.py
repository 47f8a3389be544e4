"""Which images judge a classifier that the others taught."""

import numpy as np


def folded(labels, groups, folds=5, seed=0):
    """The fold (N,) of each image, 0 .. folds - 1: as many of each class in each, and groups together.

    Fewer folds where a class has fewer groups than that.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    labels = np.asarray(labels)
    member = np.unique(np.asarray(groups), return_inverse=True)[1]
    least = min(len(np.unique(member[labels == each])) for each in np.unique(labels))
    if least < 2:
        raise ValueError("`taps` should have 2 or more images of each class that are no copies. Received: 1")
    alone = len(np.unique(member)) == len(member)
    split = (StratifiedKFold if alone else StratifiedGroupKFold)(min(folds, least), shuffle=True, random_state=seed)
    found = np.empty(len(labels), np.int64)
    for fold, (_, held) in enumerate(split.split(labels, labels, None if alone else member)):
        found[held] = fold
    return found


def first(some, labels, order, fraction):
    """Of the images marked in ``some``, those that come first in each class: this fraction of it, and at least one.

    Smaller fractions are in larger ones.
    """
    found = np.zeros(len(labels), bool)
    for each in np.unique(labels[some]):
        own = np.flatnonzero(some & (labels == each))
        own = own[np.argsort(order[own])]
        found[own[: max(round(fraction * len(own)), 1)]] = True
    return found
