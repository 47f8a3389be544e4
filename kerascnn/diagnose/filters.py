"""Are the filters of a layer good, too noisy, too correlated or without structure? Measured against random filters.

Every measure is compared with the same measure of random filters of the same shape (independent Gaussians, as a layer
starts): a filter counts as smooth or structured where it lies beyond 99 % of them.

concentration  share of a filter's energy |FFT|^2 in its strongest tenth of the frequencies
separable      share of its energy in two singular values, rows against columns: 1 for a blob, an edge, any Gabor
noise          (1 - separable) / (1 - the random mean): the share of it that looks like white noise
high           share of the energy of the filter, its mean removed, above a quarter of a cycle a pixel
smoothness     correlation of neighboring weights (lag 1, both directions)
twin           largest |normalized cross-correlation| with another filter, over shifts and sign
directions     singular values of the matrix (filters, weights) above the random ones (Marchenko & Pastur 1967)
entropy_rank   exp(entropy of the squared singular values), of min(filters, weights)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..graph.run import all_layers
from ..support.display import FigureResult
from ..support.text import pluralize, unknown_name
from ..support.types import Array, Model
from .activity import entropy_rank

MIN_SIDE = 5  # pixels of a side: 3x3 has nine weights, on which spectra say nothing
MAX_FILTERS = 128  # filters that are compared with each other
DRAWS = 3  # random banks whose twins are looked for, which takes longest
BEYOND = 99  # percentile of random filters
FAR = 4  # standard deviations; of largest singular values there is but one a draw
NOISY, TWIN = 0.5, 0.9  # more noise than anything else; nearly the same filter
DEAD, DOMINANT = 0.05, 3.0  # root mean square, of the median filter's
AND = " and "  # between two verdicts on a filter
SHARES = {"dead": 0.25, "too noisy": 0.5, "too correlated": 0.5}  # of the filters, to say it of the layer


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Filters(FigureResult):
    """Verdicts on the filters of a layer.

    Attributes:
        layer: name of the layer.
        kernel: the filters (h, w, channels, filters).
        table: DataFrame with a row for each filter: its measures and its verdict, which may be two: "too noisy and too
            correlated".
        bank: DataFrame with a row for each measure: its value and that of random filters.
        verdicts: "good" alone, or those of "dead", "too noisy", "too correlated", "unstructured" that fit the layer.
        sufficient: False below 5x5, where only duplicates and directions are measured.
    """

    layer: str
    kernel: np.ndarray
    table: object
    bank: object
    verdicts: tuple
    sufficient: bool

    @property
    def counts(self):
        """{verdict: number of filters}, without zeros; a filter may have two verdicts."""
        verdicts = self.table.verdict.str.split(AND).explode().value_counts()
        return {name: int(verdicts[name]) for name in ("good", *SHARES) if name in verdicts}

    def __str__(self):
        parts = ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items())
        parts = f"of {pluralize(len(self.table), 'filter')} {parts}"
        lacking = "" if self.sufficient else "; kernels below 5x5 are too small to measure noise"
        return f"{self.layer}: {AND.join(self.verdicts)} ({parts}{lacking})"

    def plot(self):
        """The filters as images, and their measures compared with random filters."""
        from .figures import draw_filters

        return draw_filters(self)


def filters(model: Model | Array, layer: str | None = None, *, draws: int = 20, seed: int = 0) -> Filters:
    """Judge whether the filters of a convolution are good, noisy or correlated.

    ReLU units have no preferred axes: a good bank of filters may be rotated into one that looks worse and works as
    well.

    Args:
        model: a Keras model, or a kernel (h, w, channels, filters).
        layer: name of a 2D convolution; the first one by default.
        draws: number of random banks of the same shape to compare with.
        seed: random seed of these.

    Returns:
        A `Filters` with a verdict for each filter and for the layer.
    """
    if draws < 2:
        raise ValueError(f"`draws` should be at least 2. Received: {draws}")
    name, kernel = read_kernel(model, layer)
    rng = np.random.default_rng(seed)
    order = np.sort(rng.permutation(kernel.shape[-1])[:MAX_FILTERS])  # twins are looked for among these
    none = order[:0]
    chance = [measure_filters(rng.standard_normal(kernel.shape), order if i < DRAWS else none) for i in range(draws)]
    return judge_filters(name, kernel, measure_filters(kernel, order), chance)


def read_kernel(model, layer):
    """(name, kernel as float64)."""
    if isinstance(model, np.ndarray):
        if model.ndim != 4 or min(model.shape) < 1:
            raise ValueError(
                f"`model` should be a Keras model or a kernel (h, w, channels, filters). Received: {model.shape}"
            )
        return "kernel", model.astype(np.float64)
    known = {each.name: each for each in all_layers(model) if is_convolution(each)}
    if not known:
        raise ValueError(f"`model` should have a 2D convolution. Received: {model.name}, which has none")
    name = next(iter(known)) if layer is None else getattr(layer, "name", layer)
    if name not in known:
        raise ValueError(unknown_name(f"convolution in {model.name}", name, known))
    return name, kernel_array(known[name])


def is_convolution(layer):
    """Whether a layer convolves over two axes."""
    return len(getattr(layer, "kernel_size", ())) == 2


def kernel_array(layer):
    """The kernel of a convolution as (h, w, channels, filters), float64; a depthwise filter has one channel."""
    kernel = np.asarray(layer.get_weights()[0], np.float64)
    if "Depthwise" in type(layer).__name__:
        return kernel.reshape(*kernel.shape[:2], 1, -1)
    return np.swapaxes(kernel, 2, 3) if "Transpose" in type(layer).__name__ else kernel


def measure_filters(kernel, order):
    """The measures of each filter, and of the bank, of one kernel."""
    height, width, _, count = kernel.shape
    energy = np.square(np.abs(np.fft.fft2(kernel, axes=(0, 1)))).sum(2).reshape(-1, count)
    strongest = max(1, round(energy.shape[0] / 10))
    apart = kernel - kernel.mean((0, 1), keepdims=True)
    spectrum = np.square(np.abs(np.fft.fft2(apart, axes=(0, 1)))).sum(2)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij"))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {
            "rms": np.sqrt(np.square(kernel).mean((0, 1, 2))),
            "concentration": np.sort(energy, 0)[-strongest:].sum(0) / energy.sum(0),
            "separable": separable_energy(kernel),
            "high": spectrum[frequency > 0.25].sum(0) / spectrum.sum((0, 1)),
            "smoothness": neighbor_correlation(kernel),
        }
    values = np.linalg.svd(kernel.reshape(-1, count), compute_uv=False) / (np.linalg.norm(kernel) or 1)
    bank = {"largest": values[0], "singular": values, "entropy_rank": entropy_rank(np.square(values))}
    return found | {"twin": largest_correlations(kernel, order)}, bank


def separable_energy(kernel):
    """Energy of each filter's best approximation of rank 2, channels beside each other, mean of both directions."""
    height, width, channels, count = kernel.shape
    rows = kernel.transpose(3, 0, 1, 2).reshape(count, height, width * channels)
    columns = kernel.transpose(3, 1, 0, 2).reshape(count, width, height * channels)
    energies = [np.square(np.linalg.svd(matrix, compute_uv=False)) for matrix in (rows, columns)]
    return sum(energy[:, :2].sum(1) / energy.sum(1) for energy in energies) / 2


