"""Which pixels speak for a score? Methods that ask the gradient, or what a rule makes of it; each is its formula.

S is the score of a class before the softmax, x the pixels 0..255 as they enter the model.
"""

from dataclasses import replace

import numpy as np
from keras import ops

from ..registry import unknown
from .asking import Question
from .attribution import aim
from .engine import probe
from .images import pictures
from .peaks import fields, named_units, order, peaks
from .scores import INPUT, called, peak


def saliency(model, images, classes=None, **options):
    """max over colours of |dS/dx| (Simonyan, Vedaldi & Zisserman 2014)."""
    return attributed("saliency", model, images, classes, **options)


def gradient_x_input(model, images, classes=None, **options):
    """x dS/dx, summed over the colours."""
    return attributed("gradient_x_input", model, images, classes, **options)


def guided(model, images, classes=None, *, layer=None, unit=None, top=1, **options):
    """The signal back to the pixels where ReLUs were on, and only what is positive of it (Springenberg et al. 2015).

    From a class, or as `deconvnet` from the units of a layer.
    """
    return projected("guided", model, images, classes, layer, unit, top, **options)


def deconvnet(model, images, classes=None, *, layer=None, unit=None, top=1, **options):
    """A unit's activation back to the pixels by transposed filters, switches and ReLUs (Zeiler & Fergus 2014).

    Of a ``layer``, the channel ``unit`` where it is strongest, or the ``top`` channels of each image, in rows one after
    the other; all else of the layer is set to zero and the unit keeps its value. Without a layer, from the class. A
    ReLU is passed by what is positive, wherever it was on; local response normalisation is left out.
    """
    return projected("deconvnet", model, images, classes, layer, unit, top, **options)


def grad_cam(model, images, classes=None, *, layer=None, **options):
    """ReLU(sum_k mean(dS/dA_k) A_k) over the channels of a layer (Selvaraju et al. 2017), the last map by default."""
    asked = probe(model)
    layer = asked.places(layer)
    return attributed("grad_cam", asked, images, classes, layer=layer, **options)


def smooth(model, images, classes=None, *, method="saliency", samples=50, noise=0.15, seed=0, **options):
    """The mean of a method over images with noise, before any absolute value (SmoothGrad, Smilkov et al. 2017).

    Gaussian, of ``noise`` times each image's own range; the same noise for a seed, whatever is asked together. Any
    method may be smoothed, by its name or as a function.
    """
    function = of_name(method) if isinstance(method, str) else method
    if function in (saliency, gradient_x_input):
        return attributed(function.__name__, model, images, classes, noise=(samples, noise, seed), **options)
    return smoothed_apart(function, model, images, classes, samples, noise, seed, options)


