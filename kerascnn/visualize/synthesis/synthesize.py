"""Gradient ascent on images: the optimization loop behind maximize, invert and dream, and its result."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from keras import ops
from PIL import Image

from ...inputs.resize import resample
from ...plots.primitives import BETWEEN, DPI, MARGIN, display_images, grid_columns, pixel_figure, place_image
from ...plots.style import CLASSES
from ...support.checks import check_integer
from ...support.display import FigureResult
from ...support.files import save_image
from ...support.text import format_number
from ...support.types import Array, Model, OnProgress, Size
from ..engine.lens import Lens, lens
from ..engine.loop import Loop, Trajectory, iterate
from ..engine.query import from_pixel_range
from ..engine.scores import INPUT, Score, as_score
from .params import GRAY
from .recipes import OPTIMIZERS, SynthesisRecipe, find_recipe
from .transforms import sample_matrices, warp

REDIRECTED_STEPS = 16  # first steps, with redirected ReLU gradients where a unit is inactive (Olah et al. 2017)
DEFAULT_SIDE = 224  # pixels, for models that take any size
DECODE_BATCH = 64  # images that are decoded at once


def synthesize(
    model: Model | Lens,
    score: Score | Callable,
    *,
    recipe: SynthesisRecipe | str = "lucid",
    start: Array | None = None,
    size: Size | None = None,
    copies: int = 1,
    diversity: tuple[str, float] | None = None,
    steps: int | None = None,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 255.0),
    keep: Sequence[int] = (),
    until: float | None = None,
    titles: Sequence[str] | None = None,
    others: Mapping[str, Array] | None = None,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Synthesis:
    """Synthesize images that maximize a `Score`, by gradient ascent.

    Copy k of every target starts from the same noise and gets the same random transforms, whatever the other targets.

    Args:
        model: any Keras model, or a `Lens` of one.
        score: a `Score`, or a function of the logits (N, classes).
        recipe: a name in `RECIPES`, or a `SynthesisRecipe`.
        start: initial images (N, H, W, C), pixels 0..255; by default those of the recipe.
        size: (height, width), or one number for squares; by default the input size of the model.
        copies: number of images for each target, from different noise.
        diversity: (layer, weight) that keeps copies different, by the cosine similarity of their
            Gram matrices at the layer (Olah et al. 2017).
        steps: number of steps; by default the recipe's.
        seed: random seed of noise and transforms.
        bounds: input values of the model for black and white.
        keep: step counts after which intermediate images are stored.
        until: score at which an image is no longer changed.
        titles: one title for each target.
        others: {name: array} for the other inputs of the model.
        batch_size: images that go through the model at once; by default as many as memory allows.
        on_progress: called as `on_progress(done, total, what)`; it may raise to stop.

    Returns:
        A `Synthesis` with ``copies`` images for each target.
    """
    ascent = GradientAscent(
        network=lens(model),
        base_score=as_score(score),
        recipe=find_recipe(recipe, steps),
        start=None if start is None else np.asarray(start, np.float32),
        requested_size=size,
        copies=copies,
        bounds=bounds,
        diversity=diversity,
        until=until,
        others=others or {},
        batch_size=batch_size,
    )
    check_ascent(ascent, keep, titles)
    trajectory, redirected = run_ascent(ascent, seed, keep, on_progress)
    images = ascent.decode(trajectory.state["z"])
    measures = ascent.measure(images)
    inactive = redirected & (measures["force"] == 0)
    if inactive.any():
        count = f"{inactive.sum()} of {len(images)} images"
        warnings.warn(
            f"{count} had zero gradient at the start and at the end: the unit never became active", stacklevel=2
        )
    snapshots = np.stack([ascent.decode(z) for z in trajectory.snapshots]) if len(keep) else None
    return Synthesis(
        images=images,
        scores=measures["score"],
        score=str(ascent.score),
        names=ascent.image_names(titles),
        recipe=ascent.recipe,
        curves=trajectory.history,
        snapshots=snapshots,
        snapshot_steps=tuple(keep),
        metadata={"redirected": redirected, "off": inactive},
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class GradientAscent:
    """The settings of a synthesis, and the steps that run on the device."""

    network: object
    base_score: Score
    recipe: SynthesisRecipe
    start: np.ndarray | None
    requested_size: tuple | int | None
    copies: int
    bounds: tuple
    diversity: tuple | None
    until: float | None
    others: Mapping
    batch_size: int | None

    @property
    def targets(self):
        """Number of targets; each gets ``copies`` images."""
        starts = 0 if self.start is None else len(self.start)
        return max(1, starts, *(len(feed) for feed in self.base_score.feeds))

    @property
    def score(self):
        """The score with its feeds repeated for each copy, and the layer of ``diversity`` among its layers."""
        feeds = tuple(np.repeat(feed, self.copies, 0) if len(feed) > 1 else feed for feed in self.base_score.feeds)
        layers = self.base_score.layers + ((self.diversity[0],) if self.diversity else ())
        return replace(self.base_score, feeds=feeds, layers=tuple(dict.fromkeys(layers)))

    @property
    def size(self):
        """(H, W, C) of the images."""
        default = self.network.shape if self.start is None else self.start.shape[1:]
        sides = (self.requested_size,) * 2 if isinstance(self.requested_size, int) else self.requested_size
        size = default if sides is None else (*sides, default[-1])
        return tuple(side or DEFAULT_SIDE for side in size)

    def initialize(self, seed):
        """The initial parameters of the images."""
        start = self.start
        if start is not None:
            start = np.repeat(np.broadcast_to(start, (self.targets, *self.size)), self.copies, 0)
        generators = [np.random.default_rng([seed, k]) for _ in range(self.targets) for k in range(self.copies)]
        return np.asarray(self.recipe.params.initialize(generators, self.size, start), np.float32)

    def step_inputs(self, seed):
        """Learning rates and random transforms of all steps."""
        inputs = {"rate": self.recipe.learning_rates[:, None]}
        if self.recipe.transforms:
            generators = [np.random.default_rng([seed, k, 1]) for k in range(self.copies)]
            matrices = sample_matrices(self.recipe.transforms, generators, self.recipe.steps)
            inputs["warp"] = matrices if self.targets == 1 else np.tile(matrices, (1, self.targets, 1, 1))
        return inputs

    def decode(self, z):
        """Decode parameters ``z`` to images, pixels 0..255."""
        parts = [
            self.recipe.params.decode(ops.convert_to_tensor(z[i : i + DECODE_BATCH]), self.size)
            for i in range(0, len(z), DECODE_BATCH)
        ]
        return np.concatenate([ops.convert_to_numpy(part) for part in parts])

    def image_names(self, titles):
        """A name for each image: the title of its target, and the number of the copy."""
        titles = list(titles or [str(self.base_score)] * self.targets)
        return tuple(f"{title}, {k + 1}" if self.copies > 1 else title for title in titles for k in range(self.copies))

    def is_done(self, state, reports):
        """Whether every image has reached ``until``."""
        return self.until is not None and bool((reports["score"].max(0) >= self.until).all())

    def iterate(self, loop, state, step_inputs, constants=None, *, rows=None, keep=(), on_progress=None):
        """Run a loop on all images, or on ``rows``; copies that must differ stay in one chunk."""
        others = {name: np.repeat(a, self.copies, 0) if len(a) > 1 else a for name, a in self.others.items()}
        return iterate(
            self.network,
            loop,
            state,
            step_inputs,
            constants,
            others=others,
            size=self.size,
            rows=rows,
            group=self.copies if self.diversity else 1,
            snapshots=keep,
            is_done=self.is_done,
            batch_size=self.batch_size,
            on_progress=on_progress,
        )

    def measure(self, images):
        """The score of each image without transforms, and the L1 norm of its gradient (``force``)."""

        def step(forward, state, inputs, constants):
            run = forward(from_pixel_range(state["x"], self.bounds))
            score = forward.score(run)
            return state, {"score": score, "force": sum_per_image(ops.abs(run.gradient(score)))}

        loop = Loop(("read", self.size, self.bounds), step, self.score, ("score", "force"))
        history = self.iterate(loop, {"x": images}, {"k": np.zeros((1, 1), np.int32)}).history
        return {name: array[0] for name, array in history.items()}

    def loop(self, rule=None):
        """The compiled step, shared by all recipes and scores with the same key."""
        diversity_layer = self.diversity and self.diversity[0]
        key = ("synthesize", self.recipe.key, self.size, self.bounds, diversity_layer, self.until is None)
        return Loop(key, self.step, self.score, ("score", "force"), rule)

    @property
    def constants(self):
        """Inputs of the step that are the same at every step."""
        constants = {}
        if self.diversity:
            constants["target"] = np.repeat(np.arange(self.targets, dtype=np.int32), self.copies)
            constants["diversity"] = np.full(1, self.diversity[1], np.float32)
        if self.until is not None:
            constants["until"] = np.full(1, self.until, np.float32)
        return constants

    def step(self, forward, state, inputs, constants):
        """One step: decode, transform, score, update, regularize."""
        recipe, z = self.recipe, state["z"]
        image = recipe.params.decode(z, self.size)
        transformed = warp(image, inputs["warp"], recipe.fill, recipe.on_grid) if recipe.transforms else image
        run = forward(from_pixel_range(transformed, self.bounds))
        score = objective = forward.score(run)
        for weight, prior in recipe.priors:
            objective = objective - weight * prior.of({INPUT: image}, *prior.feeds)
        if self.diversity:
            similarity = gram_similarity(run[self.diversity[0]], constants["target"])
            objective = objective - 0.5 * constants["diversity"] * similarity
        g = run.gradient(objective, z)
        memory = {name: tensor for name, tensor in state.items() if name != "z"}
        updated, memory = OPTIMIZERS[recipe.optimizer].update(z, g, memory, per_image(inputs["rate"], z))
        for regularizer in recipe.regularizers:
            due = ops.equal((inputs["k"] + 1) % regularizer.every, 0)
            updated = ops.where(per_image(due, z), regularizer.apply(updated, g), updated)
        if self.until is not None:
            updated = ops.where(per_image(score >= constants["until"], z), z, updated)
        return {"z": updated, **memory}, {"score": score, "force": sum_per_image(ops.abs(g))}


def check_ascent(ascent, keep, titles):
    """Check that the arguments fit each other."""
    steps, rows = ascent.recipe.steps, ascent.targets
    check_integer(copies=ascent.copies)
    if ascent.start is not None and (np.ndim(ascent.start) != 4 or ascent.start.shape[1:] != ascent.size):
        shape = np.shape(ascent.start)
        raise ValueError(f"`start` should be images (N, H, W, C) of {ascent.size} pixels. Received: shape {shape}")
    counts = {len(feed) for feed in ascent.base_score.feeds} - {1}
    if ascent.start is not None and len(counts | {len(ascent.start)} - {1}) > 1:
        expected = "as many images as the score has targets, or one"
        raise ValueError(f"`start` should have {expected}: {max(counts)} or 1. Received: {len(ascent.start)}")
    if any(not 0 <= k <= steps for k in keep):
        raise ValueError(f"`keep` should be step counts from 0 to {steps}. Received: {tuple(keep)}")
    if titles and len(titles) != rows:
        raise ValueError(
            f"`titles` should have one title for each of the {rows} targets. Received: {len(titles)} titles"
        )
    needed = [
        node.name for node in ascent.network.subgraph(ascent.score.layers).inputs if node.name != ascent.network.input
    ]
    if set(needed) - set(ascent.others):
        received = ", ".join(ascent.others) or "none"
        raise ValueError(f"`others` should have values for the other inputs, {', '.join(needed)}. Received: {received}")


def run_ascent(ascent, seed, keep, on_progress):
    """(`Trajectory` of all steps, whether each image had no gradient at first).

    Images without gradient take their first steps with redirected ReLU gradients.
    """
    steps, z = ascent.recipe.steps, ascent.initialize(seed)
    inputs = {**ascent.step_inputs(seed), "k": np.arange(steps, dtype=np.int32)[:, None]}
    state = {"z": z, **initial_memory(ascent.recipe, z)}
    history = {name: np.zeros((steps, len(z)), np.float32) for name in ascent.loop().reports}
    snapshots = {k: z.copy() for k in keep}
    redirected = ascent.measure(ascent.decode(z))["force"] == 0
    if ascent.diversity:  # the copies of a target run in one chunk, as their objective depends on each other
        redirected = np.repeat(redirected.reshape(-1, ascent.copies).any(1), ascent.copies)
    phases = (
        (None, ~redirected, 0, steps),
        ("redirected", redirected, 0, min(REDIRECTED_STEPS, steps)),
        (None, redirected, REDIRECTED_STEPS, steps),
    )
    steps_done = 0
    for rule, rows, first, last in phases:
        if not rows.any() or first >= last:
            continue
        phase_progress = on_progress and (
            lambda phase_done, total, what, steps_done=steps_done: on_progress(
                steps_done + phase_done, steps * len(z), what
            )
        )
        phase_inputs = {name: array[first:last] for name, array in inputs.items()}
        phase_keep = sorted({k for k in keep if first < k <= last})
        trajectory = ascent.iterate(
            ascent.loop(rule),
            state,
            phase_inputs,
            ascent.constants,
            rows=rows,
            keep=[k - first for k in phase_keep],
            on_progress=phase_progress,
        )
        for name, array in trajectory.state.items():
            state[name][rows] = array
        for name, array in trajectory.history.items():
            history[name][first:last, rows] = array
        for k, snapshot in zip(phase_keep, trajectory.snapshots, strict=True):
            snapshots[k][rows] = snapshot["z"]
        steps_done += rows.sum() * (last - first)
    return Trajectory(state, history, [snapshots[k] for k in keep]), redirected


def initial_memory(recipe, z):
    """The state of the optimizer before the first step: zeros."""
    optimizer = OPTIMIZERS[recipe.optimizer]
    arrays = {name: np.zeros_like(z) for name in optimizer.memory}
    scalars = {name: np.zeros(len(z), np.float32) for name in optimizer.scalars}
    return arrays | scalars


def gram_similarity(maps, target):
    """For each image, the sum of the cosines of its Gram matrix with those of the other copies of its target."""
    flat = ops.reshape(maps, (ops.shape(maps)[0], -1, maps.shape[-1]))
    grams = ops.reshape(ops.matmul(ops.transpose(flat, (0, 2, 1)), flat), (ops.shape(maps)[0], -1))
    grams = grams / (ops.sqrt(ops.sum(grams * grams, 1, keepdims=True)) + 1e-12)
    same_target = ops.cast(ops.equal(target[:, None], target[None]), "float32") - ops.eye(ops.shape(target)[0])
    return ops.sum(ops.matmul(grams, ops.transpose(grams)) * same_target, 1)


def sum_per_image(a):
    """The sum over all axes but the first."""
    return ops.sum(ops.reshape(a, (ops.shape(a)[0], -1)), 1)


def per_image(numbers, z):
    """Numbers (N,) or (1,) in a shape that broadcasts with ``z`` (N, ...)."""
    return ops.reshape(numbers, (-1,) + (1,) * (len(z.shape) - 1))


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Synthesis(FigureResult):
    """Images that maximize a score.

    Attributes:
        images: (N, H, W, C), pixels 0..255.
        scores: (N,), the score of each image without transforms and priors.
        score: the score that was maximized, in words.
        names: names of the images.
        recipe: the `SynthesisRecipe` that was used.
        curves: {name: (steps, N)}; "score" is the score of the transformed image at each step.
        snapshots: (snapshots, N, H, W, C), images after ``snapshot_steps``; None without ``keep``.
        snapshot_steps: step counts of the snapshots.
        metadata: arrays with a row for each image: "redirected" (no gradient at first), "off" (none at the end
            either: never active), and what the method adds.
    """

    images: np.ndarray
    scores: np.ndarray
    score: str
    names: tuple
    recipe: SynthesisRecipe
    curves: dict
    snapshots: np.ndarray | None = None
    snapshot_steps: tuple = ()
    metadata: dict = field(default_factory=dict)

    def __len__(self):
        return len(self.images)

    def __str__(self):
        count = f"{len(self)} images that maximize" if len(self) > 1 else "1 image that maximizes"
        return f"{count} {self.score}"

    @property
    def history(self):
        """A DataFrame with a row for each step of each image: image, step, score."""
        import pandas as pd

        steps, count = self.curves["score"].shape
        names = np.repeat(np.array(self.names, object), steps)
        step_numbers = np.tile(np.arange(steps), count)
        return pd.DataFrame({"image": names, "step": step_numbers, "score": self.curves["score"].T.ravel()})

    @property
    def table(self):
        """A DataFrame with a row for each image: image, score, initial_score, metadata."""
        import pandas as pd

        columns = {"image": self.names, "score": self.scores, "initial_score": self.curves["score"][0]}
        metadata = {name: values for name, values in self.metadata.items() if getattr(values, "ndim", 0) == 1}
        return pd.DataFrame(columns | metadata)

    def title(self, i):
        """The name of an image with its score or the probability of its class."""
        probability = self.metadata.get("probability")
        number = format_number(self.scores[i]) if probability is None else f"{probability[i]:.2%}"
        return f"{self.names[i]}  {number}"

    def plot(self, columns=None):
        """All images in one figure, each with its name and score."""
        return draw_sheet(self, columns)

    def plot_steps(self):
        """A row for each image: its snapshots, and its score at all steps."""
        if self.snapshots is None:
            raise ValueError(
                "`keep` should be passed to the function that makes the images: the step counts after which "
                "intermediate images are stored"
            )
        return draw_steps(self)

    def save_images(self, out, names=None):
        """Save each image as a PNG file in a folder.

        Args:
            out: folder for the files.
            names: file names without ".png", one per image; by default numbers.

        Returns:
            The paths.
        """
        names = [f"{i:04d}" for i in range(len(self))] if names is None else names
        os.makedirs(out, exist_ok=True)
        return [
            save_image(image, os.path.join(out, f"{name}.png")) for name, image in zip(names, self.images, strict=True)
        ]


SHEET_WIDTH, TILE_SIZE = 1500, 220  # pixels: about the largest width of a figure, and of an enlarged tile
TITLE_HEIGHT = 26  # pixels above a tile for its title
LETTER_WIDTH = 9  # pixels of a letter of a title
MIN_CONTRAST, CLEAR_CONTRAST = 30.0, 100.0  # distance from gray: lower contrast is hard to see and raised to this
AXIS_WIDTH = 40  # pixels left of a curve for its numbers


def draw_sheet(result, columns=None):
    """All images in rows, each under its name and score, next to its initial image if that was given."""
    images, titles = result.images, [result.title(i) for i in range(len(result))]
    initial_images = result.metadata.get("began")
    if initial_images is not None:
        images = np.stack([initial_images, images], 1).reshape(-1, *images.shape[1:])
        titles = [title for pair in zip(["initial image"] * len(titles), titles, strict=True) for title in pair]
    images = GRAY + contrast_factor(result) * (images - GRAY)
    columns = columns or (full_rows(len(images)) if initial_images is None else min(2 * full_rows(len(result)), 6))
    shape = tile_shape(images, columns)
    titles = drop_common_layer(titles, shape[1])
    figure, top = pixel_figure(*tiles_extent(len(images), columns, shape), str(result), synthesis_caption(result))
    draw_tiles(figure, images, titles, columns, shape, top)
    return figure


def draw_steps(result):
    """A row for each image: its snapshots, and its score at all steps."""
    frames, frame_steps = result.snapshots, [*result.snapshot_steps]
    last_step = len(result.curves["score"])
    if frame_steps[-1] != last_step:
        frames = np.concatenate([frames, result.images[None]])
        frame_steps.append(last_step)
    frames = GRAY + contrast_factor(result) * (frames - GRAY)
    columns = len(frames) + 1
    shape = tile_shape(result.images, columns)
    figure, top = pixel_figure(
        *tiles_extent(len(result) * columns, columns, shape), str(result), synthesis_caption(result)
    )
    for i, name in enumerate(result.names):
        titles = [f"{'' if k else name} step {step}".strip() for k, step in enumerate(frame_steps)]
        left = draw_tiles(figure, frames[:, i], titles, columns, shape, top)
        draw_score_curve(figure, result, i, left, top + TITLE_HEIGHT, shape)
        top += shape[0] + TITLE_HEIGHT + BETWEEN
    return figure


def contrast_factor(result):
    """Factor that raises the contrast of images that would look gray; 1 for those that started from an image."""
    if "probability" in result.metadata or "began" in result.metadata:
        return 1.0
    distance = float(np.percentile(np.abs(result.images - GRAY), 99.5))
    return CLEAR_CONTRAST / distance if 0 < distance < MIN_CONTRAST else 1.0


def draw_score_curve(figure, result, i, left, top, shape):
    """The scores of an image over the steps, at (left, top) pixels of a figure."""
    figure_width, figure_height = (round(side * DPI) for side in figure.get_size_inches())
    height, width = shape
    box = (
        left + AXIS_WIDTH,
        figure_height - top - height + AXIS_WIDTH / 2,
        max(width - AXIS_WIDTH, AXIS_WIDTH),
        max(height - AXIS_WIDTH / 2, AXIS_WIDTH / 2),
    )
    axis = figure.add_axes(
        (box[0] / figure_width, box[1] / figure_height, box[2] / figure_width, box[3] / figure_height)
    )
    axis.plot(
        np.arange(1, len(result.curves["score"]) + 1), result.curves["score"][:, i], color=CLASSES[0], linewidth=1.2
    )
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=7, pad=1)
    axis.set_title(f"score, final image {result.scores[i]:.3g}", fontsize=7.5, loc="left", pad=3)


def draw_tiles(figure, images, titles, columns, shape, top):
    """Draw images under their titles, row by row from ``top``; the left edge of the next tile in the first row."""
    height, width = shape
    tiles, _ = display_images(np.clip(images, 0, 255)) if images.shape[-1] in (1, 3) else display_images(images)
    for i, image in enumerate(tiles):
        left = MARGIN + i % columns * (width + BETWEEN)
        row = top + i // columns * (height + TITLE_HEIGHT + BETWEEN) + TITLE_HEIGHT
        resized = resample(image, shape, Image.Resampling.BOX)  # BOX repeats pixels, or averages them
        axis = place_image(figure, resized, left, row)
        axis.set_title(shorten_title(titles[i], width), fontsize=7.5, loc="left", pad=3)
    return MARGIN + len(images) * (width + BETWEEN)


def full_rows(count):
    """Number of columns of a nearly square grid, if possible one whose last row is full."""
    preferred = grid_columns(count, 1.2)
    candidates = range(max(preferred - 2, min(3, count)), min(preferred + 3, count) + 1)
    divisors = [columns for columns in candidates if count % columns == 0]
    return min(divisors, key=lambda columns: abs(columns - preferred)) if divisors else preferred


def tiles_extent(count, columns, shape):
    """(width, height) in pixels of rows of tiles with their titles."""
    rows = -(-count // columns)
    return max(columns * (shape[1] + BETWEEN), 640), rows * (shape[0] + TITLE_HEIGHT + BETWEEN)


def tile_shape(images, columns):
    """(height, width) of images as drawn: enlarged by an integer factor, or smaller where a row would be too long."""
    height, width = images.shape[-3:-1]
    room = SHEET_WIDTH / (columns * (width + BETWEEN))
    zoom = max(min(int(room), round(TILE_SIZE / width)), 1) if room >= 1 else max(room, 96 / width)
    return max(round(height * zoom), 1), max(round(width * zoom), 1)


def drop_common_layer(titles, width):
    """Titles without the layer that they all share, where tiles are too narrow for it."""
    layers = {title.rpartition(":")[0] for title in titles}
    if len(layers) > 1 or max(map(len, titles)) * LETTER_WIDTH < width:
        return titles
    return [title.rpartition(":")[2] for title in titles]


def shorten_title(text, width):
    """A title no longer than its tile: the beginning of long names is cut off."""
    max_length = max(int(width / LETTER_WIDTH), 6)
    if len(text) <= max_length:
        return text
    return "…" + text[-(max_length - 1) :]


def synthesis_caption(result):
    """The recipe, the number of steps, and which images had no gradient."""
    notes = [result.recipe.description, f"{len(result.curves['score'])} steps"]
    inactive, redirected = result.metadata.get("off"), result.metadata.get("redirected")
    if redirected is not None and redirected.any():
        notes.append(f"{redirected.sum()} had no gradient at first")
    if inactive is not None and inactive.any():
        notes.append(f"{inactive.sum()} never became active")
    factor = contrast_factor(result)
    contrast = "contrast as synthesized" if factor == 1 else f"contrast raised {factor:.3g} times"
    number = "probability" if "probability" in result.metadata else "score"
    return "; ".join(notes) + f". The {number} is above each image; {contrast}."
