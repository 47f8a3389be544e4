"""How a table of a network is written: text, HTML, JSON, files."""

import difflib
import html as markup
import json
from dataclasses import asdict
from pathlib import Path

from ..files import replacing
from .graph import show_shape

UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
COLUMNS = (
    "layer",
    "kind",
    "output",
    "params",
    "trainable",
    "multiply-adds",
    "activations",
    "receptive field",
    "stride",
)
TEXTUAL = 3  # the first columns are words, the others numbers


def short(number, unit=""):
    """A count in three or four digits: 138.4 M, 15.47 G; "?" if unknown."""
    if number is None:
        return "?"
    for size, letter in UNITS:
        if number >= size:
            return f"{number / size:.4g} {letter}{unit}"
    return f"{number:,} {unit}".strip()


def near(name, rows):
    """A hint at names that are close."""
    close = difflib.get_close_matches(str(name), [row.name for row in rows], n=3, cutoff=0.4)
    return f"; did you mean {', '.join(close)}?" if close else "."


def _cells(row):
    """One row as strings, in the order of COLUMNS."""
    field = {"field": show_shape(row.receptive or ()), "whole": "whole"}.get(row.sees, "unknown")
    if row.sees == "whole" and row.receptive:
        field = f"{show_shape(row.receptive)} all"
    if row.receptive == ():
        field = "-"
    return (
        row.name,
        row.kind,
        show_shape(row.shape),
        f"{row.params:,}" if row.params else "",
        f"{row.trainable:,}" if row.params else "",
        "?" if row.macs is None else f"{row.macs:,}" if row.macs else "",
        "?" if row.activations is None else f"({row.activations:,})" if row.in_place else f"{row.activations:,}",
        field,
        "x".join(f"{step:g}" for step in row.stride) if row.stride else "",
    )


def summary(anatomy):
    """The totals in words, one fact a line."""
    lines = [
        f"{anatomy.params:,} parameters ({short(anatomy.params)}): {anatomy.learned:,} learned, "
        f"{anatomy.trainable:,} trainable now",
        f"{short(anatomy.macs)} multiply-adds for one image",
        f"{short(anatomy.activations)} activations, {short(anatomy.bytes, 'B')} as float32 "
        f"(in brackets: in place, not counted; all outputs: {short(anatomy.outputs)})",
    ]
    reasons = dict.fromkeys(row.sees for row in anatomy.rows if row.sees not in ("field", "whole", "no input"))
    return lines + [f"receptive field unknown from here on: {reason}" for reason in reasons]


def text(anatomy, max_rows=None):
    """Aligned columns; of a long table the first and last rows."""
    rows = [_cells(row) for row in anatomy.rows]
    if max_rows is not None and len(rows) > max_rows:
        first = (max_rows + 1) // 2
        last = max_rows - first
        gap = (f"... {len(rows) - max_rows} more", *[""] * (len(COLUMNS) - 1))
        rows = rows[:first] + [gap] + (rows[-last:] if last else [])
    widths = [max(len(line[i]) for line in (COLUMNS, *rows)) for i in range(len(COLUMNS))]

    def line(cells):
        words = zip(cells, widths, strict=True)
        return "  ".join(c.ljust(w) if i < TEXTUAL else c.rjust(w) for i, (c, w) in enumerate(words)).rstrip()

    rule = "-" * len(line(["x" * width for width in widths]))
    return "\n".join([anatomy.name, line(COLUMNS), rule, *map(line, rows), rule, *summary(anatomy)])


STYLE = """<style>
.kc-anatomy{font:13px/1.45 system-ui,sans-serif;color:CanvasText;color-scheme:light dark;overflow-x:auto}
.kc-anatomy table{border-collapse:collapse;font-variant-numeric:tabular-nums}
.kc-anatomy caption{text-align:left;font-weight:600;padding:4px 0}
.kc-anatomy th,.kc-anatomy td{padding:2px 10px;text-align:right;white-space:nowrap;background:none;color:inherit}
.kc-anatomy th{border-bottom:1px solid currentColor;font-weight:600}
.kc-anatomy .kc-word{text-align:left}
.kc-anatomy tbody tr:nth-child(even) td{background:color-mix(in srgb,currentColor 6%,transparent)}
.kc-anatomy .kc-quiet td{opacity:.72}
.kc-anatomy p{margin:2px 0}
</style>"""


def html(anatomy):
    """A fragment: style, table, totals."""

    def row(cells, tag, quiet=False):
        parts = [
            f"<{tag}{' class=kc-word' if i < TEXTUAL else ''}>{markup.escape(cell)}</{tag}>"
            for i, cell in enumerate(cells)
        ]
        return f"<tr{' class=kc-quiet' if quiet else ''}>{''.join(parts)}</tr>"

    body = "\n".join(row(_cells(item), "td", item.in_place) for item in anatomy.rows)
    notes = "".join(f"<p>{markup.escape(line)}</p>" for line in summary(anatomy))
    return (
        f'{STYLE}<div class="kc-anatomy"><table><caption>{markup.escape(anatomy.name)}</caption>'
        f"<thead>{row(COLUMNS, 'th')}</thead><tbody>\n{body}\n</tbody></table>{notes}</div>"
    )


def json_text(anatomy, indent=None):
    """Plain types only: tuples become lists, unknown numbers null."""
    content = {"name": anatomy.name, "totals": anatomy.totals, "rows": [asdict(row) for row in anatomy.rows]}
    return json.dumps(content, indent=indent, allow_nan=False)


WRITERS = {
    ".csv": lambda anatomy: anatomy.table.to_csv(index=False),
    ".json": lambda anatomy: json_text(anatomy, indent=1),
    ".html": html,
    ".txt": text,
}


def save(anatomy, path):
    """Write by suffix."""
    path = Path(path)
    if path.suffix not in WRITERS:
        raise ValueError(f"`path` should end in one of {', '.join(WRITERS)}. Received: {str(path)!r}")
    return write(path, WRITERS[path.suffix](anatomy))


def write(path, content):
    """Write text that ends in a line; folders are made."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_text(content if content.endswith("\n") else content + "\n", encoding="utf-8")
    return Path(path)
