"""What a section may ask about: a network, images to draw pictures of, labelled ones to judge it by."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

EFFORTS = ("quick", "normal", "full")
DRAWN = {"quick": 4, "normal": 6, "full": 12}  # photos that pictures are made of
POOL = {"quick": 64, "normal": 256, "full": 1024}  # images that statistics are of
JUDGED = {"quick": 512, "normal": 5_000, "full": None}  # labelled images that are put to the network


class Skipped(Exception):
    """A section that cannot be: why, and how to get it."""


def silent(done, what=""):
    """Tell nobody how far a section is."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What a report is about, for its sections to ask. Images are pixels 0..255 cut to the network's size."""

    model: object = field(repr=False)
    name: str
    probe: object = field(repr=False)  # kerascnn.visualize.Probe of the model
    classes: tuple | None = field(default=None, repr=False)  # names
    samples: np.ndarray | None = field(default=None, repr=False)  # (n, H, W, C) float32, to draw pictures of
    sample_names: tuple = ()
    sample_labels: np.ndarray | None = field(default=None, repr=False)
    data: object = field(default=None, repr=False)  # kerascnn.data.Images, labelled, to judge by
    pool: np.ndarray | None = field(default=None, repr=False)  # (m, H, W, C) float32, for statistics
    layers: tuple = ()
    effort: str = "normal"
    seed: int = 0
    transfer: Path | None = None  # the folder of a finished study
    tell: object = field(default=silent, repr=False)  # tell(done from 0 to 1, what)
    facts: dict = field(default_factory=dict, repr=False)  # where it all comes from, for the appendix

    @property
    def preprocess(self):
        """What makes of pixels what the network expects; None where it does that by itself."""
        return self.probe.given["preprocess"]

    def of_effort(self, quick, normal, full):
        """One of three by the effort."""
        return dict(zip(EFFORTS, (quick, normal, full), strict=True))[self.effort]

    def class_name(self, number):
        """What a class is called."""
        return str(self.classes[number]) if self.classes else f"class {number}"

    def need_samples(self):
        """The photos for pictures, or `Skipped`."""
        if self.samples is None:
            raise Skipped("no images were given: --images PATH ..., or --data DIR")
        return self.samples

    def need_pool(self):
        """The images for statistics, or `Skipped`."""
        if self.pool is None:
            raise Skipped("no images were given: --data DIR, or --images with dozens of them")
        return self.pool

    @cached_property
    def anatomy(self):
        """`kerascnn.dissect` of the network, at the size that images are cut to where its own is open."""
        from ..anatomy import dissect
        from ..predictions import cutting

        if self.probe is None or None not in self.probe.shape:
            return dissect(self.model)
        cut = cutting(self.model)
        return dissect(self.model, (*cut.size, cut.channels))

    @cached_property
    def evaluation(self):
        """`kerascnn.evaluate` of the network on ``data``, done once; `Skipped` where it cannot be."""
        from ..evaluation import evaluate

        if self.data is None:
            raise Skipped("no labelled images were given: --data DIR, a folder with a subfolder for each class")
        try:
            return evaluate(self.model, self.data, classes=self.classes, preprocess=self.preprocess, quiet=True)
        except ValueError as error:
            raise Skipped(f"the network cannot be judged by these images: {error}") from error

    @cached_property
    def activity(self):
        """`kerascnn.activity` of the network on ``pool``, done once; `Skipped` where there is none."""
        from ..diagnose import activity
        from ..diagnose.calls import activations

        pool = self.need_pool()
        if not activations(self.probe.graph):
            raise Skipped("the network has no units: neither weights nor nonlinearities")
        return activity(self.model, pool, preprocess=self.preprocess)
