"""What a layer keeps of an image: one is looked for that gives the same activations (Mahendran & Vedaldi 2015)."""

from dataclasses import dataclass, field, replace

import numpy as np

from ...plots.primitives import BETWEEN, sheet
from ...support.display import Drawn
from ..engine.lens import probe
from ..engine.query import pictures, read, unsteps
from ..engine.scores import OWN, called, distance
from .params import Pixels
from .recipes import Recipe
from .regularizers import norm_score, variation
from .synthesize import TALL, climb, draw_tiles, extent, shorten, tile_shape

TYPICAL = 68.9  # rms of a photo's pixels about their mean, by which the authors scale images and steps


@dataclass(frozen=True, eq=False)
class Inversion(Drawn):
    """Reconstructions (layers, N, copies, H, W, C) of ``images``, pixels 0..255, and their ``errors``.

    The error, (layers, N, copies), is ||a - a0||^2 / ||a0||^2 at the layer. ``table``: layer, image, copy, error,
    ``psnr`` of the pixels in dB, and ``apart``, how far the pixels are from other copies of the code (mean rms).
    """

    reconstructions: np.ndarray = field(repr=False)
    errors: np.ndarray
    images: np.ndarray = field(repr=False)
    layers: tuple
    names: tuple
    recipe: object = field(repr=False)
    said: tuple = field(repr=False)  # of each layer, the errors by step

    @property
    def table(self):
        """A DataFrame with a row for each reconstruction."""
        import pandas as pd

        rows = []
        for i, layer in enumerate(self.layers):
            for j, name in enumerate(self.names):
                copies = self.reconstructions[i, j]
                for k, copy in enumerate(copies):
                    gap = np.sqrt(np.mean((np.clip(copies, 0, 255) - np.clip(copy, 0, 255)) ** 2, (1, 2, 3)))
                    apart = gap.sum() / max(len(copies) - 1, 1)
                    rows.append((layer, name, k, self.errors[i, j, k], psnr(copy, self.images[j]), apart))
        return pd.DataFrame(rows, columns=["layer", "image", "copy", "error", "psnr", "apart"])

    def __str__(self):
        return f"{len(self.names)} images from {', '.join(self.layers)}"

    def plot(self, copies=None):
        """A strip an image: the original, then what each layer keeps of it, copies below each other."""
        return draw_inversion(self, copies)


def invert(
    model,
    images,
    layers=None,
    *,
    copies=1,
    recipe="mahendran",
    steps=None,
    seed=0,
    bounds=(0.0, 255.0),
    batch=None,
    on_progress=None,
):
    """Images with the same activations at a layer as those given, for each of several layers.

    The priors of deeper layers are stronger where the recipe is "mahendran": variation 0.5, 5 and 50 for the first,
    second and third part of the network. What is not explained here is as in `climb`.

    Args:
        model: any Keras model, or a `Probe` of one.
        images: an array (N, H, W, C) of pixels 0..255, or photos in any form that `predict` takes.
        layers: names, by default one of each stage and "logits"; "probs" is a code too.
        copies: pictures of each code, from other noise.
        recipe: "mahendran", or as in `climb`.

    Returns:
        An `Inversion`.
    """
    asked = probe(model)
    shown = pictures(asked, images)
    layers = tuple(asked.tap(layer) for layer in ([layers] if isinstance(layers, str) else layers or stages(asked)))
    seen = replace(shown, pixels=unsteps(shown.pixels, bounds))
    codes = read(asked, seen, layers, batch)
    found = []
    for i, layer in enumerate(layers):
        told = on_progress and (lambda done, total, what, i=i: on_progress(i * total + done, len(layers) * total, what))
        score = -distance(layer, codes[layer])
        chosen = mahendran(shown.pixels.shape[1:], depth(asked, layer)) if recipe == "mahendran" else recipe
        synthesis = climb(
            asked,
            score,
            recipe=chosen,
            size=shown.pixels.shape[1:3],
            copies=copies,
            steps=steps,
            seed=seed,
            bounds=bounds,
            names=shown.names,
            others=shown.others,
            batch=batch,
            on_progress=told,
        )
        found.append(synthesis)
    shape = (len(shown), copies, *shown.pixels.shape[1:])
    pictured = np.stack([each.images.reshape(shape) for each in found])
    errors = -np.stack([each.scores.reshape(shape[:2]) for each in found])
    return Inversion(
        reconstructions=pictured,
        errors=errors,
        images=shown.pixels,
        layers=tuple(map(called, layers)),
        names=shown.names,
        recipe=found[0].recipe,
        said=tuple(-each.said["score"] for each in found),
    )


def mahendran(shape, depth):
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
    return Recipe(what, 400, stages, "momentum", begin, priors=((rough, variation(2)), (loud, norm_score(6))))


def stages(asked):
    """The last layer of each stage, and the scores; of other networks the last layer of each size of map."""
    nodes = {node.name: node for node in asked.graph.nodes}
    own = [name for name in (f"stage{i}" for i in range(1, len(nodes))) if name in nodes]
    if not own:
        last = {node.shape[:2]: node.name for node in asked.graph.nodes if len(node.shape) == 3 and not node.is_input}
        own = list(last.values())
    return (*own, "logits")


def depth(asked, layer):
    """How far down a network a layer is, 0 to 1."""
    weighty = [node for node in asked.graph.nodes if getattr(node.operation, "weights", None)]
    node = asked.output if layer in OWN.values() else asked.graph.find(layer)
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
    said = f"{result.recipe.what}; {len(result.said[0])} steps. Beside each layer's name the error at that layer"
    said += f" and the pixels' PSNR{'; copies of one code began with other noise' if copies > 1 else ''}."
    figure, top = sheet(*extent(count * copies * columns, columns, shape), str(result), said)
    table = result.table.set_index(["layer", "image", "copy"])
    for i, name in enumerate(result.names):
        for k in range(copies):
            images = [result.images[i] if k == 0 else np.full_like(result.images[i], 255)]
            images += [result.reconstructions[j, i, k] for j in range(layers)]
            titles = [shorten(name, shape[1]) if k == 0 else ""]
            for layer in result.layers:
                row = table.loc[(layer, name, k)]
                titles.append(f"{layer}  {row.error:.2g}, {row.psnr:.1f} dB")
            draw_tiles(figure, np.stack(images), titles, columns, shape, top)
            top += shape[0] + TALL + BETWEEN
    return figure
