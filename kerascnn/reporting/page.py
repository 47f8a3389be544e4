"""Build one self-contained HTML file without scripts, in light and dark, from sections of blocks.

A block is markup that escapes all text put into it: names of classes and files may contain anything.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

from ..support.files import escape_surrogates
from ..support.types import Array

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup
    from matplotlib.figure import Figure

    Block: TypeAlias = Markup

TEMPLATE, STYLE = (Path(__file__).with_name(name) for name in ("page.html.jinja", "style.css"))

STATUS = {  # a card's status word -> its color
    "good": "good",
    "as published": "good",
    "fair": "fair",
    "few images": "fair",
    "poor": "poor",
}


class Section(NamedTuple):
    """A section of a page.

    Attributes:
        title: Title of the section.
        blocks: Blocks made by the functions of `kerascnn.reporting`.
        results: The numbers in them as plain data.
    """

    title: str
    blocks: tuple
    results: Mapping = {}  # noqa: RUF012  (never changed)


@cache
def template_macros():
    """The macros of the template as functions: one per kind of block, and one for the page."""
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True)
    environment.filters["format_cell"] = format_cell
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).module


def render_block(macro, /, **values):
    """Render a macro of the template; values are escaped unless they are blocks themselves."""
    return getattr(template_macros(), macro)(**values)


def page(title: str, sections: Iterable[Section], lead: str = "", *, note: str = "", data: str | None = None) -> str:
    """Build the whole page as text.

    Args:
        title: Title of the page.
        sections: `Section`s, in order.
        lead: Sentence below the title.
        note: Small print below it.
        data: JSON document that is embedded in the page.

    Returns:
        The HTML as a string.
    """
    from markupsafe import Markup

    safe = None if data is None else Markup(data.replace("<", "\\u003c").replace("&", "\\u0026"))
    anchored = [(slug(section.title), section) for section in sections]
    style = Markup(STYLE.read_text(encoding="utf-8"))
    text = render_block("page", title=title, lead=lead, note=note, style=style, sections=anchored, data=safe)
    return escape_surrogates(str(text))


def slug(text):
    """A text as an anchor in the page."""
    return re.sub(r"[^a-z0-9]+", "-", str(text).lower()).strip("-") or "part"


def paragraph(text: str, soft: bool = False) -> Block:
    """A paragraph of text.

    Args:
        text: The text, which is escaped.
        soft: Whether it is small print.

    Returns:
        A block.
    """
    return render_block("paragraph", text=text, soft=soft)


def heading(text: str) -> Block:
    """A heading within a section.

    Args:
        text: The text, which is escaped.

    Returns:
        A block.
    """
    return render_block("heading", text=text)


def box(*blocks: Block, failed: bool = False) -> Block:
    """A frame around blocks.

    Args:
        *blocks: Blocks to frame.
        failed: Whether the frame marks a failure.

    Returns:
        A block.
    """
    return render_block("box", blocks=blocks, failed=failed)


def code(text):
    """Code as it is."""
    return render_block("code", text=text)


def definition_list(pairs: Mapping[str, object]) -> Block:
    """A list of terms and their values.

    Args:
        pairs: {term: value}.

    Returns:
        A block.
    """
    return render_block("definition_list", pairs=pairs.items())


def data_table(
    frame: pd.DataFrame, highlight: str | None = None, max_rows: int | None = None, caption: str | None = None
) -> Block:
    """A DataFrame as a table.

    Args:
        frame: The DataFrame.
        highlight: Boolean column whose rows are highlighted; the column itself is not shown.
        max_rows: Number of rows to show; None shows all.
        caption: Text above the table.

    Returns:
        A block.
    """
    visible = frame if max_rows is None else frame.head(max_rows)
    names = [name for name in frame.columns if name != highlight]
    columns = [(name, not any(isinstance(value, int | float) for value in frame[name].tolist())) for name in names]
    marks = visible[highlight].tolist() if highlight else [False] * len(visible)
    rows = zip(zip(*(visible[name].tolist() for name in names), strict=True), marks, strict=True)
    label = caption or f"table with the columns {', '.join(map(str, names))}"
    block = render_block("data_table", columns=columns, rows=rows, caption=caption, label=label)
    hidden_count = len(frame) - len(visible)
    return block + paragraph(f"... and {hidden_count:,} more", soft=True) if hidden_count else block


def format_cell(value):
    """A cell as text: integers with thousands separators, floats to four digits, nothing for missing values."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def figure(
    drawing: Figure, alt: str = "", caption: str | None = None, code: str | None = None, name: str | None = None
) -> Block:
    """A matplotlib figure as a picture.

    Args:
        drawing: The matplotlib figure.
        alt: Its numbers in words, for readers who do not see it.
        caption: Scale and units, shown below.
        code: Code that reproduces it, shown on a click.
        name: Anchor in the page.

    Returns:
        A block.
    """
    pixels = render_figure(drawing)
    width = round(pixels.shape[1] * 100 / 150)  # as on a screen of 100 dots an inch; finer ones show all of it
    return image_block(png_uri(pixels), pixels, alt, caption, code, name=name, width=width, text=True)


def picture(
    pixels: Array,
    alt: str,
    caption: str | None = None,
    code: str | None = None,
    *,
    kind: Literal["photo", "map"] = "photo",
    name: str | None = None,
    width: int | None = None,
) -> Block:
    """An array as a picture.

    Args:
        pixels: Pixels 0..255, (H, W, 1 or 3).
        alt: What it shows, for readers who do not see it.
        caption: Text below.
        code: Code that reproduces it, shown on a click.
        kind: "photo", or "map" for a color-mapped array, whose colors stay exact.
        name: Anchor in the page.
        width: Width on the page in CSS pixels; None is the width of the array.

    Returns:
        A block.
    """
    pixels = to_rgb(pixels)
    data = png_uri(pixels) if kind == "map" else webp_uri(pixels)
    return image_block(data, pixels, alt, caption, code, name=name, width=width)


