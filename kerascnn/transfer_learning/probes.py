"""How far each stage's features get a classifier, judged on images that it did not learn from: `depths`."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np

from ..evaluation.calibration import temperature
from ..evaluation.statistics import wilson
from ..support.display import Measured
from ..support.files import records
from ..support.progress import progress
from ..support.store import make_key
from ..support.text import check_names
from .heads import HEADS, Linear, alone, decomposed, left_out, signs, solutions
from .taps import PLUS, taps
from .trials import lead, surest

COLUMNS = ["stage", "head", "penalty", "accuracy", "low", "high", "train", "width", "seconds"]
FRACTIONS = (0.25, 0.5, 1.0)
TOGETHER = (3, None)  # so many stages, the best ones, and all of them are also tried side by side
WIDE = 4096  # images or numbers of each, whichever are fewer: of more, ridge takes longer than what it is there for
ALL = tuple(HEADS)


@dataclass(frozen=True, eq=False)
class ProbeTable(Measured):
    """Classifiers on the features of each stage. ``table`` has a row for each stage, head and penalty.

    ``accuracy`` is of images that the classifier was not shown, with Wilson's 95 % interval; ``train`` of those that it
    was. Ridge leaves each image out in turn, the others one fold after the other. ``curve`` is the best one's accuracy
    after learning from fewer images; ``logits`` are {(stage, head): (N, classes)} of images not shown, at the best
    penalty. Stages joined by + were put side by side.
    """

    table: object = field(repr=False)
    curve: object = field(repr=False)
    logits: Mapping = field(repr=False)
    labels: np.ndarray = field(repr=False)
    classes: tuple
    folds: np.ndarray = field(repr=False)
    stages: tuple
    model: str

    def __len__(self):
        return len(self.labels)

    @property
    def summary(self):
        """The rows of ``table`` at the best penalty of each stage and head: of equals the strongest."""
        best = self.table.groupby(["stage", "head"], sort=False)["accuracy"].idxmax()
        return self.table.loc[best].reset_index(drop=True)

    @property
    def best(self):
        """The best row whose head is linear, so that a network can end in it; of equals the first."""
        return self.linear()

    def linear(self, stage=None):
        """The best row of a stage, or of all, whose head is linear."""
        rows = self.summary
        rows = rows[rows["head"].map(lambda head: HEADS[head].linear)]
        rows = rows if stage is None else rows[rows["stage"] == stage]
        return rows.loc[rows["accuracy"].idxmax()]

    def row(self, stage=None, head=None):
        """The row of a stage and a head at its best penalty; the best one where neither is named."""
        rows = self.summary
        if stage is None and head is None:
            return self.best
        for name, value in (("stage", stage), ("head", head)):
            if value is not None:
                check_names(name, value, rows[name].unique())
                rows = rows[rows[name] == value]
        return rows.loc[rows["accuracy"].idxmax()]

    def right(self, stage, head):
        """(N,): whether each image was named right by a classifier that was not shown it."""
        return self.logits[stage, head].argmax(axis=1) == self.labels

    def temperature(self, stage=None, head=None):
        """The ``Temperature`` that makes the probabilities of a probe mean what they say (Guo et al. 2017)."""
        row = self.row(stage, head)
        return temperature(self.logits[row["stage"], row["head"]], self.labels)

    def layers_table(self, heads=("svm", "softmax")):
        """The table of Zeiler and Fergus (2014): SVM (1) .. SVM (n), Softmax (1) .. Softmax (n), in per cent."""
        rows = self.summary
        rows = rows[rows["stage"].isin(self.stages) & rows["head"].isin(heads)]
        numbers = [self.stages.index(stage) + 1 for stage in rows["stage"]]
        table = rows[["stage"]].assign(accuracy=100 * rows["accuracy"], error=50 * (rows["high"] - rows["low"]))
        table.index = [f"{HEADS[head].title} ({i})" for head, i in zip(rows["head"], numbers, strict=True)]
        order = {head: i for i, head in enumerate(heads)}
        places = sorted(range(len(rows)), key=lambda i: (order[rows["head"].iloc[i]], numbers[i]))
        return table.iloc[places]

    def plot(self):
        """Accuracy by depth, a line for each head, and the learning curve."""
        from .figures import draw_depths

        return draw_depths(self)

    def facts(self):
        """The table as JSON takes it."""
        return records(self.table)

    def __str__(self):
        rows = self.summary.drop(columns=["width", "seconds"])
        return rows.to_string(index=False, float_format="{:.4g}".format)


def depths(
    taps,
    *,
    heads=ALL,
    stages=None,
    folds=5,
    fractions=FRACTIONS,
    together=TOGETHER,
    seed=0,
    after=None,
    verbose="auto",
    on_progress=None,
):
    """A ``ProbeTable``: classifiers on the features of each stage of ``taps``, and on stages side by side.

    So many of the best stages are tried ``together``; None is all of them, or the best that are not too many, by ridge
    only. Features are standardized by the images that are learned from. All views of an image are learned from, and the
    first judges it. Copies and groups stay together. ``after`` is a table of the same taps: it is kept, and other heads
    are tried only where it counts, on its best single stage and on the last: on several side by side they would take
    longer than all the rest. ``verbose`` 0 shows nothing, 2 lines, 1 or "auto" a bar on a terminal and lines elsewhere;
    in their place ``on_progress(done, total, what)`` is called, which may raise to end the work.

    >>> depths(taps(model, "photos")).layers_table()
    """
    import pandas as pd

    heads = check_names("head", heads, HEADS)
    labels, classes = classed(taps)
    chosen = taps.stages if stages is None else tuple(stages)
    fold = folded(labels, taps.groups, folds, seed)
    ways = chosen if after is None else worthwhile(after)
    rows, logits = ([], {}) if after is None else ([*after.table.itertuples(index=False)], dict(after.logits))
    closed = ("ridge",) if after is not None or "ridge" in heads else ()
    done, total = count(1), (len(ways) + len(together)) * len(heads)

    def probe(stage, heads, shown):
        features = taps.joined(stage.split(PLUS))
        for head in heads:
            began, penalties = time.perf_counter(), HEADS[head].penalties
            judge = leave_one_out if head == "ridge" else by_folds
            said, train = judge(head, features, labels, len(classes), fold, taps.groups)
            seconds = (time.perf_counter() - began) / len(penalties)
            right = (said.argmax(axis=2) == labels).sum(axis=1)
            logits[stage, head] = said[right.argmax()]  # of equals the first penalty, which is the strongest
            for penalty, number, share in zip(penalties, right, train, strict=True):
                accuracy = wilson(int(number), len(labels))
                rows.append((stage, head, float(penalty), *accuracy, float(share), features.shape[-1], seconds))
            shown(next(done), total, "probing stages")

    with alone():
        with progress(verbose, on_progress) as shown:
            for stage in ways:
                probe(stage, heads, shown)
            for number in together if after is None else {*together} & {None}:
                picked = distinct(rows, taps, chosen, number)
                if len(picked) > 1 and not any(stage == PLUS.join(picked) for stage, _ in logits):
                    probe(PLUS.join(picked), heads if number else closed, shown)
        table = pd.DataFrame(rows, columns=COLUMNS)
        found = ProbeTable(table, None, logits, labels, classes, fold, chosen, taps.model)
        return replace(found, curve=learning(taps, found, fractions, seed))


def worthwhile(table):
    """The best single stage of a table, and the last."""
    rows = table.summary
    rows = rows[rows["stage"].isin(table.stages)]
    return tuple(dict.fromkeys((rows["stage"][rows["accuracy"].idxmax()], table.stages[-1])))


def classed(taps):
    """Labels and the names of all classes, each of which has images."""
    if taps.labels is None:
        raise ValueError("`taps` should have labels. Received: images without")
    classes = taps.classes or tuple(map(str, range(taps.labels.max() + 1)))
    counts = np.bincount(taps.labels, minlength=len(classes))
    few = [name for name, images in zip(classes, counts, strict=True) if images < 2]
    if len(classes) < 2 or few:
        came = f"one class, {classes[0]}" if len(classes) < 2 else f"{counts.min()} of {few[0]}"
        raise ValueError(f"`taps` should have two classes or more, with 2 or more images each. Received: {came}")
    return taps.labels, classes


def scaled(features, some):
    """All features (N, views, d) less the mean of ``some`` images', over their standard deviation; and these two."""
    own = features[some].reshape(-1, features.shape[-1]).astype(np.float64)
    mean, spread = own.mean(axis=0), own.std(axis=0)
    spread = np.where(spread > 1e-6 * np.maximum(np.abs(mean), 1e-6), spread, 1.0)  # what is constant stays at 0
    return (features - mean) / spread, mean, spread


