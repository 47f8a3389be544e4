"""The zoo as plain data, so that listing it imports no Keras: written by ``python -m kerascnn.zoo.catalog``."""

import json
import os
from types import SimpleNamespace

PATH = os.path.join(os.path.dirname(__file__), "catalog.json")


def read(path=PATH):
    """Every network with its card, its counts and its stages, in the registry's order."""
    with open(path, encoding="utf-8") as file:
        return [SimpleNamespace(**row) for row in json.load(file)]


def entry(name):
    """One network's row: what its card says, and what is counted from an outline of it."""
    from .build import outline
    from .registry import card

    return stated(card(name)) | counted(outline(name))


def counted(model):
    """Parameters, multiply-adds and stages of a model."""
    from ..anatomy.table import dissect

    table = dissect(model)
    return {"params": table.learned, "total": table.params, "macs": table.macs, "stages": stages(table.rows)}


def stated(row):
    """What the card itself says."""
    return {
        "name": row.name,
        "family": row.family,
        "year": row.year,
        "paper": row.paper,
        "published": {"params": row.params, "macs": row.gmacs and round(row.gmacs * 1e9), "source": row.source},
        "fidelity": row.fidelity,
        "input_shape": list(row.input_shape),
        "classes": row.classes,
        "scale": row.scale,
        "aux": sorted(row.aux),
    }


def stages(rows):
    """Shape, parameters and multiply-adds of each stage, of the auxiliary classifiers and of the head."""
    ahead = [row.name for row in rows if is_stage(row.name)] + ["head"]
    found = {name: {"name": name, "params": 0, "macs": 0} for name in ahead}
    for row in rows:
        place = row.name.split("_")[0] if row.name.startswith("aux") else ahead[0]
        stage = found.setdefault(place, {"name": place, "params": 0, "macs": 0})
        stage["params"] += row.learned
        stage["macs"] += row.macs
        stage["shape"] = list(row.shape)
        if row.name == ahead[0]:
            ahead = ahead[1:]
    return list(found.values())


def is_stage(name):
    return name.startswith("stage") and name[5:].isdigit()


def write(path=PATH):
    """Count every network and write the file; some minutes, most of them for the smallest inputs."""
    from .build import smallest_input
    from .registry import CARDS, matching

    cards = [*matching(CARDS.values()), *matching(CARDS.values(), "tiny*")]
    rows = [entry(row.name) | {"min_size": smallest_input(row.name)} for row in cards]
    text = "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    write()
