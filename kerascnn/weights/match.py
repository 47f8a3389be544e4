"""Which tensor of a file fills which variable of a model: all of them, or an error that says which does not."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

import numpy as np

from ..support.display import Told
from ..support.text import sides
from ..zoo.registry import CARDS, sources
from .formats import WeightsError
from .names import ASIDE, CAFFE, LAYOUTS, RESNEXT, SUMS, by_connection, expand, names_of, ranked, twin
from .variables import (
    CLASSIFIERS,
    from_caffe,
    from_keras,
    from_torch,
    settled,
    slots,
    tensor_name,
    to_torch,
    with_channels,
)

OWN = "kerascnn"
ONE = "one number"  # a shape without sides
CONVERT = {**dict.fromkeys(LAYOUTS, from_torch), CAFFE: from_caffe}  # layout -> how an array becomes ours


@dataclass(frozen=True)
class Plan:
    """A layout tried on a file: the tensor of each slot, and those it knows but the model has no place for."""

    layout: str
    tensors: dict  # name in the file -> slot
    known: frozenset = frozenset()  # layers of theirs that the model left out

    def hits(self, arrays):
        return sum(name in arrays for name in self.tensors)


@dataclass(frozen=True)
class Loaded(Told):
    """What became of a file of weights: which tensors were used and ignored, which layers stay as they were."""

    path: str
    layout: str
    used: int
    ignored: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()  # layers that keep their initial weights
    why: str = ""  # they do
    adapted: str = ""  # how the first kernel was changed
    scale: str | None = None  # the pixels that the weights want, where that is known
    source: str = ""  # who published them

    @property
    def remarks(self):
        """What a user has to know."""
        layers = ", ".join(self.fresh)
        return [*([f"{layers} untrained: {self.why}"] if self.fresh else []), *([self.adapted] if self.adapted else [])]

    def __str__(self):
        ignored = f", {len(self.ignored)} ignored" if self.ignored else ""
        return "\n".join([f"{self.path}: {self.used} tensors as {self.layout} names them{ignored}", *self.remarks])


def plans(network, slots, arrays, model):
    """The layouts that the file might have."""
    if any("/" in name for name in arrays):  # as readers name what lies in HDF5 and in Caffe's files
        own = in_file_order(OWN, slots, arrays, {slot.layer: slot.layer for slot in slots})
        tried = [own, keras_hdf5(network, slots, arrays, model), tabled(CAFFE, network, slots)]
    else:
        own = Plan(OWN, {slot.name: slot for slot in slots})
        tried = [own, *(tabled(layout, network, slots) for layout in LAYOUTS)]
    return [plan for plan in tried if plan]


def tabled(layout, network, slots):
    """A plan from the layout's table of layers' names; None where it does not have the network."""
    layers = list(dict.fromkeys(slot.layer for slot in slots))
    absent = [name for name in CLASSIFIERS if name not in layers]
    names = names_of(network, layers + absent, layout)
    tensors = {tensor_name(layout, names.get(slot.layer, slot.layer), slot.part): slot for slot in slots}
    return Plan(layout, tensors, frozenset(names[name] for name in absent if name in names)) if names else None


def keras_hdf5(network, slots, arrays, model):
    """keras.applications' files. The old layout follows the order of its layers, whatever their names were then."""
    layers = list(dict.fromkeys(slot.layer for slot in slots))
    theirs = twin(network)
    if theirs is None:
        resnext = network.startswith("resnext")
        return in_file_order("keras", slots, arrays, expand(RESNEXT, layers)) if resnext else None
    inside = list(dict.fromkeys(name.rpartition("/")[0] for name in arrays))
    names = [layer.name for layer in theirs.layers if layer.weights]
    if any(not name.rpartition("/")[2].isdigit() for name in arrays):
        there = dict(zip(names, inside, strict=False))
    else:
        places = {name: place for place, name in ranked(inside).items()}
        there = {name: places[rank] for name, rank in ranked(names).items() if rank in places}
    ours = [layer.name for layer in by_connection(model)]
    pairs = zip(ours, (layer.name for layer in by_connection(theirs)), strict=False)
    return in_file_order("keras", slots, arrays, {mine: there[name] for mine, name in pairs if name in there})


