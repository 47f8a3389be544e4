"""What a layer keeps of an image: one is looked for that gives the same activations (Mahendran & Vedaldi 2015)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

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

TYPICAL = 68.9  # rms of a photo's pixels about their mean, by which the authors scale images and steps


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Inversion(FigureResult):
    """Images reconstructed from the activations of layers, with their errors.

    Attributes:
        reconstructions: (layers, N, copies, H, W, C), pixels 0..255.
        errors: ||a - a0||^2 / ||a0||^2 at the layer, (layers, N, copies).
        images: the originals, (N, H, W, C).
        layers: names of the layers.
        names: names of the images.
        recipe: the `SynthesisRecipe`, or its name.
        error_curves: for each layer, the errors by step.
    """

    reconstructions: np.ndarray = field(repr=False)
    errors: np.ndarray
    images: np.ndarray = field(repr=False)
    layers: tuple
    names: tuple
    recipe: object = field(repr=False)
    error_curves: tuple = field(repr=False)  # of each layer, the errors by step

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
                    gap = np.sqrt(np.mean((np.clip(copies, 0, 255) - np.clip(copy, 0, 255)) ** 2, (1, 2, 3)))
                    diversity = gap.sum() / max(len(copies) - 1, 1)
                    rows.append((layer, name, k, self.errors[i, j, k], psnr(copy, self.images[j]), diversity))
        return pd.DataFrame(rows, columns=["layer", "image", "copy", "error", "psnr", "diversity"])

    def __str__(self):
        return f"{len(self.names)} images from {', '.join(self.layers)}"

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
    asked = lens(model)
    shown = pictures(asked, images)
    wanted = [layers] if isinstance(layers, str) else layers or default_layers(asked)
    names = tuple(asked.tap(layer) for layer in wanted)
    seen = replace(shown, pixels=from_pixel_range(shown.pixels, bounds))
    codes = read_activations(asked, seen, names, batch_size)
    found = []
    for i, layer in enumerate(names):
        score = -distance(layer, codes[layer])
        chosen = (
            mahendran_recipe(shown.pixels.shape[1:], relative_depth(asked, layer)) if recipe == "mahendran" else recipe
        )
        synthesis = synthesize(
            asked,
            score,
            recipe=chosen,
            size=shown.pixels.shape[1:3],
            copies=copies,
            steps=steps,
            seed=seed,
            bounds=bounds,
            titles=shown.names,
            others=shown.others,
            batch_size=batch_size,
            on_progress=stage_progress(on_progress, i, len(names)),
        )
        found.append(synthesis)
    shape = (len(shown), copies, *shown.pixels.shape[1:])
    pictured = np.stack([each.images.reshape(shape) for each in found])
    errors = -np.stack([each.scores.reshape(shape[:2]) for each in found])
    return Inversion(
        reconstructions=pictured,
        errors=errors,
        images=shown.pixels,
        layers=tuple(map(layer_label, names)),
        names=shown.names,
        recipe=found[0].recipe,
        error_curves=tuple(-each.curves["score"] for each in found),
    )


def mahendran_recipe(shape, depth):
    """Their recipe for images of a shape (H, W, C) and a layer so deep, 0 to 1, in pixels and means over pixels.

    They scale x by sigma, the norm of a typical photo, 68.9 sqrt(n), take 2.16e8 sum|x|^6 and 0.5, 5 or 50 times the
    variation, and steps of 0.004, then a tenth, then a hundredth. Each copy begins with noise of half that norm, as the
    first of their four does.
    """
    n = np.prod(shape)
    sigma = TYPICAL * np.sqrt(n)
    rough = (0.5, 5.0, 50.0)[min(int(3 * depth), 2)] * n / shape[-1] / sigma**2
    loud = 2.16e8 * n / sigma**6
    rate = 0.004 * sigma**2
    stages = ((rate, 100), (0.1 * rate, 200), (0.01 * rate, 100))
    what = "inverted with variation and a norm (Mahendran & Vedaldi 2015)"
    begin = Pixels(noise=TYPICAL / 2, clip=False)
    return SynthesisRecipe(what, 400, stages, "momentum", begin, priors=((rough, variation(2)), (loud, norm_score(6))))


def default_layers(asked):
    """The last layer of each stage, and the scores; of other networks the last layer of each size of map."""
    nodes = {node.name: node for node in asked.graph.nodes}
    own = [name for name in (f"stage{i}" for i in range(1, len(nodes))) if name in nodes]
    if not own:
        last = {node.shape[:2]: node.name for node in asked.graph.nodes if len(node.shape) == 3 and not node.is_input}
        own = list(last.values())
    return (*own, "logits")


def relative_depth(asked, layer):
    """How far down a network a layer is, 0 to 1."""
    weighty = [node for node in asked.graph.nodes if getattr(node.operation, "weights", None)]
    node = asked.output if layer in ALIASES.values() else asked.graph.find(layer)
    place = asked.graph.nodes.index(node)
    return sum(asked.graph.nodes.index(each) <= place for each in weighty) / max(len(weighty), 1)


def psnr(image, original):
    """20 log10(255 / rms), in dB."""
    return float(20 * np.log10(255 / max(np.sqrt(np.mean((np.clip(image, 0, 255) - original) ** 2)), 1e-6)))


def draw_inversion(result, copies=None):
    """An image a strip: the original, then what each layer keeps of it; further copies of the code below."""
    layers, count, made = result.reconstructions.shape[:3]
    copies = min(copies or made, made)
    columns = layers + 1
    shape = tile_shape(result.images, columns)
    said = f"{result.recipe.description}; {len(result.error_curves[0])} steps. "
    said += "Next to each layer name: the error at that layer"
    said += f" and the pixels' PSNR{'; copies of one code began with other noise' if copies > 1 else ''}."
    figure, top = pixel_figure(*tiles_extent(count * copies * columns, columns, shape), str(result), said)
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