def image_block(data, pixels, alt, caption, code, *, name, width, text=False):
    """A picture with its texts; one with ``text`` in it scrolls on a narrow screen instead of shrinking."""
    high, wide = pixels.shape[:2]
    width = width or wide
    height, fine = round(high * width / wide), width > wide
    texts = {"alt": alt, "caption": caption, "code": code, "anchor": slug(name) if name else None}
    return render_block("image", data=data, text=text, width=width, height=height, fine=fine, **texts)


def photo_grid(pairs: Iterable[tuple[Array, str]]) -> Block:
    """Photos with captions in a grid.

    Args:
        pairs: (pixels 0..255 (H, W, 1 or 3), caption) of each photo.

    Returns:
        A block.
    """
    return render_block("photo_grid", photos=[(*thumbnail(pixels), words) for pixels, words in pairs])


def block_row(blocks: Iterable[Block]) -> Block:
    """Blocks next to each other, or below each other on a narrow screen.

    Args:
        blocks: The blocks.

    Returns:
        A block.
    """
    return render_block("block_row", blocks=[*blocks])


def details(summary: str, *blocks: Block) -> Block:
    """Blocks that a click unfolds; in print they are unfolded.

    Args:
        summary: Text that is always shown.
        *blocks: Blocks to fold.

    Returns:
        A block.
    """
    return render_block("details", summary=summary, blocks=blocks)


def svg_figure(svg: str, alt: str, caption: str | None = None) -> Block:
    """An SVG drawing, embedded as it is.

    Args:
        svg: The markup. It is trusted, so it must come from code that escapes.
        alt: What it shows, for readers who do not see it.
        caption: Text below.

    Returns:
        A block.
    """
    from markupsafe import Markup

    return render_block("svg_figure", svg=Markup(svg), alt=alt, caption=caption)


def cards(rows: Iterable[tuple[str, str, str, str]]) -> Block:
    """Cards with one number each.

    Args:
        rows: (label, value, status, note) of each card; a status in ``STATUS`` has a color.

    Returns:
        A block.
    """
    return render_block("cards", cards=[(*row, STATUS.get(row[2], "plain")) for row in rows])


COLORS = 256  # of a palette
QUALITY = 85  # of WebP
SMALLER = ((75, 900), (60, 640), (45, 440), (30, 320))  # (quality, longest side) tried in turn where a page is too big
EMBEDDED = re.compile(r"data:image/(?:png|webp);base64,([A-Za-z0-9+/=]+)")


def render_figure(drawing, dots=150):
    """A matplotlib figure as pixels (H, W, 3), uint8."""
    from PIL import Image

    file = BytesIO()
    drawing.savefig(file, format="png", dpi=dots, facecolor="white")
    return np.asarray(Image.open(file).convert("RGB"))


def to_rgb(pixels):
    """Pixels 0..255 (H, W) or (H, W, C) as uint8 (H, W, 3); the mean of the channels unless there are three."""
    pixels = np.clip(np.rint(np.nan_to_num(pixels)), 0, 255)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.shape[-1] != 3:
        pixels = np.repeat(pixels.mean(-1, keepdims=True), 3, axis=-1)
    return pixels.astype(np.uint8)


def png_uri(pixels):
    """A data URI of a palette PNG; exact up to 256 colors."""
    from PIL import Image

    image = Image.fromarray(to_rgb(pixels))
    colors = image.getcolors(COLORS)
    image = image.quantize(len(colors) if colors else COLORS, dither=Image.Dither.NONE)
    return encode_data_uri("png", image, optimize=True)


def webp_uri(pixels, quality=QUALITY):
    """A data URI of a photo as WebP."""
    from PIL import Image

    return encode_data_uri("webp", Image.fromarray(to_rgb(pixels)), quality=quality, method=4)


def encode_data_uri(kind, image, **options):
    file = BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind};base64,{b64encode(file.getvalue()).decode()}"


def thumbnail(pixels, side=192):
    """(data URI, width, height) of a photo; small images stay as they are."""
    from PIL import Image

    image = Image.fromarray(to_rgb(pixels))
    small = max(image.size) <= side // 2
    image.thumbnail((side, side))
    return (png_uri(np.asarray(image)) if small else webp_uri(np.asarray(image)), *image.size)


def fit_to_budget(text, budget):
    """(the page with pictures reduced to fit ``budget`` bytes, what was done in words or "")."""
    if len(text) <= budget:
        return text, ""
    for quality, side in SMALLER:
        reduced = EMBEDDED.sub(lambda match, quality=quality, side=side: recompress(match, quality, side), text)
        if len(reduced) <= budget:
            break
    note = (
        f"Images were reduced to at most {side} pixels wide and WebP quality {quality}, because the page "
        f"would have had {len(text) / 1e6:.0f} MB, more than the limit of {budget / 1e6:.0f} MB."
    )
    return reduced, note


def recompress(match, quality, side):
    """A picture of the page in lower quality, unless that makes it no smaller."""
    from PIL import Image

    image = Image.open(BytesIO(b64decode(match[1]))).convert("RGB")
    image.thumbnail((side, side))
    smaller = encode_data_uri("webp", image, quality=quality, method=4)
    return min(smaller, match[0], key=len)
