"""The 2x2: which cell follows from what evidence."""

import numpy as np
import pytest

from kerascnn.transfer_learning import Advice, Taps, advise, depths

PLAIN = {
    "images": 20.0, "best": "features", "depth": 1.0, "gap": 0.0, "gap_error": 0.0, "slope": 0.0, "slope_error": 0.01,
    "train": 1.0, "accuracy": 0.9, "head": "ridge",
}  # fmt: skip
EARLIER = {"best": "stage1", "depth": 0.5, "gap": 0.05, "gap_error": 0.01}


@pytest.mark.parametrize(
    ("evidence", "cell", "first"),
    [
        ({}, ("similar", "little"), "linear"),
        ({"slope": 0.05}, ("similar", "much"), "layers"),
        ({"images": 200}, ("similar", "much"), "layers"),
        (EARLIER, ("different", "little"), "interior"),
        (EARLIER | {"images": 1000}, ("different", "much"), "finetune"),
        (EARLIER | {"images": 100, "train": 0.7}, ("different", "much"), "finetune"),
        (EARLIER | {"gap": 0.005}, ("similar", "little"), "linear"),
        ({"images": 3, "slope": 0.2}, ("similar", "little"), "linear"),
    ],
    ids=["plain", "rising", "many", "earlier", "earlier, many", "earlier, underfit", "within the error", "three"],
)
def test_cells(evidence, cell, first, tmp_path):
    found = Advice(**(PLAIN | evidence))
    assert (found.similarity, found.amount) == cell
    assert found.strategies[0] == first
    assert str(found).startswith(f"{cell[0]} data, {cell[1]} of it")
    assert found.save(tmp_path / "advice.png").stat().st_size > 10_000


def test_evidence_is_measured(rng):
    """Classes lie apart at stage1, hardly at the last stage."""
    labels = rng.permutation(np.arange(120) % 3)
    near, far = (rng.normal(0, apart, (3, 5))[labels][:, None] + rng.normal(0, 1, (120, 1, 5)) for apart in (0.2, 3))
    names = tuple(map(str, range(120)))
    given = Taps(
        {"stage1": far, "features": near}, labels, None, names, names, names, ("identity",), "", (8, 8), 1, {}, 0, 0
    )
    table = depths(given, heads="ridge", together=())
    found = advise(table)
    assert (found.best, found.depth, found.similarity) == ("stage1", 0.0, "different")
    rows = table.summary.set_index("stage")
    assert found.gap == pytest.approx(rows["accuracy"]["stage1"] - rows["accuracy"]["features"])
    assert found.images == 40
    same = advise(depths(given, stages=("stage1",), heads="ridge"))
    assert (same.depth, same.gap, same.similarity) == (0.0, 0.0, "similar")
