"""What is chosen beside a grid: which images are learned from, and when a choice is near enough."""

import numpy as np
import pytest

from kerascnn.data import Batch, Data
from kerascnn_apps.bench.choice import judged, lines, setting


def some(count, prefix):
    labels = np.arange(count) % 3
    names = tuple(f"{prefix}{i}" for i in range(count))
    return Batch(np.zeros((count, 4, 4, 1), np.uint8), labels, ("a", "b", "c"), names)


def test_as_many_of_each_class_and_none_of_the_test():
    data = Data("some", some(90, "train"), some(0, "valid"), some(60, "test"))
    found = setting(data, 5, 20, 0)
    assert np.bincount(found.train.labels).tolist() == [5, 5, 5]
    assert len(found.test) == len({*found.test.names}) == 20
    assert not {*found.train.names} & {*found.test.names}
    assert setting(data, 5, 20, 0).train.names == found.train.names
    assert setting(data, 5, 20, 1).train.names != found.train.names


@pytest.mark.parametrize(("chosen", "within"), [(0.88, True), (0.86, False), (0.95, True)], ids=str)
def test_one_standard_error_of_the_best_point(chosen, within):
    grid = [{"freeze": "head", "rate": 1e-3, "accuracy": 0.8}, {"freeze": "all", "rate": 1e-4, "accuracy": 0.9}]
    row = {"grid": grid, "chosen": chosen, "tested": 100, "seconds": 2.0, "grid seconds": 6.0}
    found = judged(row)
    assert found["error"] == pytest.approx(0.03)  # sqrt(.9 * .1 / 100)
    assert (found["best"], found["best point"], found["ratio"]) == (0.9, "all frozen, 0.0001", 3.0)
    assert found["within"] is within
    told = {"images of a class": 5, "advice": "little", "choice": "ridge"}
    text = "\n".join(lines({"rows": [row | found | told], "within": int(within)}))
    assert f"{int(within)} of 1 within a standard error" in text


def test_numbers_that_are_none(fails):
    assert "--each: 'ten'" in fails("bench", "choice", "digits", "--each", "10,ten", code=2)
