"""Training, validation and test parts by hashing: what a file's part is does not depend on the other files."""

import hashlib
from collections import defaultdict

import numpy as np


def fraction(key, seed=0):
    """A number in [0, 1) that a key always gets: the first 64 bits of its salted sha256."""
    return (
        int.from_bytes(hashlib.sha256(f"{seed} {key}".encode("utf-8", "surrogateescape")).digest()[:8], "big") / 2**64
    )


def divided(keys, labels, valid, test, seed=0):
    """The part of each image: "test" where the ``fraction`` of its key is below ``test``, "valid" in what follows.

    So each class is divided in these shares up to the chance of the hash (of 1,000, 100 +- 9), and an image keeps its
    part whatever is added. Only what is too small for chance is helped: a class without a training image gets the one
    that is nearest to being one, and a part without any image gets the one that is nearest to that.
    """
    place = {key: fraction(key, seed) for key in keys}
    part = {key: "test" if at < test else "valid" if at < test + valid else "train" for key, at in place.items()}
    classes = defaultdict(set)
    for key, label in zip(keys, np.asarray(labels).tolist(), strict=True):
        classes[label].add(key)
    for owned in classes.values():
        if not any(part[key] == "train" for key in owned):
            part[max(owned, key=place.get)] = "train"
    for name in [name for name, share in (("test", test), ("valid", valid)) if share]:
        if name not in part.values():
            spare = [key for key in place if spared(key, part, classes)]
            if spare:
                part[min(spare, key=place.get)] = name
    return np.array([part[key] for key in keys], object)


def spared(key, part, classes):
    """Whether each class can do without this key in training."""
    owners = [owned for owned in classes.values() if key in owned]
    return part[key] == "train" and all(sum(part[other] == "train" for other in owned) > 1 for owned in owners)


def parts(given, keys, labels, valid, test, seed=0):
    """The part of each image, where some may be ``given``: those stay, and what is missing is cut from the rest."""
    given = np.array(given, object)
    valid = 0 if (given == "valid").any() else valid
    test = 0 if (given == "test").any() else test
    free = given == "" if (given == "").any() else given == "train"
    chosen = np.where(given == "", "train", given).astype(object)
    where = np.flatnonzero(free)
    if len(where) and (valid or test):
        chosen[where] = divided([keys[i] for i in where], np.asarray(labels)[where], valid, test, seed)
    return chosen


def limited(entries, limit, seed=0):
    """At most ``limit`` entries of each part, evenly from the classes; a larger limit keeps what a smaller one has."""
    queues = defaultdict(lambda: defaultdict(list))
    for i, entry in enumerate(entries):
        queues[entry.part][entry.label].append((fraction(entry.name, seed), i))
    chosen = []
    for classes in queues.values():
        ranked = [(rank, label, i) for label, queue in classes.items() for rank, (_, i) in enumerate(sorted(queue))]
        chosen += [i for _, _, i in sorted(ranked)[:limit]]
    return sorted(chosen)
