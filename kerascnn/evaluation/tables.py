"""An evaluation as DataFrames: by image, by class, by pair of classes."""

import numpy as np
import pandas as pd

from . import scores
from .intervals import wilson

FEW = 10  # images, below which a class's accuracy says little


def images(evaluation):
    """A row for each image."""
    rows = np.arange(len(evaluation))
    return pd.DataFrame(
        {
            "image": evaluation.names,
            "class": named(evaluation, evaluation.labels),
            "predicted": named(evaluation, evaluation.predicted),
            "right": evaluation.right,
            "rank": evaluation.ranks + 1,
            "p_true": evaluation.probs[rows, evaluation.labels].astype(np.float64),
            "p_predicted": evaluation.probs[rows, evaluation.predicted].astype(np.float64),
            "margin": scores.margins(evaluation.probs, evaluation.labels),
        }
    )


def per_class(evaluation):
    """A row for each class that has images, from the easiest to the hardest."""
    labels, predicted, classes = evaluation.labels, evaluation.predicted, evaluation.probs.shape[1]
    there, right, count, taken = scores.counts(labels, predicted, classes)
    accuracy, low, high = wilson(right, count)
    own = evaluation.probs[np.arange(len(labels)), labels]
    sure = np.bincount(labels, own, minlength=classes)[there] / count
    wrong = evaluation.confused.drop_duplicates("class_number").set_index("class_number")["predicted"]
    table = pd.DataFrame(
        {
            "number": there,
            "class": named(evaluation, there),
            "n": count,
            "accuracy": accuracy,
            "low": low,
            "high": high,
            **{f"top{k}": among(evaluation, k)[there] / count for k in evaluation.ks if k > 1},
            "precision": np.divide(right, taken, out=np.zeros(len(there)), where=taken > 0),
            "f1": 2 * right / (count + taken),
            "p_true": sure,
            "few": count < FEW,
            "confused_with": [wrong.get(number, "") for number in there],
        }
    )
    # of equally right classes, the one that is surer of its images is easier
    return table.sort_values(["accuracy", "p_true"], ascending=False, kind="stable").reset_index(drop=True)


def among(evaluation, k):
    """Images of each class whose true class is among the ``k`` likeliest."""
    return np.bincount(evaluation.labels[evaluation.ranks < k], minlength=evaluation.probs.shape[1])


def confusion(evaluation):
    """Counts, true classes as rows."""
    classes = evaluation.probs.shape[1]
    counts = scores.confusion(evaluation.labels, evaluation.predicted, classes)
    every = named(evaluation, range(classes))
    return pd.DataFrame(counts, pd.Index(every, name="true"), pd.Index(every, name="predicted"))


def confused(evaluation):
    """Ordered pairs of classes with how often the first is taken for the second, and the share of its images."""
    wrong = ~evaluation.right
    pairs = np.stack([evaluation.labels[wrong], evaluation.predicted[wrong]], axis=1)
    pairs, count = np.unique(pairs, axis=0, return_counts=True)
    share = count / np.bincount(evaluation.labels, minlength=evaluation.probs.shape[1])[pairs[:, 0]]
    table = pd.DataFrame(
        {
            "class": named(evaluation, pairs[:, 0]),
            "predicted": named(evaluation, pairs[:, 1]),
            "count": count,
            "share": share,
            "class_number": pairs[:, 0],
            "predicted_number": pairs[:, 1],
        }
    )
    return table.sort_values(["count", "share"], ascending=False, kind="stable").reset_index(drop=True)


def named(evaluation, numbers):
    """What classes are called."""
    return [evaluation.class_name(int(number)) for number in numbers]
