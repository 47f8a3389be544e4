"""A convolution as it acts on raw pixels: the scaling before it and the batch norm after it folded into its kernel.

norm:   gamma (w * x + b - mean) / sqrt(var + eps) + beta = (w g) * x + (b - mean) g + beta,  g = gamma / sqrt(..)
before: w * (A x + t) = (w A) * x + w t at every pixel, but for the border where zeros are padded after the scaling
"""

from dataclasses import dataclass, field

import keras
import numpy as np
from keras import ops

from ..anatomy.running import before, part, run
from ..diagnose.calls import act_of

OPEN = 16  # pixels, where a model leaves the size of its images open
SAMPLED = 4096  # pixels that A and t are fitted to
EXACT = {"float16": 0.02, "bfloat16": 0.02}  # of the largest value, else:
SINGLE = 1e-5
NOTHING = 1e-6  # of A's largest entry; what rounding leaves of a 0


@dataclass(frozen=True, eq=False)
class Effective:
    """A kernel (h, w, channels, filters) and bias on the model's own input; ``stored`` is the kernel as it is kept."""

    kernel: np.ndarray = field(repr=False)
    bias: np.ndarray = field(repr=False)
    stored: np.ndarray = field(repr=False)
    sees_pixels: bool  # no other convolution comes before
    notes: tuple


def effective(graph, node, fold=True):
    """The kernel of one convolution of a graph as it acts on raw pixels; without ``fold`` only in their order."""
    stored, bias = weights_of(node.operation)
    kernel, notes = stored, []
    norm = norm_after(graph, node) if fold else None
    if norm is not None:
        factor, shift = affine_of(norm)
        kernel, bias = kernel * factor, bias * factor + shift
        notes.append("batch norm folded in")
    sees_pixels = not any(is_convolution(each) for each in before(node) if each is not node)
    found = pixelwise(graph, node) if sees_pixels else None
    if found is not None:
        matrix, offset, why = found
        if why or len(matrix) != kernel.shape[2]:
            notes.append(why or "what stands before it mixes channels that it keeps apart: left as it is")
        else:
            turned = matrix if fold else order_of(matrix)
            bias = bias + (np.einsum("hwcf,c->f", kernel, offset) if fold else 0)
            kernel = np.einsum("hwkf,kc->hwcf", kernel, turned)
            notes += words(matrix, fold)
    return Effective(kernel, bias, stored, sees_pixels, tuple(notes))


def is_convolution(node):
    return len(getattr(node.operation, "kernel_size", ())) == 2


def weights_of(layer):
    """(kernel (h, w, channels, filters), bias), float64."""
    kernel = np.asarray(layer.get_weights()[0], np.float64)
    if "Depthwise" in type(layer).__name__ or "Separable" in type(layer).__name__:  # a filter has one channel
        kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
    elif "Transpose" in type(layer).__name__:
        kernel = np.swapaxes(kernel, 2, 3)
    bias = getattr(layer, "bias", None) if "Separable" not in type(layer).__name__ else None
    return kernel, np.zeros(kernel.shape[-1]) if bias is None else ops.convert_to_numpy(bias).astype(np.float64)


def norm_after(graph, node):
    """The batch norm that alone reads a linear convolution, or None."""
    readers = [each for each in graph.nodes if any(source is node for source, _ in each.inputs)]
    alone = len(readers) == 1 and node not in graph.outputs and not act_of(node)
    last = alone and readers[0].kind == "BatchNormalization" and readers[0].operation.axis in (-1, 3)
    return readers[0].operation if last else None


def affine_of(norm):
    """A batch norm in inference as (factor, shift) for each channel."""
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    values = [getattr(norm, name) for name in names]
    gamma, beta, mean, variance = (None if v is None else ops.convert_to_numpy(v).astype(np.float64) for v in values)
    factor = (1 if gamma is None else gamma) / np.sqrt(variance + norm.epsilon)
    return factor, (0 if beta is None else beta) - mean * factor


def pixelwise(graph, node):
    """(A, t, "") if A x + t for each pixel x is all that comes before a convolution, or (None, None, why not).

    Measured, so that any layer will do: fitted to one image of noise, then checked on another and on constant ones.
    None where nothing comes before, but for zeros around the image.
    """
    source = node.inputs[0][0]
    while source.kind == "ZeroPadding2D":
        source = source.inputs[0][0]
    if source.is_input:
        return None
    needed = part(graph, [source])
    image = needed.inputs[0].shape
    refused = None, None, "what stands before it is no linear map of single pixels: left as it is"
    if len(needed.inputs) != 1 or len(image) != 3 or len(source.shape) != 3:
        return refused
    shape = tuple(OPEN if size is None else size for size in image)
    noise = np.random.default_rng(0).uniform(0, 255, (2, *shape))
    x = np.concatenate([noise, np.zeros((1, *shape)), np.full((1, *shape), 255.0)]).astype(np.float32)
    y = run(needed, ops.convert_to_tensor(x))[source.name]
    limit = EXACT.get(keras.backend.standardize_dtype(y.dtype), SINGLE)
    y = ops.convert_to_numpy(ops.cast(y, "float32")).astype(np.float64)
    if y.shape[:3] != x.shape[:3]:
        return refused
    pixels, values = x.reshape(-1, shape[-1]).astype(np.float64), y.reshape(-1, y.shape[-1])
    with_one = np.concatenate([pixels, np.ones((len(pixels), 1))], 1)
    solved = np.linalg.lstsq(with_one[:SAMPLED], values[:SAMPLED], rcond=None)[0]
    error = np.abs(with_one @ solved - values).max()
    if not error <= limit * max(np.abs(values).max(), 1e-30):
        return refused
    matrix = solved[:-1].T
    return np.where(np.abs(matrix) > NOTHING * np.abs(matrix).max(), matrix, 0.0), solved[-1], ""


def order_of(matrix):
    """The permutation of channels in a matrix that scales them and changes their order; else the identity."""
    used = (matrix != 0).astype(np.float64)
    permutes = matrix.shape[0] == matrix.shape[1] and (used.sum(0) == 1).all() and (used.sum(1) == 1).all()
    return used if permutes else np.eye(*matrix.shape)


def words(matrix, fold):
    """What was done about the map of pixels that comes before."""
    used = matrix != 0
    square = matrix.shape[0] == matrix.shape[1]
    said = ["BGR inside, shown as RGB"] if square and len(used) > 1 and (used == np.eye(len(used))[::-1]).all() else []
    own = square and np.allclose(np.abs(matrix).sum(1), 1, atol=1e-6) and used.sum() == len(used)
    return said if own or not fold else [*said, "input scaling folded in"]
