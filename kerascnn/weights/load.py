"""From what a user calls weights ("imagenet", "timm/a1_in1k", a path) to a model that has them."""

import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from ..support.text import unknown
from ..zoo import layers  # noqa: F401  (a model file may need its layers, whatever was imported first)
from ..zoo.layers import SCALES, Scale
from ..zoo.registry import BEST, CARDS, PUBLISHERS, Source, sources
from .formats import WeightsError
from .formats.read import read
from .formats.safetensors import remembered
from .match import Loaded, best, fit, networks_for, plans
from .names import CAFFE, caffe_scale, modern
from .variables import slots


@dataclass(frozen=True)
class Pretrained:
    """A file of weights, read: its arrays, and who published it."""

    path: Path
    arrays: dict
    source: Source | None = None

    def scale(self, network, layout):
        """The pixels that these weights want: as published, as saved with them, or as others of this layout do."""
        if self.source:
            return self.source.scale
        saved = remembered(self.path).get("kerascnn.scale")
        alike = (row.scale for row in sources().get(network, ()) if row.publisher == layout)
        usual = caffe_scale(network) if layout == CAFFE else None
        return saved if saved in SCALES else next(alike, usual)

    def name(self):
        return self.source.name if self.source else remembered(self.path).get("kerascnn.source", "")


def load_weights(model, weights, *, part=None) -> Loaded:
    """Fill a model's variables from a file or a published source, all of them or none, and say what was done.

    ``weights`` is a path, or "imagenet", "torchvision", "keras", "timm", "caffe", "torchvision/v1" for a network of
    the zoo. A classifier for other classes stays as it is; a first convolution for other channels is adapted. ``part``
    names one of several networks in a torch checkpoint ("state_dict_ema").
    """
    pretrained = open_weights(model.name, weights, part=part)
    values, report = prepare(model, pretrained)
    layer = scaling(model)
    if layer and report.scale and not layer.like(report.scale):
        raise ValueError(
            f"`weights` should be for pixels as the model scales them; these want scale={report.scale!r}: "
            f"build_model({model.name!r}, weights={report.source or report.path!r}). Received: {report.path}"
        )
    fill(values, report, above=3)
    if layer:
        layer.source = report.source
    return report


def pretrain(model, pretrained, scale=None):
    """Fill a model that was just drawn, whose pixels are scaled as the weights want unless ``scale`` says how."""
    values, report = prepare(model, pretrained)
    if scale or report.scale:
        scaling(model).become(scale or report.scale, report.source)
    fill(values, report, above=4)
    return report


def prepare(model, pretrained):
    """What goes into each variable, and the report; the model is not changed yet."""
    path, arrays = pretrained.path, {modern(name): array for name, array in pretrained.arrays.items()}
    try:
        plan = best(path, plans(model.name, slots(model), arrays, model), arrays, model.name)
        scale = pretrained.scale(model.name, plan.layout)
        values, report = fit(path, plan, arrays, bgr=bool(scale and SCALES[scale].get("bgr")))
    except WeightsError as error:
        others = networks_for(path, arrays, model.name)
        if not others:
            raise
        names = " or ".join(others)
        advice = f"; its names and shapes are those of {names}: build_model({others[0]!r}, weights=...)"
        raise WeightsError(path, error.expected, error.received, advice) from error
    return values, replace(report, scale=scale, source=pretrained.name())


def fill(values, report, above):
    """Assign the values, and warn the caller ``above`` of layers that are not as they were trained."""
    for slot, array in values.items():
        slot.variable.assign(array)
    for remark in report.remarks:
        warnings.warn(remark, stacklevel=above)


def scaling(model):
    """The layer that scales the pixels, if the model has one of ours."""
    return next((layer for layer in model.layers if isinstance(layer, Scale)), None)


def open_weights(network, weights, part=None):
    """Find, download where needed, and read the file that a user asks for."""
    source = weights if isinstance(weights, Source) else named(network, weights)
    if source is None:
        path = Path(weights)
        source = next((row for row in sources().get(network, ()) if row.file == path.name), None)
    else:
        path = path_of(source)
    return Pretrained(path, read(path, part=part), source)


def path_of(source):
    """Where a published file is, downloaded first where it is not here yet."""
    if not source.shipped:
        from .fetch import fetch

        return fetch(source.address, source.file, source.hash, what=f"weights of {source.network}, {source.name}")
    import kerascnn_saved_models

    path = Path(kerascnn_saved_models.__file__).parent / source.file
    if not path.is_file():
        raise FileNotFoundError(f"{path} should have come with kerascnn; install it again, whole")
    return path


def named(network, weights):
    """The published source that a name stands for, None for a path."""
    rows = sources().get(network, ())
    text = os.fspath(weights) if isinstance(weights, str | os.PathLike) else None
    if text is None:
        raise ValueError(f"`weights` should be None, {BEST!r}, a source or a path. Received: {weights!r}")
    found = [row for row in rows if row.answers(text)]
    asked = bool(found) or text == BEST or text.split("/")[0] in PUBLISHERS
    if os.path.isfile(text) or (os.path.exists(text) and not asked):  # a folder may be called imagenet
        return None
    if not asked:
        known = [BEST, *PUBLISHERS, *(row.name for row in rows)]
        raise ValueError(unknown("weights", text, known, "nor is there such a file"))
    if not rows:
        raise ValueError(nothing_published(network, text))
    if not found:
        best = [] if all(row.shipped for row in rows) else [BEST]
        raise ValueError(unknown(f"weights of {network}", text, [*best, *(row.name for row in rows)]))
    return found[0]


def nothing_published(network, asked):
    """Why there is no source, and which networks of the family have one."""
    family = CARDS[network].family if network in CARDS else None
    relatives = [name for name in sources() if name in CARDS and CARDS[name].family == family]
    advice = f" Of its family these have some: {', '.join(relatives)}." if relatives else ""
    return f"`weights` should be None or a file for {network}: nobody publishes any.{advice} Received: {asked!r}"
