"""Which pixels speak for a score? Methods that ask the gradient, or what a rule makes of it; each is its formula.

S is the score of a class before the softmax, x the pixels 0..255 as they enter the model.
"""

from dataclasses import replace

import numpy as np
from keras import ops

from ...anatomy.receptive_field import receptive_field
from ...support.text import unknown
from ..engine.lens import probe
from ..engine.query import Question, pictures
from ..engine.scores import INPUT, called, peak
from ..registry import METHODS, attribution_method
from .attribution import aim, peaks


@attribution_method
def saliency(model, images, classes=None, *, score=None, labels=None, batch=None, on_progress=None):
    """The gradient: the largest |dS/dx| of a pixel's colors (Simonyan et al. 2014)."""
    aimed = aim(model, images, classes, score=score, labels=labels, batch=batch, on_progress=on_progress)
    return differentiate(aimed, ("saliency",), "saliency", slope, "max")


@attribution_method
def gradient_x_input(model, images, classes=None, *, score=None, labels=None, batch=None, on_progress=None):
    """Each pixel times its gradient, x dS/dx, summed over the colors."""
    aimed = aim(model, images, classes, score=score, labels=labels, batch=batch, on_progress=on_progress)
    return differentiate(aimed, ("gradient_x_input",), "gradient x input", slope_x_input)


@attribution_method
def guided_backprop(
    model,
    images,
    classes=None,
    *,
    layer=None,
    unit=None,
    top=1,
    signal="one",
    score=None,
    labels=None,
    batch=None,
    on_progress=None,
):
    """The gradient, only its positive part at each ReLU (Springenberg et al. 2015).

    A ReLU of input z passes 1[z > 0] max(R, 0) of the signal R that arrives. The signal starts at the logit of a class,
    or as in `deconvnet` at units of a layer: by default with 1, which is the gradient of the score there.

    Args:
        layer: from whose units the signal starts, in place of the class.
        unit: a channel of the layer, or several; the signal starts where it is strongest.
        top: so many of the strongest channels of each image, where no unit is given.
        signal: what it starts with: "one", or "activation", the value of the unit or logit.
    """
    return project_signal("guided", signal, model, images, classes, layer, unit, top, score, labels, batch, on_progress)


@attribution_method
def deconvnet(
    model,
    images,
    classes=None,
    *,
    layer=None,
    unit=None,
    top=1,
    signal="activation",
    score=None,
    labels=None,
    batch=None,
    on_progress=None,
):
    """Activations back to pixels by transposed filters (Zeiler & Fergus 2014).

    A ReLU passes max(R, 0) of the signal R that arrives, wherever it was on; max pooling puts it where the maximum was;
    local response normalization is left out. Of a ``layer``, all but one unit is set to zero, and that one keeps its
    value: the signal starts with the activation, not with 1. Without a layer it starts at the logit of a class, with
    the value of that logit, so that a negative logit turns the signs of the signal and what ReLUs pass of it.

    Args:
        layer: from whose units the signal starts, in place of the class.
        unit: a channel of the layer, or several; the signal starts where it is strongest.
        top: so many of the strongest channels of each image, in rows one after the other, where no unit is given.
        signal: what it starts with: "activation", the value of the unit or logit, or "one".
    """
    return project_signal(
        "deconvnet", signal, model, images, classes, layer, unit, top, score, labels, batch, on_progress
    )


@attribution_method
def grad_cam(model, images, classes=None, *, layer=None, score=None, labels=None, batch=None, on_progress=None):
    """A layer's maps, weighted by their mean gradients (Selvaraju et al. 2017).

    ReLU(sum_k mean(dS/dA_k) A_k) for maps A_k, at the size of the image; ``facts["coarse"]`` has it as the layer's.

    Args:
        layer: whose maps; by default the last that has places.
    """
    asked = probe(model)
    layer = asked.places(layer)
    aimed = aim(asked, images, classes, score=score, labels=labels, batch=batch, on_progress=on_progress)
    read = lambda run, score: weighed(run, score, layer)  # noqa: E731
    return differentiate(aimed, ("grad_cam", layer), f"grad cam at {layer}", read)


