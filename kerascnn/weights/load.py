"""Load weights by the name of a source ("imagenet", "timm/a1_in1k") or from a file into a model."""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from ..support.display import TextResult
from ..support.text import pluralize, unknown_name
from ..support.types import FilePath, Model
from ..zoo import layers  # noqa: F401  (a model file may need its layers, whatever was imported first)
from ..zoo.layers import SCALES, Scale
from ..zoo.registry import BEST, CARDS, PUBLISHERS, WeightsSource, default_source, weights_sources
from .caches import HUB_FILE, hub_repository, parse_hub_address
from .formats import WeightsError
from .formats.read import read_weights
from .formats.safetensors import read_metadata
from .match import LoadReport, best_plan, candidate_plans, match_arrays, networks_for
from .names import CAFFE, caffe_scale, modern_tensor_name
from .variables import model_slots


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class WeightsFile(TextResult):
    """The arrays of a weights file, and its published source if it has one.

    Attributes:
        path: the file.
        arrays: {name: array}, as in the file.
        source: the published source of the file, or None.
    """

    path: Path
    arrays: dict
    source: WeightsSource | None = None

    def scale(self, network, layout):
        """The preprocessing that the weights expect: published, saved in the file, or usual for the layout."""
        if self.source:
            return self.source.scale

        saved = read_metadata(self.path).get("kerascnn.scale")
        if saved in SCALES:
            return saved

        published = usual_scales(network, layout)
        if published:
            return published[0]
        return caffe_scale(network) if layout == CAFFE else None

    def size(self):
        """(height, width) at which the weights were measured, or with which they were saved; None if unknown."""
        if self.source:
            return self.source.crop, self.source.crop

        saved = re.fullmatch(r"(\d+)x(\d+)", read_metadata(self.path).get("kerascnn.size", ""))
        return (int(saved[1]), int(saved[2])) if saved else None

    def possible_scales(self, network, layout):
        """Every preprocessing that comes into question; timm's files all have the same name on the hub."""
        scale = self.scale(network, layout)
        saved = read_metadata(self.path).get("kerascnn.scale")
        if self.source or saved in SCALES or not (hub_repository(self.path) or self.path.name == HUB_FILE):
            return {scale}
        return {scale, *usual_scales(network, "timm")}

    def __str__(self):
        source = f", {self.source.name}" if self.source else ""
        return f"{self.path.name}, {pluralize(len(self.arrays), 'tensor')}{source}"

    def source_name(self):
        """The name of the source, as published or saved in the file; "" if unknown."""
        return self.source.name if self.source else read_metadata(self.path).get("kerascnn.source", "")


def load_weights(model: Model, weights: FilePath, *, part: str | None = None) -> LoadReport:
    """Load weights into a model from a file or a published source.

    Either all variables are filled or none. A classifier for other classes keeps its weights; the kernel of the first
    convolution is adapted to another number of input channels. Both are reported and warned of.

    Args:
        model: A network of the zoo, or any model for a file that was saved from it.
        weights: Path of a file, or for a network of the zoo "imagenet" (the best published weights), a publisher
            ("torchvision", "keras", "timm", "caffe") or one row of its card ("torchvision/v1").
        part: Which of several networks in a PyTorch checkpoint, such as "state_dict_ema".

    Returns:
        A `LoadReport`: which tensors were used and ignored, which layers keep their initial weights.
    """
    weights_file = open_weights(model.name, weights, part=part)
    values, report = prepare_values(model, weights_file)

    layer = scale_layer(model)
    if layer and report.scale and not layer.scales_like(report.scale):
        raise ValueError(
            f"`weights` should match the pixel scaling of the model. Received: {report.path}, which expects "
            f"scale={report.scale!r}; use build_model({model.name!r}, weights={report.source or report.path!r})"
        )

    assign_values(values, report, above=3)
    if layer:
        layer.source = report.source
    return report


def load_pretrained(model: Model, weights_file: WeightsFile, scale: str | None = None) -> LoadReport:
    """Load an opened weights file into a new model and set its preprocessing.

    Args:
        model: A network of the zoo that has just been built.
        weights_file: What `open_weights` returned.
        scale: Preprocessing inside the model; by default what the weights expect.

    Returns:
        A `LoadReport`, as of `load_weights`.
    """
    values, report = prepare_values(model, weights_file, scale)
    if scale or report.scale:
        scale_layer(model).set_scale(scale or report.scale, report.source)
    assign_values(values, report, above=4)
    return report


def usual_scales(network, layout):
    """The preprocessing of each published file of a network with such tensor names, the best file first."""
    return [row.scale for row in weights_sources().get(network, ()) if row.publisher == layout]