def in_file_order(layout, slots, arrays, names):
    """A plan that gives the arrays of each layer, in the file's order, to the weights of our layer in theirs."""
    inside, mine = {}, {}
    for name in arrays:
        inside.setdefault(name.rpartition("/")[0], []).append(name)
    for slot in slots:
        mine.setdefault(slot.layer, []).append(slot)
    tensors = {}
    for layer, parts in mine.items():
        there = inside.get(names.get(layer), [])
        for i, slot in enumerate(parts):
            tensors[there[i] if len(there) == len(parts) else f"{names.get(layer, layer)}/{slot.part}"] = slot
    return Plan(layout, tensors)


def best(path, candidates, arrays, network):
    """The layout that knows most of the file's names."""
    plan = max(candidates, key=lambda plan: plan.hits(arrays))
    if not plan.hits(arrays):
        known = ", ".join(plan.layout for plan in candidates if plan.tensors)
        some = ", ".join(list(arrays)[:3])
        raise WeightsError(path, f"name its tensors for {network} as one of {known} does", f"names such as {some}")
    return plan


def fit(path, plan, arrays, bgr=False):
    """{slot: array} for every variable that the file fills, and the report; nothing is changed yet."""
    arrays = settled(path, arrays, plan.tensors) if plan.layout == CAFFE else arrays
    convert = CONVERT.get(plan.layout, from_keras)
    found = {slot: convert(arrays[name], slot) for name, slot in plan.tensors.items() if name in arrays}
    adapted = adapt_channels(plan, found, bgr)
    fresh, why = new_heads(plan, found)
    found = {slot: array for slot, array in found.items() if slot not in fresh}
    missing = [name for name, slot in plan.tensors.items() if name not in arrays and slot not in fresh]
    names = {slot: name for name, slot in plan.tensors.items()}
    ignored = [name for name in arrays if name not in plan.tensors]
    strange = [name for name in ignored if not expected_aside(name, plan)]
    check(path, plan, found, names, missing, strange, arrays)
    layers = tuple(dict.fromkeys(slot.layer for slot in fresh))
    return found, Loaded(str(path), plan.layout, len(found), tuple(ignored), layers, why, adapted)


def adapt_channels(plan, found, bgr):
    """Fit the first kernel to the model's input channels where they differ from the file's; returns what was done."""
    slot = next((slot for slot in plan.tensors.values() if slot.part == "kernel" and slot in found), None)
    if slot is None or len(slot.shape) != 4 or found[slot].ndim != 4:
        return ""
    kernel, wanted = found[slot], slot.shape
    before, channels = kernel.shape[2], wanted[2]
    if before == channels or kernel.shape[:2] + kernel.shape[3:] != wanted[:2] + wanted[3:]:
        return ""
    found[slot] = with_channels(kernel, channels, bgr)
    how = "summed" if channels == 1 else f"repeated and scaled by {before}/{channels}"
    return f"{slot.layer} takes {channels} input channels: its kernel's {before} were {how}"


def new_heads(plan, found):
    """The slots of classifiers that the file cannot fill, and why: they stay as they were."""
    heads = {}
    for slot in plan.tensors.values():
        heads.setdefault(slot.head, []).append(slot)
    fresh, reasons = [], []
    for group in (heads[head] for head in heads if head):
        why, left = new_head(group, found)
        fresh += left
        reasons += [why] if left else []
    return fresh, "; ".join(dict.fromkeys(reasons))


def new_head(slots, found):
    """Why a classifier cannot be filled, and which of its slots."""
    there = [slot for slot in slots if slot in found]
    wrong = [slot for slot in there if found[slot].shape != slot.shape]
    flat = next((slot for slot in wrong if slot.maps), None)
    if not there:
        return "the file has no such classifier", slots
    kernels = [slot for slot in there if slot.part == "kernel"]
    if kernels and all(unset(found[slot]) for slot in kernels):
        return "the file has no numbers for it, only NaN", slots
    if wrong and all(slot.scores and same_but_last(found[slot].shape, slot.shape) for slot in wrong):
        theirs, ours = found[wrong[0]].shape[-1], wrong[0].shape[-1]
        return f"the file has {theirs} classes, the model {ours}", [slot for slot in slots if slot.scores]
    if flat and all(slot.scores or flattened_differently(slot, found[slot]) for slot in wrong):
        sizes = f"{flat.shape[0]:,} numbers here, {found[flat].shape[0]:,} in the file"
        return f"{flat.layer} sees {sizes} (another input size?)", slots
    return "", []


