"""Layers chosen by what a user gives: names, paths or layer objects."""

from ..registry import unknown
from .copies import every_layer


def matching(model, layers):
    """The layers of a model with weights of their own, or those that ``layers`` names, nested ones too."""
    known = {}
    for layer in every_layer(model)[1:]:
        own = not layer._layers or not any(inner.trainable_weights for inner in layer._layers)
        if layer.trainable_weights and own:
            known.setdefault(layer.name, layer)
    if layers is None:
        if not known:
            raise ValueError(f"`model` should have weights to learn. Received: {model.name}, without any")
        return list(known.values())
    given = layers if isinstance(layers, list | tuple) else [layers]
    names = [getattr(layer, "name", layer) for layer in given]
    for name in names:
        if name not in known:
            raise ValueError(unknown(f"layer of {model.name} with weights", name, known))
    return [known[name] for name in names]
