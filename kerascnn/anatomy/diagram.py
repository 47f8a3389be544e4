"""A block diagram of any model as SVG: no graphviz, legible in print, in gray, and on dark pages.

The height of a box is the logarithm of the map size, its width the logarithm of the channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from html import escape

from ..graph.walk import build_graph, describe_shape
from ..support.display import TextResult
from ..support.files import save_text
from ..support.types import Model
from .blocks import Block, Parallel, Repeat, SideBranch, Tangle, find_blocks, fold_structure, side_and_channels
from .table import format_exact_count, sum_known

# Light fills under dark text, in both themes; the words in the boxes carry the type when printed in gray.
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


@dataclass(frozen=True, kw_only=True, repr=False)
class Diagram(TextResult):
    """A block diagram as SVG, shown by notebooks.

    Attributes:
        name: name of the model.
        svg: the drawing as SVG text.
    """

    name: str
    svg: str

    def save(self, path):
        """Write the drawing to an .svg file."""
        if not str(path).endswith(".svg"):
            raise ValueError(f"`path` should end in .svg. Received: {str(path)!r}")
        return save_text(self.svg, path)

    def __str__(self):
        return f"{self.name}, {len(self.svg):,} characters of SVG"

    def _repr_svg_(self):
        return self.svg

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"image/svg+xml": self.svg, "text/plain": str(self)}


def diagram(model: Model, *, width: int = 1200, input_shape: tuple[int | None, ...] | None = None) -> Diagram:
    """Draw a model as a block diagram in SVG.

    Repeated blocks are drawn once with their count, skip connections as arcs, branches one above the other.

    Args:
        model: any Functional or Sequential Keras model.
        width: width of a row, about, in pixels.
        input_shape: (height, width, channels), where the model leaves sizes open.

    Returns:
        A `Diagram`, to be shown by a notebook or saved.
    """
    graph = build_graph(model, input_shape)
    pieces = fold_structure(graph)
    lines = break_into_rows(pieces, width - 2 * MARGIN)
    blocks = find_blocks(graph)
    marks, height = _stack_rows(lines)
    width = max([line.width for line in lines] + [640]) + 2 * MARGIN
    legend, height = _legend({box.type for box in blocks}, _notes(pieces, marks), height + 8, width)
    params, macs = sum(box.params for box in blocks), sum_known(box.macs for box in blocks)
    head = f"{format_exact_count(params)} parameters, {format_exact_count(macs)} multiply-adds"
    body = [
        f'<text class="title" x="{MARGIN}" y="28">{escape(graph.name)}</text>',
        f'<text class="total" x="{MARGIN}" y="52">{escape(head)}</text>',
        *(_mark_to_svg(mark) for mark in sorted(marks, key=lambda mark: DRAWING_ORDER.index(mark.kind))),
        *legend,
    ]
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="kc-diagram" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(graph.name)}: {escape(head)}">'
    )
    page = (
        f"<style>{escape(STYLE, quote=False)}</style>{ARROW}" + '<rect class="page" width="100%" height="100%" rx="6"/>'
    )
    return Diagram(name=graph.name, svg="\n".join([opening, page, *body, "</svg>"]))


DRAWING_ORDER = ("frame", "turn", "line", "arc", "rect", "circle", "text")


def _stack_rows(lines):
    """Put the rows below one another, connected by dashed lines."""
    marks, y, end = [], HEAD, None
    for line in lines:
        center = y + line.up + 12
        if end is not None:
            right, before = end
            turn = ((right, before), (right + 12, before), (right + 12, y), (MARGIN - 12, y), (MARGIN - 12, center))
            marks.append(Mark("turn", (*turn, (MARGIN, center))))
        marks += [mark.translate(MARGIN, center) for mark in line.marks]
        end = (MARGIN + line.width, center)
        y = center + line.down + 14
    return marks, y


def _notes(pieces, marks):
    """Explanations of what occurs in this diagram."""
    yield (
        "height of a box: map size; width: channels (both logarithmic); "
        "normalization and activation layers are part of a box"
    )
    if any(mark.kind == "frame" for mark in marks):
        yield "\u00d7n: a block repeated n times; its last copy is drawn"
    if any(isinstance(piece, Tangle) and len(piece.boxes) > MANY for piece in pieces):
        yield "boxes are listed in execution order without connections: there are too many to draw"


def _legend(types, notes, y, width):
    """A color swatch for every type that occurs, then the notes."""
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


def _mark_to_svg(mark):
    """A mark as an SVG element."""
    tip = f"<title>{escape(mark.tip)}</title>" if mark.tip else ""
    if mark.kind in ("line", "turn"):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in mark.at)
        arrow = ' marker-end="url(#kc-arrow)"' if mark.kind == "turn" else ""
        return f'<polyline class="{f"{mark.kind} {mark.style}".strip()}" points="{points}"{arrow}/>'
    if mark.kind == "text":
        x, y = mark.at
        return f'<text class="{mark.style}" x="{x:.1f}" y="{y + BASELINE:.1f}">{escape(mark.text)}</text>'
    if mark.kind == "circle":
        x, y, radius = mark.at
        shape = f'<circle class="box" cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{FILLS["sum"][0]}"/>'
        return (
            f'<g>{tip}{shape}<text class="symbol" x="{x:.1f}" y="{y + BASELINE + 1:.1f}">{escape(mark.text)}</text></g>'
        )
    if mark.kind == "arc":
        return _arc_to_svg(*mark.at)
    x, y, width, height = mark.at
    geometry = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    if mark.kind == "frame":
        return f'<rect class="frame" {geometry} rx="8"/>'
    return f'<rect class="box" {geometry} rx="3" fill="{FILLS[mark.style][0]}">{tip}</rect>'


def _arc_to_svg(x, y, width, rise, stay):
    """An arc of height `rise` with round corners; its arrow ends at `stay` above the line."""
    bend, stop = min(10, width / 2), x + width
    path = f"M{x:.1f} {y:.1f}V{y - rise + bend:.1f}q0 {-bend:.1f} {bend:.1f} {-bend:.1f}H{stop - bend:.1f}"
    path += f"q{bend:.1f} 0 {bend:.1f} {bend:.1f}V{y - stay - 1:.1f}"
    return f'<path class="arc" d="{path}" marker-end="url(#kc-arrow)"/>'


FONT = 12
GAP = 20  # between boxes
FORK = 14  # where branches part and meet
ARC = 20  # how far an arc rises over what it skips
MANY = 16  # a tangle of more boxes is drawn without its links
RADIUS = 11
FRAME = 9


@dataclass(frozen=True)
class Mark:
    """One thing to draw: its `kind`, its position `at` (x, y and size, or points) and its class `style`."""

    kind: str
    at: tuple
    style: str = ""
    text: str = ""
    tip: str = ""

    def translate(self, dx, dy):
        """The same mark, moved."""
        if self.kind == "line":
            return replace(self, at=tuple((x + dx, y + dy) for x, y in self.at))
        x, y, *rest = self.at
        return replace(self, at=(x + dx, y + dy, *rest))


@dataclass(frozen=True)
class Layout:
    """Marks with their extent: `width` to the right, `up` and `down` from the center line."""

    width: float
    up: float
    down: float
    marks: tuple


def text_width(text, size=FONT):
    """Upper estimate of a text's width in sans-serif fonts."""
    return sum(0.36 if letter in " ,.:/il" else 0.64 for letter in text) * size