def integrated(model, images, classes=None, *, steps=50, baseline=0.0, **options):
    """(x - x0) times the mean of dS/dx on the way from a baseline x0 to x (Sundararajan, Taly & Yan 2017).

    Steps are those of Gauss and Legendre. ``facts["completeness"]`` is |sum of the map - (S(x) - S(x0))| as a share of
    |S(x) - S(x0)|, which is 0 where the steps are fine enough. The baseline (a number, a colour, an image) is black.
    """
    aimed = aim(model, images, classes, **options)
    pixels = aimed.shown.pixels
    start = np.broadcast_to(np.asarray(baseline, np.float32), pixels.shape)
    places, weights = (part.astype(np.float32) for part in np.polynomial.legendre.leggauss(steps))
    places, weights = (places + 1) / 2, weights / 2

    def draw(images, within):
        rows = slice(images.start, images.stop)
        part = slice(within.start, within.stop)
        return {"share": places[None, part], "start": start[rows, None], "weight": weights[None, part]}

    question = Question(
        ("integrated",), slope, aimed.score, samples=steps, draw=draw, make=on_the_way, mean=("values",)
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


ANSWERS = {  # name -> (what is read of a run, how colours are reduced)
    "saliency": (slope, "max"),
    "gradient_x_input": (slope_x_input, "sum"),
    "guided": (slope, "sum"),
    "deconvnet": (own_value, "sum"),
    "grad_cam": (weighed, "sum"),
}


def attributed(method, model, images, classes=None, *, rule=None, layer=None, noise=None, **options):
    """An `Attribution` by one pass there and back; ``noise`` (samples, share, seed) makes it the mean of many."""
    aimed = aim(model, images, classes, **options)
    answer, reduce = ANSWERS[method]
    read = (lambda run, score: answer(run, score, layer)) if layer else answer
    key, title = (method, layer), method.replace("_", " ") + (f" at {layer}" if layer else "")
    if noise is None:
        found = aimed.ask(Question(key, read, aimed.score, rule))
        made = aimed.attribution(found["values"], title, reduce, found["scores"])
        return replace(made, rule=rule, facts={"coarse": found["coarse"]} if "coarse" in found else {})
    samples, share, seed = noise
    draw = noisy(aimed.shown.pixels, share, seed)
    values = lambda run, score: {"values": read(run, score)["values"]}  # noqa: E731
    question = Question((*key, "noise"), values, aimed.score, rule, samples, draw, plus, ("values",))
    title = f"{title}, mean of {samples} with noise of {share:.0%}"
    return replace(aimed.attribution(aimed.ask(question)["values"], title, reduce), rule=rule)


def noisy(pixels, share, seed):
    """What draws noise for a `Question`: that of a sample is the same for all images, but for their range."""
    spread = share * (pixels.max((1, 2, 3)) - pixels.min((1, 2, 3)))

    def draw(images, within):
        normal = [np.random.default_rng((seed, k)).standard_normal(pixels.shape[1:], np.float32) for k in within]
        return {"noise": np.stack(normal)[None], "spread": spread[images.start : images.stop, None].astype(np.float32)}

    return draw


def plus(pixels, noise, spread):
    return pixels + spread[..., None, None, None] * noise


def of_name(method):
    from .methods import METHODS

    if method not in METHODS:
        raise ValueError(unknown("method", method, METHODS))
    return METHODS[method]


def smoothed_apart(function, model, images, classes, samples, noise, seed, options):
    """The mean of any method over noisy images, one call a sample."""
    if function in (guided, deconvnet) and "layer" in options and options.get("unit") is None:
        raise ValueError("`unit` should be given with `layer`: noise may make another one the strongest")
    aimed = aim(model, images, classes, **{k: v for k, v in options.items() if k in ("score", "labels")})
    classes = classes if aimed.classes is None else np.array(aimed.classes)
    found = function(aimed.probe, aimed.shown, classes, **options)
    draw, total, everything = noisy(aimed.shown.pixels, noise, seed), 0.0, range(len(aimed.shown))
    for k in range(samples):
        drawn = draw(everything, range(k, k + 1))
        pixels = plus(aimed.shown.pixels[:, None], **drawn)[:, 0]
        total = total + function(aimed.probe, replace(aimed.shown, pixels=pixels), classes, **options).values / samples
    return replace(found, values=total, method=f"{found.method}, mean of {samples} with noise of {noise:.0%}")


def projected(rule, model, images, classes, layer, unit, top, **options):
    """Signals from a class, or from units of a layer, under the rule of a ReLU."""
    if layer is None:
        return attributed(rule, model, images, classes, rule=rule, **options)
    asked = probe(model)
    shown = pictures(asked, images)
    layer = asked.tap(layer)
    strengths, places = peaks(asked, shown, layer)
    units = order(strengths, layer, top) if unit is None else named_units(unit, strengths, layer)
    rows, each = np.repeat(np.arange(len(shown)), units.shape[1]), units.ravel()
    boxes = fields(asked, shown, layer, places[rows, each])
    names = tuple(f"{shown.names[i]}, {called(layer)}:{k}" for i, k in zip(rows, each, strict=True))
    shown = replace(shown.at(rows), names=names)
    score = peak(layer, each)
    if len(set(each)) > 1:
        score = replace(score, name=f"units of {called(layer)} where strongest")
    found = attributed(rule, asked, shown, score=score, rule=rule, **options)
    return replace(found, facts={"layer": called(layer), "units": each, "of": rows, "boxes": boxes})
