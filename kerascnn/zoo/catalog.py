"""The zoo as plain data, so that listing it does not import Keras.

``python -m kerascnn.zoo.catalog`` writes it.
"""

import json
import os
from types import SimpleNamespace

PATH = os.path.join(os.path.dirname(__file__), "catalog.json")


def read_catalog(path=PATH):
    """All networks with the fields of their cards, their counts and their stages, in the registry's order."""
    with open(path, encoding="utf-8") as file:
        return [SimpleNamespace(**row) for row in json.load(file)]


def catalog_row(name):
    """The row of one network: the fields of its card, and counts from its outline."""
    from .build import outline
    from .registry import card

    return card_fields(card(name)) | count_model(outline(name))


def count_model(model):
    """Parameters, multiply-adds and stages of a model."""
    from ..anatomy.table import dissect

    table = dissect(model)
    return {"params": table.learnable, "total": table.params, "macs": table.macs, "stages": stage_rows(table.rows)}


def card_fields(row):
    """The fields of a card."""
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


def stage_rows(rows):
    """Shape, parameters and multiply-adds of each stage, of the auxiliary classifiers and of the head."""
    names_ahead = [row.name for row in rows if is_stage(row.name)] + ["head"]
    stages = {name: {"name": name, "params": 0, "macs": 0} for name in names_ahead}
    for row in rows:
        stage_name = row.name.split("_")[0] if row.name.startswith("aux") else names_ahead[0]
        stage = stages.setdefault(stage_name, {"name": stage_name, "params": 0, "macs": 0})
        stage["params"] += row.learnable
        stage["macs"] += row.macs
        stage["shape"] = list(row.shape)
        if row.name == names_ahead[0]:
            names_ahead = names_ahead[1:]
    return list(stages.values())


def is_stage(name):
    return name.startswith("stage") and name[5:].isdigit()


def write_catalog(path=PATH):
    """Count every network and write the file; takes minutes, most of them for the smallest input sizes."""
    from .build import smallest_input
    from .registry import CARDS, filter_networks

    cards = [*filter_networks(CARDS.values()), *filter_networks(CARDS.values(), "tiny*")]
    rows = [catalog_row(row.name) | {"min_size": smallest_input(row.name)} for row in cards]
    text = "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    write_catalog()
