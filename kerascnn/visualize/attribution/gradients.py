"""Which pixels speak for a score? Methods that ask the gradient, or what a rule makes of it; each is its formula.

S is the score of a class before the softmax, x the pixels 0..255 as they enter the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
from keras import ops

from ...anatomy.receptive_field import receptive_field
from ...support.checks import check_integer
from ...support.text import unknown_name
from ...support.types import Array, Classes, ClassNames, Images, Model, OnProgress, Units
from ..engine.lens import Lens, lens
from ..engine.query import Query, pictures
from ..engine.scores import INPUT, Score, layer_label, peak
from ..registry import METHODS, attribution_method
from .attribution import Attribution, channel_peaks, make_target


@attribution_method
def saliency(
    model: Model | Lens,
    images: Images,
    classes: Classes | None = None,
    *,
    score: Score | Callable | None = None,
    class_names: ClassNames | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Attribution:
    """The gradient: the largest |dS/dx| of a pixel's colors (Simonyan et al. 2014)."""
    target = make_target(
        model, images, classes, score=score, class_names=class_names, batch_size=batch_size, on_progress=on_progress
    )
    return differentiate(target, ("saliency",), "saliency", read_gradient, "max")


@attribution_method
def gradient_x_input(
    model: Model | Lens,
    images: Images,
    classes: Classes | None = None,
    *,
    score: Score | Callable | None = None,
    class_names: ClassNames | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Attribution:
    """Each pixel times its gradient, x dS/dx, summed over the colors."""
    target = make_target(
        model, images, classes, score=score, class_names=class_names, batch_size=batch_size, on_progress=on_progress
    )
    return differentiate(target, ("gradient_x_input",), "gradient x input", read_gradient_x_input)


@attribution_method
def guided_backprop(
    model: Model | Lens,
    images: Images,
    classes: Classes | None = None,
    *,
    layer: str | None = None,
    unit: Units | None = None,
    top: int = 1,
    signal: Literal["one", "activation"] = "one",
    score: Score | Callable | None = None,
    class_names: ClassNames | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Attribution:
    """The gradient, only its positive part at each ReLU (Springenberg et al. 2015).

    A ReLU of input z passes 1[z > 0] max(R, 0) of the signal R that arrives. The signal starts at the logit of a class,
    or as in `deconvnet` at units of a layer: by default with 1, which is the gradient of the score there.

    Args:
        layer: start from units of this layer instead of from the class.
        unit: a channel of the layer, or several; the signal starts at its strongest position.
        top: number of strongest channels of each image to start from, if no `unit` is given.
        signal: starting value: "one", or "activation" for the value of the unit or logit.
    """
    return project_signal(
        "guided", signal, model, images, classes, layer, unit, top, score, class_names, batch_size, on_progress
    )


@attribution_method
def deconvnet(
    model: Model | Lens,
    images: Images,
    classes: Classes | None = None,
    *,
    layer: str | None = None,
    unit: Units | None = None,
    top: int = 1,
    signal: Literal["one", "activation"] = "activation",
    score: Score | Callable | None = None,
    class_names: ClassNames | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Attribution:
    """Activations back to pixels by transposed filters (Zeiler & Fergus 2014).

    A ReLU passes max(R, 0) of the signal R that arrives, wherever it was on; max pooling puts it where the maximum was;
    local response normalization is left out. Of a ``layer``, all but one unit is set to zero, and that one keeps its
    value: the signal starts with the activation, not with 1. Without a layer it starts at the logit of a class, with
    the value of that logit, so that a negative logit turns the signs of the signal and what ReLUs pass of it.

    Args:
        layer: start from units of this layer instead of from the class.
        unit: a channel of the layer, or several; the signal starts at its strongest position.
        top: number of strongest channels of each image to start from, if no `unit` is given; returned as consecutive
            rows.
        signal: starting value: "activation" for the value of the unit or logit, or "one".
    """
    return project_signal(
        "deconvnet", signal, model, images, classes, layer, unit, top, score, class_names, batch_size, on_progress
    )


@attribution_method
def grad_cam(
    model: Model | Lens,
    images: Images,
    classes: Classes | None = None,
    *,
    layer: str | None = None,
    score: Score | Callable | None = None,
    class_names: ClassNames | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Attribution:
    """A layer's maps, weighted by their mean gradients (Selvaraju et al. 2017).

    ReLU(sum_k mean(dS/dA_k) A_k) for maps A_k, at the size of the image; ``metadata["coarse"]`` has it as the layer's.

    Args:
        layer: whose feature maps to use; by default the last layer that has them.
    """
    view = lens(model)
    layer = view.feature_map_layer(layer)
    target = make_target(
        view, images, classes, score=score, class_names=class_names, batch_size=batch_size, on_progress=on_progress
    )
    read = lambda run, score: read_grad_cam(run, score, layer)  # noqa: E731
    return differentiate(target, ("grad_cam", layer), f"grad cam at {layer}", read)


@attribution_method
def smoothgrad(
    model: Model | Lens,
    images: Images,
    classes: Classes | None = None,
    *,
    method: str | Callable = "saliency",
    samples: int = 50,
    noise: float = 0.15,
    seed: int = 0,
    score: Score | Callable | None = None,
    class_names: ClassNames | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Attribution:
    """The mean of a method over noisy copies of each image (Smilkov et al. 2017).

    Values are averaged before any absolute value is taken. The noise is Gaussian and depends on the seed and the
    image, not on the batch size.

    Args:
        method: name of an attribution method, or a function with the same signature; to set options,
            `functools.partial(deconvnet, layer="conv", unit=3)`.
        samples: number of noisy copies of each image.
        noise: standard deviation, as a fraction of the range of the image.
        seed: random seed for the noise.
    """
    if isinstance(method, str) and method not in METHODS:
        raise ValueError(unknown_name("method", method, METHODS))
    check_integer(samples=samples)
    function = METHODS[method] if isinstance(method, str) else method
    if function not in tuple(READERS):
        own = {"score": score, "class_names": class_names, "batch_size": batch_size, "on_progress": on_progress}
        return smoothgrad_of_function(function, model, images, classes, samples, noise, seed, own)
    target = make_target(
        model, images, classes, score=score, class_names=class_names, batch_size=batch_size, on_progress=on_progress
    )
    values = lambda run, score: {"values": READERS[function](run, score)["values"]}  # noqa: E731
    draw = noise_sampler(target.inputs.pixels, noise, seed)
    key = (function.__name__, "noise")
    found = target.run_query(Query(key, values, target.score, None, samples, draw, add_noise, ("values",)))["values"]
    title = smoothgrad_title(function.__name__.replace("_", " "), samples, noise)
    return target.attribution(found, title, reduce="max" if function is saliency else "sum")


@attribution_method
def integrated_gradients(
    model: Model | Lens,
    images: Images,
    classes: Classes | None = None,
    *,
    steps: int = 50,
    baseline: float | Array = 0.0,
    score: Score | Callable | None = None,
    class_names: ClassNames | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Attribution:
    """The gradient averaged from a baseline to the image (Sundararajan et al. 2017).

    (x - x0) times the mean of dS/dx between the baseline x0 and the image x. The mean is taken at the points of Gauss
    and Legendre. ``metadata["completeness"]`` is how far the sum of the map is from S(x) - S(x0), as a share of that,
    which is 0 where the steps are fine enough.

    Args:
        steps: number of points between the baseline and the image.
        baseline: starting image: a number, a color or an image, in pixel values; by default black.
    """
    target = make_target(
        model, images, classes, score=score, class_names=class_names, batch_size=batch_size, on_progress=on_progress
    )
    pixels = target.inputs.pixels
    start = np.broadcast_to(np.asarray(baseline, np.float32), pixels.shape)
    points, weights = (part.astype(np.float32) for part in np.polynomial.legendre.leggauss(steps))
    places, halves = (points + 1) / 2, weights / 2

    def draw(images, within):
        rows = slice(images.start, images.stop)
        part = slice(within.start, within.stop)
        return {"share": places[None, part], "start": start[rows, None], "weight": halves[None, part]}

    question = Query(
        ("integrated_gradients",),
        read_gradient,
        target.score,
        samples=steps,
        draw=draw,
        expand=interpolate_images,
        mean=("values",),
    )
    slopes = target.run_query(question)["values"]
    found = target.attribution((pixels - start) * slopes, f"integrated gradients, {steps} steps")
    change = found.scores - replace(target, inputs=replace(target.inputs, pixels=np.array(start))).scores()
    gap = np.abs(found.values.sum((1, 2, 3)) - change) / np.maximum(np.abs(change), 1e-12)
    return replace(found, metadata={"completeness": gap, "change": change})


def interpolate_images(pixels, share, start):
    share = ops.reshape(share, (1, -1, 1, 1, 1))
    return start + share * (pixels - start)


def read_gradient(run, score):
    return {"values": run.gradient(score), "scores": score}


def read_gradient_x_input(run, score):
    return {"values": run.gradient(score) * run[INPUT], "scores": score}


def read_activation_signal(run, score):
    """The signal from a unit that keeps its value, in place of 1."""
    return {"values": run.gradient(score, start=score), "scores": score}


def read_grad_cam(run, score, layer):
    """Grad-CAM at the size of the image, places taken for the middles of what they see."""
    maps, slopes = run[layer], run.gradient(score, layer)
    cam = ops.relu(ops.sum(ops.mean(slopes, (1, 2), keepdims=True) * maps, -1, keepdims=True))
    return {"values": ops.image.resize(cam, run.pixels.shape[1:3], "bilinear"), "scores": score, "coarse": cam}


READERS = {
    saliency: read_gradient,
    gradient_x_input: read_gradient_x_input,
}  # averaged over noise within one compiled function
SIGNALS = {"one": read_gradient, "activation": read_activation_signal}


def differentiate(target, key, title, answer, reduce="sum", rule=None, metadata=None):
    """An `Attribution` by one pass there and back.

    Calls of equal ``key`` and rule share a compiled function.
    """
    found = target.run_query(Query(key, answer, target.score, rule))
    if "coarse" in found:
        metadata = {"coarse": found["coarse"]}
    return target.attribution(
        found["values"], title, reduce=reduce, scores=found["scores"], rule=rule, metadata=metadata
    )


def noise_sampler(pixels, share, seed):
    """What draws noise for a `Query`: that of a sample is the same for all images, but for their range."""
    spread = share * (pixels.max((1, 2, 3)) - pixels.min((1, 2, 3)))

    def draw(images, within):
        normal = [np.random.default_rng((seed, k)).standard_normal(pixels.shape[1:], np.float32) for k in within]
        return {"noise": np.stack(normal)[None], "spread": spread[images.start : images.stop, None].astype(np.float32)}

    return draw


def add_noise(pixels, noise, spread):
    return pixels + spread[..., None, None, None] * noise


def smoothgrad_title(name, samples, noise):
    """What a method averaged over noise is called."""
    return f"{name}, mean of {samples} samples with noise {noise:.0%}"


def smoothgrad_of_function(function, model, images, classes, samples, noise, seed, options):
    """The mean of any method over noisy images, one call a sample."""
    bound = getattr(function, "keywords", {})
    if "layer" in bound and bound.get("unit") is None and function.func in (guided_backprop, deconvnet):
        raise ValueError(
            "`unit` should be given with `layer`, because noise may change which unit is the strongest. Received: None"
        )
    options = {name: value for name, value in options.items() if value is not None}  # a function need not know all
    target = make_target(model, images, classes, score=options.get("score"), class_names=options.get("class_names"))
    classes = classes if target.classes is None else np.array(target.classes)
    found = function(target.lens, target.inputs, classes, **options)
    draw, total, everything = noise_sampler(target.inputs.pixels, noise, seed), 0.0, range(len(target.inputs))
    for k in range(samples):
        drawn = draw(everything, range(k, k + 1))
        pixels = add_noise(target.inputs.pixels[:, None], **drawn)[:, 0]
        total = (
            total + function(target.lens, replace(target.inputs, pixels=pixels), classes, **options).values / samples
        )
    return replace(found, values=total, method=smoothgrad_title(found.method, samples, noise))


def project_signal(rule, signal, model, images, classes, layer, unit, top, score, class_names, batch_size, on_progress):
    """Signals from a class or from units of a layer by a rule for ReLUs; ``signal`` is what they start with."""
    if signal not in SIGNALS:
        raise ValueError(unknown_name("signal", signal, SIGNALS))
    title, facts = {"guided": "guided backprop"}.get(rule, rule), {}
    if layer is None:
        target = make_target(
            model, images, classes, score=score, class_names=class_names, batch_size=batch_size, on_progress=on_progress
        )
    elif score is not None:
        raise ValueError("`layer` and `score` are alternatives: pass only one of them")
    else:
        view = lens(model)
        inputs, score, facts = repeat_for_units(view, pictures(view, images), view.tap(layer), unit, top)
        target = make_target(
            view, inputs, score=score, class_names=class_names, batch_size=batch_size, on_progress=on_progress
        )
    return differentiate(target, (title, signal), title, SIGNALS[signal], rule=rule, metadata=facts)


def repeat_for_units(lens, inputs, layer, unit, top):
    """(a row for each unit of each image, the score of the units, what is told of them)."""
    strengths, places = channel_peaks(lens, inputs, layer)
    units = strongest_units(strengths, layer, top) if unit is None else repeat_units(unit, strengths, layer)
    rows, numbers = np.repeat(np.arange(len(inputs)), units.shape[1]), units.ravel()
    boxes = receptive_boxes(lens, inputs, layer, places[rows, numbers])
    names = tuple(f"{inputs.names[i]}, {layer_label(layer)}:{k}" for i, k in zip(rows, numbers, strict=True))
    score = peak(layer, numbers)
    if len(set(numbers)) > 1:
        score = replace(score, name=f"strongest position of units of {layer_label(layer)}")
    facts = {"layer": layer_label(layer), "units": numbers, "of": rows, "boxes": boxes}
    return replace(inputs.at(rows), names=names), score, facts


def strongest_units(strengths, layer, top):
    """The ``top`` channels of each image, (N, top), the first of equal ones."""
    size = strengths.shape[-1]
    if not 1 <= top <= size:
        raise ValueError(f"`top` should be from 1 to {size}, the number of channels of {layer}. Received: {top}")
    return np.argsort(-strengths, axis=-1, kind="stable")[:, :top]


def repeat_units(unit, strengths, layer):
    """The same channels for each image, (N, units)."""
    size, units = strengths.shape[-1], np.atleast_1d(unit)
    if units.ndim != 1 or units.dtype.kind not in "iu" or not ((units >= 0) & (units < size)).all():
        raise ValueError(f"`unit` should be a channel of {layer}, from 0 to {size - 1}. Received: {unit}")
    return np.repeat(units[None], len(strengths), axis=0)


def receptive_boxes(lens, inputs, layer, places):
    """(top, left, bottom, right) of what units at ``places`` see, bottom and right excluded, (N, 4).

    They may lie outside the image; the whole image where the receptive field is not known.
    """
    size = inputs.pixels.shape[1:]
    shape = size if None in lens.shape else None
    try:
        field = receptive_field(lens.model, layer, lens.input, input_shape=shape)
        return np.array([field.box(tuple(place) if len(place) else None) for place in places])
    except ValueError:
        return np.tile([0, 0, *size[:2]], (len(places), 1))
