"""The 2x2: which cell follows from what evidence."""

import re

import numpy as np
import pytest

from kerascnn.transfer_learning import Advice, Taps, advise, train_probes

PLAIN = {
    "images_per_class": 20.0, "best_stage": "features", "depth": 1.0, "advantage": 0.0, "advantage_error": 0.0,
    "slope": 0.0, "slope_error": 0.01, "train_accuracy": 1.0, "accuracy": 0.9, "head": "ridge",
}  # fmt: skip
EARLIER = {"best_stage": "stage1", "depth": 0.5, "advantage": 0.05, "advantage_error": 0.01}


@pytest.mark.parametrize(
    ("evidence", "cell", "first"),
    [
        ({}, ("similar", "little"), "linear"),
        ({"slope": 0.05}, ("similar", "much"), "layers"),
        ({"images_per_class": 200}, ("similar", "much"), "layers"),
        (EARLIER, ("different", "little"), "interior"),
        (EARLIER | {"images_per_class": 1000}, ("different", "much"), "finetune"),
        (EARLIER | {"images_per_class": 100, "train_accuracy": 0.7}, ("different", "much"), "finetune"),
        (EARLIER | {"advantage": 0.005}, ("similar", "little"), "linear"),
        ({"images_per_class": 3, "slope": 0.2}, ("similar", "little"), "linear"),
    ],
    ids=["plain", "rising", "many", "earlier", "earlier, many", "earlier, underfit", "within the error", "three"],
)
def test_similarity_and_amount(evidence, cell, first, tmp_path):
    found = Advice(**(PLAIN | evidence))
    assert (found.similarity, found.amount) == cell
    assert found.strategies[0] == first
    words = {"little": "few", "much": "many"}[cell[1]]
    assert re.match(f"The data are {cell[0]} (to|from) the pretraining data, with {words} images", str(found))
    assert found.save(tmp_path / "advice.png").stat().st_size > 10_000


def test_evidence_is_measured(rng):
    """Classes lie apart at stage1, hardly at the last stage."""
    labels = rng.permutation(np.arange(120) % 3)
    near, far = (rng.normal(0, apart, (3, 5))[labels][:, None] + rng.normal(0, 1, (120, 1, 5)) for apart in (0.2, 3))
    names = tuple(map(str, range(120)))
    given = Taps(
        features={"stage1": far, "features": near},
        labels=labels,
        class_names=None,
        names=names,
        hashes=names,
        groups=names,
        crops=("identity",),
        model="",
        size=(8, 8),
        grid=1,
        failed={},
        computed=0,
        seconds=0,
    )
    table = train_probes(given, heads="ridge", concatenate=())
    found = advise(table)
    assert (found.best_stage, found.depth, found.similarity) == ("stage1", 0.0, "different")
    rows = table.summary.set_index("stage")
    assert found.advantage == pytest.approx(rows["accuracy"]["stage1"] - rows["accuracy"]["features"])
    assert found.images_per_class == 40
    same = advise(train_probes(given, stages=("stage1",), heads="ridge"))
    assert (same.depth, same.advantage, same.similarity) == (0.0, 0.0, "similar")
