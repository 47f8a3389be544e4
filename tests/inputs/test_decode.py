"""Every odd kind of image file, made here; expected pixels are what went in, not what a second reader says."""

import io
import os
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from kerascnn.inputs.decode import INSIDE, MAX_PIXELS, ImageError, decode, pillow_to_pixels, silence_pillow
from kerascnn.inputs.gather import gather
from kerascnn.inputs.resize import resize_and_crop

COLORS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[0, 0, 0], [255, 255, 255], [128, 64, 32]]], np.uint8)
BLOCKS = COLORS.repeat(32, 0).repeat(32, 1)  # (64, 96, 3): blocks survive JPEG but for their edges
CENTERS = (slice(16, None, 32), slice(16, None, 32))


def file(image, kind="PNG", **options):
    """The bytes of an image file."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def near(found, expected, by=0):
    assert found.dtype == np.uint8
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= by


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP", "JPEG2000", "GIF"])
def test_lossless_files(kind):
    near(decode(file(BLOCKS, kind, **({"lossless": True} if kind == "WEBP" else {}))), BLOCKS)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}], ids=str)
def test_jpeg(options):
    near(decode(file(BLOCKS, "JPEG", quality=95, **options))[CENTERS], COLORS, by=3)


def test_sources(tmp_path):
    """A path, bytes, an open file; the suffix says nothing, and what comes belongs to the caller."""
    path = tmp_path / "really a png.jpg"
    path.write_bytes(file(BLOCKS))
    for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), io.BytesIO(path.read_bytes())):
        near(decode(source), BLOCKS)
    with path.open("rb") as opened:
        found = decode(opened)
    found[:] = 0


def test_gray():
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    near(decode(file(gray)), np.stack(3 * [gray], -1))
    bits = Image.fromarray(gray > 100)
    near(decode(file(bits)), np.stack(3 * [255 * (gray > 100)], -1))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_of_gray_are_scaled(kind):
    """All values: 0..65535 become 0..255 in equal steps, where clipping would leave almost all of them white."""
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.stack(3 * [ramp // 256], -1)
    near(decode(file(ramp, kind)), expected)
    if kind == "TIFF":
        near(decode(file(ramp, kind, tiffinfo={262: 0})), 255 - expected)  # 0 is white
    doubled = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257  # 8 bits stretched to 16
    near(decode(file(doubled, kind)), np.stack(3 * [doubled // 257], -1))


def tiff(values, bits, kind=1):
    """A one-row gray TIFF, its samples of ``bits`` packed, written after the format's own specification."""
    packed = "".join(f"{value:0{bits}b}" for value in values)
    body = int(packed, 2).to_bytes(len(packed) // 8, "big")
    tags = {256: len(values), 257: 1, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(body), 339: kind}
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"MM\0*" + struct.pack(">I", 8 + len(body)) + body + struct.pack(">H", len(tags)) + entries + bytes(4)


def test_other_depths_of_gray():
    near(decode(tiff([0, 0x123, 0x800, 0xFFF], 16)), np.full((1, 4, 3), [[[0], [1], [8], [15]]]))
    for bits, kind in [(32, 1), (16, 2), (32, 3)]:
        with pytest.raises(ImageError, match="without a known white point|cannot be decoded|damaged"):
            decode(tiff([0, 1, 2, 3], bits, kind))
    with pytest.raises(ImageError, match="without a known white point"):
        decode(file(np.ones((4, 4), np.float32), "TIFF"))


def test_twelve_bits_use_their_own_range():
    """The specification packs 12-bit samples like this; Pillow knows it only in Intel's byte order."""
    body = bytes.fromhex("000800 fff123".replace(" ", ""))
    tags = {256: 4, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(body)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    found = b"II*\0" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", len(tags)) + entries + bytes(4)
    assert decode(found)[0, :, 0].tolist() == [0, 128, 255, 0x12]


def test_cmyk():
    """C, M, Y, K of ink: none is white, all of K is black; in JPEG (as Adobe writes it, inverted) and in TIFF."""
    inks = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 0], [0, 255, 255, 0]]], np.uint8)
    light = np.array([[[255, 255, 255], [0, 0, 0], [0, 255, 255], [255, 0, 0]]])
    large = Image.fromarray(inks.repeat(32, 0).repeat(32, 1), "CMYK")
    jpeg = file(large, "JPEG", quality=95)
    assert b"Adobe" in jpeg
    for contents in (jpeg, file(large, "TIFF")):
        near(decode(contents)[16::32, 16::32], light, by=4)


