"""Where features are kept, and how they go: a folder for each network beside the downloaded weights."""

import shutil
from fnmatch import fnmatchcase
from pathlib import Path

from ..weights.cache import Cached, home

FOLDER = "features"


def folder_of(cache):
    """The folder that `cache` means: True for the usual one, False for none."""
    if cache is True:
        return home() / FOLDER
    return None if cache is False or cache is None else Path(cache)


def stored(pattern="*"):
    """What is in the usual folder: a row for each network that fits the shell's wildcards, as `weights.cache.cached`
    has one for each file."""
    folder = home() / FOLDER
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ()
    size = lambda name: sum(file.stat().st_size for file in (folder / name).rglob("*.npz"))  # noqa: E731
    return [Cached(f"../{FOLDER}/{name}", size(name), True) for name in names if fnmatchcase(name, pattern)]


def clear(pattern="*"):
    """Remove the features of the networks that fit the shell's wildcards; those removed."""
    gone = stored(pattern)
    for row in gone:
        shutil.rmtree(home() / FOLDER / Path(row.file).name, ignore_errors=True)
    return gone
