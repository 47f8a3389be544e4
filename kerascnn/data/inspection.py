"""One image looked at: what can be odd about it, what is, and by what it is recognized again."""

import hashlib
import io
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..inputs.decode import SNIFF, ImageError, describe_contents, image_format, open_image, pillow_to_pixels
from ..inputs.resize import resample, resize_and_crop
from .listing import SUFFIXES, UNREADABLE, Finding, file_suffix

ORIENTATION = 0x0112  # EXIF's tag
LONGEST = 5.0  # long side over short side
THUMB = 8


class FindingKind(NamedTuple):
    severity: str  # "bad": left out; "warning": kept, look at it; "note": dealt with; "ignored": no image of a class
    meaning: str


KINDS = {
    "empty": FindingKind("bad", "empty file (failed copy or download?)"),
    "HTML": FindingKind("bad", "a web page that a server returned instead of the image"),
    "truncated": FindingKind("bad", "truncated or damaged: the pixels cannot be decoded"),
    "unreadable format": FindingKind("bad", "HEIC, SVG or camera raw file: convert it to JPEG or PNG"),
    "no image": FindingKind("bad", "has the extension of an image but is something else"),
    "encrypted": FindingKind("bad", "encrypted in its archive"),
    "too large": FindingKind("bad", "too many pixels or bytes to decode safely"),
    "no access": FindingKind("bad", "cannot be opened: check the file permissions"),
    "missing": FindingKind("bad", "listed but not found"),
    "one pixel": FindingKind("bad", "only one pixel high or wide"),
    "unsafe path": FindingKind("bad", "file name that leads out of the archive"),
    "conflicting labels": FindingKind("warning", "the same image in two classes"),
    "leakage": FindingKind("warning", "the same image in two splits"),
    "exact duplicate": FindingKind("warning", "the same pixels as another file"),
    "near duplicate": FindingKind("warning", "almost the same pixels as another file (recompressed or resized)"),
    "listed twice": FindingKind("warning", "one file in two lines"),
    "extreme aspect": FindingKind("warning", "more than 5 times as long as wide: center cropping loses most of it"),
    "single class": FindingKind("warning", "only one class: nothing to classify"),
    "empty class": FindingKind("warning", "a class without readable images"),
    "similar classes": FindingKind("warning", "class names that differ only in case, spaces or punctuation"),
    "small class": FindingKind("warning", "fewer than 5 images: too few to train or evaluate"),
    "untested class": FindingKind("warning", "no test images, so that test results do not cover it"),
    "imbalance": FindingKind(
        "warning", "the largest class has over 3 times as many images as the smallest: consider class weights"
    ),
    "wrong suffix": FindingKind("note", "the extension names another format than the content; the content counts"),
    "CMYK": FindingKind("note", "CMYK, converted to RGB"),
    "gray": FindingKind("note", "grayscale, repeated to three channels"),
    "palette": FindingKind("note", "palette colors, converted to RGB"),
    "16-bit": FindingKind("note", "16 bits per channel, reduced to the upper 8"),
    "alpha": FindingKind("note", "transparency, drawn on white"),
    "rotated": FindingKind("note", "rotated according to its EXIF orientation"),
    "animated": FindingKind("note", "several frames; only the first is used"),
    "no class": FindingKind("ignored", "next to the class folders, or without a label"),
    "junk": FindingKind("ignored", "leftover of the operating system or another program"),
    "other file": FindingKind("ignored", "not an image"),
}
SEVERITIES = ("bad", "warning", "note", "ignored")


@dataclass(frozen=True, eq=False)
class Inspection:
    """What one file is. ``sha`` is that of its pixels; "" where it has none."""

    findings: tuple[Finding, ...]
    sha: str = ""
    fingerprint: int = 0  # dHash of 64 bits: whether each pixel of 9x8 is darker than the next
    thumb: np.ndarray | None = None  # (8, 8, 3), uint8
    shape: tuple | None = None  # (h, w)


def inspect_entry(entry, *, size=None, keep=False):
    """(what an entry is, its pixels cut to ``size`` or None): decoded once, by the decoder that training uses."""
    if isinstance(entry.item, np.ndarray):
        return inspect_pixels(entry.item, entry.name, size=size, keep=keep)
    ending = file_suffix(entry.name)
    try:
        contents = read_contents(entry.item)
    except ImageError as error:
        return Inspection((Finding(entry.name, error.kind, error.reason),)), None
    except OSError as error:
        return Inspection((Finding(entry.name, "no access", error.strerror or str(error)),)), None
    unread = reason_not_decoded(contents, ending)
    if unread:
        return Inspection((Finding(entry.name, *unread),)), None
    try:
        image = open_image(io.BytesIO(contents), entry.name)
        pixels = pillow_to_pixels(
            image, entry.name
        )  # first of all: what fails to load gives no error when it loads again
        odd = find_oddities(image, contents, ending)
    except ImageError as error:
        return Inspection((Finding(entry.name, error.kind, error.reason),)), None
    return inspect_pixels(pixels, entry.name, odd, size=size, keep=keep)


