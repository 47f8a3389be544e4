"""Match the tensors of a file with the variables of a model: all of them, or an error that names the rest."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

import numpy as np

from ..support.display import TextResult
from ..support.text import format_shape
from ..zoo.registry import CARDS, weights_sources
from .formats import WeightsError
from .names import (
    CAFFE,
    DEPTHWISE_SUMS,
    IGNORABLE,
    LAYOUTS,
    RESNEXT,
    expand_table,
    keras_application,
    layer_names_in,
    layers_by_connection,
    renumber_automatic_names,
)
from .variables import (
    CLASSIFIERS,
    adapt_channel_count,
    array_from_caffe,
    array_from_keras,
    array_from_torch,
    array_to_torch,
    merge_caffe_norms,
    model_slots,
    tensor_name,
)

OWN = "kerascnn"
SCALAR = "a scalar"  # the text for an empty shape
CONVERT = {
    **dict.fromkeys(LAYOUTS, array_from_torch),
    CAFFE: array_from_caffe,
}  # layout -> conversion of an array to our layout


@dataclass(frozen=True)
class TensorPlan:
    """A layout to try on a file: the variable of each tensor name."""

    layout: str
    tensors: dict  # name in the file -> slot
    known: frozenset = frozenset()  # their names of layers that the model does not have

    def hits(self, arrays):
        """How many of its tensor names the file has."""
        return sum(name in arrays for name in self.tensors)


@dataclass(frozen=True, kw_only=True, repr=False)
class LoadReport(TextResult):
    """What was loaded from a weights file: tensors used and ignored, and changes.

    Attributes:
        path: The file.
        layout: Whose names and shapes the tensors have: "kerascnn", "torchvision", "timm", "keras" or "caffe".
        used: Number of tensors loaded.
        ignored: Names of the tensors in the file that the model has no place for.
        untrained: Names of the layers that keep their initial weights.
        reason: Why they do.
        adaptation: How the kernel of the first convolution was changed for other input channels.
        scale: Preprocessing that the weights expect, such as "torch"; None if unknown.
        source: Name of the published source, such as "torchvision/v1"; "" for other files.
    """

    path: str
    layout: str
    used: int
    ignored: tuple[str, ...] = ()
    untrained: tuple[str, ...] = ()
    reason: str = ""
    adaptation: str = ""
    scale: str | None = None
    source: str = ""

    @property
    def notes(self):
        """Messages about layers that were not loaded and an adapted first kernel."""
        notes = []
        if self.untrained:
            notes.append(f"{', '.join(self.untrained)} keep their initial weights: {self.reason}")
        if self.adaptation:
            notes.append(self.adaptation)
        return notes

    def _headline(self):
        return f"{self.used} tensors used, {len(self.ignored)} ignored, {self.layout} layout"

    def __str__(self):
        ignored = f", {len(self.ignored)} tensors ignored" if self.ignored else ""
        first = f"{self.path}: loaded {self.used} tensors in {self.layout} layout{ignored}"
        return "\n".join([first, *self.notes])


def candidate_plans(network, slots, arrays, model):
    """The layouts that the file may have."""
    if any("/" in name for name in arrays):  # as in HDF5 and Caffe files
        own = plan_in_file_order(OWN, slots, arrays, {slot.layer: slot.layer for slot in slots})
        tried = [own, plan_keras_hdf5(network, slots, arrays, model), plan_from_table(CAFFE, network, slots)]
    else:
        own = TensorPlan(OWN, {slot.name: slot for slot in slots})
        tried = [own, *(plan_from_table(layout, network, slots) for layout in LAYOUTS)]
    return [plan for plan in tried if plan]


def plan_from_table(layout, network, slots):
    """A plan from a layout's table of layer names; None if the table lacks the network."""
    layers = list(dict.fromkeys(slot.layer for slot in slots))
    absent = [name for name in CLASSIFIERS if name not in layers]
    names = layer_names_in(network, layers + absent, layout)
    tensors = {tensor_name(layout, names.get(slot.layer, slot.layer), slot.part): slot for slot in slots}
    return TensorPlan(layout, tensors, frozenset(names[name] for name in absent if name in names)) if names else None


