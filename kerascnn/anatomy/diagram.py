"""A block diagram of any model as SVG: no graphviz, legible in print, in gray, and on dark pages.

A box's height stands for the side of the map and its width for the channels, both in logarithm.
"""

import math
from dataclasses import dataclass, replace
from html import escape

from ..graph.walk import show_shape, walk
from ..support.files import save_text
from .blocks import Box, Parallel, Repeat, Side, Tangle, boxes, side_and_channels, structure
from .table import short, sum_known

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


@dataclass(frozen=True)
class Diagram:
    """A drawing as SVG text; notebooks show it."""

    name: str
    svg: str

    def save(self, path):
        """Write an .svg file."""
        if not str(path).endswith(".svg"):
            raise ValueError(f"`path` should end in .svg. Received: {str(path)!r}")
        return save_text(self.svg, path)

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
    params, macs = sum(box.params for box in every), sum_known(box.macs for box in every)
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
        center = y + line.up + 12
        if end is not None:
            right, before = end
            turn = ((right, before), (right + 12, before), (right + 12, y), (MARGIN - 12, y), (MARGIN - 12, center))
            marks.append(Mark("turn", (*turn, (MARGIN, center))))
        marks += [mark.moved(MARGIN, center) for mark in line.marks]
        end = (MARGIN + line.width, center)
        y = center + line.down + 14
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


FONT = 12
GAP = 20  # between boxes
FORK = 14  # where branches part and meet
ARC = 20  # how far an arc rises over what it skips
MANY = 16  # a tangle of more boxes is drawn without its links
RADIUS = 11
FRAME = 9


@dataclass(frozen=True)
class Mark:
    """One thing to draw: `what` says which, `at` where (x, y, extents; points of a line), `style` its class."""

    what: str
    at: tuple
    style: str = ""
    text: str = ""
    tip: str = ""

    def moved(self, dx, dy):
        """The same mark elsewhere."""
        if self.what == "line":
            return replace(self, at=tuple((x + dx, y + dy) for x, y in self.at))
        x, y, *rest = self.at
        return replace(self, at=(x + dx, y + dy, *rest))


@dataclass(frozen=True)
class Part:
    """Marks with their extent: `width` to the right, `up` and `down` from the line. `open` ends lead nowhere."""

    width: float
    up: float
    down: float
    marks: tuple


def text_width(text, size=FONT):
    """An upper estimate for sans-serif fonts."""
    return sum(0.36 if letter in " ,.:/il" else 0.64 for letter in text) * size


def part_of(piece, scale=1.0):
    """Lay out one piece."""
    return LAYOUTS[type(piece)](piece, scale)


def _box(box, scale):
    if box.type == "sum" and len(box.lines[0]) == 1:
        mark = Mark("circle", (RADIUS, 0, RADIUS), "sum", box.lines[0], _tip(box))
        return Part(2 * RADIUS, RADIUS, RADIUS, (mark,))
    side, channels = side_and_channels(box.shape)
    height = max((16 * math.log2((side or 32) + 1) + 18) * scale, 15 * len(box.lines) + 8)
    width = max(6 * math.log2((channels or 1) + 1) + 18, max(map(text_width, box.lines)) + 10)
    label = show_shape(box.shape)
    cell = max(width, text_width(label))
    left = (cell - width) / 2
    marks = [Mark("rect", (left, -height / 2, width, height), box.type, "", _tip(box))]
    for index, line in enumerate(box.lines):
        y = (index - (len(box.lines) - 1) / 2) * 15
        marks.append(Mark("text", (cell / 2, y), "inside", line))
    marks.append(Mark("text", (cell / 2, height / 2 + 10), "shape", label))
    if left > 0:
        stubs = [((0, 0), (left, 0)), ((left + width, 0), (cell, 0))]
        marks += [Mark("line", stub) for stub in stubs[box.type == "input" :]]
    return Part(cell, height / 2, height / 2 + 19, tuple(marks))


def _tip(box):
    names = " + ".join(node.name for node in box.nodes)
    macs = "? multiply-adds" if box.macs is None else f"{box.macs:,} multiply-adds"
    return f"{names}\n{show_shape(box.shape)}\n{box.params:,} parameters, {macs}"


def chain(pieces, scale=1.0):
    """Pieces one after the other."""
    marks, x, up, down = [], 0.0, 0.0, 0.0
    for index, piece in enumerate(pieces):
        part = part_of(piece, scale)
        if index:
            gap = 0 if _touches(pieces[index - 1], piece) else GAP
            if gap and not _loose(pieces[index - 1]) and not _loose(piece):
                marks.append(Mark("line", ((x, 0), (x + gap, 0))))
            x += gap
        marks += [mark.moved(x, 0) for mark in part.marks]
        x, up, down = x + part.width, max(up, part.up), max(down, part.down)
    return Part(x, up, down, tuple(marks))


def _touches(before, after):
    """Forks bring their own room."""
    return isinstance(before, Side) or isinstance(after, Parallel | Side)


def _loose(piece):
    """A box out of a tangle that is too large to draw its links."""
    return isinstance(piece, Tangle) and not piece.links