def neighbor_correlation(kernel):
    """Correlation of each weight with its neighbor below and to the right, channels together."""
    above = [kernel[:-1], kernel[:, :-1]]
    below = [kernel[1:], kernel[:, 1:]]
    pairs = list(zip(above, below, strict=True))
    product = sum((a * b).sum((0, 1, 2)) for a, b in pairs)
    return product / sum(np.sqrt(np.square(a).sum((0, 1, 2)) * np.square(b).sum((0, 1, 2))) for a, b in pairs)


def largest_correlations(kernel, order):
    """Of the filters in ``order``, the largest |NCC| with another one over all shifts; NaN for the others."""
    height, width, _, count = kernel.shape
    size = (2 * height - 1, 2 * width - 1)  # wide enough that shifts do not wrap around
    some = kernel[..., order]
    some = some / np.maximum(np.sqrt(np.square(some).sum((0, 1, 2))), 1e-30)
    spectra = np.moveaxis(np.fft.rfft2(some, size, axes=(0, 1)), (3, 2), (0, 1))  # (filters, channels, u, v)
    found = np.full(count, np.nan)
    if len(order) < 2:
        return found
    for i, one in enumerate(spectra):
        products = (spectra.conj() * one).sum(1)
        largest = np.abs(np.fft.irfft2(products, size, axes=(1, 2))).max((1, 2))
        largest[i] = 0
        found[order[i]] = largest.max()
    return found