@attribution_method
def smoothgrad(
    model,
    images,
    classes=None,
    *,
    method="saliency",
    samples=50,
    noise=0.15,
    seed=0,
    score=None,
    labels=None,
    batch=None,
    on_progress=None,
):
    """The mean of a method over noisy copies of each image (Smilkov et al. 2017).

    Values are averaged before any absolute value is taken. Gaussian noise; the same for a seed, whatever is asked
    together.

    Args:
        method: the name of an attribution method, or a function like one; with options of its own
            `functools.partial(deconvnet, layer="conv", unit=3)`.
        samples: noisy copies of each image.
        noise: the standard deviation, as a share of the image's own range.
        seed: of the noise.
    """
    if isinstance(method, str) and method not in METHODS:
        raise ValueError(unknown("method", method, METHODS))
    function = METHODS[method] if isinstance(method, str) else method
    if function not in tuple(SLOPES):
        own = {"score": score, "labels": labels, "batch": batch, "on_progress": on_progress}
        return smoothed_apart(function, model, images, classes, samples, noise, seed, own)
    aimed = aim(model, images, classes, score=score, labels=labels, batch=batch, on_progress=on_progress)
    values = lambda run, score: {"values": SLOPES[function](run, score)["values"]}  # noqa: E731
    draw = noisy(aimed.shown.pixels, noise, seed)
    key = (function.__name__, "noise")
    found = aimed.ask(Question(key, values, aimed.score, None, samples, draw, plus, ("values",)))["values"]
    title = smoothed_title(function.__name__.replace("_", " "), samples, noise)
    return aimed.attribution(found, title, reduce="max" if function is saliency else "sum")


@attribution_method
def integrated_gradients(
    model, images, classes=None, *, steps=50, baseline=0.0, score=None, labels=None, batch=None, on_progress=None
):
    """The gradient averaged from a baseline to the image (Sundararajan et al. 2017).

    (x - x0) times the mean of dS/dx between the baseline x0 and the image x. The mean is taken at the points of Gauss
    and Legendre. ``facts["completeness"]`` is how far the sum of the map is from S(x) - S(x0), as a share of that,
    which is 0 where the steps are fine enough.

    Args:
        steps: points between the baseline and the image.
        baseline: x0, a number, a color or an image, on the scale of the pixels; black by default.
    """
    aimed = aim(model, images, classes, score=score, labels=labels, batch=batch, on_progress=on_progress)
    pixels = aimed.shown.pixels
    start = np.broadcast_to(np.asarray(baseline, np.float32), pixels.shape)
    places, weights = (part.astype(np.float32) for part in np.polynomial.legendre.leggauss(steps))
    places, weights = (places + 1) / 2, weights / 2

    def draw(images, within):
        rows = slice(images.start, images.stop)
        part = slice(within.start, within.stop)
        return {"share": places[None, part], "start": start[rows, None], "weight": weights[None, part]}

    question = Question(
        ("integrated_gradients",), slope, aimed.score, samples=steps, draw=draw, make=on_the_way, mean=("values",)
    )
    slopes = aimed.ask(question)["values"]
    found = aimed.attribution((pixels - start) * slopes, f"integrated gradients, {steps} steps")
    change = found.scores - replace(aimed, shown=replace(aimed.shown, pixels=np.array(start))).scores()
    gap = np.abs(found.values.sum((1, 2, 3)) - change) / np.maximum(np.abs(change), 1e-12)
    return replace(found, facts={"completeness": gap, "change": change})


def on_the_way(pixels, share, start):
    share = ops.reshape(share, (1, -1, 1, 1, 1))
    return start + share * (pixels - start)


def slope(run, score):
    return {"values": run.gradient(score), "scores": score}


def slope_x_input(run, score):
    return {"values": run.gradient(score) * run[INPUT], "scores": score}


def own_value(run, score):
    """The signal from a unit that keeps its value, in place of 1."""
    return {"values": run.gradient(score, start=score), "scores": score}


def weighed(run, score, layer):
    """Grad-CAM at the size of the image, places taken for the middles of what they see."""
    maps, slopes = run[layer], run.gradient(score, layer)
    cam = ops.relu(ops.sum(ops.mean(slopes, (1, 2), keepdims=True) * maps, -1, keepdims=True))
    return {"values": ops.image.resize(cam, run.pixels.shape[1:3], "bilinear"), "scores": score, "coarse": cam}


SLOPES = {saliency: slope, gradient_x_input: slope_x_input}  # averaged over noise within one compiled function
SIGNALS = {"one": slope, "activation": own_value}


def differentiate(aimed, key, title, answer, reduce="sum", rule=None, facts=None):
    """An `Attribution` by one pass there and back.

    Calls of equal ``key`` and rule share a compiled function.
    """
    found = aimed.ask(Question(key, answer, aimed.score, rule))
    if "coarse" in found:
        facts = {"coarse": found["coarse"]}
    return aimed.attribution(found["values"], title, reduce=reduce, scores=found["scores"], rule=rule, facts=facts)


def noisy(pixels, share, seed):
    """What draws noise for a `Question`: that of a sample is the same for all images, but for their range."""
    spread = share * (pixels.max((1, 2, 3)) - pixels.min((1, 2, 3)))

    def draw(images, within):
        normal = [np.random.default_rng((seed, k)).standard_normal(pixels.shape[1:], np.float32) for k in within]
        return {"noise": np.stack(normal)[None], "spread": spread[images.start : images.stop, None].astype(np.float32)}

    return draw


