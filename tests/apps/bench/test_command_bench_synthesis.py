"""`kerascnn bench synthesis`: structure of its results; no speed."""

import numpy as np
import pytest

SHORT = ["--network", "tiny_vgg", "--rounds", 2, "--size", 32, "--classes", 2, "--steps", 3]


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
def test_other_tasks():
    from kerascnn_apps.bench.synthesis import BARE, bare_gradient_loop, measure_synthesis, synthesis_lines

    tasks = {"{units} of something": {"mine": lambda case: list, BARE: bare_gradient_loop}}
    result = measure_synthesis("tiny_vgg", "none", 2, 2, 32, 1, tasks)
    assert [row["tool"] for row in result["rows"]] == ["mine", BARE]
    assert "2 of something" in "\n".join(synthesis_lines(result))


@pytest.mark.nightly
def test_the_bare_gradient_is_a_plain_step():
    from kerascnn.visualize import logit, synthesize
    from kerascnn_apps.bench.synthesis import SynthesisCase, bare_gradient_loop, plain_recipe
    from kerascnn_apps.bench.visualize import attribution_case

    given = attribution_case("tiny_vgg", "none", 2, 32)
    case = SynthesisCase(given.model, given.images, 1)
    found = synthesize(case.model, logit(case.classes), recipe=plain_recipe(), start=case.images, steps=1)
    slopes = bare_gradient_loop(case)()
    np.testing.assert_allclose(found.images, np.clip(case.images + slopes, 0, 255), atol=1e-4)
    assert slopes.any()