def _parallel(piece, scale):
    """One branch stays on the line, several are stacked about it; a skip goes over the top to where they meet."""
    rows = len(piece.branches)
    parts = [chain(branch, scale if rows == 1 else min(scale, 0.6)) for branch in piece.branches]
    inner = max(part.width for part in parts)
    width = inner + 4 * FORK
    end = _box(piece.join, scale) if piece.join else Part(0, 0, 0, ())
    heights = [part.up + part.down for part in parts]
    top = -(sum(heights) + GAP / 2 * (rows - 1)) / 2 if rows > 1 else -parts[0].up
    start, marks, y = top, [], top
    for branch, part, height in zip(piece.branches, parts, heights, strict=True):
        line = y + part.up
        left = 2 * FORK + (inner - part.width) / 2
        marks += _elbow(width - FORK, left + part.width, line)
        marks += [] if _enters(branch) else _elbow(FORK, left, line)
        marks += [mark.moved(left, line) for mark in part.marks]
        y += height + GAP / 2
    marks += [mark.moved(width, 0) for mark in end.marks]
    marks.append(Mark("line", ((width - FORK, 0), (width, 0))))
    if not all(map(_enters, piece.branches)):
        marks.append(Mark("line", ((0, 0), (FORK, 0))))
    up, down = max(-start, end.up), max(y - GAP / 2, end.down)
    if piece.skip:
        up += ARC
        land = width + end.width / 2 - FORK if piece.join else width - 2 * FORK
        marks.append(Mark("arc", (FORK, 0, land, up, end.up)))
        up += 2
    return Part(width + end.width, up, down, tuple(marks))


def _enters(branch):
    """True for a branch that starts with an input of its own."""
    return isinstance(branch[0], Box) and branch[0].type == "input"


def _elbow(post, end, line):
    """From the line at a post, up or down, to the end of a branch."""
    return [Mark("line", ((post, 0), (post, line), (end, line)))]


def _side(piece, scale):
    """An ending branch hangs below while the main line goes on above."""
    part = chain(piece.chain, min(scale, 0.6))
    drop = part.up + 16
    width = part.width + 2 * FORK + GAP
    marks = [Mark("line", ((0, 0), (width, 0))), Mark("line", ((FORK, 0), (FORK, drop), (2 * FORK, drop)))]
    marks += [mark.moved(2 * FORK, drop) for mark in part.marks]
    return Part(width, 0, drop + part.down, tuple(marks))


def _tangle(piece, scale):
    """Boxes in a row in the order they run; links that skip are arcs."""
    if _loose(piece):
        return _box(piece.boxes[0], scale)
    marks, x, up, down, edges = [], 0.0, 0.0, 0.0, []
    linked = {stop for start, stop in piece.links if stop == start + 1}
    for index, box in enumerate(piece.boxes):
        part = _box(box, min(scale, 0.6))
        if index in linked:
            marks.append(Mark("line", ((x, 0), (x + GAP, 0))))
        x += GAP
        marks += [mark.moved(x, 0) for mark in part.marks]
        edges.append((x, x + part.width))
        x, up, down = x + part.width, max(up, part.up), max(down, part.down)
    jumps = sorted((pair for pair in piece.links if pair[1] > pair[0] + 1), key=lambda pair: pair[1] - pair[0])
    for level, (start, stop) in enumerate(jumps):
        first, land = edges[start][1] + 4 if start >= 0 else 4, edges[stop][0] - 4 if stop < len(edges) else x + GAP - 4
        marks.append(Mark("arc", (first, 0, land - first, up + 8 * (level + 1), 0)))
    marks.append(Mark("line", ((x, 0), (x + GAP, 0))))
    return Part(x + GAP, up + 8 * len(jumps), down, tuple(marks))


def _repeat(piece, scale):
    """A frame with its count."""
    part = chain(piece.chain, scale)
    frame = (0, -part.up - FRAME - 6, part.width + 2 * FRAME, part.up + part.down + 2 * FRAME + 6)
    count = f"\u00d7{piece.count}"
    marks = [
        Mark("frame", frame),
        Mark("text", (frame[2] - text_width(count, 15) / 2 - 6, frame[1] - 10), "count", count),
        Mark("line", ((0, 0), (FRAME, 0))),
        Mark("line", ((frame[2] - FRAME, 0), (frame[2], 0))),
        *(mark.moved(FRAME, 0) for mark in part.marks),
    ]
    return Part(frame[2], -frame[1] + 20, frame[1] + frame[3], tuple(marks))


LAYOUTS = {Parallel: _parallel, Side: _side, Tangle: _tangle, Repeat: _repeat, Box: _box}


def rows(pieces, width):
    """Break a chain into rows of about `width`, wider if one piece is; a short last row joins the one before."""
    pieces = list(_flat(pieces))
    widest = max(part_of(piece).width for piece in pieces)
    if widest > width:
        width = max(widest, min(chain(pieces).width, 1.35 * widest))
    found = [[]]
    for piece in pieces:
        if found[-1] and chain([*found[-1], piece]).width > width:
            found.append([])
        found[-1].append(piece)
    if len(found) > 1 and chain([*found[-2], *found[-1]]).width <= 1.15 * width:
        found[-2:] = [[*found[-2], *found[-1]]]
    return [chain(line) for line in found]


def _flat(pieces):
    """Large tangles are cut into loose boxes, so that they wrap."""
    for piece in pieces:
        if isinstance(piece, Tangle) and len(piece.boxes) > MANY:
            yield from (Tangle((box,), ()) for box in piece.boxes)
        else:
            yield piece