def plus(pixels, noise, spread):
    return pixels + spread[..., None, None, None] * noise


def smoothed_title(name, samples, noise):
    """What a method averaged over noise is called."""
    return f"{name}, mean of {samples} with noise of {noise:.0%}"


def smoothed_apart(function, model, images, classes, samples, noise, seed, options):
    """The mean of any method over noisy images, one call a sample."""
    bound = getattr(function, "keywords", {})
    if "layer" in bound and bound.get("unit") is None and function.func in (guided_backprop, deconvnet):
        raise ValueError("`unit` should be given with `layer`: noise may make another one the strongest")
    options = {name: value for name, value in options.items() if value is not None}  # a function need not know all
    aimed = aim(model, images, classes, score=options.get("score"), labels=options.get("labels"))
    classes = classes if aimed.classes is None else np.array(aimed.classes)
    found = function(aimed.probe, aimed.shown, classes, **options)
    draw, total, everything = noisy(aimed.shown.pixels, noise, seed), 0.0, range(len(aimed.shown))
    for k in range(samples):
        drawn = draw(everything, range(k, k + 1))
        pixels = plus(aimed.shown.pixels[:, None], **drawn)[:, 0]
        total = total + function(aimed.probe, replace(aimed.shown, pixels=pixels), classes, **options).values / samples
    return replace(found, values=total, method=smoothed_title(found.method, samples, noise))


def project_signal(rule, signal, model, images, classes, layer, unit, top, score, labels, batch, on_progress):
    """Signals from a class or from units of a layer by a rule for ReLUs; ``signal`` is what they start with."""
    if signal not in SIGNALS:
        raise ValueError(unknown("signal", signal, SIGNALS))
    title, facts = {"guided": "guided backprop"}.get(rule, rule), {}
    if layer is None:
        aimed = aim(model, images, classes, score=score, labels=labels, batch=batch, on_progress=on_progress)
    elif score is not None:
        raise ValueError("`layer` and `score` both say where the signal starts: give one of them")
    else:
        asked = probe(model)
        shown, score, facts = rows_of_units(asked, pictures(asked, images), asked.tap(layer), unit, top)
        aimed = aim(asked, shown, score=score, labels=labels, batch=batch, on_progress=on_progress)
    return differentiate(aimed, (title, signal), title, SIGNALS[signal], rule=rule, facts=facts)


def rows_of_units(asked, shown, layer, unit, top):
    """(a row for each unit of each image, the score of the units, what is told of them)."""
    strengths, places = peaks(asked, shown, layer)
    units = strongest_units(strengths, layer, top) if unit is None else named_units(unit, strengths, layer)
    rows, numbers = np.repeat(np.arange(len(shown)), units.shape[1]), units.ravel()
    boxes = fields(asked, shown, layer, places[rows, numbers])
    names = tuple(f"{shown.names[i]}, {called(layer)}:{k}" for i, k in zip(rows, numbers, strict=True))
    score = peak(layer, numbers)
    if len(set(numbers)) > 1:
        score = replace(score, name=f"units of {called(layer)} where strongest")
    facts = {"layer": called(layer), "units": numbers, "of": rows, "boxes": boxes}
    return replace(shown.at(rows), names=names), score, facts


def strongest_units(strengths, layer, top):
    """The ``top`` channels of each image, (N, top), the first of equal ones."""
    size = strengths.shape[-1]
    if not 1 <= top <= size:
        raise ValueError(f"`top` should be from 1 to the {size} channels of {layer}. Received: {top}")
    return np.argsort(-strengths, axis=-1, kind="stable")[:, :top]


def named_units(unit, strengths, layer):
    """The same channels for each image, (N, units)."""
    size, units = strengths.shape[-1], np.atleast_1d(unit)
    if units.ndim != 1 or units.dtype.kind not in "iu" or not ((units >= 0) & (units < size)).all():
        raise ValueError(f"`unit` should be from 0 to {size - 1}, a channel of {layer}. Received: {unit}")
    return np.repeat(units[None], len(strengths), axis=0)


def fields(asked, shown, layer, places):
    """(top, left, bottom, right) of what units at ``places`` see, bottom and right excluded, (N, 4).

    They may lie outside the image; the whole image where the receptive field is not known.
    """
    size = shown.pixels.shape[1:]
    shape = size if None in asked.shape else None
    try:
        field = receptive_field(asked.model, layer, asked.input, input_shape=shape)
        return np.array([field.box(tuple(place) if len(place) else None) for place in places])
    except ValueError:
        return np.tile([0, 0, *size[:2]], (len(places), 1))