def read_contents(item):
    """The bytes of a file or of an archive's member; a link to nowhere and a pipe have none."""
    if hasattr(item, "read"):
        return item.read()
    if not item.is_file():
        raise ImageError(str(item), "not a regular file" if item.exists() else "file not found", kind="missing")
    return item.read_bytes()


def inspect_pixels(pixels, name, odd=(), *, size=None, keep=False):
    """``inspect_entry`` for decoded pixels (H, W, C)."""
    height, width = pixels.shape[:2]
    found = [Finding(name, *row) for row in odd]
    if min(height, width) < 2:
        return Inspection((*found, Finding(name, "one pixel", f"{width}x{height}"))), None
    if max(height, width) > LONGEST * min(height, width):
        found.append(Finding(name, "extreme aspect", f"{width}x{height}"))
    kept = None
    if keep:
        kept = pixels if size is None else resize_and_crop(pixels, size)
    return Inspection(tuple(found), hash_pixels(pixels), dhash(pixels), thumbnail(pixels), (height, width)), kept


def hash_pixels(pixels):
    """The SHA-1 of an image's size and pixels (H, W, C), uint8."""
    digest = hashlib.sha1(f"{pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels))
    return digest.hexdigest()


def reason_not_decoded(contents, ending):
    """(kind, detail) of what is not decoded at all, or None."""
    start = contents[:SNIFF]
    kind = image_format(start)
    if ending in UNREADABLE and kind in ("", "TIFF"):  # camera's raw files begin like TIFF; Pillow reads a thumbnail
        return "unreadable format", ending
    if kind == "HEIC":
        return "unreadable format", "heic"
    if kind or can_pillow_open(contents):
        return None
    what = describe_contents(start, len(contents))
    if ending not in SUFFIXES and contents:
        return "other file", what
    if not contents:
        return "empty", ""
    return ("HTML" if "HTML" in what else "no image"), what


def can_pillow_open(contents):
    """Whether Pillow knows what our own table of first bytes does not."""
    try:
        open_image(io.BytesIO(contents), "")
    except ImageError:
        return False
    return True


def find_oddities(image, contents, ending):
    """[(kind, detail)] that a decoder deals with, of an image whose pixels were read."""
    try:
        deep = contents[24:25] == b"\x10" if image.format == "PNG" else 16 in tiff_bits(image)
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


def tiff_bits(image):
    """Bits of each sample, as TIFF states them."""
    return tuple(getattr(image, "tag_v2", {}).get(258, ()))


def dhash(pixels):
    """64 bits by which an image is known again after it was resized or saved anew: signs of differences along rows."""
    gray = np.asarray(Image.fromarray(resample(first_three_channels(pixels), (8, 9))).convert("L"), np.int16)
    return int.from_bytes(np.packbits(gray[:, 1:] > gray[:, :-1]).tobytes(), "big")


def thumbnail(pixels):
    """An image as 8x8 RGB."""
    return resample(first_three_channels(pixels), (THUMB, THUMB))


def first_three_channels(pixels):
    return pixels[..., :3] if pixels.shape[-1] >= 3 else np.repeat(pixels[..., :1], 3, axis=-1)


BITS = 4  # of 64 that may differ
MEAN, MOST = 2.5, 16  # gray levels by which thumbnails of the same image differ, on average and anywhere
FLAT = 4.0  # standard deviation of a thumbnail below which it shows too little to be recognized
LARGEST = 60_000  # images of which all pairs are compared; of more, those with equal fingerprints
CHUNK, BLOCK = 1024, 2**17  # fingerprints, and pairs, that are compared at once


def first_with_equal_pixels(shas):
    """For each image the position of the first with the same pixels."""
    first = {}
    return np.array([first.setdefault(sha, i) for i, sha in enumerate(shas)], np.int64)


def near_duplicate_pairs(fingerprints, thumbs):
    """Pairs (P, 2) of positions i < j of images that are almost the same."""
    if len(fingerprints) < 2:
        return np.zeros((0, 2), np.int64)
    thumbs = np.asarray(thumbs, np.int16).reshape(len(thumbs), -1)
    telling = np.flatnonzero(thumbs.std(axis=-1) > FLAT)
    keys = np.asarray(fingerprints, np.uint64)[telling]
    search = all_pairs if len(keys) <= LARGEST else equal_pairs
    found = [
        keep_equal_thumbnails(telling[pairs[start : start + BLOCK]], thumbs)
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


def keep_equal_thumbnails(pairs, thumbs):
    """Those pairs whose thumbnails agree too."""
    differ = np.abs(thumbs[pairs[:, 0]] - thumbs[pairs[:, 1]])
    return pairs[(differ.mean(axis=-1) <= MEAN) & (differ.max(axis=-1, initial=0) <= MOST)]


def group_by_pairs(count, pairs):
    """For each of ``count`` things the smallest that it hangs together with through pairs."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, columns = np.asarray(pairs, np.int64).reshape(-1, 2).T
    linked = coo_array((np.ones(len(rows)), (rows, columns)), (count, count))
    _, parts = connected_components(linked, directed=False)
    _, smallest = np.unique(parts, return_index=True)
    return smallest[parts]
