"""A block diagram of any model as SVG: no graphviz, legible in print, in grey, and on dark pages.

A box's height stands for the side of the map and its width for the channels, both in logarithm.
"""

from dataclasses import dataclass
from html import escape

from .blocks import boxes, totals
from .graph import walk
from .layout import MANY, Mark, rows, text_width
from .show import short, write
from .structure import Tangle, structure

# Light fills under dark text, in both themes; the words in the boxes carry the type when printed in grey.
FILLS = {
    "input": ("#ffffff", "input"),
    "conv": ("#9ccbee", "convolution"),
    "depthwise": ("#8fdcc6", "depthwise or separable"),
    "pool": ("#f7c77e", "pool"),
    "dense": ("#d3bdf0", "fully connected"),
    "up": ("#f6b3c5", "upsampling"),
    "join": ("#d5d9dd", "concatenation or slice"),
    "sum": ("#fff3b0", "addition or product"),
    "other": ("#eef0d5", "other"),
}
STYLE = """
.kc-diagram{font-family:system-ui,"Segoe UI","DejaVu Sans",sans-serif;color:#24292f;color-scheme:light dark}
.kc-diagram .page{fill:#fff}
.kc-diagram text{font-size:12px;text-anchor:middle;fill:currentColor}
.kc-diagram .inside{fill:#111}
.kc-diagram .left{text-anchor:start}
.kc-diagram .title{font-size:18px;font-weight:600;text-anchor:start}
.kc-diagram .total{font-size:14px;text-anchor:start}
.kc-diagram .count{font-size:15px;font-weight:700}
.kc-diagram .symbol{font-size:16px;fill:#111}
.kc-diagram .line{fill:none;stroke:currentColor;stroke-width:1.4}
.kc-diagram .arc{fill:none;stroke:currentColor;stroke-width:1.8}
.kc-diagram .turn{fill:none;stroke:currentColor;stroke-width:1.2;stroke-dasharray:4 4;opacity:.6}
.kc-diagram .frame{fill:currentColor;fill-opacity:.05;stroke:currentColor;stroke-opacity:.55;stroke-dasharray:5 3}
.kc-diagram .box{stroke:#24292f;stroke-width:1}
@media (prefers-color-scheme:dark){.kc-diagram{color:#e6e8eb}.kc-diagram .page{fill:#16191e}}
"""
MARGIN = 24
HEAD = 70
BASELINE = 4.3  # from the middle of 12 px text down to its baseline
ARROW = (
    '<defs><marker id="kc-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0 0.5L8 4L0 7.5z" fill="currentColor"/></marker></defs>'
)


@dataclass(frozen=True)
class Diagram:
    """A drawing as SVG text; notebooks show it."""

    name: str
    svg: str

    def save(self, path):
        """Write an .svg file."""
        if not str(path).endswith(".svg"):
            raise ValueError(f"`path` should end in .svg. Received: {str(path)!r}")
        return write(path, self.svg)

    def _repr_svg_(self):
        return self.svg

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"image/svg+xml": self.svg, "text/plain": f"Diagram of {self.name}"}


def diagram(model, *, width=1200, input_shape=None):
    """Draw a model as blocks: repeats folded as x3, skips as arcs, branches stacked, in rows of about `width`."""
    graph = walk(model, input_shape)
    pieces = structure(graph)
    lines = rows(pieces, width - 2 * MARGIN)
    every = boxes(graph)
    marks, height = _stack(lines)
    width = max([line.width for line in lines] + [640]) + 2 * MARGIN
    legend, height = _legend({box.type for box in every}, _notes(pieces, marks), height + 8, width)
    params, macs = totals(every)
    head = f"{short(params)} parameters, {short(macs)} multiply-adds"
    body = [
        f'<text class="title" x="{MARGIN}" y="28">{escape(graph.name)}</text>',
        f'<text class="total" x="{MARGIN}" y="52">{escape(head)}</text>',
        *(_svg(mark) for mark in sorted(marks, key=lambda mark: LAYERS.index(mark.what))),
        *legend,
    ]
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="kc-diagram" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(graph.name)}: {escape(head)}">'
    )
    page = (
        f"<style>{escape(STYLE, quote=False)}</style>{ARROW}" + '<rect class="page" width="100%" height="100%" rx="6"/>'
    )
    return Diagram(graph.name, "\n".join([opening, page, *body, "</svg>"]))


