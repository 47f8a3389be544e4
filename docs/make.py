"""The tables and pictures of the README, made by the package itself.

python docs/make.py                     the tables, into README.md between their marks
python docs/make.py --weights FILE      the pictures too, as SqueezeNet 1.1 with these weights sees a photo
"""

import argparse
import re
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
HERO = (
    "saliency",
    "grad_cam",
    "occlusion",
    "guided_backprop",
    "activation_maps",
    "invert",
    "dream",
    "maximize",
    "facets",
)


def models():
    """The networks that have published weights, a row each, from the oldest to the youngest."""
    from kerascnn.zoo.registry import default_source, weights_sources
    from kerascnn_apps.models import catalog_rows

    known = weights_sources()
    lines = [
        "| network | paper | year | parameters | multiply-adds | top-1 | weights |",
        "|---|---|--:|--:|--:|--:|---|",
    ]
    for row in sorted((row for row in catalog_rows() if row.name in known), key=lambda row: row.year):
        default = default_source(row.name)
        who = ", ".join(dict.fromkeys(source.publisher for source in known[row.name]))
        paper = re.sub(r"arXiv:([\d.]+)", r"[\1](https://arxiv.org/abs/\1)", row.paper)
        cells = f"`{row.name}`", paper, row.year, f"{row.params:,}", f"{row.macs:,}", accuracy(default, row), who
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def accuracy(source, row):
    """The published ImageNet accuracy of default weights, with its size in pixels if that is not the network's."""
    if source.is_shipped or source.top1 is None:
        return ""
    size = "" if source.is_measured_at(row.input_shape[:2]) else f" ({source.crop})"
    return f"{source.top1:.1f}{size}"


def methods():
    """Every way to see by its kind: thumbnail, name, the first line of its docstring."""
    from kerascnn.visualize.registry import KINDS, of_kind

    lines = []
    for kind, heading in KINDS.items():
        lines += ["", f"**{heading}**", "", "| | | |", "|---|---|---|"]
        for name, row in of_kind(kind).items():
            first = row.what.replace("|", r"\|")
            lines.append(f'| <img src="docs/methods/{name}.webp" width="72" alt="{row.title}"> | `{name}` | {first} |')
    return "\n".join(lines[1:])


TABLES = {"models": models, "methods": methods}


def filled(text):
    """The README's text with its tables made anew, between the comments that name them."""
    for name, make in TABLES.items():
        start, end = f"<!-- {name}: made by docs/make.py -->", f"<!-- end of {name} -->"
        before, rest = text.split(start)
        text = f"{before}{start}\n\n{make()}\n\n{end}{rest.split(end)[1]}"
    return text


def pictures(weights):
    """docs/methods/NAME.webp, a thumbnail each, and docs/hero.webp: the photo and some of them in two rows."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_image
    from thumbnails import framed, thumbnails

    from kerascnn import build_model
    from kerascnn.inputs.classifier import classifier

    model = build_model("squeezenet1_1", weights=weights)
    photo = classifier(model).preprocessing(load_sample_image("china.jpg"))
    made = thumbnails(model, np.asarray(photo, np.float32))
    (HERE / "methods").mkdir(exist_ok=True)
    for name, tile in made.items():
        Image.fromarray(framed(tile, 128)).save(HERE / "methods" / f"{name}.webp", quality=85)
    tiles = [np.pad(framed(tile, 236), ((2, 2), (2, 2), (0, 0)), constant_values=128) for tile in
             (photo / 255, *(made[name] for name in HERO))]  # fmt: skip
    half = len(tiles) // 2
    whole = np.concatenate([np.concatenate(tiles[at : at + half], axis=1) for at in (0, half)])
    Image.fromarray(whole).save(HERE / "hero.webp", quality=82)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights", help="SqueezeNet 1.1's, as torchvision publishes them")
    given = parser.parse_args()
    if given.weights:
        pictures(given.weights)
    README.write_text(filled(README.read_text()))


if __name__ == "__main__":
    main()