def plan_keras_hdf5(network, slots, arrays, model):
    """A plan for files of keras.applications; in the old layout only the order of the layers counts."""
    layers = list(dict.fromkeys(slot.layer for slot in slots))
    theirs = keras_application(network)
    if theirs is None:
        resnext = network.startswith("resnext")
        return plan_in_file_order("keras", slots, arrays, expand_table(RESNEXT, layers)) if resnext else None
    inside = list(dict.fromkeys(name.rpartition("/")[0] for name in arrays))
    names = [layer.name for layer in theirs.layers if layer.weights]
    if any(not name.rpartition("/")[2].isdigit() for name in arrays):
        there = dict(zip(names, inside, strict=False))
    else:
        places = {name: place for place, name in renumber_automatic_names(inside).items()}
        there = {name: places[rank] for name, rank in renumber_automatic_names(names).items() if rank in places}
    ours = [layer.name for layer in layers_by_connection(model)]
    pairs = zip(ours, (layer.name for layer in layers_by_connection(theirs)), strict=False)
    return plan_in_file_order("keras", slots, arrays, {mine: there[name] for mine, name in pairs if name in there})


def plan_in_file_order(layout, slots, arrays, names):
    """A plan that assigns the arrays of each layer to the weights of our layer, in the order of the file."""
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
    return TensorPlan(layout, tensors)


def best_plan(path, candidates, arrays, network):
    """The layout with most of the file's tensor names."""
    plan = max(candidates, key=lambda plan: plan.hits(arrays))
    if not plan.hits(arrays):
        known = ", ".join(plan.layout for plan in candidates if plan.tensors)
        examples = ", ".join(list(arrays)[:3])
        expected = f"have tensor names for {network} in one of the layouts {known}"
        raise WeightsError(path, expected, f"names such as {examples}")
    return plan


def match_arrays(path, plan, arrays, bgr=False):
    """{slot: array} of the variables that the file fills, and the report; the model is not changed."""
    arrays = merge_caffe_norms(path, arrays, plan.tensors) if plan.layout == CAFFE else arrays
    convert = CONVERT.get(plan.layout, array_from_keras)
    found = {slot: convert(arrays[name], slot) for name, slot in plan.tensors.items() if name in arrays}
    adaptation = adapt_channels(plan, found, bgr)
    unfilled, reason = heads_without_weights(plan, found)
    found = {slot: array for slot, array in found.items() if slot not in unfilled}

    missing = [name for name, slot in plan.tensors.items() if name not in arrays and slot not in unfilled]
    names = {slot: name for name, slot in plan.tensors.items()}
    ignored = [name for name in arrays if name not in plan.tensors]
    unexpected = [name for name in ignored if not may_be_ignored(name, plan)]
    check_match(path, plan, found, names, missing, unexpected, arrays)

    report = LoadReport(
        path=str(path),
        layout=plan.layout,
        used=len(found),
        ignored=tuple(ignored),
        untrained=tuple(dict.fromkeys(slot.layer for slot in unfilled)),
        reason=reason,
        adaptation=adaptation,
    )
    return found, report


def adapt_channels(plan, found, bgr):
    """Adapt the first kernel to the input channels of the model; returns a text that says how, or ""."""
    slot = next((slot for slot in plan.tensors.values() if slot.part == "kernel" and slot in found), None)
    if slot is None or len(slot.shape) != 4 or found[slot].ndim != 4:
        return ""
    kernel, wanted = found[slot], slot.shape
    before, channels = kernel.shape[2], wanted[2]
    if before == channels or kernel.shape[:2] + kernel.shape[3:] != wanted[:2] + wanted[3:]:
        return ""
    found[slot] = adapt_channel_count(kernel, channels, bgr)
    how = "summed" if channels == 1 else f"repeated and scaled by {before}/{channels}"
    return f"{slot.layer} takes {channels} input channels; the kernel's {before} channels in the file were {how}"


def heads_without_weights(plan, found):
    """The slots of classifiers that the file cannot fill, and the reason."""
    heads = {}
    for slot in plan.tensors.values():
        heads.setdefault(slot.head, []).append(slot)
    fresh, reasons = [], []
    for group in (heads[head] for head in heads if head):
        why, left = head_without_weights(group, found)
        fresh += left
        reasons += [why] if left else []
    return fresh, "; ".join(dict.fromkeys(reasons))


def head_without_weights(slots, found):
    """The reason why a classifier cannot be filled, and its slots concerned."""
    there = [slot for slot in slots if slot in found]
    wrong = [slot for slot in there if found[slot].shape != slot.shape]
    flat = next((slot for slot in wrong if slot.map_shape), None)
    if not there:
        return "the file has no such classifier layer", slots
    kernels = [slot for slot in there if slot.part == "kernel"]
    if kernels and all(is_all_nan(found[slot]) for slot in kernels):
        return "the file contains only NaN for it", slots
    if wrong and all(slot.gives_logits and equal_but_last(found[slot].shape, slot.shape) for slot in wrong):
        theirs, ours = found[wrong[0]].shape[-1], wrong[0].shape[-1]
        return f"the file has {theirs} classes, the model has {ours}", [slot for slot in slots if slot.gives_logits]
    if flat and all(slot.gives_logits or has_other_map_size(slot, found[slot]) for slot in wrong):
        sizes = f"{flat.shape[0]:,} in the model, {found[flat].shape[0]:,} in the file"
        return f"{flat.layer} has another number of input features (a different input size?): {sizes}", slots
    return "", []


