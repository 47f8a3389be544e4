"""Decode image files as RGB. The format is recognized by the first bytes, never by the name."""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from ..support.progress import progress
from ..support.types import Array, FilePath

THREADS = min(8, os.cpu_count() or 1)  # decoding releases Python's lock
CHUNK = 16  # images that a thread takes at once
MAX_PIXELS = 178_956_970  # pixels; above it, Pillow too suspects an attack on memory
SNIFF = 512
FORMATS = {  # first bytes of what Pillow may decode; other formats run programs (EPS) or have none
    "JPEG": (b"\xff\xd8\xff",),
    "MPO": (),  # a JPEG file that holds several, as phones write them
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "WEBP": (),
    "PPM": tuple(b"P%d%c" % (kind, space) for kind in range(1, 7) for space in b" \t\r\n"),
    "AVIF": (),
    "JPEG2000": (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
}
OTHERS = {  # first bytes (lower case, without white space) of files that are not images
    (b"<!doctype html", b"<html", b"<head"): "an HTML page that a server returned instead of the file",
    (b"<svg",): "an SVG drawing, which has no pixels",
    (b"<?xml", b"<!--"): "an XML or SVG file, which has no pixels",
    (b"version https://git-lfs",): "a Git LFS pointer; run `git lfs pull` to get the file itself",
    (b"%pdf",): "a PDF document",
    (b"%!ps", b"\xc5\xd0\xd3\xc6"): "a PostScript file",
    (b"8bps",): "a Photoshop file",
    (b"pk\x03\x04",): "a zip archive",
    (b"\x1f\x8b",): "a gzip archive",
    (b"\x89hdf\r\n",): "an HDF5 file",
    (b"\x93numpy",): "a NumPy array",
}
BOXES = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"hevc": "HEIC"}


class ImageError(ValueError):
    """An image cannot be read; ``kind`` is its kind in an audit, ``reason`` says why."""

    def __init__(self, name, received, expected="be a readable image", kind="truncated"):
        super().__init__(f"{name} should {expected}. Received: {received}")
        self.kind = kind
        self.reason = received if expected == "be a readable image" else f"should {expected}. Received: {received}"


def decode(source: FilePath | bytes | BinaryIO) -> Array:
    """Decode an image file as uint8 RGB.

    The EXIF orientation is applied, transparent pixels become white, 16 bits per channel are reduced to the upper 8,
    and only the first of several frames is used. Color profiles are ignored, as in training pipelines.

    Args:
        source: a path, bytes, or an open binary file.

    Returns:
        An array (H, W, 3) of uint8.
    """
    name = source_name(source)
    with open_binary(source, name) as file:
        return pillow_to_pixels(open_image(file, name), name)


def open_image(file, name):
    """A Pillow image of an open, seekable file; its pixels are not read yet."""
    start = file.read(SNIFF)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    with silence_pillow():
        try:
            return Image.open(file, formats=image_formats())
        except Image.DecompressionBombError:
            raise ImageError(name, f"more than {MAX_PIXELS:,} pixels", kind="too large") from None
        except Exception:  # a decoder may raise anything over a damaged file
            raise ImageError(name, describe_contents(start, size)) from None


def pillow_to_pixels(image, name):
    """Pixels as ``decode`` returns them, of a Pillow image."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        expected = f"be an image of at most {MAX_PIXELS:,} pixels"
        raise ImageError(name, f"an image of {width}x{height} pixels", expected, "too large")
    with silence_pillow():
        try:
            load_pixels(image)
            return np.array(to_rgb(apply_orientation(image), image))
        except MemoryError:
            text = f"{width}x{height} pixels, too large for memory"
            raise ImageError(name, text, kind="too large") from None
        except Exception as error:  # a decoder may raise anything over a damaged file
            kind = f"{with_article(image.format)} image" if image.format else "one"
            raise ImageError(name, f"{kind} of {width}x{height} pixels that cannot be decoded: {error}") from None


def load_pixels(image):
    """Read the pixels of a Pillow image; a damaged one fails each time, not only the first."""
    tiles = getattr(image, "tile", None)
    try:
        image.load()
    except Exception:  # without its tiles Pillow would take it for a loaded one, black where it is damaged
        if tiles is not None:
            image.tile = tiles
        raise


def apply_orientation(image):
    """The image rotated as its EXIF says; as it is if its EXIF cannot be read."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF raises what its parser happens to meet
        return image


