"""`kerascnn bench`: structure of its results; no speed."""

import pytest


@pytest.mark.nightly
def test_batches(document):
    words = ["--network", "lenet5", "--images", 64, "--batch-size", 16, "--rounds", 2]
    result = document("bench", "batches", *words)["result"]
    assert [result[key] for key in ("network", "images", "batch", "rounds")] == ["lenet5", 64, 16, 2]
    assert [row["way"] for row in result["rows"]][:2] == ["array in memory", "files"]
    assert result["rows"][0]["ratio"] == result["rows"][0]["cpu_ratio"] == 1
    assert all(row["images_per_second"] > 0 for row in result["rows"])


def test_unknown_benchmark(fails):
    fails("bench", "batch", code=2)