def is_all_nan(array):
    """Whether all values are NaN: torchvision marks a missing classifier so."""
    return array.size and np.isnan(array.flat[0]) and np.isnan(array).all()


def equal_but_last(first, second):
    return len(first) == len(second) and first[:-1] == second[:-1]


def has_other_map_size(slot, array):
    """Whether a dense layer would fit but for the size of the maps in front of it."""
    return slot.map_shape and array.ndim == 2 and array.shape[-1] == slot.shape[-1] and array.size


def may_be_ignored(name, plan):
    """Whether a tensor may be left out: counters, auxiliary classifiers, a classifier that the model lacks."""
    layer = name.rpartition("/" if plan.layout == CAFFE else ".")[0]
    return layer in plan.known or matches_any(name, (*IGNORABLE, "*seed_generator*", DEPTHWISE_SUMS))


def check_match(path, plan, found, names, missing, unexpected, arrays):
    """Raise an error if a tensor is missing, unexpected, of another shape or not finite."""
    wrong = []
    for slot, array in found.items():
        if array.shape != slot.shape:
            name = names[slot]
            expected = format_shape(shape_in_layout(slot, plan.layout)) or SCALAR
            wrong.append(f"{name} of shape {format_shape(arrays[name].shape) or SCALAR} instead of {expected}")

    problems = {"missing: {}": missing, "unexpected: {}": unexpected, "{}": wrong}
    received = [text.format(abbreviate(names)) for text, names in problems.items() if names]
    if received:
        expected = f"contain {len(plan.tensors)} tensors in {plan.layout} layout"
        raise WeightsError(path, expected, "; ".join(received))
    for slot, array in found.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            count = array.size - np.isfinite(array).sum()
            received = f"{count:,} NaN or infinite values of {array.size:,} in {names[slot]}"
            raise WeightsError(path, "contain finite numbers", received)


def shape_in_layout(slot, layout):
    """The shape of a slot's tensor in a layout."""
    blank = np.broadcast_to(np.float32(0), slot.shape)
    return array_to_torch(blank, slot).shape if layout in CONVERT else slot.shape


def abbreviate(names, count=3):
    """The first names, and how many more there are."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


NOT_LEARNED = ("*running_mean", "*running_var", "*moving_mean*", "*moving_variance*", *IGNORABLE)
MAX_NETWORKS = 10  # of a family that are all tried; in a larger one those with a similar parameter count
COUNT_TOLERANCE = 0.2  # relative difference to the file, whose classifier may be for other classes


def networks_for(path, arrays, network):
    """Names of other networks of the same family whose tensor names and shapes match the arrays.

    If weights are published in the file's layout for some of them, only those are returned.
    """
    row = CARDS.get(network)
    if row is None:
        return []
    count = sum(array.size for name, array in arrays.items() if not matches_any(name, NOT_LEARNED))
    family = [other for other in CARDS.values() if other.family == row.family and other.name != network]
    if len(family) > MAX_NETWORKS:
        margin = COUNT_TOLERANCE * count
        family = [other for other in family if other.params is None or abs(other.params - count) <= margin]

    layouts = {other.name: matching_layout(other.name, path, arrays) for other in family}
    found = [name for name, layout in layouts.items() if layout]
    return [name for name in found if is_published(name, layouts[name])] or found


def is_published(network, layout):
    """Whether weights of a network are published in this layout."""
    return any(source.publisher == layout for source in weights_sources().get(network, ()))


def matches_any(name, patterns):
    """Whether a name matches one of the shell patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


@lru_cache(maxsize=8)
def reuse_outline(network):
    """The outline of a network without auxiliary classifiers."""
    from ..zoo.build import outline  # which loads weights by this module

    return outline(network, aux=False)


def matching_layout(network, path, arrays):
    """The layout in which the arrays match a network; "" if there is none."""
    model = reuse_outline(network)
    try:
        plan = best_plan(path, candidate_plans(network, model_slots(model), arrays, model), arrays, network)
        match_arrays(path, plan, arrays)
    except WeightsError:
        return ""
    return plan.layout