def lay_out(piece, scale=1.0):
    """The layout of one piece."""
    return LAYOUTS[type(piece)](piece, scale)


def _lay_out_block(box, scale):
    if box.type == "sum" and len(box.lines[0]) == 1:
        mark = Mark("circle", (RADIUS, 0, RADIUS), "sum", box.lines[0], _tooltip(box))
        return Layout(2 * RADIUS, RADIUS, RADIUS, (mark,))
    side, channels = side_and_channels(box.shape)
    height = max((16 * math.log2((side or 32) + 1) + 18) * scale, 15 * len(box.lines) + 8)
    width = max(6 * math.log2((channels or 1) + 1) + 18, max(map(text_width, box.lines)) + 10)
    label = describe_shape(box.shape)
    cell = max(width, text_width(label))
    left = (cell - width) / 2
    marks = [Mark("rect", (left, -height / 2, width, height), box.type, "", _tooltip(box))]
    for index, line in enumerate(box.lines):
        y = (index - (len(box.lines) - 1) / 2) * 15
        marks.append(Mark("text", (cell / 2, y), "inside", line))
    marks.append(Mark("text", (cell / 2, height / 2 + 10), "shape", label))
    if left > 0:
        stubs = [((0, 0), (left, 0)), ((left + width, 0), (cell, 0))]
        marks += [Mark("line", stub) for stub in stubs[box.type == "input" :]]
    return Layout(cell, height / 2, height / 2 + 19, tuple(marks))


