"""Pictures as data URIs: palette PNG for what has few colours, WebP for photos, all smaller where they must be."""

import re
from base64 import b64decode, b64encode
from io import BytesIO

import numpy as np

COLOURS = 256  # of a palette
QUALITY = 85  # of WebP
SMALLER = ((75, 900), (60, 640), (45, 440), (30, 320))  # (quality, longest side) tried in turn where a page is too big
EMBEDDED = re.compile(r"data:image/(?:png|webp);base64,([A-Za-z0-9+/=]+)")


def pixels_of(drawing, dots=150):
    """A matplotlib figure as pixels (H, W, 3), uint8."""
    from PIL import Image

    file = BytesIO()
    drawing.savefig(file, format="png", dpi=dots, facecolor="white")
    return np.asarray(Image.open(file).convert("RGB"))


def whole(pixels):
    """Pixels 0..255 (H, W), (H, W, 1) or (H, W, 3) as uint8 (H, W, 3)."""
    pixels = np.asarray(pixels)
    pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels[..., :3]


def palette_png(pixels):
    """A data URI; exact where there are at most 256 colours."""
    from PIL import Image

    image = Image.fromarray(whole(pixels))
    few = image.getcolors(COLOURS)
    image = image.quantize(len(few) if few else COLOURS, dither=Image.Dither.NONE)
    return uri("png", image, optimize=True)


def webp(pixels, quality=QUALITY):
    """A data URI of a photo."""
    from PIL import Image

    return uri("webp", Image.fromarray(whole(pixels)), quality=quality, method=4)


def uri(kind, image, **options):
    file = BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind};base64,{b64encode(file.getvalue()).decode()}"


def thumbnail(pixels, side=192):
    """(data URI, width, height) of a photo, or of a small image as it is."""
    from PIL import Image

    image = Image.fromarray(whole(pixels))
    small = max(image.size) <= side // 2
    image.thumbnail((side, side))
    return (palette_png(np.asarray(image)) if small else webp(np.asarray(image)), *image.size)


def within(text, budget):
    """(the page with its pictures as small as ``budget`` bytes ask for, what was done to them in words or "")."""
    if len(text) <= budget:
        return text, ""
    for quality, side in SMALLER:
        found = EMBEDDED.sub(lambda match, quality=quality, side=side: smaller(match, quality, side), text)
        if len(found) <= budget:
            break
    said = f"Pictures at most {side} pixels wide, WebP quality {quality}: else the page would have "
    return found, f"{said}{len(text) / 1e6:.0f} MB, above its budget of {budget / 1e6:.0f} MB."


def smaller(match, quality, side):
    """A picture of a page again, unless that makes it no smaller."""
    from PIL import Image

    image = Image.open(BytesIO(b64decode(match[1]))).convert("RGB")
    image.thumbnail((side, side))
    found = uri("webp", image, quality=quality, method=4)
    return min(found, match[0], key=len)
