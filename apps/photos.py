"""Photos on the command line: which files they are, and what the figures of them are called."""

import glob
import os
from collections import defaultdict
from pathlib import Path

from .errors import BadFile, Misuse

MAX_LETTERS = 60  # of a photo's name in a file name


def check_exists(path):
    if not os.path.exists(path):
        raise BadFile(f"image not found: {path}")


def list_photos(images):
    """The paths of all photos, folders expanded, each once; a missing one is refused."""
    from kerascnn.inputs.gather import gather

    for path in images:
        check_exists(path)
    if not images:
        return []
    photos = [*dict.fromkeys(path for _, path in gather([*images]))]
    for path in photos:
        if os.path.isdir(path):
            raise BadFile(f"no image in folder {path}")
    return photos


def default_figure(method, images):
    """The file of a figure without --out: METHOD-PHOTO.png, or METHOD-FIRST-and-2-more.png."""
    if not images:
        return f"{method}.png"
    first = distinct_names(images[:1])[0]
    more = f"-and-{len(images) - 1}-more" if len(images) > 1 else ""
    return f"{method}-{first}{more}.png"


def files_in_folder(method, photos, images_dir, frames, force):
    """The files for --images-dir that are known before the work; those that exist are refused without --force."""
    if images_dir is None:
        return []
    start = os.path.join(images_dir, method)
    files = [] if frames else [f"{start}-{name}.png" for name in distinct_names(photos)]
    existing = [file for file in files if os.path.exists(file)]
    if not files:  # as many as are synthesized
        existing = sorted(glob.glob(os.path.join(glob.escape(images_dir), "*.png" if frames else f"{method}-*.png")))
    if existing and not force:
        raise Misuse(f"{existing[0]} already exists", "another folder, or --force to overwrite it")
    return files


def distinct_names(paths):
    """Names for files of photos: the stem; with the folder or the suffix where stems are equal, else numbered."""
    forms = (
        lambda path: path.stem,
        lambda path: f"{path.parent.name}-{path.stem}",
        lambda path: f"{path.stem}-{path.suffix[1:]}",
        lambda path: f"{path.parent.name}-{path.stem}-{path.suffix[1:]}",
    )
    absolute = [Path(os.path.abspath(path)) for path in paths]
    alike = defaultdict(list)
    for path in absolute:
        alike[path.stem.casefold()].append(path)
    names = {}
    for group in alike.values():
        written = [[form(path) for path in group] for form in forms]
        best = next((names for names in written if is_distinct(names)), written[-1])
        names |= dict(zip(group, best, strict=True))
    return number_equal_names([names[path][:MAX_LETTERS] for path in absolute])


def is_distinct(names):
    """Whether all names differ, also where a file system ignores case."""
    return len({name.casefold() for name in names}) == len(names)


def number_equal_names(names):
    """The names, the second of the same name as name-2."""
    taken, numbered = set(), []
    for name in names:
        other, count = name, 1
        while other.casefold() in taken:
            count += 1
            other = f"{name}-{count}"
        taken.add(other.casefold())
        numbered.append(other)
    return numbered