def _tooltip(box):
    names = " + ".join(node.name for node in box.nodes)
    macs = "unknown multiply-adds" if box.macs is None else f"{box.macs:,} multiply-adds"
    return f"{names}\n{describe_shape(box.shape)}\n{box.params:,} parameters, {macs}"


def lay_out_chain(pieces, scale=1.0):
    """The layout of pieces one after the other."""
    marks, x, up, down = [], 0.0, 0.0, 0.0
    for index, piece in enumerate(pieces):
        layout = lay_out(piece, scale)
        if index:
            gap = 0 if _touches(pieces[index - 1], piece) else GAP
            if gap and not _is_loose_block(pieces[index - 1]) and not _is_loose_block(piece):
                marks.append(Mark("line", ((x, 0), (x + gap, 0))))
            x += gap
        marks += [mark.translate(x, 0) for mark in layout.marks]
        x, up, down = x + layout.width, max(up, layout.up), max(down, layout.down)
    return Layout(x, up, down, tuple(marks))


def _touches(before, after):
    """Whether no gap is needed, because forks have their own."""
    return isinstance(before, SideBranch) or isinstance(after, Parallel | SideBranch)


def _is_loose_block(piece):
    """Whether a piece is one box of a tangle too large to draw its links."""
    return isinstance(piece, Tangle) and not piece.links


def _lay_out_parallel(parallel, scale):
    """A single branch on the center line, or several stacked around it; a skip connection is an arc above."""
    rows = len(parallel.branches)
    layouts = [lay_out_chain(branch, scale if rows == 1 else min(scale, 0.6)) for branch in parallel.branches]
    inner = max(layout.width for layout in layouts)
    width = inner + 4 * FORK
    end = _lay_out_block(parallel.join, scale) if parallel.join else Layout(0, 0, 0, ())
    heights = [layout.up + layout.down for layout in layouts]
    top = -(sum(heights) + GAP / 2 * (rows - 1)) / 2 if rows > 1 else -layouts[0].up
    start, marks, y = top, [], top
    for branch, layout, height in zip(parallel.branches, layouts, heights, strict=True):
        line = y + layout.up
        left = 2 * FORK + (inner - layout.width) / 2
        marks += _elbow(width - FORK, left + layout.width, line)
        marks += [] if _starts_with_input(branch) else _elbow(FORK, left, line)
        marks += [mark.translate(left, line) for mark in layout.marks]
        y += height + GAP / 2
    marks += [mark.translate(width, 0) for mark in end.marks]
    marks.append(Mark("line", ((width - FORK, 0), (width, 0))))
    if not all(map(_starts_with_input, parallel.branches)):
        marks.append(Mark("line", ((0, 0), (FORK, 0))))
    up, down = max(-start, end.up), max(y - GAP / 2, end.down)
    if parallel.skip:
        up += ARC
        land = width + end.width / 2 - FORK if parallel.join else width - 2 * FORK
        marks.append(Mark("arc", (FORK, 0, land, up, end.up)))
        up += 2
    return Layout(width + end.width, up, down, tuple(marks))


def _starts_with_input(branch):
    """Whether a branch starts with an input of its own."""
    return isinstance(branch[0], Block) and branch[0].type == "input"


def _elbow(post, end, line):
    """A line from the center line at `post` to the end of a branch."""
    return [Mark("line", ((post, 0), (post, line), (end, line)))]


