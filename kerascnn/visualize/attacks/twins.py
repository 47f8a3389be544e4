"""Two images, one code: an image that looks like one and is to a layer of the network another (Sabour et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...inputs.classifier import resolve_class_names
from ...support.checks import check_integer
from ...support.types import ClassNames, Images, Model, OnProgress
from ..attribution.attribution import predict_probabilities
from ..engine.lens import Lens, lens
from ..engine.loop import Loop, iterate
from ..engine.query import RANGE, Pictures, from_pixel_range, pictures, read_activations, to_pixel_range
from ..engine.scores import distance
from .attack import AttackResult, check_bounds, check_least, confidence, draw_twins, to_input_range
from .lbfgs import initial_state, next_point, update_state
from .norms import keep_best, l2, linf, ssim


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Twins(AttackResult):
    """Images that look like their sources and have the activations of their guides.

    Attributes:
        sources: images that the twins look like, (N, H, W, C).
        guides: images whose activations the twins have.
        images: the twins, (N, H, W, C).
        layer: name of the layer.
        radius: largest change of a pixel allowed, in pixel values 0..255.
        names: names of the sources.
        guide_names: names of the guides.
        distance: of a twin's activations from the guide's, as a fraction of the source's distance, (N,).
        l2: Euclidean length of the change, in pixel values 0..255.
        linf: largest change of a pixel.
        ssim: structural similarity of twin and source.
        class_source: predicted class of each source.
        class_guide: predicted class of each guide.
        class_twin: predicted class of each twin.
        confidence_source: probability of that class.
        confidence_guide: likewise, of the guide.
        confidence_twin: likewise, of the twin.
        history: the distance at each step, (steps, N).
        bounds: (lowest, highest) value of the pixels.
        class_names: names of all classes, or None.
    """

    sources: np.ndarray
    guides: np.ndarray
    images: np.ndarray
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
    history: np.ndarray
    bounds: tuple = (0.0, RANGE)
    class_names: tuple | None = None

    def __str__(self):
        return (
            f"twins at {self.layer}: no pixel changed by more than {self.linf.max():.3g}, "
            f"at {np.median(self.distance):.1%} of the distance to the guide"
        )

    @property
    def difference(self):
        """Twin minus source, in steps of 0..255."""
        return self.difference_from(self.sources)

    @property
    def table(self):
        """A DataFrame, a row a pair."""
        import pandas as pd

        columns = {"source": self.names, "guide": self.guide_names}
        for name in ("source", "guide", "twin"):
            columns[f"class_{name}"] = [self.class_name(number) for number in getattr(self, f"class_{name}")]
            columns[f"confidence_{name}"] = getattr(self, f"confidence_{name}")
        return pd.DataFrame(columns | {name: getattr(self, name) for name in ("distance", "l2", "linf", "ssim")})

    def plot(self):
        """Source, guide, twin and ten times the difference, a row a pair."""
        return draw_twins(self)


def twin(
    model: Model | Lens,
    source: Images,
    guide: Images,
    *,
    layer: str | None = None,
    radius: float = 10.0,
    steps: int = 200,
    bounds: tuple[float, float] = (0.0, 255.0),
    class_names: ClassNames | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Twins:
    """An image like ``source`` with the activations of ``guide`` (Sabour et al. 2016).

    min |phi(x) - phi(guide)|^2 subject to |x - source| <= radius at every pixel; phi are the activations of a layer.

    Args:
        model: Keras model with one input, or a `Lens` of one.
        source: one or several images.
        guide: one image for all sources, or one for each.
        layer: name of the layer; by default the last features.
        radius: largest change of a pixel, in pixel values 0..255.
        steps: number of steps.
        bounds: (lowest, highest) value of the pixels you pass.
        class_names: names of all classes, in order; False for none.
        batch_size: images in the network at once; by default as many as memory allows.
        on_progress: function called with (done, total, what); raising stops the search.

    Returns:
        A `Twins`.
    """
    asked = lens(model)
    layer = asked.tap(asked.last_feature_maps() if layer is None else layer)
    bounds = check_bounds(bounds)
    sources, guides = pictures(asked, source), pictures(asked, guide)
    check_least("radius", radius, 0)
    check_integer(steps=steps)
    if sources.others:
        raise ValueError(f"`model` should have one input. Received: {asked.name}")
    if len(guides) not in (1, len(sources)):
        raise ValueError(f"`guide` should be one image, or one a source, {len(sources)}. Received: {len(guides)}")
    pixels = to_pixel_values(sources.pixels, bounds)
    box = {"low": np.maximum(pixels - np.float32(radius), 0), "high": np.minimum(pixels + np.float32(radius), 255)}
    state = initial_state(pixels, 0.2 * radius * np.sqrt(np.prod(pixels.shape[1:])) / 4)
    state |= {"best": pixels, "least": np.full(len(pixels), np.inf, np.float32)}
    codes = {"guide": read_activations(asked, guides, [layer], batch_size)[layer]}
    loop = Loop(("twin", *bounds), twin_step(bounds), distance(layer, codes["guide"]), reports=("distance",))
    course = iterate(
        asked,
        loop,
        state,
        {"none": np.zeros((steps + 1, 1), np.float32)},
        box,
        batch_size=batch_size,
        on_progress=on_progress,
    )
    found = course.state["best"]
    twins = Pictures(to_input_range(found, pixels, sources.pixels, bounds), sources.names)
    shown = {"source": sources, "guide": guides, "twin": twins}
    codes |= {what: read_activations(asked, shown[what], [layer], batch_size)[layer] for what in ("source", "twin")}
    gaps = {what: (codes[what] - codes["guide"]).reshape(len(twins), -1) for what in ("source", "twin")}
    lengths = {what: np.linalg.norm(gap, axis=1) for what, gap in gaps.items()}
    probs = {what: predict_probabilities(asked, images, batch_size) for what, images in shown.items()}
    probs["guide"] = np.broadcast_to(probs["guide"], probs["twin"].shape)
    classes = {what: each.argmax(-1) for what, each in probs.items()}
    measured = {f"class_{what}": numbers for what, numbers in classes.items()}
    measured |= {f"confidence_{what}": confidence(probs[what], numbers) for what, numbers in classes.items()}
    said = course.history["distance"]
    return Twins(
        sources=sources.pixels,
        guides=np.broadcast_to(guides.pixels, twins.pixels.shape),
        images=twins.pixels,
        layer=layer,
        radius=float(radius),
        names=sources.names,
        guide_names=guides.names if len(guides) == len(twins) else guides.names * len(twins),
        distance=lengths["twin"] / np.maximum(lengths["source"], 1e-30),
        l2=l2(found - pixels),
        linf=linf(found - pixels),
        ssim=ssim(found, pixels),
        **measured,
        history=np.sqrt(said / np.maximum(said[:1], 1e-30)),
        bounds=bounds,
        class_names=resolve_class_names(class_names, probs["twin"].shape[-1], asked.model),
    )


def twin_step(bounds):
    """One look of a descent, in steps of 0..255."""

    def step(look, state, now, given):
        tried = next_point(state, given["low"], given["high"])
        run = look(from_pixel_range(tried, bounds))
        value = look.score(run)
        after = update_state(state, tried, value, run.gradient(value, tried), given["low"], given["high"])
        return after | keep_best(state, tried, value), {"distance": value}

    return step


def to_pixel_values(pixels, bounds):
    return to_pixel_range(pixels, bounds).astype(np.float32)
