"""Which images are for training, validation and testing: in proportion to each class, and remembered."""

import hashlib
import warnings
from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..support.files import write_text
from ..support.text import pluralize
from .dataset import FEWEST

HASH_DIGITS = 16  # of the hash of an image that are remembered: 64 bits tell images apart
SPLIT_RULE = 2  # written into run and study folders; 1 was `split_by_hash`
# images by which a class may miss its share; a validation set within 0.75 stays within 1 when the test set grows
TOLERANCES = {"test": 1.0, "valid": 0.75}
LEFT = 2  # training images that the other splits leave to a class
MOST_STEPS = 40  # that are tried with others where no single one helps
NO_GAIN = 1e-9  # rounding


@dataclass(frozen=True, kw_only=True)
class SplitMemory:
    """A folder that remembers which images were taken for the test and validation sets of a dataset.

    One CSV file for each seed and share: the hash of an image's pixels, and 1 if it was taken, else 0. Images that are
    no longer there stay listed. Without a folder nothing is remembered.

    Attributes:
        folder: where the files are; None remembers nothing.
        is_optional: whether a disk that cannot be written is no error.
    """

    folder: Path | None = None
    is_optional: bool = False

    def read(self, name):
        """{hash: whether it was taken} of all images remembered under this name."""
        if self.folder is None:
            return {}
        try:
            lines = (self.folder / f"{name}.csv").read_text(encoding="ascii").splitlines()
        except (OSError, ValueError):  # not there, or not ours
            return {}
        rows = [line.split(",") for line in lines[1:]]
        return {row[0]: row[1] == "1" for row in rows if len(row) == 2}

    def write(self, name, before, after):
        """Remember the images of ``after`` beside those of ``before``, unless that is nothing new."""
        together = before | after
        if self.folder is None or together == before:
            return
        lines = ["pixels,taken", *(f"{image},{taken:d}" for image, taken in together.items())]
        try:
            write_text(self.folder / f"{name}.csv", "\n".join(lines) + "\n")
        except OSError:
            if not self.is_optional:
                raise


def assign_parts(given, keys, hashes, labels, *, valid, test, seed=0, memory=None, rule=SPLIT_RULE):
    """The split of each image: as given where it is, the missing splits from the remaining images.

    Args:
        given: for each image "train", "valid", "test", or "" where the source does not say.
        keys: for each image, a key that is equal for images that stay together.
        hashes: for each image, the hash of its pixels, by which it is remembered.
        labels: for each image, the number of its class.
        valid: fraction of the images for validation; unused if some are given.
        test: fraction of the images for testing; unused if some are given.
        seed: of the hash.
        memory: a ``SplitMemory``, or None.
        rule: version of the rule; earlier ones are for runs that were begun with them.
    """
    given = np.array(given, object)
    valid = 0 if (given == "valid").any() else valid
    test = 0 if (given == "test").any() else test
    free = given == "" if (given == "").any() else given == "train"
    parts = np.where(given == "", "train", given).astype(object)
    where = np.flatnonzero(free)
    if len(where) and (valid or test):
        keys, labels = [keys[i] for i in where], np.asarray(labels)[where]
        if rule == 1:
            parts[where] = split_by_hash(keys, labels, valid, test, seed)
        else:
            hashes = [hashes[i][:HASH_DIGITS] for i in where]
            parts[where] = split_in_proportion(keys, hashes, labels, valid, test, seed, memory or SplitMemory())
    return parts


class Unit(NamedTuple):
    """Images that stay together: duplicates, or a group."""

    place: float  # `hash_fraction` of their key
    images: tuple  # positions
    kind: tuple  # ((class, number of images), ...); units of one kind are interchangeable


def split_in_proportion(keys, hashes, labels, valid, test, seed, memory):
    """The split of each image, with the same fraction of every class.

    Images with a hash below the fraction are taken, as ``split_by_hash`` does. Where that gives a class more or fewer
    than its share by over one image, the images whose hash is nearest to the fraction are exchanged. What ``memory``
    knows does not move. The test set is taken first, so that it does not depend on ``valid``.
    """
    parts = np.full(len(keys), "train", object)
    units = find_units(keys, labels, seed)
    totals = np.bincount(labels)
    splits = (
        ("test", test, test, f"seed{seed}-test{test:g}"),
        ("valid", valid, test + valid, f"seed{seed}-test{test:g}-valid{valid:g}"),
    )
    for name, share, threshold, file in splits:
        if not share:
            continue
        remembered = memory.read(file)
        known = [recall(unit, hashes, remembered) for unit in units]
        taken = select_units(units, known, share_bounds(units, totals, share, TOLERANCES[name]), threshold)
        outcome = {}
        for unit, is_taken in zip(units, taken, strict=True):
            for i in unit.images:
                outcome[hashes[i]] = is_taken
                parts[i] = name if is_taken else parts[i]
        warn_of_moved_images(name, remembered, outcome)
        memory.write(file, remembered, outcome)
        units = [unit for unit, is_taken in zip(units, taken, strict=True) if not is_taken]
    return parts


