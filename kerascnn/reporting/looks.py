"""How a page looks, and the markup of its blocks: no script, nothing to load, light and dark, screen and paper."""

STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1b1b1b; --soft: #565d69; --line: #d9dde3; --card: #f5f7f9;
  --accent: #00629b; --good: #00694a; --fair: #8a4b00; --poor: #a8320b; --mat: #fff; }
@media (prefers-color-scheme: dark) { :root { --back: #15181c; --text: #e6e8eb; --soft: #a8afb9; --line: #343a42;
  --card: #1d2126; --accent: #6cc0f0; --good: #4cc79a; --fair: #f0b04a; --poor: #ff8a5c; --mat: #f4f4f2; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; } @media (prefers-reduced-motion) { html { scroll-behavior: auto; } }
body { background: var(--back); color: var(--text); font: 16px/1.55 system-ui, sans-serif; margin: 0 auto;
  max-width: 72rem; padding: 2rem 1.2rem 4rem; overflow-wrap: break-word; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.35rem; margin: 2.8rem 0 .6rem; border-bottom: 1px solid var(--line); padding-bottom: .25rem; }
h3 { font-size: 1.08rem; margin: 1.6rem 0 .3rem; }
a { color: var(--accent); } :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
p { max-width: 46rem; margin: .6rem 0; } .lead { font-size: 1.15rem; }
.soft, figcaption, caption { color: var(--soft); }
nav { margin: 1.2rem 0; padding: .5rem 0; border: solid var(--line); border-width: 1px 0; }
nav a { display: inline-block; margin-right: 1.1rem; padding: .15rem 0; text-decoration: none; white-space: nowrap; }
nav a:hover { text-decoration: underline; }
.wide { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; margin: .6rem 0; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { padding: .28rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { border-bottom: 2px solid var(--line); } tbody th { font-weight: 400; }
td.text, th.text { text-align: left; } td.text, tbody th.text { white-space: normal; overflow-wrap: break-word;
  min-width: 6rem; max-width: 26rem; }
tr.marked > * { background: var(--card); font-weight: 600; }
dl { display: grid; grid-template-columns: fit-content(40%) 1fr; gap: .25rem 1.2rem; margin: .6rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 1.1rem 0; } figure > img, .scroll > img { display: block; max-width: 100%; height: auto;
  background: var(--mat); border: 1px solid var(--line); border-radius: 6px; }
.scroll { overflow-x: auto; } .scroll > img { max-width: none; width: 100%; min-width: min(44rem, var(--own)); }
figcaption { max-width: 52rem; margin-top: .4rem; font-size: 1rem; line-height: 1.45; overflow-wrap: anywhere; }
img.fine { image-rendering: pixelated; } .drawn { overflow-x: auto; } .drawn > svg { height: auto; max-width: 100%;
  min-width: min(46rem, 100%); }
.row { display: flex; flex-wrap: wrap; gap: 1rem 1.4rem; align-items: flex-start; }
.row > * { flex: 0 1 auto; min-width: 0; max-width: 100%; margin: .4rem 0; }
.row > figure > figcaption { max-width: 20rem; }
.photos { display: flex; flex-wrap: wrap; gap: 1.1rem; } .photos figure { margin: 0; width: 9.5rem; }
.photos img { width: 100%; aspect-ratio: 1; object-fit: contain; image-rendering: pixelated; background: var(--card);
  border: 0; border-radius: 4px; }
.photos figcaption { font-size: 1rem; line-height: 1.35; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); gap: .9rem;
  margin: 1rem 0; padding: 0; list-style: none; }
.cards li { background: var(--card); border: 1px solid var(--line); border-left: .35rem solid var(--soft);
  border-radius: 6px; padding: .7rem .9rem; }
.cards .good { border-left-color: var(--good); } .cards .fair { border-left-color: var(--fair); }
.cards .poor { border-left-color: var(--poor); }
.cards b { display: block; font-size: 1.5rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.cards span { display: block; } .status { font-weight: 600; color: var(--soft); }
.good > .status { color: var(--good); } .fair > .status { color: var(--fair); } .poor > .status { color: var(--poor); }
details { margin: .7rem 0; } summary { cursor: pointer; color: var(--accent); width: fit-content; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .6rem .8rem;
  overflow-x: auto; font: 1rem/1.5 ui-monospace, monospace; }
.box { border: 1px solid var(--line); border-left: .35rem solid var(--soft); background: var(--card);
  padding: .2rem 1rem; border-radius: 6px; margin: .8rem 0; } .box.failed { border-left-color: var(--poor); }
@media (max-width: 48rem) { .drawn > svg { max-width: none; width: 46rem; } }
@media (max-width: 30rem) { body { padding: 1.2rem .9rem 3rem; } dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .4rem; } .photos figure { width: 8.4rem; } }
@media print { :root { --back: #fff; --text: #000; --soft: #444; --line: #bbb; --card: #f6f6f6; --accent: #000;
  --good: #00694a; --fair: #8a4b00; --poor: #a8320b; --mat: #fff; color-scheme: light; }
  body { max-width: none; padding: 0; font-size: 12pt; } nav, summary { display: none; }
  h2, h3 { break-after: avoid; } figure, .cards li, tr { break-inside: avoid; } pre { white-space: pre-wrap; }
  details::details-content { content-visibility: visible; display: block; block-size: auto; }
  details > *:not(summary) { display: block !important; } .wide, .scroll, .drawn { overflow: visible; }
  .scroll > img, .drawn > svg { min-width: 0; max-width: 100%; } table { font-size: 8.5pt; }
  th, td, td.text, tbody th.text { white-space: normal; padding: .15rem .3rem; min-width: 0;
  overflow-wrap: anywhere; } }
"""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<title>{{ title }}</title><style>{{ style }}</style></head>
<body><header><h1>{{ title }}</h1>{% if lead %}<p class="lead">{{ lead }}</p>{% endif %}
{% if note %}<p class="soft">{{ note }}</p>{% endif %}
<nav aria-label="Sections">{% for anchor, section in sections %}<a href="#{{ anchor }}">{{ section.title }}</a>
{% endfor %}</nav></header>
<main>{% for anchor, section in sections %}<section id="{{ anchor }}"><h2>{{ section.title }}</h2>
{% for block in section.blocks %}{{ block }}
{% endfor %}</section>
{% endfor %}</main>{% if data %}
<script type="application/json" id="report-data">{{ data }}</script>{% endif %}</body></html>
"""
TABLE = """<div class="wide" role="group" aria-label="{{ label }}" tabindex="0"><table>
{% if caption %}<caption>{{ caption }}</caption>{% endif %}
<thead><tr>{% for name, text in columns %}<th scope="col"{% if text %} class="text"{% endif %}>{{ name }}</th>
{% endfor %}</tr></thead><tbody>
{% for row, marked in rows %}<tr{% if marked %} class="marked"{% endif %}>{% for cell, text in row %}
{% if loop.first and text %}<th scope="row" class="text">{{ cell }}</th>{% else %}
<td{% if text %} class="text"{% endif %}>{{ cell }}</td>{% endif %}{% endfor %}</tr>
{% endfor %}</tbody></table></div>"""
FACTS = "<dl>{% for name, value in facts %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}</dl>"
PARAGRAPH = '<p{% if soft %} class="soft"{% endif %}>{{ text }}</p>'
CODE = '<pre tabindex="0">{{ text }}</pre>'
HEADING = "<h3>{{ text }}</h3>"
BOX = (
    '<div class="box{% if failed %} failed{% endif %}" role="note">{% for each in blocks %}{{ each }}{% endfor %}</div>'
)
IMAGE = """<figure{% if anchor %} id="{{ anchor }}"{% endif %}>{% if text %}
<div class="scroll" style="--own: {{ width }}px; max-width: {{ width }}px" tabindex="0"
 role="group" aria-label="figure">
{% endif %}<img src="{{ data }}" alt="{{ alt }}" width="{{ width }}" height="{{ height }}"{% if fine %} class="fine"
{% endif %}>{% if text %}</div>{% endif %}
{% if caption %}<figcaption>{{ caption }}</figcaption>{% endif %}
{% if code %}<details><summary>Code</summary><pre tabindex="0">{{ code }}</pre></details>{% endif %}</figure>"""
PHOTOS = """<div class="photos">{% for data, width, height, words in photos %}
<figure><img src="{{ data }}" width="{{ width }}" height="{{ height }}" alt="{{ words }}">
<figcaption>{{ words }}</figcaption></figure>
{% endfor %}</div>"""
ROW = '<div class="row">{% for each in blocks %}{{ each }}{% endfor %}</div>'
FOLDED = "<details><summary>{{ summary }}</summary>{% for each in blocks %}{{ each }}{% endfor %}</details>"
DRAWN = """<figure><div class="drawn" role="img" aria-label="{{ alt }}" tabindex="0">{{ svg }}</div>
{% if caption %}<figcaption>{{ caption }}</figcaption>{% endif %}</figure>"""
CARDS = """<ul class="cards">{% for label, value, status, note, tone in cards %}<li class="{{ tone }}">
<span>{{ label }}</span><b>{{ value }}</b><span class="status">{{ status }}</span>
<span class="soft">{{ note }}</span></li>
{% endfor %}</ul>"""