def _lay_out_side_branch(branch, scale):
    """A side branch below the main line."""
    layout = lay_out_chain(branch.chain, min(scale, 0.6))
    drop = layout.up + 16
    width = layout.width + 2 * FORK + GAP
    marks = [Mark("line", ((0, 0), (width, 0))), Mark("line", ((FORK, 0), (FORK, drop), (2 * FORK, drop)))]
    marks += [mark.translate(2 * FORK, drop) for mark in layout.marks]
    return Layout(width, 0, drop + layout.down, tuple(marks))


def _lay_out_tangle(tangle, scale):
    """Boxes in execution order; links that skip boxes are arcs."""
    if _is_loose_block(tangle):
        return _lay_out_block(tangle.boxes[0], scale)
    marks, x, up, down, edges = [], 0.0, 0.0, 0.0, []
    linked = {stop for start, stop in tangle.links if stop == start + 1}
    for index, box in enumerate(tangle.boxes):
        layout = _lay_out_block(box, min(scale, 0.6))
        if index in linked:
            marks.append(Mark("line", ((x, 0), (x + GAP, 0))))
        x += GAP
        marks += [mark.translate(x, 0) for mark in layout.marks]
        edges.append((x, x + layout.width))
        x, up, down = x + layout.width, max(up, layout.up), max(down, layout.down)
    jumps = sorted((pair for pair in tangle.links if pair[1] > pair[0] + 1), key=lambda pair: pair[1] - pair[0])
    for level, (start, stop) in enumerate(jumps):
        start_x, end_x = (
            edges[start][1] + 4 if start >= 0 else 4,
            edges[stop][0] - 4 if stop < len(edges) else x + GAP - 4,
        )
        marks.append(Mark("arc", (start_x, 0, end_x - start_x, up + 8 * (level + 1), 0)))
    marks.append(Mark("line", ((x, 0), (x + GAP, 0))))
    return Layout(x + GAP, up + 8 * len(jumps), down, tuple(marks))


def _lay_out_repeat(repeat, scale):
    """A frame with its number of repeats."""
    layout = lay_out_chain(repeat.chain, scale)
    frame = (0, -layout.up - FRAME - 6, layout.width + 2 * FRAME, layout.up + layout.down + 2 * FRAME + 6)
    count = f"\u00d7{repeat.count}"
    marks = [
        Mark("frame", frame),
        Mark("text", (frame[2] - text_width(count, 15) / 2 - 6, frame[1] - 10), "count", count),
        Mark("line", ((0, 0), (FRAME, 0))),
        Mark("line", ((frame[2] - FRAME, 0), (frame[2], 0))),
        *(mark.translate(FRAME, 0) for mark in layout.marks),
    ]
    return Layout(frame[2], -frame[1] + 20, frame[1] + frame[3], tuple(marks))


LAYOUTS = {
    Parallel: _lay_out_parallel,
    SideBranch: _lay_out_side_branch,
    Tangle: _lay_out_tangle,
    Repeat: _lay_out_repeat,
    Block: _lay_out_block,
}


def break_into_rows(pieces, width):
    """Break a chain into rows of about `width`; a short last row is appended to the one before."""
    pieces = list(_split_tangles(pieces))
    widest = max(lay_out(piece).width for piece in pieces)
    if widest > width:
        width = max(widest, min(lay_out_chain(pieces).width, 1.35 * widest))
    lines = [[]]
    for piece in pieces:
        if lines[-1] and lay_out_chain([*lines[-1], piece]).width > width:
            lines.append([])
        lines[-1].append(piece)
    if len(lines) > 1 and lay_out_chain([*lines[-2], *lines[-1]]).width <= 1.15 * width:
        lines[-2:] = [[*lines[-2], *lines[-1]]]
    return [lay_out_chain(line) for line in lines]


def _split_tangles(pieces):
    """Split large tangles into single boxes, which can wrap."""
    for piece in pieces:
        if isinstance(piece, Tangle) and len(piece.boxes) > MANY:
            yield from (Tangle((box,), ()) for box in piece.boxes)
        else:
            yield piece
