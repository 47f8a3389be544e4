"""Photos decoded and cut inside a SavedModel against Pillow, which is another implementation of the same rules."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerascnn.exporting import photos
from kerascnn.exporting.photos import exif_orientation
from kerascnn.inputs.resize import Preprocessing

CUT = Preprocessing((32, 32), 3, 37, "bilinear", "none")


def smooth(size=(40, 56), channels=3, seed=0):
    """A photo of (h, w) that JPEG keeps well."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, channels), np.uint8))
    return coarse.resize(size[::-1], Image.Resampling.BICUBIC)


def file(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def turned(value, order="<", marker=b"Exif\0\0", before=b""):
    """A JPEG file with EXIF's orientation, written by hand in either order of bytes, other segments before it."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    rows = [(0x010F, 2, 4, b"abc\0"), (0x0112, 3, 1, struct.pack(order + "H", value) + b"\0\0")]
    rows = b"".join(struct.pack(order + "HHI", *row[:3]) + row[3] for row in rows)
    body = marker + head + struct.pack(order + "H", 2) + rows + b"\0\0\0\0"
    data = file(smooth(), "JPEG", quality=90)
    return data[:2] + before + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def png(bits, colors=0, rows=8, columns=8):
    """A PNG file of gray steps with a number of bits that Pillow does not write itself."""
    ramp = np.arange(rows * columns).reshape(rows, columns) % 2**bits
    lines = b"".join(b"\0" + np.packbits((row[:, None] >> np.arange(bits)[::-1]) & 1).tobytes() for row in ramp)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (
            (b"IHDR", struct.pack(">IIBBBBB", columns, rows, bits, colors, 0, 0, 0)),
            (b"IDAT", zlib.compress(lines)),
            (b"IEND", b""),
        )
    )


def palette(**options):
    return file(smooth().quantize(16), "PNG", **options)


KINDS = {
    "JPEG": file(smooth(), "JPEG", quality=90),
    "JPEG without subsampling": file(smooth(), "JPEG", quality=95, subsampling=0),
    "progressive JPEG": file(smooth(), "JPEG", progressive=True),
    "gray JPEG": file(smooth().convert("L"), "JPEG"),
    "EXIF, MPO": file(smooth(), "MPO", save_all=True, append_images=[smooth(seed=1)]),
    **{f"EXIF {value}": turned(value) for value in range(1, 9)},
    "EXIF 6, big-endian": turned(6, ">"),
    "EXIF 8, after JFIF": turned(8, before=b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"),
    "EXIF 0": turned(0),
    "EXIF 9": turned(9),
    "no EXIF, XMP": turned(6, marker=b"http:\0"),
    "PNG": file(smooth(), "PNG"),
    "gray PNG": file(smooth().convert("L"), "PNG"),
    "transparent PNG": file(smooth(channels=4), "PNG"),
    "gray transparent PNG": file(smooth(channels=4).convert("LA"), "PNG"),
    "palette PNG": palette(),
    "transparent palette PNG": palette(transparency=3),
    "PNG of two colors": file(smooth().convert("1"), "PNG"),
    "PNG of 2 bits": png(2),
    "PNG of 4 bits": png(4),
    "PNG of 16 bits": file(Image.fromarray(np.asarray(smooth().convert("L")).astype(np.uint16) * 257), "PNG"),
    "interlaced GIF": file(smooth().quantize(64), "GIF", interlace=True),
    "GIF": file(smooth().quantize(64), "GIF", interlace=False),
    "animated GIF": file(smooth().quantize(8), "GIF", save_all=True, append_images=[smooth(seed=1).quantize(8)]),
    "BMP": file(smooth(), "BMP"),
    "BMP of 32 bits": file(smooth(channels=4), "BMP"),
}


def cutter(cut):
    """Encoded images to arrays, as one graph for all of them."""
    shape = tf.TensorSpec((None,), tf.string)
    graph = tf.function(lambda files: photos.decode_batch(files, cut), input_signature=[shape], autograph=False)
    return lambda *files: graph(tf.constant(files)).numpy()


@pytest.fixture(scope="module")
def usual():
    return cutter(CUT)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_files(usual, kind):
    np.testing.assert_array_equal(usual(KINDS[kind])[0], CUT(KINDS[kind]))


def test_cmyk(usual):
    """Printers' JPEG, inks stored inverted as Adobe does: the two libraries round the product of inks differently."""
    data = file(smooth().convert("CMYK"), "JPEG", quality=95)
    assert np.abs(usual(data)[0] - CUT(data)).max() <= 1


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("cut", [((32, 32), 37), ((24, 48), 24), ((50, 20), 31)], ids=str)
def test_shapes(cut, interpolation):
    """Larger and smaller photos of any form, a pixel too, resampled to the last bit as Pillow does it."""
    cut = Preprocessing(cut[0], 3, cut[1], interpolation, "none")
    sizes = [(1, 1), (1, 90), (90, 1), cut.size, (37, 37), (36, 38), (500, 61), (61, 500), (31, 29)]
    files = [file(Image.fromarray(noise(size)), "PNG") for size in sizes]
    for size, data, found in zip(sizes, files, cutter(cut)(*files), strict=True):
        np.testing.assert_array_equal(found, cut(data), err_msg=str(size))


def noise(size):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


@pytest.mark.parametrize("keep", ["all", "arrays"])
def test_photos_of_the_input_size_are_not_resized(keep):
    """Taken as it is where nothing is published; published rules cut it like all others."""
    cut = Preprocessing((32, 32), 3, 37, "bilinear", keep)
    data = file(Image.fromarray(noise((32, 32))), "PNG")
    found = cutter(cut)(data)[0]
    np.testing.assert_array_equal(found, cut(data))
    assert (found == noise((32, 32))).all() == (keep == "all")


def test_gray_networks():
    cut = Preprocessing((28, 28), 1, 32, "bilinear", "all")
    files = [KINDS["JPEG"], KINDS["gray PNG"], KINDS["transparent PNG"], KINDS["EXIF 6"]]
    for data, found in zip(files, cutter(cut)(*files), strict=True):
        np.testing.assert_array_equal(found, cut(data))


def test_real_photos(shared):
    files = [path.read_bytes() for path in sorted(shared("data", "imagenet_sample").glob("*.jpg"))[:24]]
    cut = Preprocessing((160, 160), 3, 182, "bicubic", "none")
    for data, found in zip(files, cutter(cut)(*files), strict=True):
        np.testing.assert_array_equal(found, cut(data))


REFUSED = {
    "WebP": (file(smooth(), "WEBP"), photos.REFUSED),
    "TIFF": (file(smooth(), "TIFF"), photos.REFUSED),
    "text": (b"<html>", photos.REFUSED),
    "nothing": (b"", photos.REFUSED),
    "a BMP with a palette": (file(smooth().quantize(16), "BMP"), "24 or 32 bits"),
    "half a JPEG": (KINDS["JPEG"][:400], "Invalid JPEG"),
    "half a PNG": (KINDS["PNG"][:400], "PNG"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_unsupported_files_are_rejected(usual, kind):
    data, text = REFUSED[kind]
    with pytest.raises(tf.errors.InvalidArgumentError, match=text):
        usual(data)


def test_damaged_exif_is_ignored():
    """Cut off anywhere, or pointing anywhere: an orientation 1..8, and never an endless search."""
    whole = turned(6)
    find = tf.function(exif_orientation, input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
    rng = np.random.default_rng(0)
    for end in range(2, 80):
        assert 1 <= int(find(whole[:end])) <= 8
    for _ in range(100):
        damaged = bytearray(whole)
        for place in rng.integers(2, 80, 3):
            damaged[place] = rng.integers(256)
        assert 1 <= int(find(bytes(damaged))) <= 8
