"""More views of images for a linear classifier: the same features, and they stop where they do not help."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from networks import known

from kerascnn.data import load
from kerascnn.support.store import Store
from kerascnn.transfer_learning import Taps, probes, taps, train_probes
from kerascnn.transfer_learning.networks import ProbedBackbone, probe_backbone
from kerascnn.transfer_learning.probes import EXTRA_CROPS, probe_more_crops
from kerascnn.transfer_learning.runner import TrialRunner
from kerascnn.transfer_learning.taps import PLUS
from kerascnn.transfer_learning.trials import TimeBudget, most_likely

IMAGES, CLASSES, WIDTH, STAGE = 120, 4, 40, "stage1"
MIRRORED, PLAIN = (("identity", *views) for views in EXTRA_CROPS)


def silent(line):
    pass


def shown(noise, views, rng):
    """``Taps`` of images that lie around the middle of their class, each view of them with noise of its own."""
    labels = np.arange(IMAGES) % CLASSES
    middle = np.eye(CLASSES, WIDTH)[labels][:, None]
    own = np.random.default_rng(0).normal(0, 0.1, (IMAGES, 1, WIDTH))
    rows = (middle + own + rng.normal(0, noise, (IMAGES, len(views), WIDTH))).astype(np.float32)
    names = tuple(map(str, range(IMAGES)))
    classes = tuple("abcd")
    return Taps(
        features={STAGE: rows},
        labels=labels,
        class_names=classes,
        names=names,
        hashes=names,
        groups=names,
        crops=views,
        model="drawn",
        size=(8, 8),
        grid=1,
        failed={},
        computed=0,
        seconds=0.0,
    )


@pytest.fixture
def drawn(monkeypatch):
    """A function (noise of the views) -> what widening gives, from features that are drawn."""

    def make(noise, clock=None, known=1.0):
        rng = np.random.default_rng(1)
        first = shown(known, ("identity",), rng)
        monkeypatch.setattr(probes, "taps", lambda model, images, crops, **how: shown(noise, crops, rng))
        table = train_probes(first, heads="ridge", fractions=(), verbose=0)
        start = ProbedBackbone(SimpleNamespace(layers=(), name="drawn"), first, table, {STAGE: 1}, {"features": 2.0})
        clock = clock or TimeBudget(None)
        return start, probe_more_crops(start, None, Store(None), clock, silent, seed=0)

    return make


def test_helpful_crops_are_used(drawn):
    start, found = drawn(1.0)
    assert [each.taps.crops for each in found] == [MIRRORED]
    (first,), (wide,) = start.candidates, found[0].candidates
    assert wide.log_likelihood.mean() > first.log_likelihood.mean()
    assert (first.crops, wide.crops) == (("identity",), MIRRORED)
    assert wide.name == "drawn, ridge on stage1, 3 crops, including mirrored"
    assert wide.row["crops"] == 3


def test_unhelpful_crops_are_dropped(drawn):
    start, found = drawn(5.0)
    assert [each.taps.crops for each in found] == [MIRRORED, PLAIN]
    candidates = [each for probed in (start, *found) for each in probed.candidates]
    assert most_likely(candidates) is candidates[0]


def test_trials_use_the_crops_of_the_best_candidate(drawn, tmp_path):
    for noise, number in ((1.0, 3), (5.0, 1)):
        start, found = drawn(noise)
        desk = TrialRunner(start, found, None, tmp_path, None, None, 0, silent)
        assert len(desk.backbone_for(STAGE).taps.crops) == number
        assert desk.backbone_for(STAGE).key(0) != replace(start, taps=replace(start.taps, crops=("other",))).key(0)


@pytest.mark.parametrize(("budget", "times"), [(4.0, 0), (None, 2)], ids=str)
def test_budget(drawn, budget, times):
    _, found = drawn(5.0, TimeBudget(budget))  # two views take 4 seconds, of 85 % of the budget
    assert len(found) == times


def test_no_crops_above_the_ridge_size_limit(drawn, monkeypatch):
    monkeypatch.setattr(probes, "MAX_RIDGE_SIZE", WIDTH - 1)
    assert not drawn(1.0)[1]


class Named:
    """What a pilot asks of images: names, and some of them."""

    def __init__(self, names):
        self.names = names

    def take(self, indices):
        return Named([self.names[i] for i in indices])


@pytest.fixture
def large(monkeypatch):
    """A function (noise of the crops) -> (what widening gives, its notes, the images of each pass); pilots of 40."""

    def make(noise, curve=(0.05, 0.01), lack=0.0):
        rng, passes, notes = np.random.default_rng(1), [], []
        first = shown(1.0, ("identity",), rng)

        def crops_of(model, images, crops, **how):
            passes.append(len(images.names))
            return shown(noise, crops, rng).take([int(name) for name in images.names])

        monkeypatch.setattr(probes, "taps", crops_of)
        monkeypatch.setattr(probes, "PILOT_IMAGES", 40)
        table = train_probes(first, heads="ridge", fractions=(), verbose=0)
        gain, error = curve
        table = replace(table, curve=pd.DataFrame({"gain": [np.nan, gain], "error": [np.nan, error]}))
        if lack:  # another head is better, by more than crops can bring
            better = table.table.assign(head="softmax", accuracy=0.999)
            logits = np.where(np.eye(CLASSES)[table.labels] > 0, 9.0, 0.0)
            logits = {**table.logits, (STAGE, "softmax"): logits}
            table = replace(table, table=pd.concat([table.table, better]), logits=logits)
        start = ProbedBackbone(SimpleNamespace(layers=(), name="drawn"), first, table, {STAGE: 1}, {"features": 2.0})
        images = Named([*first.names])
        found = probe_more_crops(start, images, Store(None), TimeBudget(None), notes.append, seed=0)
        return found, notes, passes

    return make


def test_of_many_images_a_pilot_must_win(large):
    found, notes, passes = large(1.0)
    assert passes == [40, IMAGES]  # the pilot, then all
    assert [each.taps.crops for each in found] == [MIRRORED]
    assert not any("skipped" in note for note in notes)


def test_work_that_cannot_pay_is_not_begun(large):
    found, notes, passes = large(5.0)
    assert (found, passes) == ((), [40, 40])  # two pilots, no pass over all images
    assert all(": skipped, because they made it worse: log-likelihood -" in note for note in notes)
    found, notes, passes = large(1.0, lack=1.0)
    assert (found, passes) == ((), [40, 40])
    assert "are needed" in notes[0]
    assert all("in a pilot on 40 images" in note for note in notes)


def test_no_pilot_where_more_images_do_not_help(large):
    found, notes, passes = large(1.0, curve=(0.001, 0.002))
    assert (found, passes) == ((), [])
    assert len(notes) == 1
    assert notes[0].startswith(
        "more crops of each image: skipped, because twice the images raised the accuracy by only"
    )
    assert "+0.1 ± 0.2 points" in notes[0]


def test_with_a_network():
    """The classifier that learned from five views is the one that `train_probes` makes of five views taken at once."""
    model = known()
    labels = np.arange(30) % 3
    images = np.random.default_rng(0).normal(0, 40, (30, 32, 32, 3)) + 40 * labels[:, None, None, None] + 90
    data = load((images.clip(0, 255).astype(np.uint8), labels.astype(str)), valid=0.0, test=0.0).train
    start = probe_backbone(model, data, Store(None), TimeBudget(None), silent, heads="ridge", seed=0, cache=False)
    more = probe_more_crops(start, data, Store(None), TimeBudget(None), silent, seed=0, cache=False)[0]
    once = taps(model, data, crops=more.taps.crops, cache=False, verbose=0)
    ((stage, _),) = more.table.logits
    for part in stage.split(PLUS):
        np.testing.assert_array_equal(more.taps.features[part], once.features[part])
    expected = train_probes(once, heads="ridge", stages=(stage,), concatenate=(), fractions=(), verbose=0)
    np.testing.assert_allclose(more.table.logits[stage, "ridge"], expected.logits[stage, "ridge"], atol=1e-6)
