"""Class activation maps besides Grad-CAM: sums of a layer's feature maps A_k, each weighted for a class.

Grad-CAM++ and LayerCAM are computed by tf-keras-vis. It is not shown the network, of which it would ask more than many
have (one plain Functional model, no softmax layer, no float16), but the linear function of A whose slope is the
network's own dS/dA: all that these two methods ask for. Maps are as the layer's; the values are at the image's size.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
from keras import ops

from ...support.types import Classes, ClassNames, Images, Model, OnProgress
from ..engine.lens import Lens
from ..engine.query import MOST, Query
from ..engine.scores import Score, probability
from ..registry import attribution_method
from .attribution import Attribution, make_target
from .gradients import grad_cam, guided_backprop

NOISE = 1e-6  # relative error of float32 activations and slopes
UNSTABLE = 0.01  # of a map's largest value
EPSILON = 1e-7  # tf-keras-vis': a map that is the same everywhere masks all


@attribution_method
def grad_cam_pp(
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
    """A layer's maps, weighted by alpha times gradients (Chattopadhay et al. 2018).

    ReLU(sum_k w_k A_k) for maps A_k, w_k = sum(alpha ReLU(g)), g = dS/dA_k. At each place alpha = g^2 / (2 g^2 +
    sum(A_k) g^3), divided by its sum over the map. The paper's S is exp(score): that would only multiply the whole map
    by exp(score), which overflows above 88, and is left out.

    Both denominators may cancel where gradients are negative: alpha is then unbounded, and the map shows rounding.
    ``metadata["rounding"]`` is the largest change that rounding may cause, as a fraction of the largest value; above
    1 % there is a warning. `layer_cam` and `grad_cam` are not affected.

    Args:
        layer: whose feature maps to use; by default the last layer that has them.
    """
    target = make_target(
        model, images, classes, score=score, class_names=class_names, batch_size=batch_size, on_progress=on_progress
    )
    found = cam_attribution(target, layer, "Grad-CAM++", grad_cam_pp_maps)
    shaky = found.metadata["rounding"] > UNSTABLE
    if shaky.any():
        which = ", ".join(name for name, each in zip(found.names, shaky, strict=True) if each)
        most = found.metadata["rounding"].max()
        part = f"{most:.0%}" if most < 1 else "all"
        warnings.warn(
            f"grad_cam_pp is numerically unstable for some images: rounding may change {part} of the map's "
            "largest value. "
            f"Consider layer_cam. Images: {which}",
            stacklevel=2,
        )
    return found


@attribution_method
def layer_cam(
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
    """A layer's maps, weighted place by place by gradients (Jiang et al. 2021).

    ReLU(sum_k ReLU(dS/dA_k) A_k) for maps A_k, also of early layers.

    Args:
        layer: whose feature maps to use; by default the last layer that has them.
    """
    target = make_target(
        model, images, classes, score=score, class_names=class_names, batch_size=batch_size, on_progress=on_progress
    )
    return cam_attribution(target, layer, "LayerCAM", layer_cam_maps)


@attribution_method
def score_cam(
    model: Model | Lens,
    images: Images,
    classes: Classes | None = None,
    *,
    layer: str | None = None,
    channels: int | None = None,
    score: Score | Callable | None = None,
    class_names: ClassNames | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Attribution:
    """A layer's maps, weighted by p(class) of the image they mask (Wang et al. 2020).

    ReLU(sum_k p_k A_k) for maps A_k, which are scaled to 0..1 before they mask the image. One pass for each channel;
    masks are made in the chunk that needs them, so that memory does not grow with channels.

    Args:
        layer: whose feature maps to use; by default the last layer that has them.
        channels: use only this many channels, those with the highest variance (Faster Score-CAM); by default all.
        score: what to explain instead of classes; it also replaces the probability of the masked images.
    """
    target = make_target(
        model, images, classes, score=score, class_names=class_names, batch_size=batch_size, on_progress=on_progress
    )
    return cam_attribution(target, layer, "Score-CAM", lambda target, layer: score_cam_maps(target, layer, channels))


@attribution_method
def guided_grad_cam(
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
    """Guided backpropagation times Grad-CAM, pixel by pixel (Selvaraju et al. 2017).

    Args:
        layer: the layer for Grad-CAM; by default the last that has feature maps.
    """
    cam = grad_cam(
        model,
        images,
        classes,
        layer=layer,
        score=score,
        class_names=class_names,
        batch_size=batch_size,
        on_progress=on_progress,
    )
    if score is None and cam.classes is not None:
        classes = np.array(cam.classes)
    fine = guided_backprop(
        model, images, classes, score=score, class_names=class_names, batch_size=batch_size, on_progress=on_progress
    )
    return replace(fine, values=fine.values * cam.values, method=f"guided {cam.method}", metadata=cam.metadata)


def cam_attribution(target, layer, title, compute_maps):
    """An `Attribution` of what ``find(target, layer)`` gives of a few images.

    That is maps (n, h, w), scores (n,) and what else is told of each image.
    """
    layer, found = target.lens.feature_map_layer(layer), []
    for rows in (slice(start, start + MOST) for start in range(0, len(target.inputs), MOST)):
        found.append(compute_maps(select_images(target, rows), layer))
        if target.on_progress:
            target.on_progress(min(rows.stop, len(target.inputs)), len(target.inputs), "images")
    facts = {name: np.concatenate([few[name] for few in found]) for name in found[0]}
    coarse, scores = facts.pop("maps")[..., None], facts.pop("scores")
    values = ops.convert_to_numpy(ops.image.resize(coarse, target.inputs.pixels.shape[1:3], "bilinear"))
    return target.attribution(values, f"{title} at {layer}", scores=scores, metadata={"coarse": coarse, **facts})


def select_images(target, rows):
    """An `Target` at some of its images."""
    few = lambda array: array if len(array) == 1 else array[rows]  # noqa: E731
    score = replace(target.score, feeds=tuple(map(few, target.score.feeds)))
    classes = target.classes and target.classes[rows]
    return replace(target, inputs=target.inputs.at(rows), score=score, classes=classes, on_progress=None)


def grad_cam_pp_maps(target, layer):
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus

    found = read_maps_and_gradients(target, layer)
    maps = run_tf_keras_vis(GradcamPlusPlus, found)
    return {"maps": maps, "scores": found["scores"], "rounding": rounding_error(found["maps"], found["slopes"])}


def layer_cam_maps(target, layer):
    from tf_keras_vis.layercam import Layercam

    found = read_maps_and_gradients(target, layer)
    return {"maps": run_tf_keras_vis(Layercam, found), "scores": found["scores"]}


def read_maps_and_gradients(target, layer):
    """A layer's activations, the slopes of the score there, and the scores."""

    def read(run, score):
        return {"maps": run[layer], "slopes": run.gradient(score, layer), "scores": score}

    return target.run_query(Query(("feature maps and gradients", layer), read, target.score))


