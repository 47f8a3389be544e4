"""Where the boxes go: every piece gets a width and a height above and below the line it sits on.

`place` gives flat lists of marks (rectangles, circles, texts, lines), with y = 0 on the line, for `svg` to write.
"""

import math
from dataclasses import dataclass, replace

from .blocks import Box, side_and_channels
from .graph import show_shape
from .structure import Parallel, Repeat, Side, Tangle

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
    for kind, layer in LAYOUTS:
        if isinstance(piece, kind):
            return layer(piece, scale)
    return _box(piece, scale)


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
    width, end = inner + 4 * FORK, _join(piece, scale)
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


def _join(piece, scale):
    """The box where branches meet, or nothing."""
    return _box(piece.join, scale) if piece.join else Part(0, 0, 0, ())


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


LAYOUTS = ((Parallel, _parallel), (Side, _side), (Tangle, _tangle), (Repeat, _repeat), (Box, _box))


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
