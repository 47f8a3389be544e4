"""Save weights in our own layout or in that of torchvision and timm."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..support.files import write_atomically
from ..support.text import unknown_name
from ..support.types import FilePath, Model
from ..zoo.layers import SCALES
from .load import scale_layer
from .match import OWN
from .names import DENSE_AS_CONVOLUTION, LAYOUTS, layer_names_in, match_network
from .variables import array_to_torch, model_slots, tensor_name

FORMATS = ("safetensors", "h5")


def save_weights(model: Model, path: FilePath, format: str | None = None, layout: str = OWN) -> Path:
    """Save the weights of a model in a file.

    PyTorch loads a file in the layout of torchvision or timm with
    `module.load_state_dict(safetensors.torch.load_file(path), strict=True)`.

    Args:
        model: The model; for the layouts of torchvision and timm, a network of the zoo.
        path: The file to write.
        format: "safetensors" or "h5" (Keras' `.weights.h5`); by default from the suffix of ``path``.
        layout: Names and shapes of the tensors: "kerascnn", "torchvision" or "timm".

    Returns:
        The path of the file.
    """
    path = Path(path)
    format = format or ("h5" if path.suffix == ".h5" else "safetensors")
    if format not in FORMATS:
        raise ValueError(unknown_name("format", format, FORMATS))
    if layout not in (OWN, *LAYOUTS):
        raise ValueError(unknown_name("layout", layout, (OWN, *LAYOUTS)))
    if format == "h5" and (layout != OWN or not path.name.endswith(".weights.h5")):
        raise ValueError(
            f"`path` should end in .weights.h5, Keras' own format, only with `layout`={OWN!r}. "
            f"Received: {str(path)!r}, layout={layout!r}"
        )

    write = model.save_weights if format == "h5" else lambda at: write_safetensors(model, at, layout)
    with write_atomically(path) as temporary:
        write(temporary)
    return path


def write_safetensors(model, path, layout):
    from safetensors.numpy import save_file

    tensors = own_tensors(model) if layout == OWN else torch_tensors(model, layout)
    layer = scale_layer(model)
    scale = next((name for name in SCALES if layer and layer.scales_like(name)), "")
    about = {"network": model.name, "scale": scale, "source": layer.source if layer else ""}
    size = model.inputs[0].shape[1:3]
    if layer and layer.source and None not in size:  # published weights are built at the size of the publisher
        about["size"] = "x".join(map(str, size))
    save_file(tensors, path, {"format": "pt", **{f"kerascnn.{key}": value for key, value in about.items()}})


def own_tensors(model):
    return {slot.name: np.ascontiguousarray(slot.variable.numpy()) for slot in model_slots(model)}


def torch_tensors(model, layout):
    """{their name: array} of every variable, and the counters of PyTorch's batch norms."""
    slots = model_slots(model)
    names = layer_names_in(model.name, list(dict.fromkeys(slot.layer for slot in slots)), layout)
    unnamed = [slot.layer for slot in slots if slot.layer not in names]
    if unnamed:
        raise ValueError(
            f"`layout` should have names for all layers of {model.name}; {OWN!r} has. Received: {layout!r}, which has "
            f"none for {', '.join(list(dict.fromkeys(unnamed))[:3])}"
        )
    convolved = match_network(DENSE_AS_CONVOLUTION.get(layout, {}), model.name, ())
    tensors = {}
    for slot in slots:
        array = array_to_torch(slot.variable.numpy(), slot, as_convolution=slot.layer in convolved)
        tensors[tensor_name(layout, names[slot.layer], slot.part)] = np.ascontiguousarray(array)
        if slot.part == "moving_variance":
            tensors[f"{names[slot.layer]}.num_batches_tracked"] = np.zeros((), np.int64)
    return tensors
