"""The registry of networks: a card for each with its origin, its published counts and its weights."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache

from ..support.display import TextResult
from ..support.text import natural_key, unknown_name

ROOT = os.path.dirname(os.path.dirname(__file__))  # of the package
BEST = "imagenet"  # means the best of all published weights


@dataclass(frozen=True)
class WeightsSource:
    """One published weights file: its address, its checksum, the inputs it expects, its accuracy."""

    network: str
    name: str  # "torchvision/v2": the publisher, and its name for these weights
    address: str  # "" where the file is part of this package
    file: str  # file name in the cache
    hash: str  # "sha256:", "sha1:" or "md5:" and the published digits (sometimes only the first ones); "" if none
    license: str
    top1: float | None  # published accuracy on ImageNet's validation images in %, measured at ``crop`` pixels
    top5: float | None
    scale: str  # preprocessing that these weights expect, one of layers.SCALES
    resize: int  # short side of the resized photo; ``crop`` is the side of the center crop
    crop: int
    interpolation: str  # "bilinear" or "bicubic"
    note: str = ""
    mirror: str = ""  # a second published address, whose file name has 8 digits of the file's sha256; "" if none

    @property
    def publisher(self):
        """The project that publishes the file, whose tensor names it has: "torchvision"."""
        return self.name.split("/")[0]

    @property
    def is_shipped(self):
        """Whether the file is part of this package and needs no download."""
        return not self.address

    def answers_to(self, weights):
        """Whether ``weights`` means this file: its name, its publisher, "imagenet", or "cifar10" if it is shipped."""
        publisher, short_name = self.name.split("/")
        return weights in (self.name, publisher, short_name if self.is_shipped else BEST)

    @property
    def is_free(self):
        """Whether the license allows commercial use."""
        return "nc" not in self.license.lower().split("-")

    def is_measured_at(self, size):
        """Whether the published accuracy is for images of this (height, width)."""
        return tuple(size) == (self.crop, self.crop)


@dataclass(frozen=True, kw_only=True, repr=False)
class Card(TextResult):
    """One network as a row of the registry, with its published counts and weights.

    Attributes:
        name: name of the network.
        family: name of its family.
        year: year of the paper.
        paper: the paper.
        trunk: function from images (N, H, W, C) and ``**config`` to features (N, h, w, c).
        config: keyword arguments of the trunk.
        head: function from features and a number of classes to logits.
        params: published number of trainable parameters, for ``input_shape`` and ``classes``; None if unknown.
        gmacs: published multiply-adds in 1e9; None if unknown.
        source: who published the two numbers.
        fidelity: whose version this is and how it differs from the paper.
        input_shape: (height, width, channels).
        classes: number of classes.
        scale: preprocessing of the pixels inside the model.
        aux: for each auxiliary output the layer that it reads and its classifier.
        weights: published weights, best first.
    """

    name: str
    family: str
    year: int
    paper: str
    trunk: Callable
    config: Mapping
    head: Callable
    params: int | None = None
    gmacs: float | None = None
    source: str = "no published counts"
    fidelity: str = ""
    input_shape: tuple = (224, 224, 3)
    classes: int = 1000
    scale: str = "torch"
    aux: Mapping = field(default_factory=dict)
    weights: tuple[WeightsSource, ...] = ()

    def _headline(self):
        counts = [f"{self.params / 1e6:.4g} M parameters"] if self.params else []
        counts += [f"{self.gmacs:.4g} G multiply-adds"] if self.gmacs else []
        counts += [f"{len(self.weights)} published weights"] if self.weights else []
        return ", ".join([self.name, self.family, str(self.year), *counts])

    def __str__(self):
        size = "x".join(map(str, self.input_shape))
        lines = [
            f"{self.name}: {self.family}, {self.year}, {self.paper}",
            f"input {size}, preprocessing {self.scale}, {self.classes:,} classes",
            f"{self.params or '?'} parameters, {self.gmacs or '?'} G multiply-adds ({self.source})",
            self.fidelity,
            *(self._weights_line(row) for row in self.weights),
        ]
        return "\n".join(line for line in lines if line)

    def _weights_line(self, row):
        default = ", the default" if row is self.weights[0] else ""
        accuracy = f"top-1 {row.top1 or '?'} % at {row.crop}x{row.crop}"
        return f"weights {row.name}: {accuracy}, license {row.license}{default}"


def read_csv(*path, **kinds):
    """Rows of a CSV file of the package; ``kinds`` gives the type of numeric columns, empty cells become None."""
    with open(os.path.join(ROOT, *path), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for column, kind in kinds.items():
            row[column] = kind(row[column]) if row[column] else None
    return rows


@cache
def read_published_counts():
    """Published parameters, multiply-adds, their source and the fidelity of each network, by name."""
    return {row.pop("name"): row for row in read_csv("zoo", "published.csv", params=int, gmacs=float)}


PUBLISHERS = ("torchvision", "keras", "timm", "caffe", "kerascnn")  # each has a table of weights


@cache
def weights_sources():
    """Published weights files of each network, by name, best first: see `source_preference`."""
    numbers = {"top1": float, "top5": float, "resize": int, "crop": int}
    by_network = {}

    for name in PUBLISHERS:
        for row in read_csv("weights", "tables", f"{name}.csv", **numbers):
            by_network.setdefault(row["network"], []).append(WeightsSource(**row))

    return {network: tuple(sorted(rows, key=source_preference, reverse=True)) for network, rows in by_network.items()}


def source_preference(source):
    """Sort key: a license for every use first, then the published top-1 accuracy.

    A published hash decides only between accuracies that are shown as equal: the files of timm, whose rows have none,
    are compared with the sha256 that the hub states when they are downloaded.
    """
    top1 = source.top1 or 0.0
    return source.is_free, round(top1, 1), bool(source.hash), top1


def default_source(network, weights=None):
    """The published file that ``weights`` stands for, the best where several do; None if there is none.

    This function decides what `build_model` loads, and every page asks it that shows an accuracy of a network.

    Args:
        network: name of the network.
        weights: "imagenet", a publisher or the name of a row; None for the network's default.
    """
    rows = weights_sources().get(network, ())
    return next((row for row in rows if weights is None or row.answers_to(weights)), None)


def default_weights(network):
    """What ``weights`` is by default where weights are wanted: "imagenet", the name of a shipped file, or None."""
    source = default_source(network)
    if source is None:
        return None
    return source.name if source.is_shipped else BEST


CARDS: dict[str, Card] = {}
FIELDS = ("params", "gmacs", "source", "fidelity", "input_shape", "classes", "scale", "aux", "weights")


def register(name, *, trunk, head, family, year, paper, **extra):
    """Add a network; arguments that are not fields of ``Card`` become the trunk's ``config``."""
    if name in CARDS:
        raise ValueError(f"`name` should not be registered yet. Received: {name!r}, which is")

    card_fields = {key: extra.pop(key) for key in FIELDS if key in extra}
    fields = {"weights": weights_sources().get(name, ()), **read_published_counts().get(name, {}), **card_fields}
    CARDS[name] = Card(name=name, family=family, year=year, paper=paper, trunk=trunk, config=extra, head=head, **fields)


