"""Climbing: an image is changed until a score of it is high. Class pictures, inversion and dreams are rows of it."""

import os
import warnings
from dataclasses import dataclass, field, replace

import numpy as np
from keras import ops
from PIL import Image

from ...inputs.resize import resample
from ...plots.primitives import BETWEEN, DPI, MARGIN, columns_for, looks, place, sheet
from ...plots.style import CLASSES
from ...support.display import Drawn
from ...support.files import save_image
from ...support.text import compact
from ..engine.lens import probe
from ..engine.loop import Course, Loop, iterate
from ..engine.query import unsteps
from ..engine.scores import INPUT, Score, as_score
from .params import GRAY
from .recipes import MOVES, Recipe, find_recipe
from .transforms import draws, warp

FIRST = 16  # steps in which a unit that is off is helped on (Olah et al. 2017)
SIDE = 224  # of images where a model leaves it open
ROWS = 64  # images decoded at once


def climb(
    model,
    score,
    *,
    recipe="lucid",
    start=None,
    size=None,
    copies=1,
    apart=None,
    steps=None,
    seed=0,
    bounds=(0.0, 255.0),
    keep=(),
    until=None,
    names=None,
    others=None,
    batch=None,
    on_progress=None,
):
    """Change images until their `Score` is high: a picture for each row of the score.

    Copy k of every unit begins with the same noise and is shaken alike, alone or among others.

    Args:
        model: any Keras model, or a `Probe` of one.
        score: a `Score`, or a function of the logits (N, classes).
        recipe: how images climb: a name in RECIPES, or a `Recipe`.
        start: images (N, H, W, C) to begin with, pixels 0..255; by default what the recipe begins with.
        size: (height, width) of the images or one side of squares; by default what the model takes.
        copies: pictures of each row, from other noise.
        apart: (layer, weight) keeps copies different, by the cosine of their Gram matrices at a layer.
        steps: how many, in place of the recipe's own number.
        seed: of the noise and the shaking.
        bounds: what the model takes for black and white.
        keep: counts of steps after which the images are kept too.
        until: a score at which an image may stay as it is.
        names: what the rows are called, for titles.
        others: {name: array} of the model's other inputs.
        batch: images in the network at once; by default as many as memory allows.
        on_progress: called as `on_progress(done, total, what)` while it goes on; may raise to end it.

    Returns:
        A `Synthesis` with ``copies`` images for each row.
    """
    ascent = Ascent(
        probe=probe(model),
        asked=as_score(score),
        recipe=find_recipe(recipe, steps),
        start=None if start is None else np.asarray(start, np.float32),
        wanted=size,
        copies=copies,
        bounds=bounds,
        apart=apart,
        until=until,
        others=others or {},
        batch=batch,
    )
    check(ascent, keep, names)
    course, redirected = ascend(ascent, seed, keep, on_progress)
    images = ascent.images(course.state["z"])
    after = ascent.read(images)
    scores, off = after["score"], redirected & (after["force"] == 0)
    if off.any():
        said = f"{off.sum()} of {len(images)} images had no gradient at any step: what they should climb stayed off"
        warnings.warn(said, stacklevel=2)
    kept = np.stack([ascent.images(z) for z in course.kept]) if len(keep) else None
    return Synthesis(
        images=images,
        scores=scores,
        score=str(ascent.score),
        names=ascent.names(names),
        recipe=ascent.recipe,
        said=course.said,
        kept=kept,
        marks=tuple(keep),
        facts={"redirected": redirected, "off": off},
    )


