"""Feature inversion: reconstruct images from the activations of a layer (Mahendran & Vedaldi 2015)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...plots.primitives import BETWEEN, pixel_figure
from ...support.display import FigureResult
from ...support.progress import stage_progress
from ...support.types import Images, Layers, Model, OnProgress
from ..engine.lens import Lens, lens
from ..engine.query import from_pixel_range, pictures, read_activations
from ..engine.scores import ALIASES, distance, layer_label
from .params import Pixels
from .recipes import SynthesisRecipe
from .regularizers import norm_score, variation
from .synthesize import TITLE_HEIGHT, draw_tiles, shorten_title, synthesize, tile_shape, tiles_extent

PHOTO_RMS = 68.9  # rms of the pixels of photos about their mean, by which the authors scale images and steps


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Inversion(FigureResult):
    """Images reconstructed from the activations of layers, with their errors.

    Attributes:
        reconstructions: (layers, N, copies, H, W, C), pixels 0..255.
        errors: ||a - a0||^2 / ||a0||^2 at the layer, (layers, N, copies).
        images: the originals, (N, H, W, C).
        layers: names of the layers.
        names: names of the images.
        recipe: the `SynthesisRecipe`; for "mahendran", that of the first layer.
        error_curves: for each layer, the errors by step.
    """

    reconstructions: np.ndarray
    errors: np.ndarray
    images: np.ndarray
    layers: tuple
    names: tuple
    recipe: SynthesisRecipe
    error_curves: tuple

    @property
    def table(self):
        """A DataFrame with a row for each reconstruction.

        Columns: layer, image, copy, error, ``psnr`` of the pixels in dB, and ``diversity``, the mean rms difference
        from other copies.
        """
        import pandas as pd

        rows = []
        for i, layer in enumerate(self.layers):
            for j, name in enumerate(self.names):
                copies = self.reconstructions[i, j]
                for k, copy in enumerate(copies):
                    differences = np.sqrt(np.mean((np.clip(copies, 0, 255) - np.clip(copy, 0, 255)) ** 2, (1, 2, 3)))
                    diversity = differences.sum() / max(len(copies) - 1, 1)
                    rows.append((layer, name, k, self.errors[i, j, k], psnr(copy, self.images[j]), diversity))
        return pd.DataFrame(rows, columns=["layer", "image", "copy", "error", "psnr", "diversity"])

    def __str__(self):
        count = f"{len(self.names)} image{'s' if len(self.names) > 1 else ''}"
        return f"{count} inverted from {', '.join(self.layers)}"

    def plot(self, copies=None):
        """Draw a strip for each image: the original, then its reconstructions."""
        return draw_inversion(self, copies)


def invert(
    model: Model | Lens,
    images: Images,
    layers: Layers | None = None,
    *,
    copies: int = 1,
    recipe: SynthesisRecipe | str = "mahendran",
    steps: int | None = None,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 255.0),
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> Inversion:
    """Reconstruct images from the activations of layers (Mahendran & Vedaldi 2015).

    min ||phi(x) - phi(x0)||^2 / ||phi(x0)||^2 plus priors, which are stronger for deeper layers with the recipe
    "mahendran": a variation of 0.5, 5 and 50 in the first, second and third part of the network.

    Args:
        model: Keras model, or a `Lens` of one.
        images: arrays (N, H, W, C) of pixels 0..255, or photos in any form that `predict` takes.
        layers: names of layers; by default the last of each stage and "logits". "probs" is possible too.
        copies: number of reconstructions of each image, from different noise.
        recipe: "mahendran", a name in `RECIPES`, or a `SynthesisRecipe`.
        steps: number of steps; by default the recipe's.
        seed: random seed of noise and transforms.
        bounds: input values of the model for black and white.
        batch_size: images that go through the model at once; by default as many as memory allows.
        on_progress: called as `on_progress(done, total, what)`; it may raise to stop.

    Returns:
        An `Inversion`.
    """
    network = lens(model)
    inputs = pictures(network, images)
    requested = [layers] if isinstance(layers, str) else layers or default_layers(network)
    layer_names = tuple(network.tap(layer) for layer in requested)
    scaled = replace(inputs, pixels=from_pixel_range(inputs.pixels, bounds))
    activations = read_activations(network, scaled, layer_names, batch_size)
    syntheses = []
    for i, layer in enumerate(layer_names):
        score = -distance(layer, activations[layer])
        layer_recipe = recipe
        if recipe == "mahendran":
            layer_recipe = mahendran_recipe(inputs.pixels.shape[1:], relative_depth(network, layer))
        synthesis = synthesize(
            network,
            score,
            recipe=layer_recipe,
            size=inputs.pixels.shape[1:3],
            copies=copies,
            steps=steps,
            seed=seed,
            bounds=bounds,
            titles=inputs.names,
            others=inputs.others,
            batch_size=batch_size,
            on_progress=stage_progress(on_progress, i, len(layer_names)),
        )
        syntheses.append(synthesis)
    shape = (len(inputs), copies, *inputs.pixels.shape[1:])
    reconstructions = np.stack([synthesis.images.reshape(shape) for synthesis in syntheses])
    errors = -np.stack([synthesis.scores.reshape(shape[:2]) for synthesis in syntheses])
    return Inversion(
        reconstructions=reconstructions,
        errors=errors,
        images=inputs.pixels,
        layers=tuple(map(layer_label, layer_names)),
        names=inputs.names,
        recipe=syntheses[0].recipe,
        error_curves=tuple(-synthesis.curves["score"] for synthesis in syntheses),
    )


def mahendran_recipe(shape, depth):
    """The recipe of Mahendran & Vedaldi for images of a shape (H, W, C) and a layer at a relative depth, 0 to 1.

    The authors divide x by sigma, the norm of a typical photo, 68.9 sqrt(n). Their priors are 2.16e8 sum|x|^6 and 0.5,
    5 or 50 times the total variation, by depth; their learning rate is 0.004, then a tenth, then a hundredth of it.
    Here these numbers are converted to pixels, and to means over pixels. Each copy starts from noise of half that norm.
    """
    n = np.prod(shape)
    sigma = PHOTO_RMS * np.sqrt(n)
    variation_weight = (0.5, 5.0, 50.0)[min(int(3 * depth), 2)] * n / shape[-1] / sigma**2
    norm_weight = 2.16e8 * n / sigma**6
    learning_rate = 0.004 * sigma**2
    stages = ((learning_rate, 100), (0.1 * learning_rate, 200), (0.01 * learning_rate, 100))
    return SynthesisRecipe(
        "inversion with total variation and norm priors (Mahendran & Vedaldi 2015)",
        400,
        stages,
        "momentum",
        Pixels(noise=PHOTO_RMS / 2, clip=False),
        priors=((variation_weight, variation(2)), (norm_weight, norm_score(6))),
    )


def default_layers(network):
    """The last layer of each stage, else the last of each feature map size, and the logits."""
    nodes = {node.name: node for node in network.graph.nodes}
    stages = [name for name in (f"stage{i}" for i in range(1, len(nodes))) if name in nodes]
    if not stages:
        last = {node.shape[:2]: node.name for node in network.graph.nodes if len(node.shape) == 3 and not node.is_input}
        stages = list(last.values())
    return (*stages, "logits")


def relative_depth(network, layer):
    """The fraction of layers with weights up to a layer, 0 to 1."""
    weighted = [node for node in network.graph.nodes if getattr(node.operation, "weights", None)]
    node = network.output if layer in ALIASES.values() else network.graph.find(layer)
    position = network.graph.nodes.index(node)
    return sum(network.graph.nodes.index(node) <= position for node in weighted) / max(len(weighted), 1)


def psnr(image, original):
    """Peak signal-to-noise ratio in dB: 20 log10(255 / rms difference)."""
    return float(20 * np.log10(255 / max(np.sqrt(np.mean((np.clip(image, 0, 255) - original) ** 2)), 1e-6)))


def draw_inversion(result, copies=None):
    """A strip for each image: the original, then its reconstruction from each layer; further copies below."""
    layers, count, available = result.reconstructions.shape[:3]
    copies = min(copies or available, available)
    columns = layers + 1
    shape = tile_shape(result.images, columns)
    caption = f"{result.recipe.description}; {len(result.error_curves[0])} steps. "
    caption += "Next to each layer name: the error at that layer"
    caption += f" and the PSNR of the pixels{'; copies start from different noise' if copies > 1 else ''}."
    figure, top = pixel_figure(*tiles_extent(count * copies * columns, columns, shape), str(result), caption)
    table = result.table.set_index(["layer", "image", "copy"])
    for i, name in enumerate(result.names):
        for k in range(copies):
            images = [result.images[i] if k == 0 else np.full_like(result.images[i], 255)]
            images += [result.reconstructions[j, i, k] for j in range(layers)]
            titles = [shorten_title(name, shape[1]) if k == 0 else ""]
            for layer in result.layers:
                row = table.loc[(layer, name, k)]
                titles.append(f"{layer}  {row.error:.2g}, {row.psnr:.1f} dB")
            draw_tiles(figure, np.stack(images), titles, columns, shape, top)
            top += shape[0] + TITLE_HEIGHT + BETWEEN
    return figure
