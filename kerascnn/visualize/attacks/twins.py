"""Two images, one code: an image that looks like one and is to a layer of the network another (Sabour et al. 2016)."""

from dataclasses import dataclass, field

import numpy as np

from ...inputs.classifier import resolve_class_names
from ...support.display import Drawn
from ..attribution.attribution import predicted
from ..engine.lens import probe
from ..engine.loop import Loop, iterate
from ..engine.query import RANGE, Pictures, pictures, read, steps, unsteps
from ..engine.scores import distance
from .attack import as_images, checked_bounds, confidence
from .lbfgs import begun, descended, trial
from .norms import l2, linf, ssim, with_best


@dataclass(frozen=True, eq=False)
class Twins(Drawn):
    """Sources, guides and the twins (``images``) that look like the one and have the code of the other at ``layer``.

    ``distance`` (N,): of a twin's activations from the guide's, as a share of the source's from the guide's;
    ``history`` (steps, N) the same at each step. ``l2``, ``linf`` and ``ssim`` compare twins with sources, in steps of
    0..255. ``class_..`` and ``confidence_..`` of source, guide and twin.
    """

    sources: np.ndarray = field(repr=False)
    guides: np.ndarray = field(repr=False)
    images: np.ndarray = field(repr=False)
    layer: str
    radius: float
    names: tuple
    guide_names: tuple
    distance: np.ndarray
    l2: np.ndarray
    linf: np.ndarray
    ssim: np.ndarray
    class_source: np.ndarray
    class_guide: np.ndarray
    class_twin: np.ndarray
    confidence_source: np.ndarray
    confidence_guide: np.ndarray
    confidence_twin: np.ndarray
    history: np.ndarray = field(repr=False)
    bounds: tuple = (0.0, RANGE)
    labels: tuple | None = field(default=None, repr=False)

    def __len__(self):
        return len(self.images)

    def __str__(self):
        return (
            f"twins at {self.layer}: no pixel changed by more than {self.linf.max():.3g}, "
            f"at {np.median(self.distance):.1%} of the distance to the guide"
        )

    @property
    def difference(self):
        """Twin minus source, in steps of 0..255."""
        return steps(self.images, self.bounds) - steps(self.sources, self.bounds)

    @property
    def table(self):
        """A DataFrame, a row a pair."""
        import pandas as pd

        columns = {"source": self.names, "guide": self.guide_names}
        for name in ("source", "guide", "twin"):
            columns[f"class_{name}"] = [self.label(number) for number in getattr(self, f"class_{name}")]
            columns[f"confidence_{name}"] = getattr(self, f"confidence_{name}")
        return pd.DataFrame(columns | {name: getattr(self, name) for name in ("distance", "l2", "linf", "ssim")})

    def label(self, number):
        """What a class is called."""
        return self.labels[number] if self.labels else f"class {number}"

    def plot(self):
        """Source, guide, twin and ten times the difference, a row a pair."""
        from .attack import draw_twins

        return draw_twins(self)


def twin(
    model, source, guide, *, layer=None, radius=10.0, steps=200, bounds=(0, 255), labels=None, batch=None, tell=None
):
    """`Twins`: min |phi(x) - phi(guide)|^2 subject to |x - source| <= radius at every pixel (Sabour et al. 2016).

    phi are the activations of ``layer``, by default the last features; ``radius`` is in steps of 0..255. One guide
    serves for all sources, or each has its own; they may be as many images as fit the model.
    """
    asked = probe(model)
    layer = asked.tap(asked.features() if layer is None else layer)
    (low, high), both = checked_bounds(bounds), [pictures(asked, images) for images in (source, guide)]
    if not np.isfinite(radius) or radius < 0 or steps < 1:
        raise ValueError(f"`radius` and `steps` should be at least 0 and 1. Received: {radius}, {steps}")
    if both[0].others:
        raise ValueError(f"`model` should have one input. Received: {asked.name}")
    if len(both[1]) not in (1, len(both[0])):
        raise ValueError(f"`guide` should be one image, or one a source, {len(both[0])}. Received: {len(both[1])}")
    sources, guides = (as_steps(each.pixels, (low, high)) for each in both)
    codes = read(asked, both[1], [layer], batch)[layer]
    box = {"low": np.maximum(sources - np.float32(radius), 0), "high": np.minimum(sources + np.float32(radius), 255)}
    state = begun(sources, 0.2 * radius * np.sqrt(np.prod(sources.shape[1:])) / 4) | {
        "best": sources,
        "least": np.full(len(sources), np.inf, np.float32),
    }
    loop = Loop(("twin", low, high), stepping((low, high)), distance(layer, codes), says=("distance",))
    course = iterate(asked, loop, state, {"none": np.zeros((steps + 1, 1), np.float32)}, box, batch=batch, tell=tell)
    return compared(asked, layer, radius, both, course, (low, high), labels, batch)


def stepping(bounds):
    """One look of a descent, in steps of 0..255."""

    def step(look, state, now, given):
        tried = trial(state, given["low"], given["high"])
        run = look(unsteps(tried, bounds))
        value = look.score(run)
        after = descended(state, tried, value, run.gradient(value, tried), given["low"], given["high"])
        return after | with_best(state, tried, value), {"distance": value}

    return step


def compared(asked, layer, radius, both, course, bounds, labels, batch):
    """`Twins` from what the loop found."""
    sources, guides = (as_steps(each.pixels, bounds) for each in both)
    found = course.state["best"]
    images = as_images(found, sources, both[0].pixels, bounds)
    first = np.maximum(course.said["distance"][:1], 1e-30)
    shown = [both[0], both[1], Pictures(images, both[0].names)]
    source, guide, made = (read(asked, each, [layer], batch)[layer] for each in shown)
    gaps = [np.sqrt(np.square(code - guide).reshape(len(images), -1).sum(1)) for code in (made, source)]
    probs = [np.broadcast_to(p, (len(images), p.shape[-1])) for p in (predicted(asked, s, batch) for s in shown)]
    classes = [each.argmax(-1) for each in probs]
    repeat = lambda values: tuple(values) if len(values) == len(images) else tuple(values) * len(images)  # noqa: E731
    return Twins(
        *(both[0].pixels, np.broadcast_to(both[1].pixels, images.shape), images, layer, float(radius)),
        *(both[0].names, repeat(both[1].names), gaps[0] / np.maximum(gaps[1], 1e-30)),
        *(l2(found - sources), linf(found - sources), ssim(found, sources), *classes),
        *map(confidence, probs, classes),
        np.sqrt(course.said["distance"] / first),
        bounds,
        resolve_class_names(labels, max(probs[0].shape[-1], 2), asked.model),
    )


def as_steps(pixels, bounds):
    return steps(pixels, bounds).astype(np.float32)