@dataclass(frozen=True, eq=False)
class Ascent:
    """What is climbed, on which images, and how."""

    probe: object
    asked: Score
    recipe: Recipe
    start: np.ndarray | None
    wanted: tuple | int | None
    copies: int
    bounds: tuple
    apart: tuple | None
    until: float | None
    others: dict
    batch: int | None

    @property
    def rows(self):
        """Images that are asked for, before copies."""
        return max([len(feed) for feed in self.asked.feeds] + [0 if self.start is None else len(self.start)] + [1])

    @property
    def score(self):
        """What is climbed, with a row for each copy."""
        feeds = tuple(np.repeat(feed, self.copies, 0) if len(feed) > 1 else feed for feed in self.asked.feeds)
        layers = self.asked.layers + ((self.apart[0],) if self.apart else ())
        return replace(self.asked, feeds=feeds, layers=tuple(dict.fromkeys(layers)))

    @property
    def size(self):
        """(H, W, C) of the images."""
        own = self.probe.shape if self.start is None else self.start.shape[1:]
        sides = (self.wanted,) * 2 if isinstance(self.wanted, int) else self.wanted
        size = own if sides is None else (*sides, own[-1])
        return tuple(side or SIDE for side in size)

    def begin(self, seed):
        """What the images are written as at first."""
        start = self.start
        if start is not None:
            start = np.repeat(np.broadcast_to(start, (self.rows, *self.size)), self.copies, 0)
        generators = [np.random.default_rng([seed, k]) for _ in range(self.rows) for k in range(self.copies)]
        return np.asarray(self.recipe.write.begin(generators, self.size, start), np.float32)

    def now(self, seed):
        """What is drawn for each step before the first."""
        drawn = {"rate": self.recipe.rates[:, None]}
        if self.recipe.shakes:
            generators = [np.random.default_rng([seed, k, 1]) for k in range(self.copies)]
            shaken = draws(self.recipe.shakes, generators, self.recipe.steps)
            drawn["warp"] = shaken if self.rows == 1 else np.tile(shaken, (1, self.rows, 1, 1))
        return drawn

    def images(self, z):
        """What is written, as pixels 0..255."""
        parts = [
            self.recipe.write.decode(ops.convert_to_tensor(z[i : i + ROWS]), self.size) for i in range(0, len(z), ROWS)
        ]
        return np.concatenate([ops.convert_to_numpy(part) for part in parts])

    def names(self, given):
        """What each image is called."""
        rows = list(given or [str(self.asked)] * self.rows)
        return tuple(f"{name}, {k + 1}" if self.copies > 1 else name for name in rows for k in range(self.copies))

    def over(self, state, said):
        """Whether every image has what it wanted."""
        return self.until is not None and bool((said["score"].max(0) >= self.until).all())

    def iterate(self, loop, state, now, given=None, *, rows=None, keep=(), on_progress=None):
        """Run a loop on all images, or on some ``rows``; copies that look at each other stay in one chunk."""
        others = {name: np.repeat(a, self.copies, 0) if len(a) > 1 else a for name, a in self.others.items()}
        return iterate(
            self.probe,
            loop,
            state,
            now,
            given,
            others=others,
            size=self.size,
            rows=rows,
            group=self.copies if self.apart else 1,
            keep=keep,
            over=self.over,
            batch=self.batch,
            on_progress=on_progress,
        )

    def read(self, images):
        """The score of each image as it is, and how much of a gradient it has."""

        def step(look, state, now, given):
            run = look(unsteps(state["x"], self.bounds))
            score = look.score(run)
            return state, {"score": score, "force": total(ops.abs(run.gradient(score)))}

        loop = Loop(("read", self.size, self.bounds), step, self.score, ("score", "force"))
        said = self.iterate(loop, {"x": images}, {"k": np.zeros((1, 1), np.int32)}).said
        return {name: array[0] for name, array in said.items()}

    def loop(self, rule=None):
        """One step of it, compiled once for each way of writing, shaking and judging."""
        recipe, apart = self.recipe, self.apart and self.apart[0]
        key = ("climb", recipe.key, self.size, self.bounds, apart, self.until is None)
        return Loop(key, self.step, self.score, ("score", "force"), rule)

    @property
    def given(self):
        """What stays the same for an image."""
        given = {"kin": np.repeat(np.arange(self.rows, dtype=np.int32), self.copies)} if self.apart else {}
        constants = {"apart": self.apart and self.apart[1], "until": self.until}
        return given | {name: np.full(1, value, np.float32) for name, value in constants.items() if value is not None}

    def step(self, look, state, now, given):
        """One step: write, shake, ask, move, tidy."""
        recipe, z = self.recipe, state["z"]
        image = recipe.write.decode(z, self.size)
        shaken = warp(image, now["warp"], recipe.fill, recipe.whole) if recipe.shakes else image
        run = look(unsteps(shaken, self.bounds))
        score = aim = look.score(run)
        for weight, prior in recipe.priors:
            aim = aim - weight * prior.of({INPUT: image}, *prior.feeds)
        if self.apart:
            aim = aim - 0.5 * given["apart"] * likeness(run[self.apart[0]], given["kin"])
        g = run.gradient(aim, z)
        memory = {name: tensor for name, tensor in state.items() if name != "z"}
        moved, memory = MOVES[recipe.move].go(z, g, memory, per_image(now["rate"], z))
        for operator in recipe.operators:
            due = ops.equal((now["k"] + 1) % operator.every, 0)
            moved = ops.where(per_image(due, z), operator.act(moved, g), moved)
        if self.until is not None:
            moved = ops.where(per_image(score >= given["until"], z), z, moved)
        return {"z": moved, **memory}, {"score": score, "force": total(ops.abs(g))}


