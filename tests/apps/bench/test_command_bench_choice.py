"""`kerascnn bench choice`: samples of images, and the distance to the best point."""

import numpy as np
import pytest

from kerascnn.data import Batch, Data
from kerascnn_apps.bench.choice import choice_lines, compare_with_grid, sample_images


def some(count, prefix):
    labels = np.arange(count) % 3
    names = tuple(f"{prefix}{i}" for i in range(count))
    return Batch(np.zeros((count, 4, 4, 1), np.uint8), labels, ("a", "b", "c"), names)


def test_samples_are_balanced_and_disjoint_from_the_test():
    data = Data(name="some", train=some(90, "train"), valid=some(0, "valid"), test=some(60, "test"))
    found = sample_images(data, 5, 20, 0)
    assert np.bincount(found.train.labels).tolist() == [5, 5, 5]
    assert len(found.test) == len({*found.test.names}) == 20
    assert not {*found.train.names} & {*found.test.names}
    assert sample_images(data, 5, 20, 0).train.names == found.train.names
    assert sample_images(data, 5, 20, 1).train.names != found.train.names


@pytest.mark.parametrize(("chosen", "within"), [(0.88, True), (0.86, False), (0.95, True)], ids=str)
def test_within_one_standard_error(chosen, within):
    grid = [
        {"freeze": "head", "learning_rate": 1e-3, "accuracy": 0.8},
        {"freeze": "all", "learning_rate": 1e-4, "accuracy": 0.9},
    ]
    row = {"grid": grid, "chosen": chosen, "tested": 100, "seconds": 2.0, "grid seconds": 6.0}
    found = compare_with_grid(row)
    assert found["error"] == pytest.approx(0.03)  # sqrt(.9 * .1 / 100)
    assert (found["best"], found["best point"], found["ratio"]) == (0.9, "frozen up to all, learning rate 0.0001", 3.0)
    assert found["within"] is within
    told = {"images per class": 5, "advice": "little", "choice": "ridge"}
    text = "\n".join(choice_lines({"rows": [row | found | told], "within": int(within)}))
    assert f"{int(within)} of 1 choices are within one standard error" in text
    assert "without mean" not in text
    both = [*choice_lines({"rows": [row | found | told | {"single": 0.75}], "within": int(within)})]
    assert "chosen  without mean  best of grid" in both[0]
    assert f"{100 * chosen:.1f} %        75.0 %        90.0 %" in both[1]


def test_invalid_numbers(fails):
    assert "--images-per-class: 'ten'" in fails("bench", "choice", "digits", "--images-per-class", "10,ten", code=2)
