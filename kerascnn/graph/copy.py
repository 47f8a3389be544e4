"""Copies of a model, weights and all: as it is, in another type, up to some calls, or with some calls changed."""

from dataclasses import replace

import keras
from keras import layers

from .run import call, every_layer, part, run
from .walk import functional


def rebuild(model, dtype=None):
    """A copy from the configuration, which shares no weights; all of it computed in ``dtype``, if that is given."""
    types = {type(layer).__name__: type(layer) for layer in every_layer(model)}
    try:
        config = keras.saving.serialize_keras_object(model)
        config = retyped(config, dtype) if dtype else config
        with keras.saving.custom_object_scope(types):
            copy = keras.saving.deserialize_keras_object(config, safe_mode=False)
        if not copy.built:
            copy.build(model.input_shape)
        copy_weights(model, copy)
    except (ValueError, TypeError, NotImplementedError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"`model` should be one that its configuration can build again. Received: {model.name}: {reason}"
        ) from error
    return copy


def clone(model, *, passed=None, scaled=None):
    """A functional copy, in which some layers pass on what enters a layer, and others' outputs are scaled.

    Args:
        model: a functional or built Sequential model.
        passed: {layer: (layer, argument)}: the first gives what enters the second as that argument.
        scaled: {layer: (scale, offset)} of the channels of its output.
    """
    passed, scaled = passed or {}, scaled or {}
    twins, entered = {}, {}

    def clone_layer(layer):
        nested = isinstance(layer, keras.Model)
        twin = keras.models.clone_model(layer) if nested else layer.from_config(layer.get_config())
        twins[id(twin)] = (layer, twin)
        return twin

    def call_layer(twin, *args, **kwargs):
        name = twins[id(twin)][0].name
        entered[name] = [each for each in keras.tree.flatten((args, kwargs)) if isinstance(each, keras.KerasTensor)]
        made = twin(*args, **kwargs)
        if name in passed:
            source, argument = passed[name]
            return entered[source][argument]
        if name in scaled:
            scale, offset = scaled[name]
            return layers.Rescaling(scale, offset, name=f"{name}_ablated", dtype=made.dtype)(made)
        return made

    copy = keras.models.clone_model(functional(model), clone_function=clone_layer, call_function=call_layer)
    for layer in copy.layers:
        original, _ = twins.get(id(layer), (None, None))
        if original is not None and original.weights:
            copy_weights(original, layer)
            layer.trainable = original.trainable
    return copy


def truncate(graph, nodes, inputs, name=None):
    """A copy up to some calls of a ``Graph``, without what lies behind them: ``inputs`` to {key: output}.

    Nested models are opened. Layers keep their names and weights; batch norm is frozen.
    """
    copies = {}

    def perform(node, tensors):
        if node.operation not in copies:
            copies[node.operation] = copy_layer(node)
        return call(replace(node, operation=copies[node.operation]), tensors)

    outputs = run(part(graph, [*nodes.values()]), inputs, perform=perform)
    for original, copy in copies.items():
        if getattr(original, "weights", None):
            copy_weights(original, copy)
        if isinstance(copy, layers.BatchNormalization):
            copy.trainable = False  # or a training step would move its statistics, whatever it was called with
    return keras.Model(inputs, {key: outputs[node.name] for key, node in nodes.items()}, name=name)


def copy_layer(node):
    """The layer or operation of a call, built again; called by its path where models were nested."""
    operation = node.operation
    try:
        return type(operation).from_config(operation.get_config() | {"name": plain(node.name)})
    except (NotImplementedError, TypeError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"`model` should have layers that can be built again. Received: {node.name}: {reason}"
        ) from error


def plain(name):
    """The name of a call as a name that Keras takes."""
    return name.replace("/", "_")


def copy_weights(original, copy):
    """Give a layer or model the weights of another that is built alike."""
    copy.set_weights(original.get_weights())
    for layer in every_layer(copy):
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()  # it computes with what it once made of its weights


def unfreeze(model):
    """Make all weights learn; a nested Sequential does not hand its own setting on."""
    for layer in every_layer(model):
        layer.trainable = True
    return model


def retyped(config, dtype):
    """A configuration in which every floating type, also one of several that a layer names, is ``dtype``."""
    if isinstance(config, list | tuple):
        return type(config)(retyped(value, dtype) for value in config)
    if not isinstance(config, dict):
        return config
    return {
        key: dtype if key == "dtype" and floating(value) else retyped(value, dtype) for key, value in config.items()
    }


def floating(value):
    """Whether a configuration's dtype (a name or a policy) is one of floating point."""
    name = value.get("config", {}).get("name", "") if isinstance(value, dict) else value
    return isinstance(name, str) and "float" in name