def check(ascent, keep, names):
    """Refuse what does not go together."""
    steps, rows = ascent.recipe.steps, ascent.rows
    if not (isinstance(ascent.copies, int | np.integer) and ascent.copies > 0):
        raise ValueError(f"`copies` should be a whole number above 0. Received: {ascent.copies!r}")
    if ascent.start is not None and (np.ndim(ascent.start) != 4 or ascent.start.shape[1:] != ascent.size):
        said = f"{ascent.size} of pixels. Received: shape {np.shape(ascent.start)}"
        raise ValueError(f"`start` should be images (N, H, W, C), each {said}")
    counts = {len(feed) for feed in ascent.asked.feeds} - {1}
    if ascent.start is not None and len(counts | {len(ascent.start)} - {1}) > 1:
        said = f"one row, or {max(counts)} as the score has. Received: {len(ascent.start)}"
        raise ValueError(f"`start` should have {said}")
    if any(not 0 <= k <= steps for k in keep):
        raise ValueError(f"`keep` should have counts of steps from 0 to {steps}. Received: {tuple(keep)}")
    if names and len(names) != rows:
        raise ValueError(f"`names` should be as many as what is climbed, {rows}. Received: {len(names)}")
    needed = [node.name for node in ascent.probe.part(ascent.score.layers).inputs if node.name != ascent.probe.input]
    if set(needed) - set(ascent.others):
        given = ", ".join(ascent.others) or "none"
        raise ValueError(f"`others` should have the inputs {', '.join(needed)}. Received: {given}")


def ascend(ascent, seed, keep, on_progress):
    """(`Course` of all steps, which images had to be helped on at first)."""
    steps, z = ascent.recipe.steps, ascent.begin(seed)
    now = {**ascent.now(seed), "k": np.arange(steps, dtype=np.int32)[:, None]}
    state = {"z": z, **first_memory(ascent.recipe, z)}
    said = {name: np.zeros((steps, len(z)), np.float32) for name in ascent.loop().says}
    kept = {k: z.copy() for k in keep}
    off = ascent.read(ascent.images(z))["force"] == 0
    if ascent.apart:  # copies that look at each other climb together
        off = np.repeat(off.reshape(-1, ascent.copies).any(1), ascent.copies)
    phases = ((None, ~off, 0, steps), ("redirected", off, 0, min(FIRST, steps)), (None, off, FIRST, steps))
    done = 0
    for rule, rows, first, last in phases:
        if not rows.any() or first >= last:
            continue
        told = on_progress and (lambda so_far, total, what, done=done: on_progress(done + so_far, steps * len(z), what))
        part = {name: array[first:last] for name, array in now.items()}
        marks = sorted({k for k in keep if first < k <= last})
        course = ascent.iterate(
            ascent.loop(rule), state, part, ascent.given, rows=rows, keep=[k - first for k in marks], on_progress=told
        )
        for name, array in course.state.items():
            state[name][rows] = array
        for name, array in course.said.items():
            said[name][first:last, rows] = array
        for k, each in zip(marks, course.kept, strict=True):
            kept[k][rows] = each["z"]
        done += rows.sum() * (last - first)
    return Course(state, said, [kept[k] for k in keep]), off


def first_memory(recipe, z):
    """What a move remembers, at first: nothing."""
    move = MOVES[recipe.move]
    return {name: np.zeros_like(z) for name in move.memory} | {
        name: np.zeros(len(z), np.float32) for name in move.scalars
    }


def likeness(maps, kin):
    """For each image, the cosines of its Gram matrix with those of its kin, added up."""
    flat = ops.reshape(maps, (ops.shape(maps)[0], -1, maps.shape[-1]))
    grams = ops.reshape(ops.matmul(ops.transpose(flat, (0, 2, 1)), flat), (ops.shape(maps)[0], -1))
    grams = grams / (ops.sqrt(ops.sum(grams * grams, 1, keepdims=True)) + 1e-12)
    related = ops.cast(ops.equal(kin[:, None], kin[None]), "float32") - ops.eye(ops.shape(kin)[0])
    return ops.sum(ops.matmul(grams, ops.transpose(grams)) * related, 1)


def total(a):
    """The sum over everything of an image."""
    return ops.sum(ops.reshape(a, (ops.shape(a)[0], -1)), 1)