def leave_one_out(head, features, labels, classes, fold, groups):
    """What ridge says of each image without it, its views and those of its group, in closed form; train accuracies.

    Standardized by all images, whose labels play no part in that.
    """
    rows, *_ = scaled(features, slice(None))
    images, views, width = rows.shape
    repeated, penalties = np.repeat(labels, views), HEADS[head].penalties
    found, targets = decomposed(rows.reshape(-1, width)), signs(repeated, classes)
    said = left_out(found, targets, penalties, np.repeat(np.asarray(groups), views))
    learned = Linear(*solutions(found, targets, penalties))(rows[:, 0])
    return said.reshape(-1, images, views, classes)[:, :, 0], (learned.argmax(axis=2) == labels).mean(axis=1)


def by_folds(head, features, labels, classes, fold, groups, penalties=None, fraction=1.0, seed=0):
    """What heads say of each fold after learning from the others, or from a fraction of those; train accuracies."""
    penalties = HEADS[head].penalties if penalties is None else penalties
    logits, train = np.empty((len(penalties), len(labels), classes)), []
    order = np.random.default_rng(seed).permutation(len(labels))
    for held in range(fold.max() + 1):
        some = first(fold != held, labels, order, fraction)
        rows, *_ = scaled(features, some)
        shown = rows[some].reshape(-1, rows.shape[-1])
        learned = HEADS[head].learn(shown, np.repeat(labels[some], rows.shape[1]), classes, penalties)
        logits[:, fold == held] = learned(rows[fold == held, 0])
        train.append((learned(rows[some, 0]).argmax(axis=2) == labels[some]).mean(axis=1))
    return logits, np.mean(train, axis=0)