def warn_of_moved_images(name, before, after):
    """Warn of remembered images that could not keep their split."""
    moved = sum(before.get(image, is_taken) != is_taken for image, is_taken in after.items())
    if moved:
        reason = "they have to stay with other images that are not in it, or no training image of their class is left"
        warnings.warn(f"{pluralize(moved, 'image')} left the {name} set: {reason}", stacklevel=6)


def find_units(keys, labels, seed):
    """The ``Unit`` of each key, in the order of their hashes."""
    images = defaultdict(list)
    for i, key in enumerate(keys):
        images[key].append(i)
    labels = np.asarray(labels).tolist()
    units, singles = [], {label: ((label, 1),) for label in set(labels)}
    for key, positions in images.items():
        kind = singles.get(labels[positions[0]]) if len(positions) == 1 else None
        kind = kind or tuple(sorted(Counter(labels[i] for i in positions).items()))
        units.append(Unit(hash_fraction(key, seed), tuple(positions), kind))
    return sorted(units)


def recall(unit, hashes, remembered):
    """Whether a unit was taken earlier; None if it is new. Where new images join units of two splits, it was not."""
    known = [remembered[hashes[i]] for i in unit.images if hashes[i] in remembered]
    return all(known) if known else None


def select_units(units, known, bounds, threshold):
    """Whether each unit is taken, so that of each class a number of images within its bounds is.

    Args:
        units: those to select from, in the order of their hashes.
        known: for each unit True or False if it is settled, or None.
        bounds: {class: (least, largest) number of images to take}.
        threshold: the hash below which a unit is taken at first.
    """
    available = count_images([unit.kind for unit in units])
    settled = count_images([unit.kind for unit, is_taken in zip(units, known, strict=True) if is_taken])
    emptied = {label for label, count in settled.items() if count == available[label]}
    if emptied:  # only images of this split are left of a class
        stuck = [bool(emptied & {label for label, _ in unit.kind}) for unit in units]
        known = [None if is_stuck else is_taken for is_stuck, is_taken in zip(stuck, known, strict=True)]
        return select_units(units, known, bounds, threshold)

    queues = defaultdict(list)
    for i, unit in enumerate(units):
        if known[i] is None:
            queues[unit.kind].append(i)
    selection = Selection(
        places={kind: [units[i].place for i in queue] for kind, queue in queues.items()},
        settled=settled,
        available=available,
        bounds=bounds,
        threshold=threshold,
    )
    selection.balance()
    taken = [bool(is_taken) for is_taken in known]
    for kind, queue in queues.items():
        for i in queue[: selection.number[kind]]:
            taken[i] = True
    return taken


def count_images(kinds):
    """The number of images of each class in units of these kinds."""
    counts = Counter()
    for kind, units in Counter(kinds).items():
        for label, images in kind:
            counts[label] += units * images
    return counts


