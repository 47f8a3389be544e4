"""A network as blocks: a convolution with its normalization and activation is one block."""

import re
from collections import Counter
from dataclasses import dataclass, fields

from keras import layers

from ..graph import walk
from ..graph.walk import element_count
from .table import count_weights, multiply_adds, sum_known

MERGED_LAYERS = (
    *walk.IN_PLACE,
    *walk.PADDINGS,
    layers.Flatten,
    layers.Reshape,
    layers.Permute,
    layers.GroupNormalization,
)
JOINS = {"Add": "+", "Subtract": "-", "Multiply": "x", "Average": "avg", "Maximum": "max", "Minimum": "min"}
# (classes, type, first line of the label); the second line is the window and the filters.
TYPES = (
    (walk.DEPTHWISE, "depthwise", "depthwise"),
    (walk.SEPARABLE, "depthwise", "separable"),
    (walk.CONVOLUTIONS, "conv", "conv"),
    (walk.TRANSPOSED, "up", "transposed"),
    (walk.layer_classes("MaxPooling#D AdaptiveMaxPooling#D"), "pool", "max pool"),
    (walk.layer_classes("AveragePooling#D AdaptiveAveragePooling#D"), "pool", "avg pool"),
    (walk.layer_classes("GlobalMaxPooling#D"), "pool", "global max"),
    (walk.layer_classes("GlobalAveragePooling#D"), "pool", "global avg"),
    ((layers.Dense, layers.EinsumDense), "dense", "dense"),
    ((*walk.UPSAMPLINGS, layers.Resizing), "up", "upsample"),
    ((layers.Concatenate,), "join", "concat"),
    ((layers.InputLayer,), "input", "input"),
)


@dataclass(frozen=True, eq=False)
class Block:
    """One block of a diagram: its main call, the calls merged into it, and the blocks that feed it."""

    core: object
    nodes: tuple
    sources: tuple
    type: str
    lines: tuple
    params: int
    macs: int | None

    @property
    def shape(self):
        """Output shape of the main call, before flattening and the like."""
        return self.core.shape


def find_blocks(graph):
    """The blocks of a graph in execution order, without layers that ignore the pixels."""
    nodes = [node for node in graph.nodes if node.reach != "none"]
    consumers = Counter(before for node in nodes for before in _sources_to_draw(node))
    groups, group_of = [], {}
    for node in nodes:
        befores = _sources_to_draw(node)
        group = None
        if len(befores) == 1 and consumers[befores[0]] == 1 and not befores[0].is_input:
            candidate = group_of[befores[0]]
            if _is_merged(node) or all(map(_is_merged, candidate)):
                group = candidate
        if group is None:
            group = []
            groups.append(group)
        group.append(node)
        group_of[node] = group

    blocks, counted_weights = {}, set()
    for group in groups:
        sources = {id(group_of[before]): None for node in group for before in _sources_to_draw(node)}
        sources.pop(id(group), None)
        core = next((node for node in group if not _is_merged(node)), group[0])
        kind, lines = _type_and_label(core, group)
        params = sum(count_weights(node, counted_weights)["learnable"] for node in group)
        macs = sum_known(multiply_adds(node) for node in group)
        feeds = tuple(blocks[source] for source in sources)
        blocks[id(group)] = Block(core, tuple(group), feeds, kind, lines, params, macs)
    return tuple(blocks.values())


def _sources_to_draw(node):
    """The drawn nodes that feed a node, each once."""
    return [before for before in dict.fromkeys(before for before, _ in node.inputs) if before.reach != "none"]


def _is_merged(node):
    """Whether a call is part of its neighbor's block: normalization, activation, dropout, padding, reshape."""
    if node.is_input or len(_sources_to_draw(node)) > 1 or node.kind in JOINS:
        return False
    if node.reach == "pointwise":
        return True
    return isinstance(node.operation, MERGED_LAYERS) or (not node.is_layer and node.kind in walk.POINTWISE_OPERATIONS)


def _type_and_label(node, group):
    """The type of a block and the lines of its label."""
    layer = node.operation
    if node.kind in JOINS and len(node.inputs) > 1:
        return "sum", (JOINS[node.kind],)
    if node.is_input:
        return "input", ("input",)
    for classes, kind, word in TYPES:
        if isinstance(layer, classes):
            return kind, _label_lines(layer, word)
    if node.kind in ("Concatenate", "GetItem"):
        return "join", ("concat" if node.kind == "Concatenate" else "slice",)
    if _is_merged(node):
        return "other", _split_class_name(" ".join(part.kind for part in group[:2]))
    return "other", _split_class_name(node.kind)


def _label_lines(layer, word):
    """("conv /2", "3x3, 64"): the word with stride and dilation, then window and filters."""
    kernel = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    strides = getattr(layer, "strides", None)
    strides = (strides,) if isinstance(strides, int) else tuple(strides or ())
    dilation = getattr(layer, "dilation_rate", 1)
    dilation = max(dilation) if isinstance(dilation, tuple | list) else dilation
    if getattr(layer, "groups", 1) > 1 and word == "conv":
        word = "group conv"
    if strides and max(strides) > 1:
        word += f" /{_format_sizes(strides)}"
    if dilation > 1:
        word += f" d{dilation}"
    window = "x".join(map(str, kernel)) if isinstance(kernel, tuple | list) else str(kernel or "")
    filters = getattr(layer, "filters", None) or getattr(layer, "units", None)
    scale = getattr(layer, "size", None) if isinstance(layer, walk.UPSAMPLINGS) else None
    if scale:
        window = f"x{_format_sizes((scale,) if isinstance(scale, int) else scale)}"
    second = ", ".join(text for text in (window, str(filters or "")) if text)
    return (word, second) if second else tuple(word.split(" ", 1))