def per_image(numbers, z):
    """(N or 1,) in a shape that goes with (N, ...)."""
    return ops.reshape(numbers, (-1,) + (1,) * (len(z.shape) - 1))


@dataclass(frozen=True, eq=False)
class Synthesis(Drawn):
    """Images (N, H, W, C), pixels 0..255, and the ``scores`` (N,) of each as it is, neither shaken nor judged.

    ``said`` has what was said at each step, (steps, N): the score of the shaken image. ``kept`` (times, N, H, W, C) are
    the images after the steps that ``marks`` names. ``facts``: arrays with a row an image that a method adds.
    """

    images: np.ndarray = field(repr=False)
    scores: np.ndarray
    score: str
    names: tuple
    recipe: object = field(repr=False)
    said: dict = field(repr=False)
    kept: np.ndarray | None = field(default=None, repr=False)
    marks: tuple = ()
    facts: dict = field(default_factory=dict, repr=False)

    def __len__(self):
        return len(self.images)

    def __str__(self):
        many = "pictures that climb" if len(self) > 1 else "picture that climbs"
        return f"{len(self)} {many} {self.score}"

    @property
    def history(self):
        """A DataFrame with a row for each step of each image: image, step, score."""
        import pandas as pd

        steps, count = self.said["score"].shape
        names, numbers = np.repeat(np.array(self.names, object), steps), np.tile(np.arange(steps), count)
        return pd.DataFrame({"image": names, "step": numbers, "score": self.said["score"].T.ravel()})

    @property
    def table(self):
        """A DataFrame with a row for each image: image, score, what it began with, and the facts."""
        import pandas as pd

        facts = {name: values for name, values in self.facts.items() if getattr(values, "ndim", 0) == 1}
        began = {"image": self.names, "score": self.scores, "at first": self.said["score"][0]}
        return pd.DataFrame(began | facts)

    def title(self, i):
        """What an image is, and how high it got."""
        certain = self.facts.get("probability")
        return f"{self.names[i]}  {compact(self.scores[i]) if certain is None else f'{certain[i]:.2%}'}"

    def plot(self, columns=None):
        """All images as one sheet, each with its name and score."""
        return draw_sheet(self, columns)

    def steps(self):
        """A row an image: what it was after the steps that were kept, and the scores of all steps."""
        if self.kept is None:
            raise ValueError(
                "`keep` should have been given to what made these pictures: steps after which to keep them"
            )
        return draw_steps(self)

    def save_images(self, folder):
        """Each picture alone as a PNG file, named after what it climbs; the paths."""
        os.makedirs(folder, exist_ok=True)
        return [save_image(image, os.path.join(folder, f"{i:04d}.png")) for i, image in enumerate(self.images)]


WIDE, TILE = 1500, 220  # pixels of a sheet, at most about, and of a tile that is drawn larger than it is
TALL = 26  # pixels above a tile for its title
LETTER = 9  # pixels of a letter of a title
FAINT, CLEAR = 30.0, 100.0  # grays from the middle one: less is not seen, and is made this
AXIS = 40  # pixels left of a curve for its numbers


def draw_sheet(result, columns=None):
    """All images in rows, each under its name and score; beside each what it began with, where that is a picture."""
    images, titles = result.images, [result.title(i) for i in range(len(result))]
    began = result.facts.get("began")
    if began is not None:
        images = np.stack([began, images], 1).reshape(-1, *images.shape[1:])
        titles = [title for pair in zip(["begun from"] * len(titles), titles, strict=True) for title in pair]
    images = GRAY + contrast_factor(result) * (images - GRAY)
    columns = columns or (full_rows(len(images)) if began is None else min(2 * full_rows(len(result)), 6))
    shape = tile_shape(images, columns)
    titles = drop_common_layer(titles, shape[1])
    figure, top = sheet(*extent(len(images), columns, shape), str(result), caption(result))
    draw_tiles(figure, images, titles, columns, shape, top)
    return figure


def draw_steps(result):
    """A row an image: the image after the steps that were kept, and the scores of all steps."""
    marks = [*result.marks, len(result.said["score"])]
    frames = np.concatenate([result.kept, result.images[None]]) if result.marks[-1] != marks[-1] else result.kept
    frames = GRAY + contrast_factor(result) * (frames - GRAY)
    marks = marks[: len(frames)]
    columns = len(frames) + 1
    shape = tile_shape(result.images, columns)
    figure, top = sheet(*extent(len(result) * columns, columns, shape), str(result), caption(result))
    for i, name in enumerate(result.names):
        titles = [f"{'' if k else name} step {mark}".strip() for k, mark in enumerate(marks)]
        left = draw_tiles(figure, frames[:, i], titles, columns, shape, top)
        draw_curve(figure, result, i, left, top + TALL, shape)
        top += shape[0] + TALL + BETWEEN
    return figure


