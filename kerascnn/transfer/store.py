"""Features on disk: for each tap a folder of files, each with rows of numbers and the hashes of their images.

A file is there as a whole or not at all, so that a process may be killed, and several may write.
"""

import os
import warnings
from zipfile import BadZipFile

import numpy as np

from ..files import replacing
from .keys import digest

DAMAGED = (BadZipFile, EOFError, KeyError, ValueError, OSError)
COARSE = 0.01  # of a feature's standard deviation that rounding to 16 bits may move it


def halved(rows):
    """The rows as float16, where that neither overflows nor blurs what tells images apart; else as float32."""
    rows = np.asarray(rows, np.float32)
    with np.errstate(over="ignore"):
        half = rows.astype(np.float16)
    moved = np.abs(half.astype(np.float32) - rows).max(axis=0, initial=0)
    return half if np.all(moved <= COARSE * rows.std(axis=0)) else rows


def kept(folder, wanted):
    """(hashes, rows) of each file of a tap, of the images wanted; a damaged file is removed."""
    for path in sorted(folder.glob("[!.]*.npz")):
        try:
            with np.load(path, allow_pickle=False) as file:
                hashes = [each.decode() for each in file["hashes"].tolist()]
                here = [i for i, each in enumerate(hashes) if each in wanted]
                rows = file["rows"][here] if here else None
        except FileNotFoundError:  # cleared meanwhile
            continue
        except DAMAGED as error:
            warnings.warn(f"{path} is damaged ({error}): its features are computed again", stacklevel=2)
            path.unlink(missing_ok=True)
            continue
        if here:
            yield [hashes[i] for i in here], rows


def keep(folder, hashes, rows):
    """Write one file of a tap."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / f"{digest(*hashes)}-{os.getpid()}.npz") as draft, open(draft, "wb") as file:
        np.savez(file, hashes=np.array(hashes, "S32"), rows=rows)
