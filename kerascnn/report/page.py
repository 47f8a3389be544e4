"""One HTML file without scripts and without anything to load, in light and dark: sections, each of blocks."""

from base64 import b64encode
from io import BytesIO
from typing import NamedTuple

STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1b1b1b; --soft: #5c6370; --line: #d9dde3; --card: #f5f7f9;
  --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --back: #15181c; --text: #e6e8eb; --soft: #a0a7b1; --line: #343a42;
  --card: #1d2126; --accent: #56b4e9; } }
body { background: var(--back); color: var(--text); font: 16px/1.55 system-ui, sans-serif; margin: 0 auto;
  max-width: 68rem; padding: 2rem 1.2rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.3rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid var(--line); padding-bottom: .25rem; }
.lead { font-size: 1.15rem; } .soft, figcaption { color: var(--soft); }
nav { margin: 1rem 0; } nav a { margin-right: 1rem; color: var(--accent); text-decoration: none; white-space: nowrap; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; margin: .6rem 0; }
th, td { padding: .28rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { border-bottom: 2px solid var(--line); } td.text, th.text { text-align: left; }
tr.marked td { background: var(--card); font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; margin: .6rem 0; }
dt { color: var(--soft); } dd { margin: 0; }
figure { margin: 1rem 0; } figure > img { max-width: 100%; background: #fff; border: 1px solid var(--line);
  border-radius: 6px; }
.photos { display: flex; flex-wrap: wrap; gap: .9rem; } .photos figure { margin: 0; width: 7.5rem; }
.photos img { width: 100%; aspect-ratio: 1; object-fit: contain; image-rendering: pixelated; background: var(--card); }
.photos figcaption { font-size: .78rem; line-height: 1.35; overflow-wrap: anywhere; }
@media print { nav { display: none; } h2 { break-after: avoid; } figure { break-inside: avoid; } }
"""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title><style>{{ style }}</style></head>
<body><header><h1>{{ title }}</h1>{% if lead %}<p class="lead">{{ lead }}</p>{% endif %}
<nav>{% for section in sections %}<a href="#section{{ loop.index }}">{{ section.title }}</a> {% endfor %}</nav></header>
<main>{% for section in sections %}<section id="section{{ loop.index }}"><h2>{{ section.title }}</h2>
{% for block in section.blocks %}{{ block }}
{% endfor %}</section>
{% endfor %}</main></body></html>
"""
TABLE = """<div class="wide"><table><thead><tr>{% for name, text in columns %}
<th{% if text %} class="text"{% endif %}>{{ name }}</th>{% endfor %}</tr></thead><tbody>
{% for row, marked in rows %}<tr{% if marked %} class="marked"{% endif %}>{% for cell, text in row %}
<td{% if text %} class="text"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>"""
FACTS = "<dl>{% for name, value in facts %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}</dl>"
PARAGRAPH = '<p{% if soft %} class="soft"{% endif %}>{{ text }}</p>'
FIGURE = """<figure><img src="data:image/png;base64,{{ data }}" alt="{{ alt }}">
{% if alt %}<figcaption>{{ alt }}</figcaption>{% endif %}</figure>"""
PHOTOS = """<div class="photos">{% for data, words in photos %}
<figure><img src="data:image/png;base64,{{ data }}" alt="{{ words }}"><figcaption>{{ words }}</figcaption></figure>
{% endfor %}</div>"""


class Section(NamedTuple):
    """A title and blocks, which the functions here make."""

    title: str
    blocks: tuple


def filled(template, **values):
    """A block; whatever is put into it is escaped unless it is one itself."""
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True)
    from markupsafe import Markup

    return Markup(environment.from_string(template).render(**values))


def page(title, sections, lead=""):
    """The whole file as text."""
    from markupsafe import Markup

    return str(filled(PAGE, title=title, lead=lead, sections=[*sections], style=Markup(STYLE)))


def paragraph(text, soft=False):
    return filled(PARAGRAPH, text=text, soft=soft)


def facts(pairs):
    """What is called how: {name: value}."""
    return filled(FACTS, facts=[*pairs.items()])


def table(frame, marked=None, most=None):
    """A DataFrame; rows are ``marked`` by a column of it, which is not shown; of long ones the first ``most`` rows."""
    shown = frame if most is None else frame.head(most)
    names = [name for name in frame.columns if name != marked]
    text = {name: not any(isinstance(value, int | float) for value in frame[name].tolist()) for name in names}
    marks = shown[marked].tolist() if marked else [False] * len(shown)
    cells = zip(*(shown[name].tolist() for name in names), strict=True)
    rows = [
        ([(written(v), text[n]) for n, v in zip(names, row, strict=True)], m)
        for row, m in zip(cells, marks, strict=True)
    ]
    block = filled(TABLE, columns=[(name, text[name]) for name in names], rows=rows)
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


def figure(drawing, words=""):
    """A matplotlib figure."""
    file = BytesIO()
    drawing.savefig(file, format="png", dpi=110)
    return filled(FIGURE, data=b64encode(file.getvalue()).decode(), alt=words)


def photos(pairs):
    """Photos (H, W, 1 or 3) of pixels 0..255 with words below: pairs of these."""
    return filled(PHOTOS, photos=[(b64encode(png(pixels)).decode(), words) for pixels, words in pairs])


def png(pixels):
    import numpy as np
    from PIL import Image

    whole = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    image = Image.fromarray(whole[..., 0] if whole.shape[-1] == 1 else whole)
    image.thumbnail((160, 160))
    file = BytesIO()
    image.save(file, "png")
    return file.getvalue()