def contrast_factor(result):
    """By how much the contrast of pictures is raised that would look gray; not of those that began with a picture."""
    if "probability" in result.facts or "began" in result.facts:
        return 1.0
    far = float(np.percentile(np.abs(result.images - GRAY), 99.5))
    return CLEAR / far if 0 < far < FAINT else 1.0


def draw_curve(figure, result, i, left, top, shape):
    """The scores of an image over the steps, at (left, top) pixels of a figure."""
    wide, high = (round(side * DPI) for side in figure.get_size_inches())
    height, width = shape
    box = (left + AXIS, high - top - height + AXIS / 2, max(width - AXIS, AXIS), max(height - AXIS / 2, AXIS / 2))
    axis = figure.add_axes((box[0] / wide, box[1] / high, box[2] / wide, box[3] / high))
    axis.plot(np.arange(1, len(result.said["score"]) + 1), result.said["score"][:, i], color=CLASSES[0], linewidth=1.2)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=7, pad=1)
    axis.set_title(f"score, {result.scores[i]:.3g} at last", fontsize=7.5, loc="left", pad=3)


def draw_tiles(figure, images, titles, columns, shape, top):
    """Images under their titles, row by row from ``top``; the left edge of what would come next in the first row."""
    height, width = shape
    shown, _ = looks(np.clip(images, 0, 255)) if images.shape[-1] in (1, 3) else looks(images)
    for i, image in enumerate(shown):
        left = MARGIN + i % columns * (width + BETWEEN)
        row = top + i // columns * (height + TALL + BETWEEN) + TALL
        axis = place(figure, resample(image, shape, Image.Resampling.BOX), left, row)  # pixels repeated, or averaged
        axis.set_title(shorten(titles[i], width), fontsize=7.5, loc="left", pad=3)
    return MARGIN + len(images) * (width + BETWEEN)


def full_rows(count):
    """About as many columns as look well, rather those that leave no row half empty."""
    wanted = columns_for(count, 1.2)
    near = [
        columns for columns in range(max(wanted - 2, min(3, count)), min(wanted + 3, count) + 1) if count % columns == 0
    ]
    return min(near, key=lambda columns: abs(columns - wanted)) if near else wanted


def extent(count, columns, shape):
    """(width, height) in pixels of rows of tiles with their titles."""
    rows = -(-count // columns)
    return max(columns * (shape[1] + BETWEEN), 640), rows * (shape[0] + TALL + BETWEEN)


def tile_shape(images, columns):
    """(height, width) of images as drawn: enlarged by a whole factor, or smaller where a row would be too long."""
    height, width = images.shape[-3:-1]
    room = WIDE / (columns * (width + BETWEEN))
    zoom = max(min(int(room), round(TILE / width)), 1) if room >= 1 else max(room, 96 / width)
    return max(round(height * zoom), 1), max(round(width * zoom), 1)


def drop_common_layer(titles, width):
    """Titles without the layer that all of them name, where their tiles are too narrow for it."""
    begins = {title.rpartition(":")[0] for title in titles}
    if len(begins) > 1 or max(map(len, titles)) * LETTER < width:
        return titles
    return [title.rpartition(":")[2] for title in titles]


def shorten(text, width):
    """A title no longer than its tile: the middle of long layer names goes."""
    most = max(int(width / LETTER), 6)
    if len(text) <= most:
        return text
    return "…" + text[-(most - 1) :]


def caption(result):
    """By which recipe, how long, and what did not work."""
    said = [result.recipe.what, f"{len(result.said['score'])} steps"]
    off, helped = result.facts.get("off"), result.facts.get("redirected")
    if helped is not None and helped.any():
        said.append(f"{helped.sum()} off at first and helped on")
    if off is not None and off.any():
        said.append(f"{off.sum()} stayed off")
    stretch = contrast_factor(result)
    shown = "pixels 0 to 255, nothing stretched" if stretch == 1 else f"contrast raised {stretch:.3g} times about gray"
    number = "probability" if "probability" in result.facts else "score"
    return "; ".join(said) + f". Over each picture its {number} as it is; {shown}."