def prepare_values(model, weights_file, chosen_scale=None):
    """The value of each variable, and the report; the model is not changed yet."""
    path = weights_file.path
    arrays = {modern_tensor_name(name): array for name, array in weights_file.arrays.items()}

    try:
        plan = best_plan(path, candidate_plans(model.name, model_slots(model), arrays, model), arrays, model.name)
        scale = weights_file.scale(model.name, plan.layout)
        values, report = match_arrays(path, plan, arrays, bgr=bool(scale and SCALES[scale].get("bgr")))
        scales = weights_file.possible_scales(model.name, plan.layout)
    except WeightsError as error:
        others = networks_for(path, arrays, model.name)
        if not others:
            raise
        names = " or ".join(others)
        advice = f"; its tensor names and shapes match {names}: build_model({others[0]!r}, weights=...)"
        raise WeightsError(path, error.expected, error.received, advice) from error

    if chosen_scale is None and len(scales) > 1:
        warnings.warn(
            f"{path}: which weights these are is unknown, so scale={scale!r} is a guess; published weights of "
            f"{model.name} expect {' or '.join(sorted(scales))}: set `scale` in build_model",
            stacklevel=4,
        )
    return values, replace(report, scale=scale, source=weights_file.source_name())


def assign_values(values, report, above):
    """Assign the values; the notes of the report become warnings, ``above`` is their stack level."""
    for slot, array in values.items():
        slot.variable.assign(array)
    for note in report.notes:
        warnings.warn(note, stacklevel=above)


def scale_layer(model):
    """The `Scale` layer of a model; None if it has none."""
    return next((layer for layer in model.layers if isinstance(layer, Scale)), None)


def open_weights(network: str, weights: FilePath | WeightsSource, part: str | None = None) -> WeightsFile:
    """Find a weights file, download it if needed, and read it.

    Args:
        network: Name of the network that the weights are for.
        weights: Path of a file, name of a source as in `load_weights`, or a row of the card's `weights`.
        part: Which of several networks in a PyTorch checkpoint, such as "state_dict_ema".

    Returns:
        A `WeightsFile` with the arrays and their source, for `load_pretrained`.
    """
    source: WeightsSource | None
    if isinstance(weights, WeightsSource):
        source = weights
        path = source_path(source)
    elif source := find_source(network, weights):
        path = source_path(source)
    else:
        path = Path(weights)
        source = source_of_file(network, path)

    return WeightsFile(path=path, arrays=read_weights(path, part=part), source=source)


def source_of_file(network, path):
    """The published source of a file, by its name or its place in the Hugging Face hub's folder; None if unknown."""
    rows = weights_sources().get(network, ())
    repository = hub_repository(path)
    if repository:
        return next((row for row in rows if (parse_hub_address(row.address) or ("",))[0] == repository), None)
    names = {row.mirror.rpartition("/")[2]: row for row in rows if row.mirror} | {row.file: row for row in rows}
    return names.get(path.name)


def source_path(source):
    """The local path of a published file, which is downloaded if needed."""
    if not source.is_shipped:
        from .fetch import fetch

        what = f"weights of {source.network}, {source.name}"
        return fetch(source.address, source.file, source.hash, mirror=source.mirror, what=what)
    import kerascnn_saved_models

    path = Path(kerascnn_saved_models.__file__).parent / source.file
    if not path.is_file():
        raise FileNotFoundError(f"{path} should be part of the installation; reinstall kerascnn")
    return path


def find_source(network, weights):
    """The published source that a name stands for; None for a path."""
    rows = weights_sources().get(network, ())
    text = os.fspath(weights) if isinstance(weights, str | os.PathLike) else None
    if text is None:
        raise ValueError(f"`weights` should be None, {BEST!r}, a source or a path. Received: {weights!r}")

    source = default_source(network, text)
    is_source = bool(source) or text == BEST or text.split("/")[0] in PUBLISHERS
    if os.path.isfile(text) or (os.path.exists(text) and not is_source):  # a folder may be called imagenet
        return None

    if not is_source:
        known = [BEST, *PUBLISHERS, *(row.name for row in rows)]
        raise ValueError(unknown_name("weights", text, known, "and there is no such file"))
    if not rows:
        raise ValueError(message_without_sources(network, text))
    if source is None:
        best = [] if all(row.is_shipped for row in rows) else [BEST]
        raise ValueError(unknown_name(f"weights for {network}", text, [*best, *(row.name for row in rows)]))
    return source


def message_without_sources(network, weights):
    """Error text for a network without published weights, with those of its family that have some."""
    family = CARDS[network].family if network in CARDS else None
    relatives = [name for name in weights_sources() if name in CARDS and CARDS[name].family == family]
    advice = f" Networks of the same family with published weights: {', '.join(relatives)}." if relatives else ""
    expected = f"`weights` should be None or a file for {network}, which has no published weights."
    return f"{expected}{advice} Received: {weights!r}"