def _format_sizes(sizes):
    """ "2" for (2, 2), "2x1" otherwise."""
    return str(sizes[0]) if len(set(sizes)) == 1 else "x".join(map(str, sizes))


def _split_class_name(name):
    """A class name on at most two lines."""
    name = (
        re.sub(r"\dD$", "", name)
        .replace("BatchNormalization", "norm")
        .replace("Normalization", "Norm")
        .replace("Activation", "act")
    )
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name) or [name]
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + len(part) > 9:
            lines.append("")
        lines[-1] = f"{lines[-1]} {part.lower()}".strip()
    return tuple(line[:12] for line in lines[:2])


def side_and_channels(shape):
    """Map size and channels, which give a block its height and width; None where unknown."""
    if len(shape) < 2:
        return 1, element_count(shape)
    sizes = [size for size in shape[:-1] if size is not None]
    return (max(sizes) if sizes else None), shape[-1]


@dataclass(frozen=True)
class Parallel:
    """Parallel branches and the block that merges them, if any; `skip` adds a direct connection."""

    branches: tuple
    skip: bool
    join: Block | None = None


@dataclass(frozen=True)
class SideBranch:
    """A branch to another output."""

    chain: tuple


@dataclass(frozen=True)
class Tangle:
    """Blocks in execution order, connected by pairs of indices; -1 and their number are the ends."""

    boxes: tuple
    links: tuple


@dataclass(frozen=True)
class Repeat:
    """The same pieces several times in a row, of which the last are kept."""

    chain: tuple
    count: int


def piece_signature(piece):
    """Equal for pieces that may be folded; blocks that only pass channels on may have more of them."""
    if isinstance(piece, Block):
        passes = piece.type in ("join", "sum", "pool")
        return piece.lines, piece.shape[:-1] if passes else piece.shape
    if isinstance(piece, Parallel | SideBranch | Tangle | Repeat):
        return type(piece), *(piece_signature(getattr(piece, part.name)) for part in fields(piece))
    return tuple(map(piece_signature, piece)) if isinstance(piece, tuple) else piece


def fold_structure(graph):
    """The whole network as one folded chain to the last output; other outputs are side branches."""
    boxes = find_blocks(graph)
    last = next(box for box in reversed(boxes) if set(box.nodes) & set(graph.outputs))
    main, queue = {last}, [last]
    while queue:
        for source in queue.pop().sources:
            if source not in main:
                main.add(source)
                queue.append(source)
    side_branches = {}
    side_boxes = [box for box in boxes if box not in main]
    for component in _components(side_boxes):
        roots = [source for box in component for source in box.sources if source in main]
        root = max(roots, key=boxes.index) if roots else last
        side_branches.setdefault(root, []).append(component)
    return _split_into_pieces([box for box in boxes if box in main], side_branches)


def _components(members):
    """The connected components of some blocks, each in execution order."""
    part = {box: [box] for box in members}
    for box in members:
        for source in box.sources:
            if source in part and part[source] is not part[box]:
                small, large = sorted((part[source], part[box]), key=len)
                large.extend(small)
                part.update(dict.fromkeys(small, large))
    groups = {}
    for box in members:
        groups.setdefault(id(part[box]), []).append(box)
    return list(groups.values())


def _split_into_pieces(members, side_branches):
    """Split at the blocks on every path; between two of them are parallel branches."""
    index = {box: position for position, box in enumerate(members)}
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
    for position in range(-1, end + 1):
        if farthest <= position:
            cuts.append(position)
        farthest = max(farthest, reach[position])
    pieces = []
    for start, stop in zip(cuts, cuts[1:], strict=False):
        join = members[stop] if stop < end else None
        pieces += _pieces_between(members[start + 1 : stop], (start, stop) in spans, join, side_branches)
        pieces += [SideBranch(_split_into_pieces(part, side_branches)) for part in side_branches.get(join, ())]
    return _fold_repeats(pieces)


def _pieces_between(inner, skip, join, side_branches):
    """The pieces between two such blocks, the second being `join`: none, branches, or a tangle."""
    after = [join] if join else []
    if not inner:
        return after
    parts = _components(inner)
    if len(parts) == 1 and not skip:
        index = {box: position for position, box in enumerate(inner)}
        links = [(index.get(source, -1), index[box]) for box in inner for source in box.sources]
        fed = {source for box in inner for source in box.sources}
        leave = [box for box in inner if box not in fed or (join and box in join.sources)]
        links += [(index[box], len(inner)) for box in leave]
        return [Tangle(tuple(inner), tuple(sorted(set(links)))), *after]
    return [Parallel(tuple(_split_into_pieces(part, side_branches) for part in parts), skip, join)]


def _fold_repeats(pieces):
    """Replace repeated pieces by a `Repeat`; single blocks only from four on, so that VGG stays readable."""
    names = [piece_signature(piece) for piece in pieces]
    folded, position = [], 0
    while position < len(pieces):
        best = (1, 1)
        for length in range(1, min(12, (len(pieces) - position) // 2) + 1):
            pattern, count = names[position : position + length], 1
            while names[position + count * length : position + (count + 1) * length] == pattern:
                count += 1
            single = length == 1 and isinstance(pieces[position], Block)
            if count >= (4 if single else 2) and count * length > best[0] * best[1]:
                best = (length, count)
        length, count = best
        chunk = tuple(pieces[position + (count - 1) * length : position + count * length])
        folded += [Repeat(chunk, count)] if count > 1 else chunk
        position += length * count
    return tuple(folded)
