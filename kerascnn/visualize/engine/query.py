"""The one way in which images reach a network: in chunks of bounded memory, expanded inside one compiled function.

A `Query` says how an image becomes many (noise, steps, patches, masks), what is read of each, and what is averaged.
Numbers do not depend on the size of a chunk.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from ...inputs.batch import as_batch
from ...inputs.classifier import classifier
from ...support.checks import check_integer
from .lens import Run
from .scores import Score

MEMORY = 1.5e9  # bytes for one chunk on its way through the network and back
MOST = 16  # images of a chunk; two cores gain nothing from more
RANGE = 255.0  # of pixels, in which distances are measured, whatever range the network takes


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pixels (N, H, W, C), float32, what the images are called, and what other inputs are given beside them."""

    pixels: np.ndarray = field(repr=False)
    names: tuple
    others: dict = field(default_factory=dict, repr=False)

    def __len__(self):
        return len(self.pixels)

    def plain(self, input):
        """What any function takes that the model is given to: an array, or a dict of several inputs."""
        return {input: self.pixels, **self.others} if self.others else self.pixels

    def at(self, rows):
        """Some of them: a slice, or an array of numbers."""
        other_inputs = {name: array if len(array) == 1 else array[rows] for name, array in self.others.items()}
        names = tuple(np.array(self.names, object)[rows])
        return Pictures(self.pixels[rows], names, other_inputs)


def pictures(lens, images):
    """`Pictures` from paths, folders, Pillow images or arrays; a dict of inputs for a model that has several.

    Arrays that fit the model are taken as they are, whatever their range; the rest is cut as `predict` cuts.
    """
    if isinstance(images, Pictures):
        return images
    other_inputs = {}
    if isinstance(images, dict):
        wrong = set(images) ^ set(lens.inputs)
        if wrong:
            expected = ", ".join(lens.inputs)
            raise ValueError(f"`images` should have the inputs {expected}. Received: {', '.join(images)}")
        other_inputs = {name: np.asarray(array) for name, array in images.items() if name != lens.input}
        images = images[lens.input]
    elif len(lens.inputs) > 1:
        raise ValueError(f"`images` should be a dict with the inputs {', '.join(lens.inputs)} of {lens.name}")
    array = as_model_input(images, lens.shape)
    if array is not None:
        result = Pictures(array, tuple(f"image {i}" for i in range(len(array))), other_inputs)
    else:
        photos = as_batch(images)
        result = Pictures(
            photos.array(classifier(lens.model, several_inputs=True).preprocessing), photos.names, other_inputs
        )
    if not len(result):
        raise ValueError("`images` should have at least one image. Received: none")
    for name, array in other_inputs.items():
        if len(array) not in (1, len(result)):
            raise ValueError(
                f"`images` should have the same number of rows for {name} as for the other inputs. Received: "
                f"{len(array)}"
            )
    return result


def as_model_input(images, shape):
    """Arrays of the model's own size as float32 (N, H, W, C); None for anything else."""
    if not isinstance(images, np.ndarray):
        convertible = hasattr(images, "__array__") and hasattr(images, "dtype")  # tensors of any framework
        stacked = isinstance(images, list | tuple) and images and all(isinstance(i, np.ndarray) for i in images)
        if not convertible and not (stacked and len({image.shape for image in images}) == 1):
            return None
        images = np.asarray(images)
    images = images[None] if images.ndim == 3 else images
    fits = images.ndim == 4 and all(
        expected in (None, side) for expected, side in zip(shape, images.shape[1:], strict=True)
    )
    return np.asarray(images, np.float32) if fits else None


def to_pixel_range(pixels, bounds):
    """Pixels of a network's range as 0..255."""
    low, high = bounds
    return pixels if (low, high) == (0, RANGE) else (pixels - np.float32(low)) * np.float32(RANGE / (high - low))


def from_pixel_range(pixels, bounds):
    """The way back, of arrays or tensors."""
    low, high = bounds
    return pixels if (low, high) == (0, RANGE) else pixels * np.float32((high - low) / RANGE) + np.float32(low)


@dataclass(frozen=True, eq=False)
class Query:
    """What is asked of images; questions of equal ``key``, score and rule share a compiled function.

    ``answer(run, score, **extra)`` -> {name: tensor with a row an image}. With ``samples``, each image is asked that
    many times: ``draw(images, samples)``, given two ranges, has arrays (images or 1, samples, ..), and
    ``make(pixels, **drawn)`` turns (n, 1, H, W, C) into (n, samples, H, W, C). Answers named in ``mean`` are averaged
    over the samples, with the ``weight`` that may be drawn; others are kept, (N, samples, ..).
    """

    key: tuple
    answer: Callable
    score: Score | None = None
    rule: str | None = None
    samples: int | None = None
    draw: Callable | None = None
    expand: Callable | None = None
    mean: tuple = ()
    extra: dict = field(default_factory=dict)  # arrays with a row an image or one for all, given to ``answer``
    backward: bool = True