def judge_filters(name, kernel, own, chance):
    """The verdicts: on each filter, then on the layer."""
    import pandas as pd

    (each, bank), sufficient = own, min(kernel.shape[:2]) >= MIN_SIDE
    random = {key: np.concatenate([found[key] for found, _ in chance]) for key in each if key != "rms"}
    random = {key: values[np.isfinite(values)] for key, values in random.items()}
    limits = {key: random_range(values) for key, values in random.items()}
    table = pd.DataFrame({"filter": np.arange(kernel.shape[-1]), **each})
    table["noise"] = (1 - table.separable) / max(1 - random["separable"].mean(), 1e-9)
    level = table.rms / (table.rms.median() or 1)
    table["dominant"] = level > DOMINANT
    smooth = (table.high < limits["high"][0]) & (table.smoothness > limits["smoothness"][1])
    plain = ~smooth & (table.concentration <= limits["concentration"][1]) & (table.separable <= limits["separable"][1])
    alive = level >= DEAD
    flags = {
        "dead": ~alive,
        "too noisy": alive & sufficient & (plain | (table.noise > NOISY)),
        "too correlated": alive & (table.twin > np.nanmax([TWIN, limits["twin"][1]])),
    }
    table["verdict"] = [AND.join(name for name in flags if flags[name][i]) or "good" for i in table.index]
    verdicts = [verdict for verdict, share in SHARES.items() if flags[verdict].mean() >= share]
    largest = [found["largest"] for _, found in chance]
    edge = np.mean(largest) + FAR * np.std(largest)  # a percentile of so few would be passed one time in twenty
    directions = int((bank["singular"] > edge).sum())
    verdicts += ["unstructured"] if directions == 0 else []
    values = {key: table[key].median() for key in random} | {"entropy_rank": bank["entropy_rank"]}
    random["entropy_rank"] = np.array([found["entropy_rank"] for _, found in chance])
    rows = [compare_with_random(key, value, random[key]) for key, value in values.items()]
    rows.append(("directions", directions, 0.0, 0.0, 0.0, float("nan")))
    columns = ["measure", "value", "random", "random_low", "random_high", "z"]
    measured = pd.DataFrame(rows, columns=columns)
    return Filters(
        layer=name,
        kernel=kernel,
        table=table,
        bank=measured,
        verdicts=tuple(verdicts) or ("good",),
        sufficient=sufficient,
    )


def compare_with_random(measure, value, random):
    """A measure against what random filters have: mean, 1 % and 99 %, and how many standard deviations it is off."""
    if not len(random):
        return measure, value, *[float("nan")] * 4
    spread = random.std()
    return (
        measure,
        value,
        random.mean(),
        *random_range(random),
        (value - random.mean()) / spread if spread else float("nan"),
    )


def random_range(values):
    """The 1 % and the 99 % point of random values; NaN where there are none."""
    return tuple(np.percentile(values, [100 - BEYOND, BEYOND])) if len(values) else (float("nan"),) * 2
