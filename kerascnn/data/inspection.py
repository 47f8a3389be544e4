"""One image looked at: what can be odd about it, what is, and by what it is recognized again."""

import hashlib
import io
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..inputs.decode import SNIFF, ImageError, described, kind_of, opened, unpack
from ..inputs.resize import fit, resample
from .listing import SUFFIXES, UNREADABLE, Finding, suffix

ORIENTATION = 0x0112  # EXIF's tag
LONGEST = 5.0  # long side over short side
THUMB = 8


class Kind(NamedTuple):
    severity: str  # "bad": left out; "warning": kept, look at it; "note": dealt with; "ignored": no image of a class
    meaning: str


KINDS = {
    "empty": Kind("bad", "no bytes: a copy or a download that failed"),
    "HTML": Kind("bad", "a web page that a server sent instead of the image"),
    "truncated": Kind("bad", "cut off or damaged: the pixels cannot be read"),
    "unreadable format": Kind("bad", "HEIC, SVG, camera's raw files: convert them to JPEG or PNG"),
    "no image": Kind("bad", "called an image, and is something else"),
    "encrypted": Kind("bad", "locked with a password in its archive"),
    "too large": Kind("bad", "more pixels or bytes than memory should be given for: an attack, or a map"),
    "no access": Kind("bad", "may not be opened: look at its permissions"),
    "missing": Kind("bad", "listed, and not there"),
    "one pixel": Kind("bad", "one pixel high or wide"),
    "unsafe path": Kind("bad", "a name that leads out of its archive"),
    "conflicting labels": Kind("warning", "the same image in two classes"),
    "leakage": Kind("warning", "the same image in two parts of the data"),
    "exact duplicate": Kind("warning", "the same pixels as another file"),
    "near duplicate": Kind("warning", "almost the same pixels as another file: saved again, resized"),
    "listed twice": Kind("warning", "one file in two lines"),
    "extreme aspect": Kind("warning", "more than 5 times as long as wide: cutting loses most of it"),
    "single class": Kind("warning", "nothing to tell apart"),
    "empty class": Kind("warning", "a class without a readable image"),
    "similar classes": Kind("warning", "names that differ only in capitals or blanks"),
    "small class": Kind("warning", "fewer than 5 images: neither learned nor measured"),
    "imbalance": Kind("warning", "the largest class has over 3 times the images of the smallest: weigh them"),
    "wrong suffix": Kind("note", "named as another format; its first bytes count"),
    "CMYK": Kind("note", "inks, read as RGB"),
    "gray": Kind("note", "one channel, read as three equal ones"),
    "palette": Kind("note", "colors from a table, read as RGB"),
    "16-bit": Kind("note", "the upper 8 bits are read"),
    "alpha": Kind("note", "transparent pixels lie on white"),
    "rotated": Kind("note", "turned as its EXIF says"),
    "animated": Kind("note", "several images in a file: the first is read"),
    "no class": Kind("ignored", "beside the folders of classes, or without a label"),
    "junk": Kind("ignored", "left behind by a system or a program"),
    "other file": Kind("ignored", "no image, and not called one"),
}
SEVERITIES = ("bad", "warning", "note", "ignored")


@dataclass(frozen=True, eq=False)
class Seen:
    """What one file is. ``sha`` is that of its pixels; "" where it has none."""

    findings: tuple[Finding, ...]
    sha: str = ""
    fingerprint: int = 0  # dHash of 64 bits: whether each pixel of 9x8 is darker than the next
    thumb: np.ndarray | None = None  # (8, 8, 3), uint8
    shape: tuple | None = None  # (h, w)


def inspect(entry, *, size=None, keep=False):
    """(what an entry is, its pixels cut to ``size`` or None): decoded once, by the decoder that training uses."""
    if isinstance(entry.item, np.ndarray):
        return looked_at(entry.item, entry.name, size=size, keep=keep)
    ending = suffix(entry.name)
    try:
        contents = contents_of(entry.item)
    except ImageError as error:
        return Seen((Finding(entry.name, error.kind, error.reason),)), None
    except OSError as error:
        return Seen((Finding(entry.name, "no access", error.strerror or str(error)),)), None
    unread = refused(contents, ending)
    if unread:
        return Seen((Finding(entry.name, *unread),)), None
    try:
        image = opened(io.BytesIO(contents), entry.name)
        pixels = unpack(image, entry.name)  # first of all: what fails to load gives no error when it loads again
        odd = oddities(image, contents, ending)
    except ImageError as error:
        return Seen((Finding(entry.name, error.kind, error.reason),)), None
    return looked_at(pixels, entry.name, odd, size=size, keep=keep)


def contents_of(item):
    """The bytes of a file or of an archive's member; a link to nowhere and a pipe have none."""
    if hasattr(item, "read"):
        return item.read()
    if not item.is_file():
        raise ImageError(str(item), "no regular file" if item.exists() else "nothing there", kind="missing")
    return item.read_bytes()


