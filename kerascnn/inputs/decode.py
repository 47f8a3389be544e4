"""Any image file as RGB. What a file is, its first bytes say, never its name."""

import io
import os
import threading
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import numpy as np
from PIL import Image, ImageOps

from ..support.progress import progress

THREADS = min(8, os.cpu_count() or 1)  # decoding leaves Python's lock
CHUNK = 16  # pieces of work that a thread takes at once
LIMIT = 178_956_970  # pixels, from where Pillow too takes an image for an attack on memory
SNIFF = 512
FORMATS = {  # what Pillow may try; others run programs (EPS), or have no first bytes to know them by
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
OTHERS = {  # first bytes, without white space, lower case -> what such a file is
    (b"<!doctype html", b"<html", b"<head"): "an HTML page, as servers send it instead of a file",
    (b"<svg",): "an SVG drawing, which has no pixels",
    (b"<?xml", b"<!--"): "an XML or SVG file, which has no pixels",
    (b"version https://git-lfs",): "a pointer of Git LFS, without the file that it points to",
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
    """What should be an image and is none: which file, and what it is instead; ``kind`` is what an audit calls that."""

    def __init__(self, name, received, expected="be an image", kind="truncated"):
        super().__init__(f"{name} should {expected}. Received: {received}")
        self.kind = kind
        self.reason = received if expected == "be an image" else f"should {expected}. Received: {received}"


def decode(source):
    """An image file as uint8 RGB (H, W, 3): from a path, bytes, or an open binary file.

    EXIF's orientation is applied; transparent pixels lie on white; 16 bits a channel keep their upper 8; of several
    images the first counts. Color profiles are ignored, as training pipelines ignored them: the numbers in the file
    are the pixels.
    """
    name = name_of(source)
    with reading(source, name) as file:
        return unpack(opened(file, name), name)


def opened(file, name):
    """Pillow's image of an open file that can be read from anywhere; its pixels are not read yet."""
    start = file.read(SNIFF)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    with quiet():
        try:
            return Image.open(file, formats=formats())
        except Image.DecompressionBombError:
            raise ImageError(name, f"one of more than {LIMIT:,} pixels", kind="too large") from None
        except Exception:  # a decoder may raise anything over a damaged file
            raise ImageError(name, described(start, size)) from None


def unpack(image, name):
    """What ``decode`` gives, from Pillow's own image."""
    width, height = image.size
    if width * height > LIMIT:
        expected = f"be an image of at most {LIMIT:,} pixels"
        raise ImageError(name, f"one of {width}x{height} pixels", expected, "too large")
    with quiet():
        try:
            load(image)
            return np.array(rgb(upright(image), image))
        except MemoryError:
            text = f"one of {width}x{height} pixels that does not fit into memory"
            raise ImageError(name, text, kind="too large") from None
        except Exception as error:  # a decoder may raise anything over a damaged file
            kind = f"{article(image.format)} image" if image.format else "one"
            raise ImageError(name, f"{kind} of {width}x{height} pixels that cannot be read: {error}") from None


def load(image):
    """Read an image's pixels, or fail; and fail again where it is given once more."""
    tiles = getattr(image, "tile", None)
    try:
        image.load()
    except Exception:  # without its tiles Pillow would take it for a loaded one, black where it is damaged
        if tiles is not None:
            image.tile = tiles
        raise


def upright(image):
    """The image turned as EXIF says; as it is where its EXIF cannot be read."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF raises what its parser happens to meet
        return image


def rgb(image, origin):
    """Any of Pillow's modes as RGB, transparent pixels on white; ``origin`` is the image as it was in its file."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        image = Image.fromarray(eight_bits(image, origin))
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def eight_bits(image, origin):
    """Deep gray as 8 bits. Pillow would clip it at 255; of colors with 16 bits it takes the upper 8 by itself."""
    tags = getattr(origin, "tag_v2", {})  # of TIFF: bits a sample, kind of number, whether 0 is white
    bits, signed, inverted = tags.get(258, (16,))[0], tags.get(339, (1,))[0] != 1, tags.get(262) == 0
    unknown = image.mode == "F" or (image.mode == "I" and origin.format is None)
    if unknown or bits > 16 or signed:
        raise ValueError("its numbers are not 0..65535, and nothing says what is white")
    gray = (np.asarray(image).astype(np.int64) >> bits - 8).clip(0, 255).astype(np.uint8)
    return 255 - gray if inverted else gray


def described(start, size):
    """What a file is that Pillow does not take."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not size:
        return "an empty file (a download that failed?)"
    kind = kind_of(start)
    if kind in FORMATS:
        return f"{article(kind)} image" + (
            " that is damaged or cut off" if kind in formats() else ", unknown to this Pillow"
        )
    if kind:
        return f"{article(kind)} photo, which Pillow cannot read; save it as JPEG"
    for starts, what in OTHERS.items():
        if text.startswith(starts):
            return what
    if start[4:8] == b"ftyp" or start.startswith((b"RIFF", b"\x1aE\xdf\xa3")):
        return "a video or a sound"
    if start.isascii() and b"\0" not in start:
        return "text"
    return f"{size:,} bytes that begin with {start[:8]!r}"


def kind_of(start):
    """The image format that begins like this; "" for anything else."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp":
        return BOXES.get(start[8:12], "")
    return next((kind for kind, starts in FORMATS.items() if start.startswith(starts)), "")


def article(kind):
    """The format with its article."""
    return f"an {kind}" if kind[0] in "AH" else f"a {kind}"


@cache
def formats():
    """Those of ``FORMATS`` that this Pillow has."""
    Image.init()
    return tuple(kind for kind in FORMATS if kind in Image.OPEN)


def name_of(source):
    """What messages call an image."""
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "`source`"


@contextmanager
def reading(source, name):
    """The source as a file that can be read from anywhere."""
    if isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(source)
        return
    if hasattr(source, "read"):
        contents = source.read()
        if not isinstance(contents, bytes):
            raise ImageError(name, "a file opened as text; open it with 'rb'")
        yield io.BytesIO(contents)
        return
    if not isinstance(source, str | os.PathLike):
        raise ImageError(name, f"{type(source).__name__}", "be a path, bytes or an open binary file")
    if not os.path.isfile(source):
        what = "a folder without images that can be read" if os.path.isdir(source) else "nothing there"
        raise ImageError(name, what)
    try:
        file = open(source, "rb")  # noqa: SIM115  (closed below; only opening may fail here)
    except OSError as error:
        raise ImageError(name, f"a file that cannot be opened: {error.strerror}") from None
    with file:
        yield file


LOCK, INSIDE = threading.Lock(), []


@contextmanager
def quiet():
    """Without Pillow's warnings. Filters belong to all threads: the first that comes sets them, the last that goes
    puts back what was."""
    with LOCK:
        if not INSIDE:
            kept = warnings.catch_warnings()
            kept.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
            INSIDE.append(kept)
        INSIDE.append(None)
    try:
        yield
    finally:
        with LOCK:
            INSIDE.pop()
            if len(INSIDE) == 1:
                INSIDE.pop().__exit__(None, None, None)


def each(function, work, what="", *, verbose="auto", on_progress=None, at_once=CHUNK, ahead=4 * CHUNK * THREADS):
    """``function`` of each piece of ``work`` by threads, in order.

    Args:
        function: what is done with a piece.
        work: the pieces.
        what: a name under which whoever waits is shown how far it is; nothing is shown without one.
        verbose: "auto", 0, 1 or 2, as in Keras.
        on_progress: called as ``on_progress(done, total, what)`` in place of a display; may raise to end the work.
        at_once: how many pieces a thread takes at a time.
        ahead: about how many pieces wait to be taken, at most.
    """
    starts, room = range(0, len(work), at_once), ahead // at_once + 1
    pool = ThreadPoolExecutor(THREADS)

    def begin(start):
        return pool.submit(list, map(function, work[start : start + at_once]))

    try:
        with progress(verbose if what else 0, on_progress) as shown, quiet():
            waiting = deque(map(begin, starts[:room]))
            for i, start in enumerate(starts):
                found = waiting.popleft().result()
                waiting.extend(map(begin, starts[i + room : i + room + 1]))
                yield from found
                shown(start + len(found), len(work), what)
    finally:
        pool.shutdown(cancel_futures=True)
