"""One HTML file without scripts and without anything to load, in light and dark: sections, each of blocks.

A block is markup that escapes whatever text it is made of; names of classes and files may hold anything.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..support.files import displayable

TEMPLATE, STYLE = (Path(__file__).with_name(name) for name in ("page.html.jinja", "style.css"))

STATUS = {  # a card's status word -> its color
    "good": "good",
    "as published": "good",
    "fair": "fair",
    "few images": "fair",
    "poor": "poor",
}


class Section(NamedTuple):
    """A title, blocks, which the functions here make, and the numbers in them as plain data."""

    title: str
    blocks: tuple
    results: Mapping = {}  # noqa: RUF012  (never changed)


@cache
def macros():
    """The template's macros, one a kind of block, as functions; and one of the whole page."""
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True)
    environment.filters["written"] = written
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).module


def filled(macro, /, **values):
    """A block; whatever is put into it is escaped unless it is one itself."""
    return getattr(macros(), macro)(**values)


def page(title, sections, lead="", *, note="", data=None):
    """The whole file as text; ``data`` is a JSON document that travels with it."""
    from markupsafe import Markup

    safe = None if data is None else Markup(data.replace("<", "\\u003c").replace("&", "\\u0026"))
    anchored = [(slug(section.title), section) for section in sections]
    style = Markup(STYLE.read_text(encoding="utf-8"))
    text = filled("page", title=title, lead=lead, note=note, style=style, sections=anchored, data=safe)
    return displayable(str(text))


def slug(text):
    """A text as the name of a place in the page."""
    return re.sub(r"[^a-z0-9]+", "-", str(text).lower()).strip("-") or "part"


def paragraph(text, soft=False):
    return filled("paragraph", text=text, soft=soft)


def heading(text):
    """A title within a section."""
    return filled("heading", text=text)


def box(*blocks, failed=False):
    """Blocks in a frame: what is missing here and why."""
    return filled("box", blocks=blocks, failed=failed)


def code(text):
    """Lines of a program, as they are."""
    return filled("code", text=text)


def facts(pairs):
    """What is called how: {name: value}."""
    return filled("facts", pairs=pairs.items())


def table(frame, marked=None, most=None, caption=None):
    """A DataFrame; rows are ``marked`` by a column of it, which is not shown; of long ones the first ``most`` rows."""
    shown = frame if most is None else frame.head(most)
    names = [name for name in frame.columns if name != marked]
    columns = [(name, not any(isinstance(value, int | float) for value in frame[name].tolist())) for name in names]
    marks = shown[marked].tolist() if marked else [False] * len(shown)
    rows = zip(zip(*(shown[name].tolist() for name in names), strict=True), marks, strict=True)
    label = caption or f"table of {', '.join(map(str, names))}"
    block = filled("table", columns=columns, rows=rows, caption=caption, label=label)
    rest = len(frame) - len(shown)
    return block + paragraph(f"... and {rest:,} more", soft=True) if rest else block


def written(value):
    """A cell: counts with their thousands, other numbers in four digits, nothing for what is missing."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def figure(drawing, alt="", caption=None, code=None, name=None):
    """A matplotlib figure. ``alt`` says its numbers in words, ``caption`` its scale and units, ``code`` makes it again.

    ``name`` is the place in the page that a link leads to.
    """
    pixels = pixels_of(drawing)
    width = round(pixels.shape[1] * 100 / 150)  # as on a screen of 100 dots an inch; finer ones show all of it
    return image(palette_png(pixels), pixels, alt, caption, code, name=name, width=width, text=True)


def picture(pixels, alt, caption=None, code=None, *, kind="photo", name=None, width=None):
    """Pixels 0..255 (H, W, 1 or 3): a "photo", or a color-mapped "map", whose colors stay exact.

    ``width`` is that on the page in CSS pixels, the picture's own unless given.
    """
    pixels = rgb(pixels)
    data = palette_png(pixels) if kind == "map" else webp(pixels)
    return image(data, pixels, alt, caption, code, name=name, width=width)


def image(data, pixels, alt, caption, code, *, name, width, text=False):
    """A picture with what is said of it; one with ``text`` in it scrolls on a narrow screen, rather than shrink."""
    high, wide = pixels.shape[:2]
    width = width or wide
    height, fine = round(high * width / wide), width > wide
    said = {"alt": alt, "caption": caption, "code": code, "anchor": slug(name) if name else None}
    return filled("image", data=data, text=text, width=width, height=height, fine=fine, **said)


def photos(pairs):
    """Photos (H, W, 1 or 3) of pixels 0..255 with words below: pairs of these."""
    return filled("photos", photos=[(*thumbnail(pixels), words) for pixels, words in pairs])


def row(blocks):
    """Blocks beside each other, below each other where there is no room."""
    return filled("row", blocks=[*blocks])


def folded(summary, *blocks):
    """Blocks that a click shows; on paper they are open."""
    return filled("folded", summary=summary, blocks=blocks)


def drawn(svg, alt, caption=None):
    """An SVG drawing as it is: its text is trusted, so it has to come from code that escapes."""
    from markupsafe import Markup

    return filled("drawn", svg=Markup(svg), alt=alt, caption=caption)


def cards(rows):
    """Verdicts: (label, value, status word, note) each; words in ``STATUS`` have a color beside."""
    return filled("cards", cards=[(*row, STATUS.get(row[2], "plain")) for row in rows])


COLORS = 256  # of a palette
QUALITY = 85  # of WebP
SMALLER = ((75, 900), (60, 640), (45, 440), (30, 320))  # (quality, longest side) tried in turn where a page is too big
EMBEDDED = re.compile(r"data:image/(?:png|webp);base64,([A-Za-z0-9+/=]+)")


def pixels_of(drawing, dots=150):
    """A matplotlib figure as pixels (H, W, 3), uint8."""
    from PIL import Image

    file = BytesIO()
    drawing.savefig(file, format="png", dpi=dots, facecolor="white")
    return np.asarray(Image.open(file).convert("RGB"))


def rgb(pixels):
    """Pixels 0..255 (H, W) or (H, W, C) as uint8 (H, W, 3); the mean of what is not RGB."""
    pixels = np.clip(np.rint(np.nan_to_num(pixels)), 0, 255)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.shape[-1] != 3:
        pixels = np.repeat(pixels.mean(-1, keepdims=True), 3, axis=-1)
    return pixels.astype(np.uint8)


def palette_png(pixels):
    """A data URI; exact where there are at most 256 colors."""
    from PIL import Image

    image = Image.fromarray(rgb(pixels))
    few = image.getcolors(COLORS)
    image = image.quantize(len(few) if few else COLORS, dither=Image.Dither.NONE)
    return uri("png", image, optimize=True)


def webp(pixels, quality=QUALITY):
    """A data URI of a photo."""
    from PIL import Image

    return uri("webp", Image.fromarray(rgb(pixels)), quality=quality, method=4)


def uri(kind, image, **options):
    file = BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind};base64,{b64encode(file.getvalue()).decode()}"


def thumbnail(pixels, side=192):
    """(data URI, width, height) of a photo, or of a small image as it is."""
    from PIL import Image

    image = Image.fromarray(rgb(pixels))
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
