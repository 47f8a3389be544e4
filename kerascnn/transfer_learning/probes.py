"""Linear probes on the features of each stage, evaluated on held-out images: `train_probes`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from ..evaluation.calibration import temperature
from ..evaluation.statistics import wilson
from ..support.display import MeasuredResult
from ..support.files import table_records
from ..support.progress import progress
from ..support.store import make_key
from ..support.text import check_names, format_percent, pluralize
from ..support.types import OnProgress, Verbose
from .heads import (
    HEADS,
    LinearScores,
    center_and_decompose,
    leave_group_out_scores,
    plus_minus_targets,
    ridge_solutions,
    single_threaded,
)
from .taps import PLUS, Taps, taps
from .trials import mean_difference, most_likely

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["stage", "head", "penalty", "accuracy", "low", "high", "train", "width", "seconds"]
FRACTIONS = (0.25, 0.5, 1.0)
CONCATENATIONS = (3, None)  # numbers of top stages that are also concatenated; None is all that fit
MAX_RIDGE_SIZE = 4096  # largest number of features or images, whichever is smaller, that ridge handles quickly
ALL_HEADS = tuple(HEADS)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ProbeTable(MeasuredResult):
    """Classifiers on the features of each stage, with held-out accuracy.

    Ridge leaves out one image at a time, the other heads one fold at a time. Stages joined by "+" were concatenated.

    Attributes:
        table: DataFrame with a row for each stage, head and penalty: held-out accuracy with Wilson's 95 % interval
            (``low``, ``high``), accuracy on the training images (``train``), number of features (``width``), seconds.
        curve: DataFrame, the held-out accuracy of the best linear probe by number of training images.
        logits: {(stage, head): (N, classes)}, held-out scores at the best penalty.
        labels: True classes (N,).
        class_names: Names of the classes.
        folds: Fold (N,) in which each image was held out.
        stages: Single stages, from the input to the classifier.
        model: Name of the backbone.
    """

    table: pd.DataFrame
    curve: Any
    logits: Mapping
    labels: np.ndarray
    class_names: tuple
    folds: np.ndarray
    stages: tuple
    model: str

    def __len__(self):
        return len(self.labels)

    @property
    def summary(self):
        """Rows of ``table`` at the best penalty of each stage and head.

        Of equal accuracies the row with the strongest penalty.
        """
        best = self.table.groupby(["stage", "head"], sort=False)["accuracy"].idxmax()
        return self.table.loc[best].reset_index(drop=True)

    @property
    def best(self):
        """The best row with a linear head, the first of equals."""
        return self.best_linear()

    def best_linear(self, stage=None):
        """The best row with a linear head, of one stage or of all."""
        rows = self.summary
        rows = rows[rows["head"].map(lambda head: HEADS[head].linear)]
        rows = rows if stage is None else rows[rows["stage"] == stage]
        return rows.loc[rows["accuracy"].idxmax()]

    def row(self, stage=None, head=None):
        """The best row of a stage and a head; without either, ``best``."""
        rows = self.summary
        if stage is None and head is None:
            return self.best
        for name, value in (("stage", stage), ("head", head)):
            if value is not None:
                check_names(name, value, rows[name].unique())
                rows = rows[rows[name] == value]
        return rows.loc[rows["accuracy"].idxmax()]

    def correct(self, stage, head):
        """Whether each held-out image (N,) is classified correctly."""
        return self.logits[stage, head].argmax(axis=1) == self.labels

    def temperature(self, stage=None, head=None):
        """The `Temperature` that calibrates a probe (Guo et al. 2017)."""
        row = self.row(stage, head)
        return temperature(self.logits[row["stage"], row["head"]], self.labels)

    def layers_table(self, heads=("svm", "softmax")):
        """The table of Zeiler and Fergus (2014), in percent.

        Its rows are SVM (1) .. SVM (n), Softmax (1) .. Softmax (n), n being the number of stages.
        """
        rows = self.summary
        rows = rows[rows["stage"].isin(self.stages) & rows["head"].isin(heads)]
        numbers = [self.stages.index(stage) + 1 for stage in rows["stage"]]
        table = rows[["stage"]].assign(accuracy=100 * rows["accuracy"], error=50 * (rows["high"] - rows["low"]))
        table.index = [f"{HEADS[head].title} ({i})" for head, i in zip(rows["head"], numbers, strict=True)]
        order = {head: i for i, head in enumerate(heads)}
        places = sorted(range(len(rows)), key=lambda i: (order[rows["head"].iloc[i]], numbers[i]))
        return table.iloc[places]

    def plot(self):
        """Draw accuracy by stage, a line per head, and the learning curve."""
        from .figures import draw_probes

        return draw_probes(self)

    def to_dict(self):
        """The rows of the table as JSON-compatible dicts."""
        return table_records(self.table)

    def _headline(self):
        best = self.best
        probes = f"{len(self.table)} probes on {pluralize(len(self), 'image')} of {len(self.class_names)} classes"
        return f"{self.model}, {probes}, best {best['head']} on {best['stage']}, accuracy {best['accuracy']:.3f}"

    def __str__(self):
        rows = self.summary.drop(columns=["width", "seconds"])
        return rows.to_string(index=False, float_format="{:.4g}".format)


def train_probes(
    taps: Taps,
    *,
    heads: str | Sequence[str] = ALL_HEADS,
    stages: Sequence[str] | None = None,
    folds: int = 5,
    fractions: Sequence[float] = FRACTIONS,
    concatenate: Sequence[int | None] = CONCATENATIONS,
    seed: int = 0,
    previous: ProbeTable | None = None,
    verbose: Verbose = "auto",
    on_progress: OnProgress | None = None,
) -> ProbeTable:
    """Train classifiers on the features of each stage, and on several concatenated.

    Features are standardized by the training images. All crops of an image are trained on; the first one is evaluated.
    Duplicates and groups of images stay in one fold.

    Args:
        taps: `Taps` with labels.
        heads: Name of a head in `HEADS`, or several.
        stages: Stages to probe; None is all of ``taps``.
        folds: Number of cross-validation folds; fewer if a class has fewer images.
        fractions: Fractions of the training images for the learning curve; () measures none.
        concatenate: Numbers of top stages to concatenate; None among them means all that fit in memory, with ridge
            only.
        seed: Seed of the folds and of the learning curve.
        previous: `ProbeTable` of the same taps. Its rows are kept, and ``heads`` are trained only on its best single
            stage and on the last stage.
        verbose: 0 shows nothing, 1 a progress bar, 2 lines; "auto" a bar on a terminal and lines elsewhere.
        on_progress: Function called with (done, total, what) instead of a progress display; raising stops the work.

    Returns:
        A `ProbeTable`.

    >>> train_probes(taps(model, "photos")).layers_table()
    """
    import pandas as pd

    heads = check_names("head", heads, HEADS)
    labels, classes = check_labels(taps)
    chosen = taps.stages if stages is None else tuple(stages)
    fold = assign_folds(labels, taps.groups, folds, seed)
    ways = chosen if previous is None else best_and_last_stage(previous)
    rows, logits = ([], {}) if previous is None else ([*previous.table.itertuples(index=False)], dict(previous.logits))
    ridge_only = ("ridge",) if previous is not None or "ridge" in heads else ()
    done, total = count(1), (len(ways) + len(concatenate)) * len(heads)

    def probe(stage, heads, shown):
        features = taps.concatenate(stage.split(PLUS))
        for head in heads:
            began, penalties = time.perf_counter(), HEADS[head].penalties
            evaluate = leave_one_out_scores if head == "ridge" else cross_validation_scores
            scores, train = evaluate(head, features, labels, len(classes), fold, taps.groups)
            seconds = (time.perf_counter() - began) / len(penalties)
            right = (scores.argmax(axis=2) == labels).sum(axis=1)
            logits[stage, head] = scores[right.argmax()]  # argmax takes the first of equals: the strongest penalty
            for penalty, number, share in zip(penalties, right, train, strict=True):
                accuracy = wilson(int(number), len(labels))
                rows.append((stage, head, float(penalty), *accuracy, float(share), features.shape[-1], seconds))
            shown(next(done), total, "training linear probes")

    with single_threaded():
        with progress(verbose, on_progress) as shown:
            for stage in ways:
                probe(stage, heads, shown)
            for number in concatenate if previous is None else {*concatenate} & {None}:
                picked = select_distinct_stages(rows, taps, chosen, number)
                if len(picked) > 1 and not any(stage == PLUS.join(picked) for stage, _ in logits):
                    probe(PLUS.join(picked), heads if number else ridge_only, shown)
        table = pd.DataFrame(rows, columns=COLUMNS)
        found = ProbeTable(
            table=table,
            curve=None,
            logits=logits,
            labels=labels,
            class_names=classes,
            folds=fold,
            stages=chosen,
            model=taps.model,
        )
        return replace(found, curve=learning_curve(taps, found, fractions, seed))


def best_and_last_stage(table):
    """The best single stage of a table, and the last one."""
    rows = table.summary
    rows = rows[rows["stage"].isin(table.stages)]
    return tuple(dict.fromkeys((rows["stage"][rows["accuracy"].idxmax()], table.stages[-1])))


def check_labels(taps):
    """Labels and class names; each class must have at least two images."""
    if taps.labels is None:
        raise ValueError("`taps` should have labels. Received: unlabeled images")
    classes = taps.class_names or tuple(map(str, range(taps.labels.max() + 1)))
    counts = np.bincount(taps.labels, minlength=len(classes))
    few = [name for name, images in zip(classes, counts, strict=True) if images < 2]
    if len(classes) < 2 or few:
        received = f"one class, {classes[0]}" if len(classes) < 2 else f"{counts.min()} images of {few[0]}"
        raise ValueError(f"`taps` should have at least two classes, with at least 2 images each. Received: {received}")
    return taps.labels, classes


def standardize(features, selected):
    """Features (N, crops, d) standardized by the selected images; also their mean and standard deviation."""
    own = features[selected].reshape(-1, features.shape[-1]).astype(np.float64)
    mean, spread = own.mean(axis=0), own.std(axis=0)
    spread = np.where(spread > 1e-6 * np.maximum(np.abs(mean), 1e-6), spread, 1.0)  # constant features become 0
    return (features - mean) / spread, mean, spread


def leave_one_out_scores(head, features, labels, classes, folds, groups):
    """Ridge scores of each image without its crops and its group in training, in closed form; training accuracies.

    Features are standardized by all images, which uses no labels.
    """
    rows, *_ = standardize(features, slice(None))
    images, crops, width = rows.shape
    repeated, penalties = np.repeat(labels, crops), HEADS[head].penalties
    found, targets = center_and_decompose(rows.reshape(-1, width)), plus_minus_targets(repeated, classes)
    said = leave_group_out_scores(found, targets, penalties, np.repeat(np.asarray(groups), crops))
    learned = LinearScores(*ridge_solutions(found, targets, penalties))(rows[:, 0])
    return said.reshape(-1, images, crops, classes)[:, :, 0], (learned.argmax(axis=2) == labels).mean(axis=1)


def cross_validation_scores(head, features, labels, classes, folds, groups, penalties=None, fraction=1.0, seed=0):
    """Scores of each fold after training on the others, or on a fraction of those; training accuracies."""
    penalties = HEADS[head].penalties if penalties is None else penalties
    logits, train = np.empty((len(penalties), len(labels), classes)), []
    order = np.random.default_rng(seed).permutation(len(labels))
    for held in range(folds.max() + 1):
        some = select_fraction(folds != held, labels, order, fraction)
        rows, *_ = standardize(features, some)
        shown = rows[some].reshape(-1, rows.shape[-1])
        learned = HEADS[head].fit(shown, np.repeat(labels[some], rows.shape[1]), classes, penalties)
        logits[:, folds == held] = learned(rows[folds == held, 0])
        train.append((learned(rows[some, 0]).argmax(axis=2) == labels[some]).mean(axis=1))
    return logits, np.mean(train, axis=0)


def select_distinct_stages(rows, taps, stages, number):
    """The best stages in network order, without duplicates of their features, up to ``MAX_RIDGE_SIZE`` features."""
    best = {}
    for stage, _, _, accuracy, *_ in rows:
        best[stage] = max(best.get(stage, 0), accuracy)
    picked, width = [], 0
    for stage in sorted(stages, key=best.get, reverse=True):
        own = taps.features[stage]
        fits = min(len(taps) * own.shape[1], width + own.shape[-1]) <= MAX_RIDGE_SIZE
        if fits and not any(np.array_equal(own, taps.features[other]) for other in picked):
            picked.append(stage)
            width += own.shape[-1]
    return sorted(picked[:number], key=stages.index)


def learning_curve(taps, table, fractions, seed):
    """A DataFrame: accuracy of the best probe trained on fractions of the images, and the gain of each step.

    ``images`` are training images per class, on average; ``gain`` is over the fraction before, ``error`` its standard
    error, paired by image.
    """
    import pandas as pd

    best, labels, classes = table.best, table.labels, len(table.class_names)
    features, penalties = taps.concatenate(best["stage"].split(PLUS)), (best["penalty"],)
    shown = len(labels) * (1 - 1 / (table.folds.max() + 1)) / classes
    rows, before = [], None
    for fraction in sorted(fractions):
        how = {"penalties": penalties, "fraction": fraction, "seed": seed}
        logits, train = cross_validation_scores(
            best["head"], features, labels, classes, table.folds, taps.groups, **how
        )
        right = (logits[0].argmax(axis=1) == labels).astype(np.float64)
        gain = np.full(len(right), np.nan) if before is None else right - before
        error = gain.std() / np.sqrt(len(gain))
        rows.append((fraction, fraction * shown, *wilson(right.sum(), len(right)), train[0], gain.mean(), error))
        before = right
    return pd.DataFrame(rows, columns=["fraction", "images", "accuracy", "low", "high", "train", "gain", "error"])


def assign_folds(labels, groups, folds=5, seed=0):
    """The fold (N,) of each image: stratified by class, groups together, fewer folds if a class has fewer groups."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    labels = np.asarray(labels)
    member = np.unique(np.asarray(groups), return_inverse=True)[1]
    least = min(len(np.unique(member[labels == each])) for each in np.unique(labels))
    if least < 2:
        raise ValueError(
            "`taps` should have at least 2 images of each class that are not duplicates of each other. Received: 1"
        )
    alone = len(np.unique(member)) == len(member)
    split = (StratifiedKFold if alone else StratifiedGroupKFold)(min(folds, least), shuffle=True, random_state=seed)
    found = np.empty(len(labels), np.int64)
    for fold, (_, held) in enumerate(split.split(labels, labels, None if alone else member)):
        found[held] = fold
    return found


