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
        ({"slope": 0.05}, ("similar", "little"), "linear"),
        ({"images_per_class": 200}, ("similar", "much"), "layers"),
        (EARLIER, ("different", "little"), "interior"),
        (EARLIER | {"images_per_class": 1000}, ("different", "much"), "finetune"),
        (EARLIER | {"images_per_class": 100, "train_accuracy": 0.7}, ("different", "little"), "interior"),
        (EARLIER | {"advantage": 0.005}, ("similar", "little"), "linear"),
        ({"images_per_class": 3, "slope": 0.2}, ("similar", "little"), "linear"),
    ],
    ids=["plain", "rising", "many", "earlier", "earlier, many", "earlier, underfit", "within the error", "three"],
)
def test_similarity_and_amount(evidence, cell, first, tmp_path):
    found = Advice(**(PLAIN | evidence))
    assert (found.similarity, found.amount) == cell
    assert found.strategies[0] == first
    few = found.images_per_class < {"similar": 50, "different": 500}[cell[0]]
    words = "few" if few else "many"
    assert cell[1] == ("little" if few else "much")
    assert re.match(f"The data are {cell[0]} (to|from) the pretraining data, with {words} images", str(found))
    assert found.save(tmp_path / "advice.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("evidence", "gains", "reason"),
    [
        ({"slope": 0.05}, True, "more images still raise the accuracy"),
        ({"slope": 0.005}, False, ""),
        (EARLIER | {"slope": 0.05}, False, ""),
        (EARLIER | {"train_accuracy": 0.7}, True, "the best stage does not separate the classes"),
        ({"slope": 0.05, "images_per_class": 200}, True, ""),
    ],
    ids=["rising", "flat", "earlier", "earlier, underfit", "rising, many"],
)
def test_finetuning_of_few_images(evidence, gains, reason):
    found = Advice(**(PLAIN | evidence))
    assert found.finetuning_may_gain is gains
    assert reason in found.remark
    assert bool(reason) == bool(found.remark)


def test_the_dot_is_in_the_shaded_quadrant():
    """17 images a class are few, even where more images still help."""
    axis = Advice(**(PLAIN | {"images_per_class": 17, "slope": 0.05})).plot().axes[0]
    dot = axis.lines[-1].get_xydata()[0]
    shaded = [area for area in axis.collections if tuple(area.get_facecolor()[0][:3]) != (1, 1, 1)]
    (x0, y0), (x1, y1) = shaded[0].get_paths()[0].get_extents().get_points()
    assert len(shaded) == 1
    assert x0 <= dot[0] <= x1
    assert y0 <= dot[1] <= y1


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
