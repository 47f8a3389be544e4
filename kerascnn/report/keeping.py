"""Finished sections on disk: a run that was interrupted goes on, and one that changes little takes little time."""

import json
import shutil
from fnmatch import fnmatchcase
from pathlib import Path

from ..files import replacing
from ..weights.cache import Cached, home
from .page import Section

FOLDER = "reports"


def folder_of(name, model):
    """Where the sections of a network are kept, beside the downloaded weights; ``model`` is its hash."""
    letters = "".join(each if each.isalnum() or each in "-_" else "_" for each in name)[:60]
    return home() / FOLDER / f"{letters}-{model[:12]}"


def kept(folder, name, key):
    """The section that was kept under a key, or None."""
    from markupsafe import Markup

    try:
        found = json.loads((folder / f"{name}-{key}.json").read_text(encoding="utf-8"))
        return Section(found["title"], tuple(map(Markup, found["blocks"])), found["results"])
    except (OSError, ValueError, KeyError, TypeError):  # not there, or not what it was
        return None


def keep(folder, name, key, section):
    """Keep a section in place of those that the same part of the page had before."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{key}.json"
    with replacing(path) as draft:
        text = json.dumps({"title": section.title, "blocks": section.blocks, "results": section.results})
        draft.write_text(text, encoding="utf-8")


def stored(pattern="*"):
    """A row for each network whose sections are kept and that fits the shell's wildcards."""
    folder = home() / FOLDER
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ()
    rows = []
    for name in names:
        size = sum(file.stat().st_size for file in (folder / name).iterdir())
        rows.append(Cached(f"../{FOLDER}/{name}", size, True))
    return [row for row in rows if fnmatchcase(Path(row.file).name, pattern)]


def clear(pattern="*"):
    """Remove the sections of the networks that fit; those removed."""
    gone = stored(pattern)
    for row in gone:
        shutil.rmtree(home() / FOLDER / Path(row.file).name, ignore_errors=True)
    return gone
