"""Weights written as others read them, so that a network trained here goes back to PyTorch."""

from pathlib import Path

import numpy as np

from ..support.files import replacing
from ..support.text import unknown
from ..zoo.layers import SCALES
from .load import scaling
from .match import OWN
from .names import CONVOLVED, LAYOUTS, first_match, names_of
from .variables import slots, tensor_name, to_torch

FORMATS = ("safetensors", "h5")


def save_weights(model, path, format=None, layout=OWN) -> Path:
    """Write a model's weights, and return where they are.

    ``format`` is "safetensors" or "h5" (Keras' `.weights.h5`), by the suffix of ``path`` unless given. ``layout`` says
    how tensors are named and laid out: "kerascnn" as here, "torchvision" or "timm" as their modules want them, with
    `load_state_dict(safetensors.torch.load_file(path), strict=True)`.
    """
    path = Path(path)
    format = format or ("h5" if path.suffix == ".h5" else "safetensors")
    if format not in FORMATS:
        raise ValueError(unknown("format", format, FORMATS))
    if layout not in (OWN, *LAYOUTS):
        raise ValueError(unknown("layout", layout, (OWN, *LAYOUTS)))
    if format == "h5" and (layout != OWN or not path.name.endswith(".weights.h5")):
        raise ValueError(
            f"`path` should end in .weights.h5 for Keras' own format, and `layout` be {OWN!r}. "
            f"Received: {str(path)!r}, layout={layout!r}"
        )
    write = model.save_weights if format == "h5" else lambda at: write_safetensors(model, at, layout)
    with replacing(path) as temporary:
        write(temporary)
    return path


def write_safetensors(model, path, layout):
    from safetensors.numpy import save_file

    tensors = own_tensors(model) if layout == OWN else torch_tensors(model, layout)
    layer = scaling(model)
    scale = next((name for name in SCALES if layer and layer.like(name)), "")
    about = {"network": model.name, "scale": scale, "source": layer.source if layer else ""}
    save_file(tensors, path, {"format": "pt", **{f"kerascnn.{key}": value for key, value in about.items()}})


def own_tensors(model):
    return {slot.name: np.ascontiguousarray(slot.variable.numpy()) for slot in slots(model)}


def torch_tensors(model, layout):
    """{their name: array} of every variable, and the counter that each of torch's norms has."""
    found = slots(model)
    names = names_of(model.name, list(dict.fromkeys(slot.layer for slot in found)), layout)
    strange = [slot.layer for slot in found if slot.layer not in names]
    if strange:
        raise ValueError(
            f"`layout` should name all layers of {model.name}. Received: {layout!r}, which has no name for "
            f"{', '.join(list(dict.fromkeys(strange))[:3])} (layout={OWN!r} has)"
        )
    convolved = first_match(CONVOLVED.get(layout, {}), model.name, ())
    tensors = {}
    for slot in found:
        array = to_torch(slot.variable.numpy(), slot, convolved=slot.layer in convolved)
        tensors[tensor_name(layout, names[slot.layer], slot.part)] = np.ascontiguousarray(array)
        if slot.part == "moving_variance":
            tensors[f"{names[slot.layer]}.num_batches_tracked"] = np.zeros((), np.int64)
    return tensors
