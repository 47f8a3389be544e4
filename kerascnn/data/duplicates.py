"""Which images are the same: exactly, by the sha1 of their pixels, and nearly, by dHash and a thumbnail."""

import numpy as np

BITS = 4  # of 64 that may differ
MEAN, MOST = 2.5, 16  # grey levels by which thumbnails of the same image differ, on average and anywhere
FLAT = 4.0  # standard deviation of a thumbnail below which it shows too little to be recognised
LARGEST = 60_000  # images of which all pairs are compared; of more, those with equal fingerprints
CHUNK, BLOCK = 1024, 2**17  # fingerprints, and pairs, that are compared at once


def exact(shas):
    """For each image the position of the first with the same pixels."""
    first = {}
    return np.array([first.setdefault(sha, i) for i, sha in enumerate(shas)], np.int64)


def near(fingerprints, thumbs):
    """Pairs (P, 2) of positions i < j of images that are almost the same."""
    if len(fingerprints) < 2:
        return np.zeros((0, 2), np.int64)
    thumbs = np.asarray(thumbs, np.int16).reshape(len(thumbs), -1)
    telling = np.flatnonzero(thumbs.std(axis=-1) > FLAT)
    keys = np.asarray(fingerprints, np.uint64)[telling]
    search = all_pairs if len(keys) <= LARGEST else equal_pairs
    found = [
        alike(telling[pairs[start : start + BLOCK]], thumbs)
        for pairs in search(keys)
        for start in range(0, len(pairs), BLOCK)
    ]
    return np.concatenate(found) if found else np.zeros((0, 2), np.int64)


def all_pairs(keys):
    """Pairs whose fingerprints differ in few bits, in chunks. As signs, 64 - 2 x differing bits is a dot product."""
    shifts = np.arange(64, dtype=np.uint64)
    signs = ((keys[:, None] >> shifts & np.uint64(1)).astype(np.float32) * 2 - 1) if len(keys) else keys
    for start in range(0, len(keys), CHUNK):
        dots = signs[start : start + CHUNK] @ signs[start:].T
        rows, columns = np.nonzero(dots >= 64 - 2 * BITS)
        later = columns > rows
        yield np.stack([rows[later], columns[later]], axis=-1) + start


def equal_pairs(keys):
    """Neighbours among images with one and the same fingerprint."""
    order = np.argsort(keys, kind="stable")
    same = keys[order[1:]] == keys[order[:-1]]
    yield np.sort(np.stack([order[:-1][same], order[1:][same]], axis=-1), axis=-1)


def alike(pairs, thumbs):
    """Those pairs whose thumbnails agree too."""
    differ = np.abs(thumbs[pairs[:, 0]] - thumbs[pairs[:, 1]])
    return pairs[(differ.mean(axis=-1) <= MEAN) & (differ.max(axis=-1, initial=0) <= MOST)]


def joined(count, pairs):
    """For each of ``count`` things the smallest that it hangs together with through pairs."""
    parent = list(range(count))

    def root(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in pairs:
        low, high = sorted((root(int(i)), root(int(j))))
        parent[high] = low
    return np.array([root(i) for i in range(count)], np.int64)
