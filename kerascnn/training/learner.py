"""A model made ready to learn by a recipe, without touching how its user compiled it."""

from contextlib import nullcontext
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from ..graph.copy import clone
from ..graph.ends import before_softmax, scores_of
from ..support.text import unknown
from .optimizers import optimizer_of
from .runs import arrays_of, assign


@dataclass(frozen=True, eq=False)
class Learner:
    """``compiled`` ends in logits with the layers of ``source``: the ``model`` itself, or its copy on all devices."""

    compiled: keras.Model
    source: keras.Model
    model: keras.Model

    @property
    def variables(self):
        """All that a step reads and changes: weights, statistics, seeds, and what the optimizer remembers."""
        return [*self.compiled.variables, *self.compiled.optimizer.variables]

    @property
    def outputs(self):
        """The names of the outputs, if they have any."""
        return tuple(self.compiled.output) if isinstance(self.compiled.output, dict) else ()

    def hand_back(self):
        """Give the user's model what was learned."""
        if self.source is not self.model:
            assign(self.model.variables, arrays_of(self.source.variables))


def prepared(model, recipe, seed):
    """The ``Learner`` of a model, its dropout drawn from ``seed``."""
    devices = strategy()
    with on(devices):
        source = clone(model) if devices else model
        outputs, from_logits = scored(source)
        compiled = keras.Model(source.inputs, outputs, name=model.name)
        optimizer = optimizer_of(recipe)
        if any(layer.compute_dtype == "float16" for layer in compiled.layers):
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        loss = cross_entropy(from_logits, recipe.label_smoothing)
        parts = {"loss": loss, "metrics": ["accuracy"]}
        if isinstance(outputs, dict):
            weights = {name: 1.0 if name == "probs" else recipe.aux for name in outputs}
            parts = {"loss": dict.fromkeys(outputs, loss), "loss_weights": weights, "metrics": {"probs": ["accuracy"]}}
        compiled.compile(optimizer, jit_compile=compiled_by_xla(devices), **parts)
        optimizer.build(compiled.trainable_variables)
    reseed(compiled, seed)
    return Learner(compiled, source, model)


def scored(model):
    """The outputs ahead of their softmax, whose logarithm would lose what is small, and whether all have one."""
    outputs = model.output
    found = {name: before_softmax(tensor) for name, tensor in outputs.items()} if isinstance(outputs, dict) else None
    if found is None:
        found = {"": before_softmax(scores_of(outputs, model))}
    elif "probs" not in found:
        raise ValueError(unknown(f"output of {model.name}", "probs", found))
    kinds = {from_logits for _, from_logits in found.values()}
    if len(kinds) > 1:
        raise ValueError(f"`model` should end in a softmax at every output. Received: {model.name}, some without")
    tensors = {name: tensor for name, (tensor, _) in found.items()}
    return (tensors if isinstance(outputs, dict) else tensors[""]), kinds.pop()


def cross_entropy(from_logits, smoothing):
    """-sum t log p, with t = 1 - smoothing + smoothing / classes at the label and smoothing / classes elsewhere."""
    if not smoothing:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)

    def smoothed(labels, scores):
        target = ops.one_hot(ops.reshape(labels, (-1,)), scores.shape[-1], dtype=scores.dtype)
        return keras.losses.categorical_crossentropy(target, scores, from_logits, smoothing)

    return smoothed


def reseed(model, seed):
    """Start the dropout of every layer from the run's seed."""
    states = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    for number, state in enumerate(states):
        drawn = np.random.SeedSequence([seed, number]).generate_state(1)[0]
        state.assign(np.array([drawn, 0], "uint32"))


def strategy():
    """TensorFlow's ``MirroredStrategy`` over the GPUs, else over the logical CPUs, where there are several; or None."""
    if keras.config.backend() != "tensorflow":
        return None
    import tensorflow as tf

    for kind in ("GPU", "CPU"):
        devices = [device.name for device in tf.config.list_logical_devices(kind)]
        if devices:
            return tf.distribute.MirroredStrategy(devices) if len(devices) > 1 else None
    return None


def on(devices):
    """The scope in which a ``strategy`` wants variables made."""
    return devices.scope() if devices else nullcontext()


def compiled_by_xla(devices):
    """Keras' ``jit_compile``: never on a CPU, where XLA made steps of ResNet-20 two to six times slower."""
    if keras.config.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    return "auto" if devices is None and tf.config.list_logical_devices("GPU") else False
