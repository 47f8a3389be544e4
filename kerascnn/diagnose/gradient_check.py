"""Gradient check: backpropagation compared with central differences in float64.

n = (f(w + h) - f(w - h)) / 2h, and the relative error |a - n| / max(|a|, |n|, floor). A ReLU or a maximum that switches
within h of w makes n wrong and not a: such kinks are told apart and counted. In a smooth function n(h) - n(h/2) and
D(h) - 4 D(h/2), with D(h) = f(w + h) - 2 f(w) + f(w - h), vanish as h^2 and h^4; where the slope jumps they do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from keras import ops

from ..graph.copy import rebuild_model, unfreeze
from ..graph.run import select_weighted_layers
from ..support.display import FigureResult
from ..support.types import Array, Layers, Model, OnProgress
from .images import check_channel_order
from .loss import LossModel

COLUMNS = ("layer", "weight", "index", "analytic", "numeric", "error", "epsilon", "kink")
SMALLER = 8  # how much closer to look where a kink lies within epsilon
ATTEMPTS = 3
NOISE = 64 * np.finfo(np.float64).eps  # of the loss, relative; rounding adds up over the layers


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class GradientCheck(FigureResult):
    """Analytic and numeric gradients of sampled weights.

    Attributes:
        table: DataFrame with a row for each weight: layer, weight, index, analytic, numeric, error, epsilon (the step)
            and kink (whether the loss has a kink within the step, so that the numeric gradient means nothing).
        tolerance: largest accepted relative error.
        loss: loss of the model on the images.
    """

    table: object
    tolerance: float
    loss: float

    @property
    def max_error(self):
        """The largest relative error of a weight without a kink; NaN where all have one."""
        errors = self.table.error[~self.table.kink]
        return float(errors.max()) if len(errors) else float("nan")

    @property
    def kinks(self):
        """The number of weights that could not be checked because of a kink."""
        return int(self.table.kink.sum())

    @property
    def passed(self):
        """Whether all errors stay below ``tolerance``, and at least one could be measured."""
        return self.max_error < self.tolerance

    @property
    def layer_table(self):
        """A DataFrame with a row for each layer: samples, kinks, error, passed."""
        clear = self.table.assign(error=self.table.error.where(~self.table.kink))
        found = clear.groupby("layer", sort=False).agg(samples=("kink", "size"), kinks=("kink", "sum"))
        found["error"] = clear.groupby("layer", sort=False).error.max()
        return found.assign(passed=found.error < self.tolerance).reset_index()

    def __str__(self):
        worst = self.layer_table.sort_values("error", ascending=False).iloc[0]
        verdict = "right" if self.passed else "wrong" if self.max_error >= self.tolerance else "not measured"
        return (
            f"gradients {verdict}: largest relative error {self.max_error:.1e} ({worst.layer}), "
            f"{len(self.table)} weights checked, {self.kinks} of them near kinks"
        )

    def plot(self):
        """The errors layer by layer, and where they become wrong."""
        from .figures import draw_gradient_check

        return draw_gradient_check(self)


def gradient_check(
    model: Model,
    x: Array,
    y: Array,
    *,
    layers: Layers | None = None,
    loss: str | Callable = "sparse_categorical_crossentropy",
    samples: int = 20,
    step_size: float = 1e-5,
    floor: float = 1e-5,
    tolerance: float = 1e-5,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> GradientCheck:
    """Compare backpropagation with central differences in float64.

    The model is rebuilt in float64 and not changed. Dropout is off, batch normalization uses its moving statistics, and
    regularizers are left out. Few images have few kinks: four will do.

    Args:
        model: a Keras model.
        x: a batch of inputs.
        y: targets of the loss.
        layers: names of layers, or layers; all with weights by default, frozen ones too.
        loss: name of a Keras loss, a Keras loss or a function of targets and scores.
        samples: number of weights per layer.
        step_size: step of the central differences; smaller steps have larger rounding errors.
        floor: smallest gradient that is compared relatively, times the loss if that is above 1.
        tolerance: largest accepted relative error.
        seed: random seed of the sampled weights.
        on_progress: called as `on_progress(done, total, layer)` after each layer; it may raise an exception to stop.

    Returns:
        A `GradientCheck` with the error of each weight.
    """
    import pandas as pd

    if samples < 1 or step_size <= 0:
        raise ValueError(f"`samples` and `step_size` should be positive. Received: {samples} and {step_size}")
    check_channel_order(model, np.asarray(x))
    copy = unfreeze(rebuild_model(model, "float64"))
    measured, x, y = LossModel(copy, loss), np.asarray(x, np.float64), np.asarray(y)
    value = partial(measured.value, x, y)
    middle = value()
    if middle.dtype != np.float64:
        raise ValueError(
            "`model` should compute in float64 (on JAX, set jax_enable_x64). "
            f"Received: {model.name}, which computes in {middle.dtype}"
        )
    slopes = {id(v): g for v, g in zip(measured.trainable_variables, measured.gradients(x, y), strict=True)}
    rng = np.random.default_rng(seed)
    rows, looked_at = [], select_weighted_layers(copy, layers)
    for done, layer in enumerate(looked_at, start=1):
        for variable, index in sample_entries(layer.trainable_weights, samples, rng):
            analytic = float(slopes[id(variable)][index])
            numeric, step, kink = numeric_slope(partial(loss_after_step, value, variable, index), step_size)
            least = floor * max(abs(middle), 1) * step_size / step  # rounding is that of the loss, divided by the step
            error = abs(analytic - numeric) / max(abs(analytic), abs(numeric), least)
            rows.append((layer.name, variable.name, index, analytic, numeric, error, step, kink))
        if on_progress:
            on_progress(done, len(looked_at), layer.name)
    return GradientCheck(table=pd.DataFrame(rows, columns=COLUMNS), tolerance=tolerance, loss=float(middle))


def sample_entries(weights, samples, rng):
    """Entries (weight, index) of a layer to look at: one of each weight first, so far as there are samples."""
    sizes = [int(np.prod(weight.shape)) for weight in weights]
    starts = np.cumsum([0, *sizes])
    first = [start + int(rng.integers(size)) for start, size in zip(starts[:-1], sizes, strict=True)]
    others = rng.choice(starts[-1], size=min(samples, starts[-1]), replace=False)
    for place in [*dict.fromkeys(map(int, [*first, *others]))][:samples]:
        which = int(np.searchsorted(starts, place, side="right")) - 1
        index = np.unravel_index(place - starts[which], tuple(weights[which].shape))
        yield weights[which], tuple(map(int, index))


def loss_after_step(value, variable, index, step):
    """The loss with one entry of a weight moved by ``step``, and moved back afterwards."""
    before = ops.convert_to_numpy(variable)
    after = before.copy()
    after[index] += step
    variable.assign(after)
    try:
        return float(value())
    finally:
        variable.assign(before)


def numeric_slope(f, step_size):
    """(slope at 0, the step it was measured with, whether a kink lies within that step)."""
    middle = f(0.0)
    first = None
    for step in (step_size / SMALLER**k for k in range(ATTEMPTS)):
        high, low, high_half, low_half = f(step), f(-step), f(step / 2), f(-step / 2)
        whole, half = (high - low) / (2 * step), (high_half - low_half) / step
        bend = (high - 2 * middle + low) - 4 * (high_half - 2 * middle + low_half)
        allowed = 1e-6 * max(abs(whole), abs(half)) + NOISE * max(abs(middle), 1.0) / step
        first = first or (whole, step)
        if abs(whole - half) <= allowed and abs(bend) / step <= 4 * allowed:
            return whole, step, False
    return *first, True