class Selection:
    """How many units of each kind are taken: at first those below the threshold, then as many as each class needs."""

    def __init__(self, *, places, settled, available, bounds, threshold):
        self.places, self.threshold, self.available, self.bounds = places, threshold, available, bounds
        self.number = {kind: bisect_left(queue, threshold) for kind, queue in places.items()}
        self.count = Counter(settled)
        for kind, number in self.number.items():
            for label, images in kind:
                self.count[label] += number * images
        self.kinds = defaultdict(list)
        for kind in sorted(places):
            for label, _ in kind:
                self.kinds[label].append(kind)

    def balance(self):
        """Take more or fewer units, and exchange some, while that brings classes nearer to their bounds."""
        changed = True
        while changed:
            changed = False
            for label in sorted(self.bounds):
                while self.cost(label) and self.improve(label):
                    changed = True
        if not any(self.count.values()):
            self.take_first()

    def cost(self, label, extra=0):
        """The squared distance of a class from its bounds; enormous if it would have no training image."""
        low, high = self.bounds[label]
        count = self.count[label] + extra
        distance = max(low - count, count - high, 0)
        return distance**2 + (1e9 if 0 < count >= self.available[label] else 0)

    def gain(self, *steps):
        """By how much some steps (kind, +1 or -1) lower the costs."""
        extra = Counter()
        for kind, step in steps:
            for label, images in kind:
                extra[label] += step * images
        return sum(self.cost(label) - self.cost(label, more) for label, more in extra.items())

    def improve(self, label):
        """Make the step, or else the pair of steps, that lowers the costs most; False if none does."""
        steps = self.possible_steps([label])
        best = max([(step,) for step in steps], key=self.rank, default=())
        if not best or self.gain(*best) <= NO_GAIN:
            best = max(self.pairs(steps), key=self.rank, default=())
        if not best or self.gain(*best) <= NO_GAIN:
            return False
        for kind, step in best:
            self.number[kind] += step
            for other, images in kind:
                self.count[other] += step * images
        return True

    def possible_steps(self, labels):
        """The steps (kind, +1 or -1) that change the number of images of some classes."""
        kinds = sorted({kind for label in labels for kind in self.kinds[label]})
        steps = [(kind, step) for kind in kinds for step in (1, -1)]
        return [(kind, step) for kind, step in steps if 0 <= self.number[kind] + step <= len(self.places[kind])]

    def pairs(self, steps):
        """Pairs of one of these steps and one that makes up for it in some class: those nearest to the threshold."""
        for first in sorted(steps, key=self.distance)[:MOST_STEPS]:
            seconds = self.possible_steps([label for label, _ in first[0]])
            for second in sorted(seconds, key=self.distance)[:MOST_STEPS]:
                if second[0] != first[0]:
                    yield first, second

    def distance(self, step):
        """How far the hash of the unit that a step moves is from the threshold."""
        kind, sign = step
        return abs(self.places[kind][self.number[kind] - (sign < 0)] - self.threshold)

    def rank(self, steps):
        """The gain of steps, and then how near the hashes of the units that move are to the threshold."""
        return self.gain(*steps), -sum(map(self.distance, steps))

    def take_first(self):
        """Take the unit with the lowest hash that leaves all of its classes training images."""
        for kind in sorted(self.places, key=lambda kind: self.places[kind][0]):
            if all(images < self.available[label] for label, images in kind):
                self.number[kind] = 1
                return


def share_bounds(units, totals, share, tolerance):
    """The least and the largest number of images to take of each class, as {class: (least, largest)}.

    Args:
        units: those to select from.
        totals: the number of images of each class, those that are in another split included.
        share: fraction of them to take.
        tolerance: images by which a class may miss that.
    """
    bounds = {}
    for label, available in count_images([unit.kind for unit in units]).items():
        most = max(available - LEFT, 0)
        least = share * totals[label] - tolerance
        if totals[label] >= FEWEST:
            least = max(least, 1)
        bounds[label] = (min(least, most), min(share * totals[label] + tolerance, most))
    return bounds


def hash_fraction(key, seed=0):
    """A number in [0, 1) that depends on key and seed alone: the first 64 bits of a salted SHA-256."""
    return (
        int.from_bytes(hashlib.sha256(f"{seed} {key}".encode("utf-8", "surrogateescape")).digest()[:8], "big") / 2**64
    )


def split_by_hash(keys, labels, valid, test, seed=0):
    """The split of each image: "test" if the ``hash_fraction`` of its key is below ``test``, "valid" just above that.

    The rule of earlier versions, for runs that were begun with it. Each class is split in these fractions, up to the
    chance of the hash (of 1,000 images, 100 +- 9), and an image keeps its split whatever is added. Only small sets are
    corrected: a class without a training image gets the one with the highest fraction, and an empty split gets the
    image with the lowest that its classes can spare.
    """
    place = {key: hash_fraction(key, seed) for key in keys}
    part = {key: "test" if at < test else "valid" if at < test + valid else "train" for key, at in place.items()}
    classes = defaultdict(set)
    for key, label in zip(keys, np.asarray(labels).tolist(), strict=True):
        classes[label].add(key)
    for owned in classes.values():
        if not any(part[key] == "train" for key in owned):
            part[max(owned, key=place.get)] = "train"
    for name in [name for name, share in (("test", test), ("valid", valid)) if share]:
        if name not in part.values():
            spare = [key for key in place if can_spare(key, part, classes)]
            if spare:
                part[min(spare, key=place.get)] = name
    return np.array([part[key] for key in keys], object)


def can_spare(key, part, classes):
    """Whether every class with this key has other training images."""
    owners = [owned for owned in classes.values() if key in owned]
    return part[key] == "train" and all(sum(part[other] == "train" for other in owned) > 1 for owned in owners)