def select_fraction(selected, labels, order, fraction):
    """Of the selected images the first ones of each class: this fraction of it, and at least one.

    Smaller fractions are subsets of larger ones.
    """
    found = np.zeros(len(labels), bool)
    for each in np.unique(labels[selected]):
        own = np.flatnonzero(selected & (labels == each))
        own = own[np.argsort(order[own])]
        found[own[: max(round(fraction * len(own)), 1)]] = True
    return found


EXTRA_CROPS = (
    ("top_left", "flip_bottom_right"),
    ("top_left", "bottom_right"),
)  # mirrored crops suit photos, but not digits


PILOT_IMAGES = 1000  # on which crops must help before they are computed for more than twice as many images


def probe_more_crops(probed, images, ledger, clock, note, *, seed, size=None, cache=True):
    """Multi-crop training for the best linear probe, mirrored crops first, until one improves held-out
    log-likelihood.

    Crops stand in for more images. Of many images they are thus computed only if more images still help the probe, and
    if they help a pilot: the same probe on some of the images.
    """
    best, found = most_likely(probed.candidates), []
    width, how = probed.table.row(best.stage, best.head)["width"], {"size": size, "cache": cache}
    is_large = len(probed.taps) > 2 * PILOT_IMAGES
    if is_large and (reason := saturation(probed.table)):
        note(f"more crops of each image: skipped, because {reason}")
        return ()
    for crops in EXTRA_CROPS:
        mirrored = ", including mirrored" if any(crop.startswith("flip") for crop in crops) else ""
        rows, name = (1 + len(crops)) * len(probed.taps), f"{1 + len(crops)} crops of each image{mirrored}"
        seconds = len(crops) * probed.seconds["features"] + (1 + len(crops)) * ridge_seconds(probed.table, best.stage)
        if min(rows, width) > MAX_RIDGE_SIZE:
            note(f"{name}: skipped, because {width:,} features of {rows:,} crops take ridge regression too long")
            break
        if not clock.allows(seconds):
            note(f"{name}: skipped: {clock.shortage(seconds)}")
            break
        if is_large and (reason := pilot_reason(probed, images, best, crops, ledger, clock, seed, **how)):
            note(f"{name}: skipped, because {reason}")
            continue
        found.append(probe_crops(probed, images, best.stage, crops, ledger, seed, **how))
        clock.spent += sum(found[-1].seconds.values())
        (wide,) = found[-1].candidates
        note(f"{wide.name}: held-out accuracy {format_percent(wide.accuracy)}")
        if mean_difference(wide, best, "log_likelihood")[0] > 0:
            break
    return tuple(found)


