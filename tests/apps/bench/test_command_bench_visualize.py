"""`kerascnn bench visualize`: structure of its results; no speed."""

import json

import numpy as np
import pytest

SHORT = ["bench", "visualize", "--network", "tiny_vgg", "--rounds", 1, "--size", 32, "--batch-size", 2]


@pytest.fixture(scope="module")
def result():
    """What is measured; XLA, which compiles for seconds, at one task."""
    from click.testing import CliRunner

    from kerascnn_apps.bench.tools import TOOLS, bare_gradient
    from kerascnn_apps.main import main

    one = lambda case: {"guided": bare_gradient(case, xla=True)["guided"]}  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TOOLS, "bare tape, XLA", (one, "tensorflow"))
        outcome = CliRunner().invoke(main, [*map(str, SHORT), "--json"])
    assert outcome.exit_code == 0, outcome.stderr
    return json.loads(outcome.stdout)["result"]  # nobody's progress bars are in it


@pytest.mark.nightly
def test_every_task_has_ours_and_other_tools(result):
    assert [result[key] for key in ("network", "images", "size", "rounds")] == ["tiny_vgg", 2, 32, 1]
    tools = {}
    for row in result["rows"]:
        tools.setdefault(row["task"].split(",")[0].split(" ")[0], []).append(row["tool"])
    assert set(tools) == {"saliency", "SmoothGrad", "grad_cam", "occlusion", "guided", "deconvnet"}
    assert all(names[0] == "kerascnn" and len(names) > 1 for names in tools.values())
    assert {"tf-keras-vis", "bare tape, compiled"} < set(tools["saliency"])
    assert "bare tape, XLA" in tools["guided"]
    assert "tf-keras-vis" in result["tools"]


@pytest.mark.nightly
def test_numbers_are_possible(result):
    for row in result["rows"]:
        assert "fails" not in row, row
        assert row["seconds"] > 0
        assert row["first_seconds"] > 0
        assert row["memory_mb"] >= 0
        assert row["of_ours"] == 1 or row["tool"] != "kerascnn"


@pytest.mark.nightly
def test_the_bare_gradient_equals_ours():
    from kerascnn_apps.bench.tools import bare_gradient, our_methods, tf_keras_vis_methods
    from kerascnn_apps.bench.visualize import attribution_case

    case = attribution_case("tiny_vgg", "none", 2, 32)
    found = our_methods(case)["saliency"](case.images)
    np.testing.assert_allclose(found.values, bare_gradient(case)["saliency"](case.images), rtol=1e-3, atol=1e-7)
    theirs, own = tf_keras_vis_methods(case)["saliency"](case.images), found.map
    scaled = (own - own.min((1, 2), keepdims=True)) / np.ptp(own, (1, 2), keepdims=True)
    np.testing.assert_allclose(theirs, scaled, atol=1e-3)


@pytest.mark.nightly
def test_number_of_masks():
    from kerascnn import visualize
    from kerascnn_apps.bench.visualize import attribution_case, memory_rows, occlusion_call

    case = attribution_case("tiny_vgg", "none", 1, 32)
    for counts in ((1, 1), (2, 5), (40, 3)):
        assert occlusion_call(visualize, case, counts)().score_maps.shape == (1, *counts)
    rows = memory_rows(case, samples=(2, 3), masks=((1, 2),))
    assert [row["task"] for row in rows] == ["smooth, 2 samples", "smooth, 3 samples", "occlusion, 2 masks"]


def test_memory_growth():
    from kerascnn_apps.bench.visualize import memory_growth, resident_memory

    if not resident_memory():
        pytest.skip("the system does not say")
    import time

    def hold():
        held = np.ones(8_000_000)
        time.sleep(0.1)
        return held.sum()

    assert 50 < memory_growth(hold) < 90


def test_a_tool_that_fails_is_a_row(monkeypatch):
    from kerascnn_apps.bench import visualize as bench

    def wrong(case):
        raise RuntimeError("cannot\nat all")

    table = {"kerascnn": (lambda case: {"x": len}, ""), "other": (wrong, "")}
    monkeypatch.setattr(bench, "TOOLS", table)
    case = bench.AttributionCase(None, "", np.zeros((2, 4, 4, 3)), 0, 1)
    first, second = bench.time_attribution(case, [], "task", "x", "each", 2)
    assert first["of_ours"] == 1
    assert second == {"task": "task", "tool": "other", "fails": "RuntimeError: cannot"}
    assert bench.attribution_cells(second)[-1] == "RuntimeError: cannot"