def card(name: str) -> Card:
    """The card of a network: its paper, size, preprocessing and published weights.

    Args:
        name: Name of the network, as in `list_models`; "resnet20" is short for "resnet20_cifar10".

    Returns:
        A `Card`; `print` shows it, its fields are attributes.
    """
    row = find_by_name(name, CARDS)
    if row is None:
        raise ValueError(message_for_unknown_network(name, CARDS, "see list_models() for all names"))
    return row


def message_for_unknown_network(name, known, advice=""):
    """Error text for an unknown network: the name of ours that timm's name stands for, or similar names."""
    network, weights = translate_timm_name(str(name))
    if network not in known:
        return unknown_name("network", name, known, advice)
    weights_argument = f", weights={weights!r}" if weights else ""
    return f"Unknown network {name!r}. This is timm's name for {network}: build_model({network!r}{weights_argument})"


def translate_timm_name(name):
    """(network, weights) of timm's "resnetv2_50" or "resnetv2_50.a1h_in1k"; (None, "") for other names."""
    timm_name, _, tag = name.removeprefix("hf_hub:").removeprefix("timm/").partition(".")
    published = [row for rows in weights_sources().values() for row in rows if row.publisher == "timm"]
    rows = [row for row in published if row.file.partition(".")[0] == timm_name]

    if not rows:
        preactivated = re.fullmatch(r"resnetv2_(\d+)", timm_name)
        return (f"resnet{preactivated[1]}v2" if preactivated else None), ""
    weights = next((row.name for row in rows if row.name == f"timm/{tag}"), "")
    return rows[0].network, weights


def find_by_name(name, rows):
    """The entry ``name`` of {name: row}, or ``name`` with "_cifar10" appended; None if there is neither."""
    return rows.get(name, rows.get(f"{name}_cifar10"))


def list_models(
    pattern: str = "*",
    *,
    family: str | None = None,
    year: int | None = None,
    max_params: float | None = None,
    pretrained: bool | str | None = None,
) -> list[str]:
    """Names of the networks that can be built, in natural order.

    Args:
        pattern: Shell pattern that the names should match. The small test networks are listed only for patterns
            that begin with "tiny".
        family: Only networks of this family, such as "resnet".
        year: Only networks published in this year.
        max_params: Only networks with at most this many published parameters.
        pretrained: True: only networks with published weights; False: only those without; a publisher such as
            "timm": only those with weights from there.

    Returns:
        The names, for `build_model` and `card`.
    """
    rows = filter_networks(
        CARDS.values(), pattern, family=family, year=year, max_params=max_params, pretrained=pretrained
    )
    return [row.name for row in rows]


def filter_networks(rows, pattern="*", *, family=None, year=None, max_params=None, pretrained=None):
    """The ``rows`` (cards, or anything with their fields) that pass all filters, in natural order."""
    rows = list(rows)
    families = sorted({row.family for row in rows})
    if family is not None and family not in families:
        raise ValueError(unknown_name("family", family, families))
    if max_params is not None and not isinstance(max_params, int | float):
        raise ValueError(f"`max_params` should be a number of parameters. Received: {max_params!r}")
    if year is not None and not isinstance(year, int):
        raise ValueError(f"`year` should be an integer such as 2015. Received: {year!r}")
    if not isinstance(pretrained, bool | str | None):
        raise ValueError(f"`pretrained` should be True, False or the name of a publisher. Received: {pretrained!r}")
    if isinstance(pretrained, str) and pretrained not in PUBLISHERS:
        raise ValueError(unknown_name("publisher of weights", pretrained, PUBLISHERS))

    matching = [
        row
        for row in rows
        if fnmatchcase(row.name, pattern)
        and (pattern.startswith("tiny") or not row.name.startswith("tiny"))
        and (family is None or row.family == family)
        and (year is None or row.year == year)
        and (max_params is None or (row.params is not None and row.params <= max_params))
        and (pretrained is None or pretrained in values_of_pretrained(row))
    ]
    return sorted(matching, key=lambda row: natural_key(row.name))


def values_of_pretrained(row):
    """Values of ``pretrained`` that a network passes: whether it has weights, and their publishers."""
    sources = getattr(row, "weights", weights_sources().get(row.name, ()))
    return {bool(sources), *(source.publisher for source in sources)}