def looked_at(pixels, name, odd=(), *, size=None, keep=False):
    """``inspect`` for decoded pixels (H, W, C)."""
    height, width = pixels.shape[:2]
    found = [Finding(name, *row) for row in odd]
    if min(height, width) < 2:
        return Seen((*found, Finding(name, "one pixel", f"{width}x{height}"))), None
    if max(height, width) > LONGEST * min(height, width):
        found.append(Finding(name, "extreme aspect", f"{width}x{height}"))
    sha = hashlib.sha1(f"{pixels.shape}".encode())
    sha.update(np.ascontiguousarray(pixels))
    kept = None
    if keep:
        kept = pixels if size is None else fit(pixels, size)
    return Seen(tuple(found), sha.hexdigest(), dhash(pixels), thumb(pixels), (height, width)), kept


def refused(contents, ending):
    """(kind, detail) of what is not decoded at all, or None."""
    start = contents[:SNIFF]
    kind = kind_of(start)
    if ending in UNREADABLE and kind in ("", "TIFF"):  # camera's raw files begin like TIFF; Pillow reads a thumbnail
        return "unreadable format", ending
    if kind == "HEIC":
        return "unreadable format", "heic"
    if kind or is_image(contents):
        return None
    what = described(start, len(contents))
    if ending not in SUFFIXES and contents:
        return "other file", what
    if not contents:
        return "empty", ""
    return ("HTML" if "HTML" in what else "no image"), what


def is_image(contents):
    """Whether Pillow knows what our own table of first bytes does not."""
    try:
        opened(io.BytesIO(contents), "")
    except ImageError:
        return False
    return True


def oddities(image, contents, ending):
    """[(kind, detail)] that a decoder deals with, of an image whose pixels were read."""
    try:
        deep = contents[24:25] == b"\x10" if image.format == "PNG" else 16 in bits(image)
        frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
        turn = image.getexif().get(ORIENTATION, 1)
        alpha = image.has_transparency_data
    except Exception:  # damaged parts beside the pixels raise what their parser happens to meet
        return []
    rows = [
        ("wrong suffix", f"{image.format} in .{ending}", image.format not in SUFFIXES.get(ending, ())),
        ("CMYK", "", image.mode == "CMYK"),
        ("gray", image.mode, image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;")),
        ("palette", "", image.mode in ("P", "PA") and image.format != "GIF"),
        ("16-bit", "", deep or image.mode.startswith("I")),
        ("alpha", "", alpha and image.format != "GIF"),
        ("rotated", f"EXIF orientation {turn}", turn in range(2, 9)),
        ("animated", f"{frames} images", frames > 1),
    ]
    return [(kind, detail) for kind, detail, true in rows if true]


def bits(image):
    """Bits of each sample, as TIFF states them."""
    return tuple(getattr(image, "tag_v2", {}).get(258, ()))


def dhash(pixels):
    """64 bits by which an image is known again after it was resized or saved anew: signs of differences along rows."""
    gray = np.asarray(Image.fromarray(resample(rgb(pixels), (8, 9))).convert("L"), np.int16)
    return int.from_bytes(np.packbits(gray[:, 1:] > gray[:, :-1]).tobytes(), "big")


def thumb(pixels):
    """An image as 8x8 RGB."""
    return resample(rgb(pixels), (THUMB, THUMB))


def rgb(pixels):
    return pixels[..., :3] if pixels.shape[-1] >= 3 else np.repeat(pixels[..., :1], 3, axis=-1)


BITS = 4  # of 64 that may differ
MEAN, MOST = 2.5, 16  # gray levels by which thumbnails of the same image differ, on average and anywhere
FLAT = 4.0  # standard deviation of a thumbnail below which it shows too little to be recognized
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
    """Neighbors among images with one and the same fingerprint."""
    order = np.argsort(keys, kind="stable")
    same = keys[order[1:]] == keys[order[:-1]]
    yield np.sort(np.stack([order[:-1][same], order[1:][same]], axis=-1), axis=-1)


def alike(pairs, thumbs):
    """Those pairs whose thumbnails agree too."""
    differ = np.abs(thumbs[pairs[:, 0]] - thumbs[pairs[:, 1]])
    return pairs[(differ.mean(axis=-1) <= MEAN) & (differ.max(axis=-1, initial=0) <= MOST)]


def joined(count, pairs):
    """For each of ``count`` things the smallest that it hangs together with through pairs."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, columns = np.asarray(pairs, np.int64).reshape(-1, 2).T
    linked = coo_array((np.ones(len(rows)), (rows, columns)), (count, count))
    _, parts = connected_components(linked, directed=False)
    _, smallest = np.unique(parts, return_index=True)
    return smallest[parts]