def test_palettes():
    indices = np.arange(4, dtype=np.uint8)[None]
    image = Image.fromarray(indices, "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30])
    solid = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]]])
    near(decode(file(image)), solid)
    seen = solid.copy()
    seen[0, 1] = 255
    for options in ({"transparency": 1}, {"transparency": bytes([255, 0, 255, 255])}):
        near(decode(file(image, **options)), seen)
    near(decode(file(image, "GIF", transparency=1)), seen)


def test_transparency_lies_on_white():
    alpha = np.array([[0, 128, 255]], np.uint8)
    colors = np.array([[[200, 100, 0]] * 3], np.uint8)
    expected = np.array([[[255, 255, 255], [227, 177, 127], [200, 100, 0]]])
    near(decode(file(np.concatenate([colors, alpha[..., None]], -1))), expected, by=1)
    gray = Image.merge("LA", [Image.fromarray(np.full((1, 3), 100, np.uint8)), Image.fromarray(alpha)])
    near(decode(file(gray)), np.array([[[255] * 3, [177] * 3, [100] * 3]]), by=1)
    near(decode(file(colors, transparency=(200, 100, 0))), np.full((1, 3, 3), 255))


TURNS = {  # EXIF orientation -> what was done to the upright photo before it was stored
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(TURNS[orientation](BLOCKS))
    found = decode(file(stored, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {})))
    near(found[CENTERS], COLORS, by=3)


def test_exif_turns_deep_gray_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(file(np.zeros((2, 5), np.uint16), exif=exif)).shape == (5, 2, 3)


def test_damaged_exif_is_ignored():
    contents = file(BLOCKS, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(20))
    assert decode(contents).shape == BLOCKS.shape


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_of_animations(kind):
    second = Image.fromarray(255 - BLOCKS)
    options = {"lossless": True} if kind == "WEBP" else {}
    near(decode(file(BLOCKS, kind, save_all=True, append_images=[second], **options)), BLOCKS)


def test_color_profiles_are_ignored():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    near(decode(file(BLOCKS, icc_profile=profile)), BLOCKS)


NOISE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000"])
@pytest.mark.parametrize("kept", [0.5, 0.002], ids=["half", "a few bytes"])
def test_truncated(kind, kept, tmp_path):
    contents = file(NOISE, kind)
    path = tmp_path / "photo.jpg"
    path.write_bytes(contents[: max(12, int(kept * len(contents)))])
    with pytest.raises(
        ImageError, match=rf"photo.jpg should be a readable image. Received: an? {kind} image .*(cannot|truncated)"
    ):
        decode(path)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "JPEG"])