LAYERS = ("frame", "turn", "line", "arc", "rect", "circle", "text")


def _stack(lines):
    """Put the rows under one another; a dashed line leads from each to the next."""
    marks, y, end = [], HEAD, None
    for line in lines:
        centre = y + line.up + 12
        if end is not None:
            right, before = end
            turn = ((right, before), (right + 12, before), (right + 12, y), (MARGIN - 12, y), (MARGIN - 12, centre))
            marks.append(Mark("turn", (*turn, (MARGIN, centre))))
        marks += [mark.moved(MARGIN, centre) for mark in line.marks]
        end = (MARGIN + line.width, centre)
        y = centre + line.down + 14
    return marks, y


def _notes(pieces, marks):
    """What a reader has to know, as far as it occurs."""
    yield "height: side of the map, width: channels (both logarithmic); norms and activations are part of a box"
    if any(mark.what == "frame" for mark in marks):
        yield "\u00d7n: a block that repeats n times, drawn once as it is the last time"
    if any(isinstance(piece, Tangle) and len(piece.boxes) > MANY for piece in pieces):
        yield "boxes without lines between them stand in the order they run: too many links to draw"


def _legend(types, notes, y, width):
    """A swatch for every type that occurs, then the notes."""
    parts, x = [], MARGIN
    for kind, (fill, word) in FILLS.items():
        if kind not in types:
            continue
        step = 22 + text_width(word) + 16
        if x + step > width - MARGIN:
            x, y = MARGIN, y + 20
        parts.append(f'<rect class="box" x="{x:.0f}" y="{y:.0f}" width="14" height="14" rx="2" fill="{fill}"/>')
        parts.append(f'<text class="left" x="{x + 20:.0f}" y="{y + 7 + BASELINE:.1f}">{word}</text>')
        x += step
    for note in notes:
        y += 20
        parts.append(f'<text class="left" x="{MARGIN}" y="{y + 7 + BASELINE:.1f}">{note}</text>')
    return parts, y + 14 + MARGIN


def _svg(mark):
    """One mark as an element."""
    tip = f"<title>{escape(mark.tip)}</title>" if mark.tip else ""
    if mark.what in ("line", "turn"):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in mark.at)
        arrow = ' marker-end="url(#kc-arrow)"' if mark.what == "turn" else ""
        return f'<polyline class="{f"{mark.what} {mark.style}".strip()}" points="{points}"{arrow}/>'
    if mark.what == "text":
        x, y = mark.at
        return f'<text class="{mark.style}" x="{x:.1f}" y="{y + BASELINE:.1f}">{escape(mark.text)}</text>'
    if mark.what == "circle":
        x, y, radius = mark.at
        shape = f'<circle class="box" cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{FILLS["sum"][0]}"/>'
        return (
            f'<g>{tip}{shape}<text class="symbol" x="{x:.1f}" y="{y + BASELINE + 1:.1f}">{escape(mark.text)}</text></g>'
        )
    if mark.what == "arc":
        return _arc(*mark.at)
    x, y, width, height = mark.at
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    if mark.what == "frame":
        return f'<rect class="frame" {place} rx="8"/>'
    return f'<rect class="box" {place} rx="3" fill="{FILLS[mark.style][0]}">{tip}</rect>'


def _arc(x, y, width, rise, stay):
    """Up by `rise`, over, and down to `stay` above the line, with round corners and an arrow where it lands."""
    bend, stop = min(10, width / 2), x + width
    path = f"M{x:.1f} {y:.1f}V{y - rise + bend:.1f}q0 {-bend:.1f} {bend:.1f} {-bend:.1f}H{stop - bend:.1f}"
    path += f"q{bend:.1f} 0 {bend:.1f} {bend:.1f}V{y - stay - 1:.1f}"
    return f'<path class="arc" d="{path}" marker-end="url(#kc-arrow)"/>'