def to_rgb(image, origin):
    """A Pillow image of any mode as RGB, transparency on white; ``origin`` is the image as opened."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        image = Image.fromarray(to_eight_bits(image, origin))
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def to_eight_bits(image, origin):
    """Gray of 16 bits as its upper 8. Pillow would clip it at 255, though it takes the upper 8 of colors by itself."""
    tags = getattr(origin, "tag_v2", {})  # of TIFF: bits a sample, kind of number, whether 0 is white
    bits, signed, inverted = tags.get(258, (16,))[0], tags.get(339, (1,))[0] != 1, tags.get(262) == 0
    unknown = image.mode == "F" or (image.mode == "I" and origin.format is None)
    if unknown or bits > 16 or signed:
        raise ValueError("pixel values outside 0..65535 without a known white point")
    gray = (np.asarray(image).astype(np.int64) >> bits - 8).clip(0, 255).astype(np.uint8)
    return 255 - gray if inverted else gray


def describe_contents(start, size):
    """What a file is that Pillow cannot open."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not size:
        return "an empty file (failed download?)"
    kind = image_format(start)
    if kind in FORMATS:
        return f"{with_article(kind)} image" + (
            " that is damaged or truncated"
            if kind in image_formats()
            else ", a format that this version of Pillow does not support"
        )
    if kind:
        return f"{with_article(kind)} image, which Pillow cannot read; convert it to JPEG"
    for starts, description in OTHERS.items():
        if text.startswith(starts):
            return description
    if start[4:8] == b"ftyp" or start.startswith((b"RIFF", b"\x1aE\xdf\xa3")):
        return "a video or audio file"
    if start.isascii() and b"\0" not in start:
        return "text"
    return f"{size:,} bytes starting with {start[:8]!r}"


def image_format(start):
    """The image format of a file that starts with these bytes; "" if it is none."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp":
        return BOXES.get(start[8:12], "")
    return next((kind for kind, starts in FORMATS.items() if start.startswith(starts)), "")


def with_article(kind):
    """The format with an article: "a PNG", "an AVIF"."""
    return f"an {kind}" if kind[0] in "AH" else f"a {kind}"


@cache
def image_formats():
    """The ``FORMATS`` that this version of Pillow supports."""
    Image.init()
    return tuple(kind for kind in FORMATS if kind in Image.OPEN)


def source_name(source):
    """The name of an image in messages."""
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "`source`"


@contextmanager
def open_binary(source, name):
    """The source as an open, seekable binary file."""
    if isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(source)
        return
    if hasattr(source, "read"):
        contents = source.read()
        if not isinstance(contents, bytes):
            raise ImageError(name, "a file opened in text mode; use 'rb'")
        yield io.BytesIO(contents)
        return
    if not isinstance(source, str | os.PathLike):
        raise ImageError(name, f"{type(source).__name__}", "be a path, bytes or an open binary file")
    if not os.path.isfile(source):
        problem = "a folder without readable images" if os.path.isdir(source) else "a path that does not exist"
        raise ImageError(name, problem)
    try:
        file = open(source, "rb")  # noqa: SIM115  (closed below; only opening may fail here)
    except OSError as error:
        raise ImageError(name, f"a file that cannot be opened: {error.strerror}") from None
    with file:
        yield file


LOCK = threading.Lock()
INSIDE: list = []  # the saved filters, and one entry for each thread inside


@contextmanager
def silence_pillow():
    """Suppress Pillow's warnings. Filters are shared by all threads: the first to enter sets them, the last to leave
    restores them."""
    with LOCK:
        if not INSIDE:
            suppression = warnings.catch_warnings()
            suppression.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
            INSIDE.append(suppression)
        INSIDE.append(None)
    try:
        yield
    finally:
        with LOCK:
            INSIDE.pop()
            if len(INSIDE) == 1:
                INSIDE.pop().__exit__(None, None, None)


def map_in_threads(
    function, work, label="", *, verbose="auto", on_progress=None, at_once=CHUNK, ahead=4 * CHUNK * THREADS
):
    """Yield ``function(item)`` for each item of ``work``, in order, computed by threads.

    Args:
        function: called with each item.
        work: a sequence of items.
        label: name of the work in the progress display; without one, no progress is shown.
        verbose: "auto", 0, 1 or 2, as in Keras.
        on_progress: called as ``on_progress(done, total, what)`` instead; may raise to end the work.
        at_once: number of items that a thread takes at a time.
        ahead: about the largest number of results that wait to be taken.
    """
    starts, room = range(0, len(work), at_once), ahead // at_once + 1
    pool = ThreadPoolExecutor(THREADS)

    def begin(start):
        return pool.submit(list, map(function, work[start : start + at_once]))

    try:
        with progress(verbose if label else 0, on_progress) as report, silence_pillow():
            waiting = deque(map(begin, starts[:room]))
            for i, start in enumerate(starts):
                results = waiting.popleft().result()
                waiting.extend(map(begin, starts[i + room : i + room + 1]))
                yield from results
                report(start + len(results), len(work), label)
    finally:
        pool.shutdown(cancel_futures=True)
