"""A model prepared for training by a recipe, without changing how its user compiled it."""

from contextlib import nullcontext
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from ..graph.copy import clone_with_changes
from ..graph.ends import logits_before_softmax, select_scores, symbolic_outputs
from ..support.text import unknown_name
from .optimizers import optimizer_of
from .runs import arrays_of, assign_arrays


@dataclass(frozen=True, eq=False)
class Learner:
    """``compiled`` ends in logits with the layers of ``source``: the ``model`` itself, or its copy on all devices."""

    compiled: keras.Model
    source: keras.Model
    model: keras.Model

    @property
    def variables(self):
        """All variables that a step reads or changes: weights, statistics, seeds and optimizer slots."""
        return [*self.compiled.variables, *self.compiled.optimizer.variables]

    @property
    def outputs(self):
        """The names of the outputs, if they are named."""
        return tuple(self.compiled.output) if isinstance(self.compiled.output, dict) else ()

    def hand_back(self):
        """Copy the trained weights to the user's model."""
        if self.source is not self.model:
            assign_arrays(self.model.variables, arrays_of(self.source.variables))


def prepare_learner(model, recipe, seed):
    """The ``Learner`` of a model, with dropout seeded by ``seed``."""
    devices = device_strategy()
    with strategy_scope(devices):
        source = clone_with_changes(model) if devices else model
        outputs, from_logits = logit_outputs(source)
        compiled = keras.Model(source.inputs, outputs, name=model.name)
        optimizer = optimizer_of(recipe)
        if any(layer.compute_dtype == "float16" for layer in compiled.layers):
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        loss = cross_entropy(from_logits, recipe.label_smoothing)
        parts = {"loss": loss, "metrics": ["accuracy"]}
        if isinstance(outputs, dict):
            weights = {name: 1.0 if name == "probs" else recipe.aux_weight for name in outputs}
            parts = {"loss": dict.fromkeys(outputs, loss), "loss_weights": weights, "metrics": {"probs": ["accuracy"]}}
        compiled.compile(optimizer, jit_compile=jit_compile_setting(devices), **parts)
        optimizer.build(compiled.trainable_variables)
    reseed(compiled, seed)
    return Learner(compiled, source, model)


def logit_outputs(model):
    """The outputs before their softmax, for precision, and whether they are logits."""
    outputs = symbolic_outputs(model)
    if not isinstance(outputs, dict):
        return logits_before_softmax(select_scores(outputs, model))

    ends = {name: logits_before_softmax(tensor) for name, tensor in outputs.items()}
    if "probs" not in ends:
        raise ValueError(unknown_name(f"output of {model.name}", "probs", ends))
    kinds = {from_logits for _, from_logits in ends.values()}
    if len(kinds) > 1:
        raise ValueError(f"`model` should end in a softmax at every output. Received: {model.name}, some without")
    return {name: tensor for name, (tensor, _) in ends.items()}, kinds.pop()


def cross_entropy(from_logits, smoothing):
    """-sum t log p, with t = 1 - smoothing + smoothing / classes at the label and smoothing / classes elsewhere."""
    if not smoothing:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)

    def smoothed_loss(labels, scores):
        target = ops.one_hot(ops.reshape(labels, (-1,)), scores.shape[-1], dtype=scores.dtype)
        return keras.losses.categorical_crossentropy(target, scores, from_logits, smoothing)

    return smoothed_loss


def reseed(model, seed):
    """Seed the dropout of every layer by the run's seed."""
    states = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    for number, state in enumerate(states):
        seed_value = np.random.SeedSequence([seed, number]).generate_state(1)[0]
        state.assign(np.array([seed_value, 0], "uint32"))


def device_strategy():
    """TensorFlow's ``MirroredStrategy`` over several GPUs, or else several logical CPUs; None for one device."""
    if keras.config.backend() != "tensorflow":
        return None
    import tensorflow as tf

    for kind in ("GPU", "CPU"):
        devices = [device.name for device in tf.config.list_logical_devices(kind)]
        if devices:
            return tf.distribute.MirroredStrategy(devices) if len(devices) > 1 else None
    return None


def strategy_scope(devices):
    """The scope of a ``device_strategy`` in which variables are created."""
    return devices.scope() if devices else nullcontext()


def jit_compile_setting(devices):
    """Keras' ``jit_compile``: never on a CPU, where XLA made steps of ResNet-20 two to six times slower."""
    if keras.config.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    return "auto" if devices is None and tf.config.list_logical_devices("GPU") else False