def saturation(table):
    """Why more images would not help the best probe; empty if they would, or if that was not measured."""
    if not len(table.curve):
        return ""
    last = table.curve.iloc[-1]
    if not last["gain"] <= last["error"]:  # true if not a number
        return ""
    gain, error = 100 * last["gain"], 100 * last["error"]
    return (
        f"twice the images raised the accuracy by only {gain:+.1f} ± {error:.1f} points, and crops stand in for images"
    )


def ridge_seconds(table, stage):
    """Seconds of ridge regression on a stage with all penalties."""
    rows = table.table
    return float(rows["seconds"][(rows["stage"] == stage) & (rows["head"] == "ridge")].sum())


def pilot_reason(probed, images, best, crops, ledger, clock, seed, **how):
    """Why crops will not help the best probe, from a pilot on ``PILOT_IMAGES``; empty if they may.

    Their gain in log-likelihood over ridge regression without them must exceed what that lacks to the best probe.
    """
    known, table = probed.taps, probed.table
    order = np.random.default_rng(seed).permutation(len(known))
    rows = np.flatnonzero(select_fraction(np.ones(len(known), bool), known.labels, order, PILOT_IMAGES / len(known)))
    names = {known.names[row] for row in rows}
    sample = replace(probed, taps=known.take(rows))
    part = images.take([i for i, name in enumerate(images.names) if name in names])
    options = {"heads": "ridge", "stages": (best.stage,), "concatenate": (), "fractions": (), "seed": seed}
    plain = replace(sample, table=train_probes(sample.taps, verbose=0, **options))
    wide = probe_crops(sample, part, best.stage, crops, ledger, seed, **how)
    clock.spent += sum(wide.seconds.values())
    gain, error = mean_difference(wide.candidates[0], plain.candidates[0], "log_likelihood")
    ridge = replace(best, logits=table.logits[best.stage, "ridge"], head="ridge")
    lack, _ = mean_difference(best, ridge, "log_likelihood")
    if gain > max(lack, 0):
        return ""
    value = f"log-likelihood {gain:+.3f} ± {error:.3f} in a pilot on {len(rows):,} images"
    if gain <= 0:
        return f"they made it worse: {value}"
    return f"they helped too little: {value}, and more than {lack:+.3f} are needed"


def probe_crops(probed, images, stage, crops, ledger, seed, **how):
    """The `ProbedBackbone` of one stage with these crops in addition to those it has."""
    began = time.perf_counter()
    known = concatenate_crops(
        probed.taps, taps(probed.model, images, crops=crops, stages=stage.split(PLUS), verbose=0, **how)
    )
    table = train_probes(known, heads="ridge", stages=(stage,), concatenate=(), fractions=(), seed=seed, verbose=0)
    spent = {"crops": time.perf_counter() - began}
    key = make_key("clock", known.model, *known.crops, *known.hashes)
    seconds, _ = ledger.get_or_compute(key, lambda: (spent, {}))
    return replace(probed, taps=known, table=table, seconds=seconds)


def concatenate_crops(first, second):
    """`Taps` of the same images with the crops of both, at the stages of the second."""
    features = {stage: np.concatenate([first.features[stage], more], 1) for stage, more in second.features.items()}
    return replace(first, features=features, crops=(*first.crops, *second.crops))
