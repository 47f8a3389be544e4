"""Blocks of a page: everything is escaped, pictures keep what they show, and the page needs nothing from elsewhere."""

import io
import json
import re
from base64 import b64decode
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from kerascnn import reporting
from kerascnn.reporting.page import STYLE, code, fit_to_budget

HOSTILE = "</title></script><script>alert('x')</script><img src=x onerror=alert(1)>\"'&"
PHOTO = np.random.default_rng(0).integers(0, 256, (24, 32, 3)).astype(np.uint8)
BLOCKS = {
    "paragraph": lambda text: reporting.paragraph(text),
    "heading": lambda text: reporting.heading(text),
    "definition_list": lambda text: reporting.definition_list({text: text}),
    "data_table": lambda text: reporting.data_table(pd.DataFrame({text: [text], "n": [1]}), caption=text),
    "figure": lambda text: reporting.figure(Figure((2, 2)), text, text, text, text),
    "picture": lambda text: reporting.picture(PHOTO, text, text, text, name=text),
    "photo_grid": lambda text: reporting.photo_grid([(PHOTO, text)]),
    "cards": lambda text: reporting.cards([(text, text, text, text)]),
    "details": lambda text: reporting.details(text, reporting.paragraph(text)),
    "box": lambda text: reporting.box(reporting.paragraph(text), failed=True),
    "block_row": lambda text: reporting.block_row([reporting.paragraph(text)]),
    "svg_figure": lambda text: reporting.svg_figure("<svg></svg>", text, text),
    "code": code,
}


class Reader(HTMLParser):
    """Tags and their attributes, the text outside them, and which tags were left open."""

    ALONE = ("meta", "img", "rect", "path", "circle", "polyline", "line")

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.ALONE:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def of(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def decoded(block):
    data = re.search(r"data:image/\w+;base64,([^\"]+)", str(block))[1]
    return np.asarray(Image.open(io.BytesIO(b64decode(data))).convert("RGB"))


@pytest.mark.parametrize("name", BLOCKS)
def test_text_is_escaped(name):
    found = Reader(str(BLOCKS[name](HOSTILE)))
    assert "script" not in [tag for tag, _ in found.tags]
    assert not any(key.startswith("on") for _, attributes in found.tags for key in attributes)
    assert found.open == []
    said = found.text + "".join(str(value) for _, attributes in found.tags for value in attributes.values())
    assert HOSTILE in said  # and is there for a reader


@pytest.fixture(scope="module")
def text():
    sections = [
        reporting.Section(f"Part {HOSTILE}", tuple(block("some words") for block in BLOCKS.values())),
        reporting.Section("Two", (reporting.data_table(pd.DataFrame({"class": ["a", "b"], "n": [1, 2]})),)),
    ]
    return reporting.page(f"Title {HOSTILE}", sections, HOSTILE, note=HOSTILE, data=json.dumps({"name": HOSTILE}))


def test_page_is_complete_html(text):
    found = Reader(text)
    assert found.open == []
    assert [len(found.of(tag)) for tag in ("h1", "main", "nav", "title")] == [1, 1, 1, 1]
    assert found.of("html") == [{"lang": "en"}]
    assert {each["scope"] for each in found.of("th")} == {"col", "row"}
    assert all(each["alt"] and each["width"] and each["height"] for each in found.of("img"))
    places = {each["id"] for _, each in found.tags if "id" in each}
    assert {each["href"].removeprefix("#") for each in found.of("a")} <= places


def test_page_has_no_external_resources_or_scripts(text):
    assert not re.search(r"""(?:src|href|url\()\s*=?\s*["'(]?\s*(?:https?:|//|file:)""", text)
    found = Reader(text)
    assert found.of("script") == [{"type": "application/json", "id": "report-data"}]
    assert found.of("link") == []
    policy = found.of("meta")[2]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"].startswith("default-src 'none'; img-src data:;")


def test_embedded_json_round_trips(text):
    inside = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)[1]
    assert json.loads(inside) == {"name": HOSTILE}


def test_color_maps_are_stored_exactly():
    values = np.linspace(0, 1, 64 * 48).reshape(64, 48)
    pixels = (255 * matplotlib.colormaps["viridis"](values)[..., :3]).round().astype(np.uint8)
    np.testing.assert_array_equal(decoded(reporting.picture(pixels, "a map", kind="map")), pixels)


def test_photos_are_compressed_with_small_error():
    smooth = np.asarray(Image.fromarray(PHOTO).resize((320, 240), Image.Resampling.BICUBIC))
    block = reporting.picture(smooth, "a photo")
    assert np.abs(decoded(block).astype(float) - smooth).mean() < 3
    assert len(block) < smooth.size / 10


def test_small_pictures_are_enlarged_by_integer_factors():
    assert 'class="fine"' in reporting.picture(PHOTO, "small", width=320)
    assert 'class="fine"' not in reporting.picture(PHOTO, "small")
    assert 'height="240"' in reporting.picture(PHOTO, "small", width=320)


def test_gray_and_float_pictures():
    gray = np.full((8, 8, 1), 127.4)
    np.testing.assert_array_equal(decoded(reporting.picture(gray, "gray", kind="map")), np.full((8, 8, 3), 127))


def test_page_above_its_budget_reduces_pictures_with_a_note():
    noise = np.random.default_rng(1).integers(0, 256, (1200, 1200, 3)).astype(np.uint8)
    text = str(reporting.picture(noise, "noise")) * 3
    found, said = fit_to_budget(text, 300_000)
    assert len(found) <= 300_000
    assert "pixels wide" in said
    assert fit_to_budget(text, len(text)) == (text, "")


def test_table_has_row_headers_and_highlights():
    frame = pd.DataFrame({"class": ["a", "b"], "n": [1000, 2], "share": [0.12345678, np.nan], "best": [False, True]})
    block = reporting.data_table(frame, highlight="best", max_rows=1)
    assert '<th scope="row" class="text">a</th>' in block
    assert "<td>1,000</td>" in block
    assert "0.1235" in block
    assert "best" not in block
    assert "and 1 more" in block
    assert '<tr class="marked">' in reporting.data_table(frame, highlight="best")


def luminance(color):
    """WCAG 2's relative luminance of #rgb or #rrggbb."""
    digits = color.removeprefix("#")
    digits = "".join(2 * each for each in digits) if len(digits) == 3 else digits
    shares = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [s / 12.92 if s <= 0.03928 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


THEMES = [dict(re.findall(r"--(\w+): (#\w+)", part)) for part in STYLE.read_text().split(":root")[1:]]


@pytest.mark.parametrize("theme", THEMES, ids=("light", "dark", "print"))
@pytest.mark.parametrize("ground", ["back", "card"])
@pytest.mark.parametrize("ink", ["text", "soft", "accent", "good", "fair", "poor"])
def test_text_has_enough_contrast(theme, ground, ink):
    light, dark = sorted((luminance(theme[ink]), luminance(theme[ground])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5