def test_a_damaged_image_of_pillow_is_refused_each_time(kind):
    """Pillow itself takes an image that failed to load for a loaded one: black where nothing was read."""
    contents = bytearray(file(NOISE, kind))
    contents[len(contents) // 2] ^= 0xFF
    image = Image.open(io.BytesIO(contents if kind == "PNG" else contents[: len(contents) // 2]))
    for _ in range(3):
        with pytest.raises(ImageError, match="cannot be decoded"):
            pillow_to_pixels(image, "photo")


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        (b"", "an empty file"),
        (b"\n <!DOCTYPE html><html>not found</html>", "an HTML page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a PostScript"),
        (b"PK\x03\x04....", "a zip"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "an HEIC image, .*convert it to JPEG"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "a video"),
        (b"file,class\n1.jpg,3\n", "text"),
        (bytes(range(128, 160)), "32 bytes starting with"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_not_an_image(contents, text, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(contents)
    with pytest.raises(ImageError, match=f"photo.jpg should be a readable image. Received: {text}"):
        decode(tmp_path / "photo.jpg")


def test_no_file(tmp_path):
    with pytest.raises(ImageError, match="Received: a path that does not exist"):
        decode(tmp_path / "photo.jpg")
    with pytest.raises(ImageError, match="a folder without readable images"):
        decode(tmp_path)
    with pytest.raises(ImageError, match="be a path, bytes or an open binary file. Received: int"):
        decode(3)
    with pytest.raises(ImageError, match="opened in text mode"):
        decode(io.StringIO("photo"))


@pytest.mark.parametrize("sides", [(60_000, 60_000), (15_000, 12_000)], ids=["beyond Pillow's bound", "beyond ours"])
def test_bombs_are_refused_by_their_declared_size(sides, monkeypatch):
    """A PNG header that promises billions of pixels, and no pixel; also where Pillow's own bound was lifted."""
    header = struct.pack(">II", *sides) + b"\x08\x02\0\0\0"
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    assert sides[0] * sides[1] > MAX_PIXELS
    for bound in (Image.MAX_IMAGE_PIXELS, None):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", bound)
        with pytest.raises(ImageError, match=f"{MAX_PIXELS:,} pixels"):
            decode(png + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))


def test_pillow_warnings_are_suppressed(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 96 // 2 + 1000)  # so that BLOCKS earns a warning
    image = Image.fromarray(np.zeros((1, 1), np.uint8), "P")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decode(file(BLOCKS))
        decode(file(image, transparency=b"\0"))
    assert caught == []


def test_warning_filters_are_restored_after_threads():
    before, contents = list(warnings.filters), file(BLOCKS)
    threads = [threading.Thread(target=lambda: [decode(contents) for _ in range(20)]) for _ in range(4)]
    [thread.start() for thread in threads]
    with silence_pillow():
        decode(contents)
    [thread.join() for thread in threads]
    assert warnings.filters == before
    assert INSIDE == []


def test_resampling_is_antialiased_and_centered():
    """Stripes one pixel wide average to gray; a ramp keeps its center."""
    stripes = np.zeros((100, 100, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.ptp(resize_and_crop(stripes, (10, 10), resize=10)[:, 2:-2]) <= 60
    ramp = np.broadcast_to(np.arange(200, dtype=np.float32)[None, :, None], (200, 200, 1))
    found = resize_and_crop(ramp, (10, 10), resize=100)
    assert found.mean() == pytest.approx(99.5, abs=1e-3)
    assert np.diff(found[0, :, 0]) == pytest.approx(2, abs=1e-3)


def test_extreme_aspect_ratio_is_rejected():
    with pytest.raises(ImageError, match="1x900000"):
        resize_and_crop(np.zeros((900_000, 1, 3), np.uint8), (224, 224), resize=256)


def test_a_crop_larger_than_the_photo():
    with pytest.raises(ValueError, match="`resize` should be at least the crop size, 224 pixels. Received: 200"):
        resize_and_crop(BLOCKS, (224, 224), resize=200)


def test_gather_from_folders_files_and_arrays(tmp_path):
    for name in ("b.png", "a", "c.jpg", ".hidden.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"words" if name[0] in "nc" else file(BLOCKS))
    (tmp_path / "inner").mkdir()
    folder = [os.path.join(tmp_path, name) for name in ("a", "b.png", "c.jpg")]
    assert [name for name, _ in gather(tmp_path)] == folder
    assert [name for name, _ in gather([tmp_path, folder[1]])] == [*folder, folder[1]]
    assert len(gather(tmp_path.glob("*.png"))) == 2
    assert len(gather(np.array(folder, object))) == 3
    assert [name for name, _ in gather(np.zeros((2, 4, 4, 3), np.uint8))] == ["image 0", "image 1"]
    assert gather(np.zeros((4, 4)))[0][1].shape == (4, 4, 1)
    assert len(gather([Image.new("L", (3, 3)), file(BLOCKS), np.zeros((4, 4, 3))])) == 3
    for wrong in ([], 3, [None], np.zeros(4), np.zeros((2, 2, 4, 4, 3)), np.zeros((0, 4, 4, 3)), np.zeros((4, 4)) > 0):
        with pytest.raises(ImageError, match="should .* Received:"):
            gather(wrong)
    with pytest.raises(ImageError, match="finite"):
        gather(np.full((4, 4, 3), np.nan))


@pytest.mark.parametrize(("scale", "shift"), [(1 / 255, 0), (1, -128), (2, 0)])
def test_pixels_of_another_range_get_a_warning(scale, shift):
    with pytest.warns(UserWarning, match="pixel values should be 0..255. .*scaled already"):
        gather(BLOCKS * np.float32(scale) + shift)
