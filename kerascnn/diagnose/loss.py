"""The loss of a model and its gradients by all weights, with any backend of Keras.

No backend is named here. `Trainer.train_on_batch` differentiates under all of them and hands the gradients to the
optimizer; `GradientRecorder` is an optimizer that writes each gradient into its variable instead of taking a step.
"""

import keras
from keras import ops

from ..graph.ends import select_scores


class GradientRecorder(keras.optimizers.Optimizer):
    """No optimizer: after its "step" each variable holds the gradient of the loss by it."""

    def __init__(self):
        super().__init__(learning_rate=1.0)

    def apply(self, grads, trainable_variables=None):
        variables = self._trainable_variables if trainable_variables is None else [*trainable_variables]
        if not self.built:
            self.build(variables)
        for gradient, variable in zip(grads, variables, strict=True):
            variable.assign(ops.zeros_like(variable) if gradient is None else ops.cast(gradient, variable.dtype))

    def update_step(self, gradient, variable, learning_rate):
        variable.assign(gradient)


class LossModel(keras.Model):
    """The loss of a model on a batch (x, y), as `predict_on_batch` and `train_on_batch` compute it, with its own type.

    The loss is part of the call: Keras' own step would compute it in float32, and TensorFlow's crossentropy takes the
    logits instead of clipped probabilities only inside a compiled function.
    """

    def __init__(self, inner, loss, training=False):
        super().__init__(autocast=False)
        self.inner, self.mean_loss, self.phase = inner, mean_loss_function(loss), training
        self.compile(optimizer=GradientRecorder(), jit_compile=False)

    def call(self, batch):
        x, y = batch
        scores = select_scores(self.inner(x, training=self.phase), self.inner)
        return ops.reshape(self.mean_loss(y, scores), (1,))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.sum(y_pred)

    def value(self, x, y):
        """The mean loss as a numpy scalar of the type it is computed in."""
        return self.predict_on_batch((x, y))[0]

    def gradients(self, x, y):
        """The gradient by each trainable weight, as arrays; the weights are as they were afterwards."""
        self.value(x, y)  # builds what is not built
        before = [ops.convert_to_numpy(variable) for variable in self.inner.variables]
        try:
            self.train_on_batch((x, y))
            return [ops.convert_to_numpy(variable) for variable in self.trainable_variables]
        finally:
            for variable, value in zip(self.inner.variables, before, strict=True):
                variable.assign(value)


def mean_loss_function(loss):
    """A function (targets, scores) -> mean loss, from a name, a Keras loss or a function of the two."""
    try:
        found = keras.losses.get(loss)
    except ValueError:
        found = None
    each = found.call if isinstance(found, keras.losses.Loss) else found
    if not callable(each):
        raise ValueError(f"`loss` should be the name of a Keras loss, a Keras loss or a function. Received: {loss!r}")
    return lambda targets, scores: ops.mean(each(targets, scores))
