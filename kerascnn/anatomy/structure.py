"""How boxes hang together: a chain of pieces, found from the links alone.

A piece is a `Box`, a `Parallel` of branches that meet again, a `Side` branch that ends (an auxiliary head), a
`Tangle` that no such words describe, or a `Repeat` of the same pieces.
"""

from dataclasses import dataclass

from .blocks import Box, boxes


@dataclass(frozen=True)
class Parallel:
    """Branches from one place to another, and the box where they meet, if any; `skip` adds a direct link."""

    branches: tuple
    skip: bool
    join: Box | None = None

    @property
    def signature(self):
        branches = tuple(tuple(piece.signature for piece in branch) for branch in self.branches)
        return ("parallel", self.skip, branches, self.join and self.join.signature)


@dataclass(frozen=True)
class Side:
    """A branch that ends by itself."""

    chain: tuple

    @property
    def signature(self):
        return ("side", tuple(piece.signature for piece in self.chain))


@dataclass(frozen=True)
class Tangle:
    """Boxes in the order they run; pairs of indices link them, -1 and their number are the ends."""

    boxes: tuple
    links: tuple

    @property
    def signature(self):
        return ("tangle", tuple(box.signature for box in self.boxes), self.links)


@dataclass(frozen=True)
class Repeat:
    """The same pieces several times in a row; the last ones are kept."""

    chain: tuple
    count: int

    @property
    def signature(self):
        return ("repeat", self.count, tuple(piece.signature for piece in self.chain))


def structure(graph):
    """The whole network as one folded chain. The last output leads; other outputs hang as sides."""
    every = boxes(graph)
    last = next(box for box in reversed(every) if set(box.nodes) & set(graph.outputs))
    main, queue = {last}, [last]
    while queue:
        for source in queue.pop().sources:
            if source not in main:
                main.add(source)
                queue.append(source)
    sides = {}
    rest = [box for box in every if box not in main]
    for part in _components(rest):
        roots = [source for box in part for source in box.sources if source in main]
        root = max(roots, key=every.index) if roots else last
        sides.setdefault(root, []).append(part)
    return _chain([box for box in every if box in main], sides)


def _components(members):
    """Parts of some boxes that are linked among themselves, each in order."""
    part = {box: [box] for box in members}
    for box in members:
        for source in box.sources:
            if source in part and part[source] is not part[box]:
                small, large = sorted((part[source], part[box]), key=len)
                large.extend(small)
                part.update(dict.fromkeys(small, large))
    order = {box: index for index, box in enumerate(members)}
    unique = {id(group): group for group in part.values()}
    return sorted((sorted(group, key=order.get) for group in unique.values()), key=lambda g: order[g[0]])


def _chain(members, sides):
    """Cut at the boxes that every path goes through; between two of them lie parallel branches."""
    index = {box: place for place, box in enumerate(members)}
    end = len(members)
    spans = {(-1, index[box]) for box in members if not box.sources}
    spans |= {(index.get(source, -1), index[box]) for box in members for source in box.sources}
    fed = {source for box in members for source in box.sources}
    spans |= {(index[box], end) for box in members if box not in fed}
    spans.discard((-1, end))
    farthest, cuts = -1, []
    reach = dict.fromkeys(range(-1, end + 1), -1)
    for start, stop in spans:
        reach[start] = max(reach[start], stop)
    for place in range(-1, end + 1):
        if farthest <= place:
            cuts.append(place)
        farthest = max(farthest, reach[place])
    pieces = []
    for start, stop in zip(cuts, cuts[1:], strict=False):
        join = members[stop] if stop < end else None
        pieces += _between(members[start + 1 : stop], (start, stop) in spans, join, sides)
        pieces += [Side(_chain(part, sides)) for part in sides.get(join, ())]
    return _fold(pieces)


def _between(inner, skip, join, sides):
    """The pieces from one cut to the next, which is `join`: nothing more, branches, or a tangle."""
    after = [join] if join else []
    if not inner:
        return after
    parts = _components(inner)
    if len(parts) == 1 and not skip:
        index = {box: place for place, box in enumerate(inner)}
        links = [(index.get(source, -1), index[box]) for box in inner for source in box.sources]
        fed = {source for box in inner for source in box.sources}
        leave = [box for box in inner if box not in fed or (join and box in join.sources)]
        links += [(index[box], len(inner)) for box in leave]
        return [Tangle(tuple(inner), tuple(sorted(set(links)))), *after]
    return [Parallel(tuple(_chain(part, sides) for part in parts), skip, join)]


def _fold(pieces):
    """Replace pieces that repeat by one `Repeat`; single boxes only from four on, so that VGG stays readable."""
    names = [piece.signature for piece in pieces]
    folded, place = [], 0
    while place < len(pieces):
        best = (1, 1)
        for length in range(1, min(12, (len(pieces) - place) // 2) + 1):
            pattern, count = names[place : place + length], 1
            while names[place + count * length : place + (count + 1) * length] == pattern:
                count += 1
            single = length == 1 and isinstance(pieces[place], Box)
            if count >= (4 if single else 2) and count * length > best[0] * best[1]:
                best = (length, count)
        length, count = best
        chunk = tuple(pieces[place + (count - 1) * length : place + count * length])
        folded += [Repeat(chunk, count)] if count > 1 else chunk
        place += length * count
    return tuple(folded)