def distinct(rows, taps, stages, number):
    """The best stages in their order, without those whose features another one has already, and not too ``WIDE``."""
    best = {}
    for stage, _, _, accuracy, *_ in rows:
        best[stage] = max(best.get(stage, 0), accuracy)
    picked, width = [], 0
    for stage in sorted(stages, key=best.get, reverse=True):
        own = taps.features[stage]
        fits = min(len(taps) * own.shape[1], width + own.shape[-1]) <= WIDE
        if fits and not any(np.array_equal(own, taps.features[other]) for other in picked):
            picked.append(stage)
            width += own.shape[-1]
    return sorted(picked[:number], key=stages.index)


def learning(taps, found, fractions, seed):
    """A DataFrame: the best head's accuracy after learning from these fractions of the images, and what each gained.

    ``images`` are those of a class that it learned from, on average; ``gain`` is over the fraction before, and
    ``error`` its standard error, of the same images.
    """
    import pandas as pd

    best, labels, classes = found.best, found.labels, len(found.classes)
    features, penalties = taps.joined(best["stage"].split(PLUS)), (best["penalty"],)
    shown = len(labels) * (1 - 1 / (found.folds.max() + 1)) / classes
    rows, before = [], None
    for fraction in sorted(fractions):
        how = {"penalties": penalties, "fraction": fraction, "seed": seed}
        logits, train = by_folds(best["head"], features, labels, classes, found.folds, taps.groups, **how)
        right = (logits[0].argmax(axis=1) == labels).astype(np.float64)
        gain = np.full(len(right), np.nan) if before is None else right - before
        error = gain.std() / np.sqrt(len(gain))
        rows.append((fraction, fraction * shown, *wilson(right.sum(), len(right)), train[0], gain.mean(), error))
        before = right
    return pd.DataFrame(rows, columns=["fraction", "images", "accuracy", "low", "high", "train", "gain", "error"])


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


MORE = ("top_left", "flip_bottom_right"), ("top_left", "bottom_right")  # photos may be mirrored, digits may not


def widened(probed, images, ledger, clock, note, *, seed, size=None, cache=True):
    """``Probed``s of the surest stage in more views, until one of them is surer: mirrored first."""
    best, found = surest(probed.candidates), []
    width = probed.table.row(best.stage, best.head)["width"]
    for views in MORE:
        rows = (1 + len(views)) * len(probed.taps)
        if min(rows, width) > WIDE or not clock.allows(len(views) * probed.seconds["features"]):
            break
        found.append(wider(probed, images, best.stage, views, ledger, seed, size=size, cache=cache))
        clock.spent += sum(found[-1].seconds.values())
        (wide,) = found[-1].candidates
        note(f"{wide.name}: {wide.accuracy:.1%} of images not shown")
        if lead(wide, best, "sure")[0] > 0:
            break
    return tuple(found)


def wider(probed, images, stage, views, ledger, seed, **how):
    """A stage's ``Probed`` with these views beside those it has."""
    began = time.perf_counter()
    known = beside(probed.taps, taps(probed.model, images, views=views, stages=stage.split(PLUS), verbose=0, **how))
    table = depths(known, heads="ridge", stages=(stage,), together=(), fractions=(), seed=seed, verbose=0)
    spent = {"views": time.perf_counter() - began}
    key = make_key("clock", known.model, *known.views, *known.hashes)
    seconds, _ = ledger.get_or_compute(key, lambda: (spent, {}))
    return replace(probed, taps=known, table=table, seconds=seconds)


def beside(first, second):
    """``Taps`` of the same images with the views of both, at the second's stages."""
    features = {stage: np.concatenate([first.features[stage], more], 1) for stage, more in second.features.items()}
    return replace(first, features=features, views=(*first.views, *second.views))