def unset(array):
    """Whether there are no numbers in it: torchvision marks a classifier that it does not have with NaN."""
    return array.size and np.isnan(array.flat[0]) and np.isnan(array).all()


def same_but_last(one, other):
    return len(one) == len(other) and one[:-1] == other[:-1]


def flattened_differently(slot, array):
    """Whether a dense layer would fit but for the size of the maps that it reads."""
    return slot.maps and array.ndim == 2 and array.shape[-1] == slot.shape[-1] and array.size


def expected_aside(name, plan):
    """Whether a tensor without a place may be left out: counters, auxiliary classifiers, a classifier cut off."""
    layer = name.rpartition("/" if plan.layout == CAFFE else ".")[0]
    return layer in plan.known or matches(name, (*ASIDE, "*seed_generator*", SUMS))


def check(path, plan, found, names, missing, strange, arrays):
    """Raise where a tensor is missing, left over, of another shape or not finite."""
    wrong = [
        f"{names[slot]} of {sides(arrays[names[slot]].shape) or ONE}, not {sides(theirs(slot, plan.layout)) or ONE}"
        for slot, array in found.items()
        if array.shape != slot.shape
    ]
    came = {"no {}": missing, "{} left over": strange, "{}": wrong}
    came = [text.format(some(names)) for text, names in came.items() if names]
    if came:
        expected = f"hold {len(plan.tensors)} tensors as {plan.layout} names them"
        raise WeightsError(path, expected, "; ".join(came))
    for slot, array in found.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            count = array.size - np.isfinite(array).sum()
            received = f"{count:,} NaN or infinite of {array.size:,} in {names[slot]}"
            raise WeightsError(path, "hold finite numbers", received)


def theirs(slot, layout):
    """The shape that a slot's tensor has in a layout."""
    blank = np.broadcast_to(np.float32(0), slot.shape)
    return to_torch(blank, slot).shape if layout in CONVERT else slot.shape


def some(names, count=3):
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


NOT_LEARNED = ("*running_mean", "*running_var", "*moving_mean*", "*moving_variance*", *ASIDE)
FEW = 10  # networks of a family that are all tried; of a larger one those with about as many parameters
NEAR = 0.2  # share by which a published count may miss the file's, whose classifier may be for other classes


def networks_for(path, arrays, network):
    """Names of the networks of the same family whose names and shapes the arrays have.

    Where weights are published in the file's layout for some of them, only those are named. Nothing is named for a
    network that is not in the registry.
    """
    row = CARDS.get(network)
    if row is None:
        return []
    count = sum(array.size for name, array in arrays.items() if not matches(name, NOT_LEARNED))
    family = [other for other in CARDS.values() if other.family == row.family and other.name != network]
    if len(family) > FEW:
        family = [other for other in family if other.params is None or abs(other.params - count) <= NEAR * count]
    layouts = {other.name: layout_for(other.name, path, arrays) for other in family}
    found = [name for name, layout in layouts.items() if layout]
    return [name for name in found if is_published(name, layouts[name])] or found


def is_published(network, layout):
    """Whether somebody publishes weights for a network in this layout."""
    return any(source.publisher == layout for source in sources().get(network, ()))


def matches(name, patterns):
    """Whether a name fits one of the shell's patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


@lru_cache(maxsize=8)
def bare_outline(network):
    """A network as its card has it, without auxiliary classifiers and without memory for its weights."""
    from ..zoo.build import outline  # which loads weights by this module

    return outline(network, aux=False)


def layout_for(network, path, arrays):
    """The layout in which a network takes the arrays; "" where it does not."""
    model = bare_outline(network)
    try:
        plan = best(path, plans(network, slots(model), arrays, model), arrays, network)
        fit(path, plan, arrays)
    except WeightsError:
        return ""
    return plan.layout
