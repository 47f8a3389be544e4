"""A folder of photos in which over 40 defects of over 20 kinds are planted, and where each of them is."""

import io
import os
import struct
import zlib

import numpy as np
from PIL import Image


def photo(seed, size=(48, 64)):
    """A smooth picture of its own for each seed, (H, W, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)


def contents(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def rotated():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def deep_gray():
    return Image.fromarray(np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 20)


def translucent(seed):
    image = photo(seed).convert("RGBA")
    image.putalpha(Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))))
    return image


JPEG, PNG = contents(photo(900), "JPEG", quality=90), contents(photo(901), "PNG")
SAME = contents(photo(902), "PNG")
ACROSS = contents(photo(903), "PNG")
IHDR = b"IHDR" + struct.pack(">II", 60_000, 60_000) + b"\x08\x02\0\0\0"
BOMB = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + IHDR + struct.pack(">I", zlib.crc32(IHDR))  # 3.6e9 pixels
HEIC = b"\0\0\0\x18ftypheic" + bytes(200)
HTML = b"<!DOCTYPE html><html><body>404</body></html>"
PLANTED = [  # path, kind, bytes
    ("cat/empty.jpg", "empty", b""),
    ("dog/empty.png", "empty", b""),
    ("cat/page.jpg", "HTML", HTML),
    ("dog/page.png", "HTML", b"\n <html><head></head></html>"),
    ("cat/cut.jpg", "truncated", JPEG[: len(JPEG) // 2]),
    ("dog/cut.png", "truncated", PNG[: len(PNG) // 2]),
    ("dog/start.jpg", "truncated", JPEG[:20]),
    ("cat/phone.heic", "unreadable format", HEIC),
    ("cat/phone.jpg", "unreadable format", HEIC),
    ("dog/logo.svg", "unreadable format", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ("dog/camera.cr2", "unreadable format", contents(photo(904), "TIFF")),
    ("cat/packed.jpg", "no image", zlib.compress(bytes(1000))),
    ("dog/notes.png", "no image", b"a note on this dog"),
    ("dog/bomb.png", "too large", BOMB + bytes(4) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))),
    ("cat/dot.png", "one pixel", contents(photo(905, (1, 1)), "PNG")),
    ("dog/line.png", "one pixel", contents(photo(906, (1, 40)), "PNG")),
    ("cat/panorama.png", "extreme aspect", contents(photo(907, (20, 200)), "PNG")),
    ("cat/inks.jpg", "CMYK", contents(photo(908).convert("CMYK"), "JPEG")),
    ("dog/inks.tif", "CMYK", contents(photo(909).convert("CMYK"), "TIFF")),
    ("cat/gray.png", "gray", contents(photo(910).convert("L"), "PNG")),
    ("dog/gray.jpg", "gray", contents(photo(911).convert("L"), "JPEG")),
    ("cat/table.png", "palette", contents(photo(912).quantize(32), "PNG")),
    ("cat/deep.png", "16-bit", contents(deep_gray(), "PNG")),
    ("dog/through.png", "alpha", contents(translucent(913), "PNG")),
    ("dog/turned.jpg", "rotated", contents(photo(914), "JPEG", exif=rotated())),
    ("cat/moves.gif", "animated", contents(photo(915), "GIF", save_all=True, append_images=[photo(916)])),
    ("cat/really_png.jpg", "wrong suffix", contents(photo(917), "PNG")),
    ("dog/no_suffix", "wrong suffix", contents(photo(918), "JPEG")),
    ("cat/exported.heic", "wrong suffix", contents(photo(921), "JPEG")),
    ("dog/twin1.png", None, SAME),
    ("dog/twin2.png", "exact duplicate", SAME),
    ("dog/twin3.bmp", "exact duplicate", contents(photo(902), "BMP")),
    ("cat/both.png", None, ACROSS),
    ("dog/both.png", "conflicting labels", ACROSS),
    ("bird/again.jpg", None, contents(photo(919), "JPEG", quality=95)),
    ("bird/again2.jpg", "near duplicate", contents(photo(919), "JPEG", quality=60)),
    ("bird/small.png", "near duplicate", contents(photo(919, (48, 64)).resize((40, 30)), "PNG")),
    ("cat/Thumbs.db", "junk", b"\xd0\xcf\x11\xe0"),
    ("cat/.DS_Store", "junk", b"\0\0\0\1Bud1"),
    (".ipynb_checkpoints/cat-checkpoint.jpg", "junk", JPEG),
    ("__MACOSX/cat/._x.jpg", "junk", b"\0\5\x16\7"),
    ("dog/._y.jpg", "junk", b"\0\5\x16\7"),
    ("cat/list.txt", "other file", b"0.png cat"),
    ("lonely.jpg", "no class", JPEG),
    ("rare/1.png", None, contents(photo(920), "PNG")),
    ("rare", "small class", None),
    ("ghost", "empty class", None),
    ("dog", "similar classes", None),
]
GOOD = 330  # plain photos beside them, so that the bad ones stay below 5 %


def plant(folder):
    """Make the folder; return {(path, kind)} of what is wrong in it."""
    for i in range(GOOD):
        write(folder / ("cat", "dog", "bird")[i % 3] / f"{i:03}.png", contents(photo(i, (24, 32)), "PNG"))
    for i in range(6):
        write(folder / "Dog " / f"{i}.png", contents(photo(500 + i, (24, 32)), "PNG"))
    (folder / "ghost").mkdir()
    for path, _, data in PLANTED:
        if data is not None:
            write(folder / path, data)
    return {(path, kind) for path, kind, _ in PLANTED if kind}


def write(path, data):
    os.makedirs(path.parent, exist_ok=True)
    path.write_bytes(data)
