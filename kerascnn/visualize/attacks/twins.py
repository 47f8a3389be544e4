"""Two images, one code: an image that looks like one and is to a layer of the network another (Sabour et al. 2016)."""

from dataclasses import dataclass, field

import numpy as np

from ...inputs.classifier import resolve_class_names
from ..attribution.attribution import predicted
from ..engine.lens import probe
from ..engine.loop import Loop, iterate
from ..engine.query import RANGE, Pictures, pictures, read, steps, unsteps
from ..engine.scores import distance
from .attack import Changed, as_images, checked_bounds, confidence, draw_twins
from .lbfgs import descend, first_state, next_place
from .norms import l2, linf, ssim, with_best


@dataclass(frozen=True, eq=False)
class Twins(Changed):
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

    def __str__(self):
        return (
            f"twins at {self.layer}: no pixel changed by more than {self.linf.max():.3g}, "
            f"at {np.median(self.distance):.1%} of the distance to the guide"
        )

    @property
    def difference(self):
        """Twin minus source, in steps of 0..255."""
        return self.change_of(self.sources)

    @property
    def table(self):
        """A DataFrame, a row a pair."""
        import pandas as pd

        columns = {"source": self.names, "guide": self.guide_names}
        for name in ("source", "guide", "twin"):
            columns[f"class_{name}"] = [self.label(number) for number in getattr(self, f"class_{name}")]
            columns[f"confidence_{name}"] = getattr(self, f"confidence_{name}")
        return pd.DataFrame(columns | {name: getattr(self, name) for name in ("distance", "l2", "linf", "ssim")})

    def plot(self):
        """Source, guide, twin and ten times the difference, a row a pair."""
        return draw_twins(self)


def twin(
    model,
    source,
    guide,
    *,
    layer=None,
    radius=10.0,
    steps=200,
    bounds=(0, 255),
    labels=None,
    batch=None,
    on_progress=None,
):
    """`Twins`: min |phi(x) - phi(guide)|^2 subject to |x - source| <= radius at every pixel (Sabour et al. 2016).

    phi are the activations of ``layer``, by default the last features; ``radius`` is in steps of 0..255. One guide
    serves for all sources, or each has its own; they may be as many images as fit the model.
    """
    asked = probe(model)
    layer = asked.tap(asked.features() if layer is None else layer)
    bounds = checked_bounds(bounds)
    source, guide = pictures(asked, source), pictures(asked, guide)
    if not np.isfinite(radius) or radius < 0 or steps < 1:
        raise ValueError(f"`radius` and `steps` should be at least 0 and 1. Received: {radius}, {steps}")
    if source.others:
        raise ValueError(f"`model` should have one input. Received: {asked.name}")
    if len(guide) not in (1, len(source)):
        raise ValueError(f"`guide` should be one image, or one a source, {len(source)}. Received: {len(guide)}")
    pixels = as_steps(source.pixels, bounds)
    box = {"low": np.maximum(pixels - np.float32(radius), 0), "high": np.minimum(pixels + np.float32(radius), 255)}
    state = first_state(pixels, 0.2 * radius * np.sqrt(np.prod(pixels.shape[1:])) / 4)
    state |= {"best": pixels, "least": np.full(len(pixels), np.inf, np.float32)}
    codes = {"guide": read(asked, guide, [layer], batch)[layer]}
    loop = Loop(("twin", *bounds), stepping(bounds), distance(layer, codes["guide"]), says=("distance",))
    course = iterate(
        asked, loop, state, {"none": np.zeros((steps + 1, 1), np.float32)}, box, batch=batch, on_progress=on_progress
    )
    found = course.state["best"]
    twins = Pictures(as_images(found, pixels, source.pixels, bounds), source.names)
    shown = {"source": source, "guide": guide, "twin": twins}
    codes |= {what: read(asked, shown[what], [layer], batch)[layer] for what in ("source", "twin")}
    gaps = {what: (codes[what] - codes["guide"]).reshape(len(twins), -1) for what in ("source", "twin")}
    lengths = {what: np.linalg.norm(gap, axis=1) for what, gap in gaps.items()}
    probs = {what: predicted(asked, images, batch) for what, images in shown.items()}
    probs["guide"] = np.broadcast_to(probs["guide"], probs["twin"].shape)
    classes = {what: each.argmax(-1) for what, each in probs.items()}
    measured = {f"class_{what}": numbers for what, numbers in classes.items()}
    measured |= {f"confidence_{what}": confidence(probs[what], numbers) for what, numbers in classes.items()}
    said = course.said["distance"]
    return Twins(
        sources=source.pixels,
        guides=np.broadcast_to(guide.pixels, twins.pixels.shape),
        images=twins.pixels,
        layer=layer,
        radius=float(radius),
        names=source.names,
        guide_names=guide.names if len(guide) == len(twins) else guide.names * len(twins),
        distance=lengths["twin"] / np.maximum(lengths["source"], 1e-30),
        l2=l2(found - pixels),
        linf=linf(found - pixels),
        ssim=ssim(found, pixels),
        **measured,
        history=np.sqrt(said / np.maximum(said[:1], 1e-30)),
        bounds=bounds,
        labels=resolve_class_names(labels, probs["twin"].shape[-1], asked.model),
    )


def stepping(bounds):
    """One look of a descent, in steps of 0..255."""

    def step(look, state, now, given):
        tried = next_place(state, given["low"], given["high"])
        run = look(unsteps(tried, bounds))
        value = look.score(run)
        after = descend(state, tried, value, run.gradient(value, tried), given["low"], given["high"])
        return after | with_best(state, tried, value), {"distance": value}

    return step


def as_steps(pixels, bounds):
    return steps(pixels, bounds).astype(np.float32)
