"""Finished runs of a comparison in a folder, so that what was interrupted goes on: settings.json, a CSV a variant."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np

from ..files import replacing

SETTINGS = "settings.json"


def prepare(folder, settings):
    """The folder, made if need be; an error where its runs were made with other settings."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SETTINGS
    if not path.exists():
        write(path, json.dumps(settings, indent=2) + "\n")
    found = json.loads(path.read_text())
    other = [f"{key} {found.get(key)}, not {value}" for key, value in settings.items() if found.get(key) != value]
    if other:
        raise ValueError(f"`folder` should have runs with the same settings. Received: {folder}, {'; '.join(other)}")
    return folder


def finished(folder, variant, params):
    """The rows of a variant that was trained before; None without them."""
    import pandas as pd

    path = place(folder, variant)
    if not path.exists():
        return None
    rows = pd.read_csv(path, float_precision="round_trip")
    if set(rows.params) != {params}:
        came = f"{path}, with {rows.params[0]:,} instead of {params:,}"
        raise ValueError(f"`folder` should have runs of networks with the same parameters. Received: {came}")
    return [*rows.itertuples(index=False, name=None)]


def keep(folder, variant, table):
    """Write the rows of a variant whose training is over."""
    write(place(folder, variant), table.to_csv(index=False))


def place(folder, variant):
    return folder / (re.sub(r"[^\w.-]+", "_", variant) + ".csv")


def write(path, text):
    with replacing(path) as draft:
        draft.write_text(text)


def digest(*arrays):
    """Which data it was, in a few letters."""
    found = hashlib.blake2b(digest_size=8)
    for array in arrays:
        found.update(str((array.shape, str(array.dtype))).encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