def run_tf_keras_vis(method, activations):
    """The maps of a method of tf-keras-vis, (n, h, w)."""
    maps, slopes = (keras.Input(activations["maps"].shape[1:], dtype="float32") for _ in range(2))
    tapped = keras.layers.Identity(name="maps", dtype="float32")(maps)
    linear = keras.Model([maps, slopes], ops.sum(tapped * slopes, axis=(1, 2, 3))[:, None])
    zero = lambda score: score - ops.stop_gradient(score)  # noqa: E731  exp(0) = 1, with the gradient of the score
    seeds = [activations["maps"], activations["slopes"]]
    whole = {"seek_penultimate_conv_layer": False, "expand_cam": False, "normalize_cam": False}
    return np.asarray(method(linear)(zero, seeds, penultimate_layer="maps", **whole))


def rounding_error(maps, slopes):
    """What rounding may change of a Grad-CAM++ map, as a share of its largest value.

    (n,); infinite where the map is no number.

    To first order: where 2 + sum(A) g cancels, alpha = 1 / (2 + sum(A) g) has the relative error of its sum times
    (2 + |sum(A) g|) / |2 + sum(A) g|, and so has the sum of alphas, which may cancel once more.
    """
    maps, slopes = np.float64(maps), np.float64(slopes)
    places = (1, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        product = maps.sum(places, keepdims=True) * slopes
        alpha = np.where(slopes == 0, 0, 1 / (2 + product))
        error = np.where(slopes == 0, 0, np.abs(alpha) * (2 + np.abs(product)) / np.abs(2 + product))
        total = alpha.sum(places, keepdims=True)
        total = np.where((slopes == 0).all(places, keepdims=True), 1, total)
        gain = np.maximum(slopes, 0)
        weights = (alpha * gain).sum(places, keepdims=True) / total
        change = (error * gain).sum(places, keepdims=True) + np.abs(weights) * error.sum(places, keepdims=True)
        change = np.where((slopes > 0).any(places, keepdims=True), change / np.abs(total), 0)  # else the weight is 0
        largest = np.abs((weights * maps).sum(-1)).max(places)
        most = NOISE * (change * np.abs(maps)).sum(-1).max(places) / largest
    return np.where(largest == 0, 0, np.nan_to_num(most, nan=np.inf, posinf=np.inf))


def score_cam_maps(target, layer, channels=None):
    """Score-CAM's maps, as tf-keras-vis has them but for masks that are resized by the middles of places."""
    read = lambda run, score: {"maps": run[layer], "scores": score}  # noqa: E731
    found = target.run_query(Query(("maps", layer), read, target.score, backward=False))
    maps, size = found["maps"], found["maps"].shape[-1]
    if channels is not None:
        if not 1 <= channels <= size:
            raise ValueError(
                f"`channels` should be from 1 to {size}, the number of channels of {layer}. Received: {channels}"
            )
        best = np.argsort(-maps.std((1, 2)), axis=-1, kind="stable")[:, None, None, :channels]
        maps = np.take_along_axis(maps, best, -1)

    def draw(images, within):
        few = maps[images.start : images.stop, :, :, within.start : within.stop]
        return {"mask": np.ascontiguousarray(few.transpose(0, 3, 1, 2))}

    score = target.score if target.classes is None else probability(np.array(target.classes))
    read = lambda run, score: {"weights": score}  # noqa: E731
    question = Query(("masked",), read, score, None, maps.shape[-1], draw, mask_images, backward=False)
    added = np.einsum("nhwc,nc->nhw", maps, target.run_query(question)["weights"])
    return {"maps": np.maximum(added, 0), "scores": found["scores"]}


def mask_images(pixels, mask):
    """Images (n, 1, H, W, C) times each map (n, samples, h, w), at their size and from 0 to 1."""
    size, count = pixels.shape[2:4], ops.shape(mask)[:2]
    wide = ops.image.resize(ops.reshape(mask, (-1, *mask.shape[2:], 1)), size, "bilinear")
    low, high = (reduce(wide, (1, 2), keepdims=True) for reduce in (ops.min, ops.max))
    return pixels * ops.reshape((wide - low) / (high - low + EPSILON), (*count, *size, 1))
