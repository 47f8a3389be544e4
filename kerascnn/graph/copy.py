"""Copy a model with its weights: whole, in another dtype, up to some calls, or with some calls changed."""

from dataclasses import replace

import keras
from keras import layers

from .run import all_layers, call_node, run_graph, subgraph
from .walk import functional_of


def rebuild_model(model, dtype=None):
    """Copy a model from its configuration, sharing no weights; computed in ``dtype``, if that is given."""
    types = {type(layer).__name__: type(layer) for layer in all_layers(model)}
    try:
        config = keras.saving.serialize_keras_object(model)
        config = replace_dtype(config, dtype) if dtype else config
        with keras.saving.custom_object_scope(types):
            copy = keras.saving.deserialize_keras_object(config, safe_mode=False)
        if not copy.built:
            copy.build(model.input_shape)
        copy_weights(model, copy)
    except (ValueError, TypeError, NotImplementedError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"`model` should be rebuildable from its configuration. Received: {model.name}: {reason}"
        ) from error
    return copy


def clone_with_changes(model, *, bypass=None, rescale=None):
    """Copy a functional model, bypassing some layers and rescaling the outputs of others.

    Args:
        model: a functional or built Sequential model.
        bypass: {layer: (source, argument)}; the layer returns the input of ``source`` at that position instead.
        rescale: {layer: (scale, offset)} for the channels of its output.
    """
    bypass, rescale = bypass or {}, rescale or {}
    twins, entered = {}, {}

    def clone_layer(layer):
        nested = isinstance(layer, keras.Model)
        twin = keras.models.clone_model(layer) if nested else layer.from_config(layer.get_config())
        twins[id(twin)] = (layer, twin)
        return twin

    def call_layer(twin, *args, **kwargs):
        name = twins[id(twin)][0].name
        entered[name] = [x for x in keras.tree.flatten((args, kwargs)) if isinstance(x, keras.KerasTensor)]
        outputs = twin(*args, **kwargs)
        if name in bypass:
            source, argument = bypass[name]
            return entered[source][argument]
        if name in rescale:
            scale, offset = rescale[name]
            return layers.Rescaling(scale, offset, name=f"{name}_ablated", dtype=outputs.dtype)(outputs)
        return outputs

    copy = keras.models.clone_model(functional_of(model), clone_function=clone_layer, call_function=call_layer)
    for layer in copy.layers:
        original, _ = twins.get(id(layer), (None, None))
        if original is not None and original.weights:
            copy_weights(original, layer)
            layer.trainable = original.trainable
    return copy


def build_submodel(graph, nodes, inputs, name=None):
    """Copy a model up to some calls of its ``Graph``.

    Nested models are flattened. Layers keep their names and weights; batch normalization is frozen.

    Args:
        graph: a ``Graph``.
        nodes: {key: node} of the outputs.
        inputs: symbolic inputs of the new model.
        name: of the new model.

    Returns:
        A model from ``inputs`` to {key: output}.
    """
    copies = {}

    def perform(node, tensors):
        if node.operation not in copies:
            copies[node.operation] = rebuild_layer(node)
        return call_node(replace(node, operation=copies[node.operation]), tensors)

    outputs = run_graph(subgraph(graph, [*nodes.values()]), inputs, perform=perform)
    for original, copy in copies.items():
        if getattr(original, "weights", None):
            copy_weights(original, copy)
        if isinstance(copy, layers.BatchNormalization):
            copy.trainable = False  # or a training step would move its statistics, whatever it was called with
    return keras.Model(inputs, {key: outputs[node.name] for key, node in nodes.items()}, name=name)


def rebuild_layer(node):
    """Rebuild the layer or operation of a call, named by its path if models were nested."""
    operation = node.operation
    try:
        return type(operation).from_config(operation.get_config() | {"name": keras_name(node.name)})
    except (NotImplementedError, TypeError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"`model` should have layers that can be rebuilt from their configuration. Received: {node.name}: {reason}"
        ) from error


def keras_name(name):
    """The name of a call as a valid Keras name."""
    return name.replace("/", "_")


def copy_weights(original, copy):
    """Copy the weights of a layer or model to another with the same structure."""
    copy.set_weights(original.get_weights())
    for layer in all_layers(copy):
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()  # it computes with values derived from its weights


def unfreeze(model):
    """Make all layers trainable; a nested Sequential does not pass its own setting on."""
    for layer in all_layers(model):
        layer.trainable = True
    return model


def replace_dtype(config, dtype):
    """A configuration with every floating-point dtype replaced."""
    if isinstance(config, list | tuple):
        return type(config)(replace_dtype(value, dtype) for value in config)
    if not isinstance(config, dict):
        return config
    return {
        key: dtype if key == "dtype" and is_floating(value) else replace_dtype(value, dtype)
        for key, value in config.items()
    }


def is_floating(value):
    """Whether a dtype of a configuration (a name or a policy) is floating point."""
    name = value.get("config", {}).get("name", "") if isinstance(value, dict) else value
    return isinstance(name, str) and "float" in name