def run_query(lens, query, pixels, other_inputs=None, *, batch_size=None, on_progress=None):
    """{name: array} of answers to a question.

    ``on_progress(done, total, what)`` hears how far it is and may raise to end it.
    """
    if batch_size is not None:
        check_integer(batch_size=batch_size)
    pixels = np.asarray(pixels, np.float32)
    count, samples = len(pixels), query.samples or 1
    feeds = query.score.feeds if query.score else ()
    row_data = broadcast_rows(count, {"answer": query.extra, "score": tuple(feeds), "inputs": other_inputs or {}})
    results, done, limit = {}, 0, batch_size or batch_limit(lens, pixels.shape[1:], query.backward)
    while done < count * samples:
        images, sample_range = chunk_ranges(done, count, samples, limit)
        sample_values = query.draw(images, sample_range) if query.samples else {}
        weight = sample_values.pop("weight", np.full((1, len(sample_range)), 1 / samples, np.float32))
        rows = slice(images.start, images.stop)
        try:
            answers = query_program(lens, query, pixels, sample_values, row_data)(
                tf.constant(pixels[rows]),
                tf.constant(weight),
                {name: tf.constant(array) for name, array in sample_values.items()},
                tf.nest.map_structure(lambda a, rows=rows: tf.constant(np.ascontiguousarray(a[rows])), row_data),
            )
        except tf.errors.ResourceExhaustedError:
            if limit == 1:
                raise
            limit = lens.limits[pixels.shape[1:], query.backward] = limit // 2
            continue
        for name, answer in answers.items():
            store_answer(results, name, answer.numpy(), query, (count, samples), (images, sample_range))
        done += len(images) * len(sample_range)
        if on_progress:
            on_progress(done, count * samples, "images")
    return results


def read_activations(lens, images, layers, batch_size=None):
    """{layer: its activations (N, ..), float32} of `Pictures`, in inference."""
    layers = tuple(layers)
    question = Query(("read", *layers), lambda run, score: {layer: run[layer] for layer in layers}, backward=False)
    return run_query(lens, question, images.pixels, images.others, batch_size=batch_size)


def chunk_ranges(done, count, samples, limit):
    """The images and samples that come next, two ranges: many samples of one image, or several images whole."""
    image, sample = divmod(done, samples)
    if sample or samples > limit:
        return range(image, image + 1), range(sample, min(sample + limit, samples))
    return range(image, min(image + max(limit // samples, 1), count)), range(samples)


def store_answer(results, name, answer, query, shape, ranges):
    """Put a chunk's answer in its place, averaged answers added up."""
    images, sample_slice = (slice(r.start, r.stop) for r in ranges)
    if name in query.mean:
        result = results.setdefault(name, np.zeros((shape[0], *answer.shape[1:]), np.float32))
        result[images] += answer
        return
    answer = answer if query.samples else answer[:, 0]
    dims = shape if query.samples else shape[:1]
    result = results.setdefault(name, np.empty((*dims, *answer.shape[len(dims) :]), answer.dtype))
    result[(images, sample_slice)[: len(dims)]] = answer


def query_program(lens, query, pixels, samples_drawn, row_data):
    """The compiled function for a question about images of this size; made once."""
    signature = (
        tf.TensorSpec((None, *pixels.shape[1:]), tf.float32),
        tf.TensorSpec((None, None), tf.float32),
        {name: tf.TensorSpec((None, None, *np.shape(a)[2:]), a.dtype) for name, a in samples_drawn.items()},
        tf.nest.map_structure(lambda a: tf.TensorSpec((None, *a.shape[1:]), a.dtype), row_data),
    )
    return compile_once(lens, query, signature, lambda: build_answer(lens, query))


def compile_once(lens, query, signature, make):
    """The function that ``make`` makes for a `Query` or a `Loop`, compiled once for tensors of a signature."""
    key = (query.key, type(query).__name__, query.score and query.score.key, query.rule, str(signature))
    if key not in lens.programs:
        lens.programs[key] = tf.function(make(), input_signature=signature, autograph=False)
        lens.programs[key].get_concrete_function()
    return lens.programs[key]


def broadcast_rows(count, arrays):
    """Nested arrays with a row for each of ``count`` images, of those that have one for all too."""
    return tf.nest.map_structure(lambda array: np.broadcast_to(array, (count, *np.shape(array)[1:])), arrays)


def build_answer(lens, query):
    """The function that is compiled: expand, run, answer, average."""

    def answer_batch(pixels, weight, samples_drawn, row_data):
        images, samples = tf.shape(pixels)[0], tf.shape(weight)[1]
        if query.expand:
            expanded = query.expand(pixels[:, None], **samples_drawn)
            pixels = tf.ensure_shape(tf.reshape(expanded, (-1, *pixels.shape[1:])), pixels.shape)
            row_data = tf.nest.map_structure(lambda a: tf.repeat(a, samples, axis=0), row_data)
        run = Run(lens, pixels, row_data["inputs"], query.rule)
        score = run.score(query.score, row_data["score"]) if query.score else None
        answers = query.answer(run, score, **row_data["answer"])
        return {name: average_samples(name, answer, images, samples, weight) for name, answer in answers.items()}

    def average_samples(name, answer, images, samples, weight):
        answer = tf.reshape(answer, tf.concat([[images, samples], tf.shape(answer)[1:]], 0))
        return tf.einsum("ns...,ms->n...", answer, weight) if name in query.mean else answer

    return answer_batch


def batch_limit(lens, shape, backward):
    """How many images of a shape may be in a network at once, from the size of its activations."""
    if (shape, backward) not in lens.limits:
        bytes_per_image = 4 * sum(
            math.prod(side or 0 for side in fill_open_sides(node.shape, lens, shape)) for node in lens.graph.nodes
        )
        bytes_per_image = bytes_per_image * 1.5 if backward else bytes_per_image / 2
        lens.limits[shape, backward] = int(min(max(MEMORY // max(bytes_per_image, 1), 1), MOST))
    return lens.limits[shape, backward]


def fill_open_sides(shape, lens, size):
    """A shape with its open sides taken for those of the image."""
    return [side if side is not None else max(size[:2]) for side in shape]
