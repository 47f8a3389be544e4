"""Class activation maps beside Grad-CAM: sums of a layer's maps A_k, each weighed by what it says for a class.

Grad-CAM++ and LayerCAM are computed by tf-keras-vis. It is not shown the network, of which it would ask more than many
have (one plain Functional model, no softmax layer, no float16), but the linear function of A whose slope is the
network's own dS/dA: all that these two methods ask for. Maps are as the layer's; the values are at the image's size.
"""

from dataclasses import replace

import keras
import numpy as np
from keras import ops

from .asking import MOST, Question
from .attribution import aim
from .engine import probe
from .gradients import grad_cam, guided
from .scores import probability

EPSILON = 1e-7  # tf-keras-vis': a map that is the same everywhere masks all


def grad_cam_pp(model, images, classes=None, *, layer=None, **options):
    """ReLU(sum_k w_k A_k), w_k = sum(alpha ReLU(g)), g = dS/dA_k (Grad-CAM++, Chattopadhay et al. 2018).

    alpha = g^2 / (2 g^2 + sum(A_k) g^3), divided by its sum over the map. The paper's S is exp(score): that would only
    multiply the whole map by exp(score), which overflows above 88, and is left out.
    """
    return mapped("Grad-CAM++", plus_plus, model, images, classes, layer, options)


def layer_cam(model, images, classes=None, *, layer=None, **options):
    """ReLU(sum_k ReLU(g) A_k), g = dS/dA_k at each place (LayerCAM, Jiang et al. 2021), also of early layers."""
    return mapped("LayerCAM", place_by_place, model, images, classes, layer, options)


def score_cam(model, images, classes=None, *, layer=None, channels=None, **options):
    """ReLU(sum_k p_k A_k), p_k the class's probability of the image times A_k, scaled to 0..1 (Wang et al. 2020).

    With a ``score``, that takes the place of the probability. One pass for each channel, or for the ``channels`` whose
    maps vary most (Faster Score-CAM). Masks are made in the chunk that needs them: memory does not grow with channels.
    """
    find = lambda aimed, layer: masked_scores(aimed, layer, channels)  # noqa: E731
    return mapped("Score-CAM", find, model, images, classes, layer, options)


def guided_grad_cam(model, images, classes=None, *, layer=None, **options):
    """The guided signal at each pixel times the Grad-CAM map there (Selvaraju et al. 2017)."""
    cam = grad_cam(model, images, classes, layer=layer, **options)
    if "score" not in options and cam.classes is not None:
        classes = np.array(cam.classes)
    fine = guided(model, images, classes, **options)
    return replace(fine, values=fine.values * cam.values, method=f"guided {cam.method}", facts=cam.facts)


def mapped(title, find, model, images, classes, layer, options):
    """An `Attribution` of what ``find(aimed, layer)`` gives of a few images: maps (n, h, w) and scores (n,)."""
    asked = probe(model)
    layer = asked.places(layer)
    aimed, found = aim(asked, images, classes, **options), []
    for rows in (slice(start, start + MOST) for start in range(0, len(aimed.shown), MOST)):
        found.append(find(part(aimed, rows), layer))
        if aimed.tell:
            aimed.tell(min(rows.stop, len(aimed.shown)), len(aimed.shown))
    maps, scores = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    coarse = maps[..., None]
    values = ops.convert_to_numpy(ops.image.resize(coarse, aimed.shown.pixels.shape[1:3], "bilinear"))
    made = aimed.attribution(values, f"{title} at {layer}", "sum", scores)
    return replace(made, facts={"coarse": coarse})


def part(aimed, rows):
    """An `Aim` at some of its images."""
    few = lambda array: array if len(array) == 1 else array[rows]  # noqa: E731
    score = replace(aimed.score, feeds=tuple(map(few, aimed.score.feeds)))
    classes = aimed.classes and aimed.classes[rows]
    return replace(aimed, shown=aimed.shown.at(rows), score=score, classes=classes, tell=None)


def plus_plus(aimed, layer):
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus

    return by_tf_keras_vis(GradcamPlusPlus, aimed, layer)


def place_by_place(aimed, layer):
    from tf_keras_vis.layercam import Layercam

    return by_tf_keras_vis(Layercam, aimed, layer)


def by_tf_keras_vis(method, aimed, layer):
    """The maps and scores of a method of tf-keras-vis, from a layer's activations and the slopes of the score there."""

    def read(run, score):
        return {"maps": run[layer], "slopes": run.gradient(score, layer), "scores": score}

    found = aimed.ask(Question(("maps and slopes", layer), read, aimed.score))
    maps, slopes = (keras.Input(found["maps"].shape[1:], dtype="float32") for _ in range(2))
    tapped = keras.layers.Identity(name="maps", dtype="float32")(maps)
    linear = keras.Model([maps, slopes], ops.sum(tapped * slopes, axis=(1, 2, 3))[:, None])
    zero = lambda score: score - ops.stop_gradient(score)  # noqa: E731  exp(0) = 1, with the gradient of the score
    seeds = [found["maps"], found["slopes"]]
    whole = {"seek_penultimate_conv_layer": False, "expand_cam": False, "normalize_cam": False}
    return np.asarray(method(linear)(zero, seeds, penultimate_layer="maps", **whole)), found["scores"]


def masked_scores(aimed, layer, channels=None):
    """Score-CAM's maps, as tf-keras-vis has them but for masks that are resized by the middles of places."""
    read = lambda run, score: {"maps": run[layer], "scores": score}  # noqa: E731
    found = aimed.ask(Question(("maps", layer), read, aimed.score, backward=False))
    maps, size = found["maps"], found["maps"].shape[-1]
    if channels is not None:
        if not 1 <= channels <= size:
            raise ValueError(f"`channels` should be from 1 to the {size} of {layer}. Received: {channels}")
        best = np.argsort(-maps.std((1, 2)), axis=-1, kind="stable")[:, None, None, :channels]
        maps = np.take_along_axis(maps, best, -1)

    def draw(images, within):
        few = maps[images.start : images.stop, :, :, within.start : within.stop]
        return {"mask": np.ascontiguousarray(few.transpose(0, 3, 1, 2))}

    score = aimed.score if aimed.classes is None else probability(np.array(aimed.classes))
    read = lambda run, score: {"weights": score}  # noqa: E731
    question = Question(("masked",), read, score, None, maps.shape[-1], draw, masked, backward=False)
    return np.maximum(np.einsum("nhwc,nc->nhw", maps, aimed.ask(question)["weights"]), 0), found["scores"]


def masked(pixels, mask):
    """Images (n, 1, H, W, C) times each map (n, samples, h, w), at their size and from 0 to 1."""
    size, count = pixels.shape[2:4], ops.shape(mask)[:2]
    wide = ops.image.resize(ops.reshape(mask, (-1, *mask.shape[2:], 1)), size, "bilinear")
    low, high = (reduce(wide, (1, 2), keepdims=True) for reduce in (ops.min, ops.max))
    return pixels * ops.reshape((wide - low) / (high - low + EPSILON), (*count, *size, 1))
