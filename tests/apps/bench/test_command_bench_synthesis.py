"""`kerascnn bench synthesis`: what it measures is told; how fast it is, no test says."""

import numpy as np
import pytest

SHORT = ["--network", "tiny_vgg", "--rounds", 2, "--size", 32, "--units", 2, "--steps", 3]


@pytest.mark.nightly
def test_ours_theirs_and_the_bare_gradient(document):
    result = document("bench", "synthesis", *SHORT)["result"]
    assert [result[key] for key in ("network", "units", "steps", "size", "rounds")] == ["tiny_vgg", 2, 3, 32, 2]
    rows = {row["tool"]: row for row in result["rows"]}
    assert {row["task"] for row in rows.values()} == {"2 classes, 3 steps"}
    assert {"kerascnn", "kerascnn, plain", "kerascnn, recipe lucid", "bare gradient, compiled"} < set(rows)
    for row in rows.values():
        assert "fails" not in row, row
        assert row["seconds"] > 0
        assert row["rounds"] == 2
    assert rows["kerascnn"]["of_ours"] == rows["bare gradient, compiled"]["of_bare"] == 1


@pytest.mark.nightly
def test_other_tasks_can_be_measured_alike():
    from kerascnn_apps.bench.synthesis import BARE, bare, lines, measured

    tasks = {"{units} of something": {"mine": lambda case: list, BARE: bare}}
    result = measured("tiny_vgg", "none", 2, 2, 32, 1, tasks)
    assert [row["tool"] for row in result["rows"]] == ["mine", BARE]
    assert "2 of something" in "\n".join(lines(result))


@pytest.mark.nightly
def test_the_bare_gradient_is_the_step_of_a_plain_climb():
    from kerascnn.visualize import climb, logit
    from kerascnn_apps.bench.synthesis import Case, bare, plain
    from kerascnn_apps.bench.visualize import prepared

    given = prepared("tiny_vgg", "none", 2, 32)
    case = Case(given.model, given.images, 1)
    found = climb(case.model, logit(case.classes), recipe=plain(), start=case.images, steps=1)
    slopes = bare(case)()
    np.testing.assert_allclose(found.images, np.clip(case.images + slopes, 0, 255), atol=1e-4)
    assert slopes.any()
