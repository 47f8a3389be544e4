"""A study from end to end with tiny networks, and its parts against results by hand."""

import errno
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from networks import known, varied
from PIL import Image
from planted import PLANTED, contents, photo, write

from kerascnn import predict, transfer
from kerascnn.data import DataError, load, training_images
from kerascnn.data.inspection import KINDS
from kerascnn.inputs.classifier import classifier
from kerascnn.support.store import Store
from kerascnn.transfer_learning import page, runner, study
from kerascnn.transfer_learning.sources import parse_budget, prepare_data, warn_of_known_images
from kerascnn.transfer_learning.trials import (
    RESERVE,
    Candidate,
    TimeBudget,
    Trial,
    TrialResult,
    choose_candidate,
    freeze_options,
    mean_difference,
    neighboring_trials,
    plan_trials,
    rung_epochs,
    successive_halving,
)

pytestmark = pytest.mark.filterwarnings("ignore:the best temperature is outside")


def photos(count=60, classes=3, side=32):
    """Images that are somewhat hard: colors under noise."""
    y = np.arange(count) % classes
    rng = np.random.default_rng(0)
    colors = np.eye(3)[y % 3][:, None, None] * 20 + 110 + 20 * (y // 3)[:, None, None, None]
    x = colors + rng.normal(0, 1, (count, 1, 1, 3)) * 12 + rng.integers(-60, 60, (count, side, side, 3))
    return x.clip(0, 255).astype(np.uint8), np.array([f"class {i}" for i in y])


@pytest.fixture
def backbone():
    return known()


@pytest.fixture
def here(monkeypatch):
    """Points in this process, which spares a start of TensorFlow."""
    monkeypatch.setattr(runner, "CAN_FORK", False)


QUICK = {"heads": "ridge", "cache": False, "augmentations": ("none",)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A backbone, a study of it from end to end in this process, and the folder."""
    folder, backbone = tmp_path_factory.mktemp("whole"), varied()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "CAN_FORK", False)
        return backbone, transfer(photos(), backbone, out=folder, strategy="finetune", **QUICK), folder


@pytest.mark.usefixtures("here")
def test_from_images_to_a_tested_network(whole, tmp_path, monkeypatch):
    backbone, found, folder = whole
    assert all(
        np.array_equal(one, other) for one, other in zip(varied().get_weights(), backbone.get_weights(), strict=True)
    )
    table = found.table
    assert table["chosen"].sum() == 1
    assert table["lead"][table["chosen"]].tolist() == [0]
    assert {"linear", "finetuned"} == {*table["kind"]} or not found.trial_results
    assert (table["low"] <= table["accuracy"]).all()
    assert table["log_likelihood_lead"].is_monotonic_decreasing
    first = max(found.candidates, key=lambda each: mean_difference(each, found.chosen, "log_likelihood")[0])
    row = table.iloc[0]
    assert row["name"] == first.name
    chosen = dict(zip(found.chosen.held_out, found.chosen.log_likelihood, strict=True))
    pairs = zip(first.held_out, first.log_likelihood, strict=True)
    gaps = np.array([value - chosen[place] for place, value in pairs if place in chosen])
    assert row["log_likelihood"] == pytest.approx(first.log_likelihood.mean())
    assert row["log_likelihood_lead"] == pytest.approx(gaps.mean())
    assert row["log_likelihood_error"] == pytest.approx(gaps.std() / len(gaps) ** 0.5)
    few, many = rung_epochs(len(found.data.train))
    *first, last = found.trials["epochs"]
    assert {*first} == {few}
    assert last == many
    again = predict(found.model, found.data.test.items, class_names=False).probs
    np.testing.assert_allclose(again, found.evaluation.probs, atol=1e-4)
    assert found.comparison.first.accuracy == found.evaluation.accuracy

    def never(*given, **how):
        raise AssertionError

    for module, name in (
        (runner, "perform_trial"),
        (study, "evaluate"),
    ):  # all of it is found, the test is not looked at
        monkeypatch.setattr(module, name, never)
    resumed = transfer(photos(), backbone, out=folder, strategy="finetune", **QUICK)
    columns = [name for name in table.columns if name != "seconds"]
    pd.testing.assert_frame_equal(resumed.table[columns], table[columns])
    pd.testing.assert_frame_equal(resumed.trials, found.trials)
    np.testing.assert_array_equal(resumed.evaluation.probs, found.evaluation.probs)
    with pytest.raises(FileExistsError, match="`out` should be a new folder, unless `resume=True`"):
        transfer(photos(), backbone, out=folder, resume=False)
    files = resumed.save(tmp_path / "files")
    text = files["report.html"].read_text()
    assert not re.search(r"<script|https?://|src=\"(?!data:)", text)
    assert all(f">{title}</h2>" in text for title in ("Result", "Stages", "Candidates", "Fine-tuning trials", "Time"))
    kept = keras.saving.load_model(files["model.keras"], compile=False)
    np.testing.assert_allclose(predict(kept, found.data.test.items, class_names=False).probs, again, atol=1e-5)


@pytest.mark.usefixtures("here")
def test_trials_out_of_memory_do_not_end_the_study(backbone, monkeypatch):
    original, asked = runner.perform_trial, []

    def short(folder, file, fields, batch, *rest):
        asked.append((fields["learning_rate"], batch))
        if fields["learning_rate"] == 1e-4 or (fields["learning_rate"] == 3e-4 and batch == 32):
            raise MemoryError("no room")
        return original(folder, file, fields, batch, *rest)

    monkeypatch.setattr(runner, "perform_trial", short)
    found = transfer(photos(30), backbone, strategy="finetune", **QUICK)
    few = rung_epochs(len(found.data.train))[0]
    first = found.trials[found.trials["epochs"] == few].drop_duplicates("learning_rate").set_index("learning_rate")
    assert first["failed"].to_dict() == {1e-4: "MemoryError: no room", 3e-4: "", 1e-3: ""}
    assert first["attempts"].to_dict() == {1e-4: 3, 3e-4: 2, 1e-3: 1}
    assert first["batch_size"][3e-4] == 16
    assert {batch for rate, batch in asked if rate == 1e-4} == {32, 16, 8}
    assert found.evaluation is not None


@pytest.mark.usefixtures("here", "in_process")
def test_linear_only(backbone, tmp_path):
    found = transfer(photos(), backbone, strategy="linear", **QUICK)
    assert not found.trial_results
    assert {*found.table["kind"]} == {"linear"}
    assert len(found.plot().axes) == 2  # log-likelihood and accuracy, no grid of trials
    assert "points.csv" not in found.save(tmp_path / "files")
    written = found.export(tmp_path / "classifier", formats="keras")
    assert written.table["passed"].all()
    card = json.loads((tmp_path / "classifier" / "card.json").read_text())
    assert card["study"]["test"]["right"] == found.evaluation.correct.sum()


def test_two_images_of_a_class(backbone):
    with pytest.warns(UserWarning, match="too few images in a class to set aside a test set"):
        found = transfer(photos(6), backbone, strategy="linear", **QUICK)
    assert found.evaluation is None
    assert len(found.data.train) == 6


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (photos(10, 1), "at least two classes.*Received: only one class, class 0"),
        ((photos(7)[0], np.array([*"aaabbbc"])), "Received: class c with 1"),
    ],
    ids=["one class", "one image"],
)
@pytest.mark.filterwarnings("ignore:.*too few images")
def test_invalid_data(backbone, source, words):
    with pytest.raises(DataError, match=words):
        transfer(source, backbone, **QUICK)


def test_empty_class_folders_are_ignored(tmp_path):
    x, y = photos(12)
    for i, (image, name) in enumerate(zip(x, y, strict=True)):
        (tmp_path / name).mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / name / f"{i}.png")
    (tmp_path / "empty").mkdir()
    assert prepare_data(tmp_path, 0.0, None, 0).class_names == ("class 0", "class 1", "class 2")


@pytest.fixture
def planted_folder(tmp_path):
    """Given parts with 24 defective files to learn from, and five images that are in the test too."""
    for i in range(339):
        part = "test" if i >= 330 else "train"
        write(tmp_path / part / ("cat", "dog", "bird")[i % 3] / f"{i:03}.png", contents(photo(i, (24, 32)), "PNG"))
    rows = [row for row in PLANTED if row[2] is not None and row[1] and KINDS[row[1]].severity in ("bad", "note")]
    defects = [row for row in rows if row[0].split("/")[0] in ("cat", "dog", "bird")][:24]
    for path, _, data in defects:
        write(tmp_path / "train" / path, data)
    for i in range(5):
        name = ("cat", "dog", "bird")[i % 3]
        write(tmp_path / "test" / name / f"again{i}.png", contents(photo(i, (24, 32)), "PNG"))
    return tmp_path, [(f"train/{path}", kind) for path, kind, _ in defects]


def test_bad_files_and_leaks_are_named_before_training(planted_folder, backbone, monkeypatch):
    folder, defects = planted_folder
    said, given = [], []

    def stop(model, images, *rest, **how):
        given.extend(images.names)
        raise InterruptedError

    monkeypatch.setattr(study, "probe_backbone", stop)
    with (
        pytest.warns(UserWarning, match="excluded|left out|leakage|excluded|duplicates") as told,
        pytest.raises(InterruptedError),
    ):
        transfer(folder, backbone, strategy="linear", on_progress=lambda done, budget, what: said.append(what), **QUICK)
    assert len(defects) == 24
    assert len({kind for _, kind in defects}) >= 12
    named = {line.split(": ")[0]: line.split(": ", 1)[1].split(", ") for line in said[1:]}
    assert [row for row in defects if row[0] not in named[row[1]]] == []
    originals = [f"train/{('cat', 'dog', 'bird')[i % 3]}/{i:03}.png" for i in range(5)]
    copies = [f"test/{('cat', 'dog', 'bird')[i % 3]}/again{i}.png" for i in range(5)]
    for pair in zip(originals, copies, strict=True):
        assert {*pair} & {*named["leakage"]}, pair
    assert not {*given} & {*originals}  # the test has them
    assert any(
        "5 training images are duplicates or near duplicates of test images and are excluded" in str(each)
        for each in told
    )


def test_images_of_different_folders_with_equal_names(tmp_path, backbone):
    for i in range(12):
        for part in ("one", "other"):
            image = photo(i + 100 * (part == "other"), (24, 32))
            write(tmp_path / part / "ab"[i % 2] / f"{i}.png", contents(image, "PNG"))
    first, second = (prepare_data(tmp_path / part, 0.0, None, 0) for part in ("one", "other"))
    assert len(prepare_data(replace(first, test=second.train), 0.0, None, 0).train) == 12


def test_copies_of_test_images_are_removed_from_training(tmp_path):
    """The same pixels under another name, and as a JPEG of them."""
    for i in range(12):
        write(tmp_path / "one" / "ab"[i % 2] / f"{i}.png", contents(photo(i), "PNG"))
        again, kind = (i, ("PNG", "JPEG")[i % 2]) if i < 4 else (100 + i, "PNG")
        write(tmp_path / "other" / "ab"[i % 2] / f"test{i}.{kind.lower()}", contents(photo(again), kind))
    first, second = (prepare_data(tmp_path / part, 0.0, None, 0) for part in ("one", "other"))
    with pytest.warns(
        UserWarning, match="4 training images are duplicates or near duplicates of test images and are excluded"
    ):
        found = prepare_data(replace(first, test=second.train), 0.0, None, 0)
    assert {Path(name).stem for name in found.train.names} == {str(i) for i in range(4, 12)}


def test_small_images_are_enlarged(backbone):
    with pytest.warns(UserWarning, match="tiny_resnet takes 32 pixels; images of 16x16 pixels are enlarged"):
        transfer(photos(side=16), backbone, strategy="linear", **QUICK)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strategy": "linaer"}, "Did you mean.*linear|linear"),
        (
            {"budget": "ten"},
            "`budget` should be a number of seconds, or a string such as 90s, 10m or 1h. Received: 'ten'",
        ),
        ({"backbones": "resnet20_cifra10"}, "resnet20_cifar10"),
        ({"backbones": ()}, "`backbones` should contain at least one network"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_invalid_arguments(options, words):
    with pytest.raises(ValueError, match=words):
        transfer(photos(), **options)


def test_test_images_are_preprocessed_like_training_images(backbone):
    """Images of another size than the network's, of which `predict` and the taps cut the middle out."""
    found = transfer(photos(60, side=48), backbone, strategy="linear", **QUICK)
    cut = classifier(backbone).preprocessing
    assert cut.resize > min(cut.size)
    pixels = found.data.test.array(cut)
    expected = found.model.predict(pixels, verbose=0)
    np.testing.assert_allclose(found.evaluation.probs, expected, atol=1e-5)


def test_output_folder_cannot_be_created(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        transfer(photos(), out=tmp_path / "file" / "run")


def refuse(*given, **how):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.usefixtures("here")
def test_full_temporary_disk_leaves_linear_classifiers(backbone, monkeypatch):
    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", refuse)
    said = []
    listen = lambda done, budget, what: said.append(what)  # noqa: E731
    found = transfer(photos(30), backbone, strategy="layers", on_progress=listen, **QUICK)
    assert all("no disk space for the images" in each.failed for each in found.trial_results)
    assert any("No space left on device" in line for line in said)
    assert not found.chosen.trial
    assert found.evaluation is not None


def test_full_disk_at_the_first_classifier(backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "write_atomically", refuse)
    with pytest.warns(UserWarning, match="cannot save the first classifier: .*No space left"):
        found = transfer(photos(30), backbone, out=tmp_path, strategy="linear", **QUICK)
    assert found.evaluation is not None


def test_unwritable_output_folder(tmp_path, monkeypatch):
    def forbidden(path, *given, **how):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", forbidden)
    with pytest.raises(PermissionError, match="run"):
        transfer(photos(), out=tmp_path / "run")


def test_mismatched_labels(backbone):
    x, y = photos(12)
    with pytest.raises(DataError, match="one label for each of its 12 images"):
        transfer((x, y[:-1]), backbone, **QUICK)


@pytest.mark.nightly
def test_photos_in_folders_and_two_backbones(shared, tmp_path):
    """60 photos of 60 things, sorted by what is measured of them: how bright they are."""
    files = sorted(shared("data", "imagenet_sample").glob("*.jpg"))[:60]
    means = [np.asarray(Image.open(file).convert("L").resize((8, 8))).mean() for file in files]
    for place, i in enumerate(np.argsort(means)):
        write(tmp_path / f"brightness{place // 12}" / files[i].name, files[i].read_bytes())
    backbones = ["resnet20_cifar10", varied()]
    found = transfer(tmp_path, backbones, strategy="linear", **QUICK)
    assert len(found.data.class_names) == 5
    assert {*found.table["backbone"]} == {"resnet20_cifar10", "tiny_resnet"}
    assert found.chosen.accuracy > 0.4  # five classes by chance: 0.2


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), (7, 7), (None, None)])
def test_budgets(text, seconds):
    assert parse_budget(text) == seconds


def candidate(right, macs, **how):
    """A candidate that has those images right."""
    right = np.asarray(right)
    logits = np.stack([right, ~right], axis=1).astype(float)
    return Candidate(
        backbone="net",
        stage=f"stage {macs}",
        macs=macs,
        logits=logits,
        labels=np.zeros(len(right), int),
        held_out=np.arange(len(right)),
        **how,
    )


def test_difference_is_a_paired_interval():
    first, second = candidate(np.arange(100) < 90, 2), candidate(np.arange(100) < 86, 1)
    gaps = np.r_[np.zeros(96), np.ones(4)]  # of these four only does one say more than the other
    assert mean_difference(first, second) == pytest.approx((0.04, gaps.std() / 10))
    other = replace(second, held_out=np.arange(50, 150))
    assert mean_difference(first, other)[0] == pytest.approx(first.correct[50:].mean() - second.correct[:50].mean())


@pytest.mark.parametrize(
    ("cheap_right", "wins"),
    [(np.arange(100) >= 11, "cheap"), (np.arange(100) < 87, "dear")],
    ids=["1 point, error 4.6", "3 points, error 1.7"],
)
def test_cheapest_candidate_within_one_standard_error(cheap_right, wins):
    dear, cheap = candidate(np.arange(100) < 90, 2), candidate(cheap_right, 1)
    assert choose_candidate([dear, cheap]) is {"cheap": cheap, "dear": dear}[wins]
    assert choose_candidate([cheap, dear]) is {"cheap": cheap, "dear": dear}[wins]


def test_lower_log_likelihood_is_worse():
    cheap = candidate(np.arange(100) < 90, 1)  # as sure of what it has wrong as of what it has right
    dear = candidate(np.arange(100) < 90, 2)
    dear = replace(dear, logits=np.where(dear.correct[:, None], [[6.0, 0.0]], [[0.0, 0.5]]))
    powers = np.exp(dear.logits / dear.temperature)
    given = powers[:, 0] / powers.sum(axis=1)
    assert dear.log_likelihood == pytest.approx(np.log((100 * given + 0.5) / 101))
    gaps = dear.log_likelihood - cheap.log_likelihood
    assert mean_difference(dear, cheap, "log_likelihood") == pytest.approx((gaps.mean(), gaps.std() / 10))
    assert mean_difference(dear, cheap) == (0, 0)
    assert choose_candidate([dear, cheap]) is dear


def test_few_correct_images_do_not_give_probability_1():
    """Its temperature goes to 0, its probabilities to 1: no evidence against one that judged ten times as many."""
    few = candidate(np.ones(100, bool), 2, trial=Trial("stage2", "", 1e-3, "none", 9))
    assert few.log_likelihood == pytest.approx(np.log(100.5 / 101), abs=1e-4)
    many = candidate(np.arange(1000) >= 4, 1)
    many = replace(many, logits=6 * many.logits, held_out=np.r_[500:1000, 0:500])
    assert choose_candidate([few, many]) is many


def test_ties_select_the_linear_classifier():
    same = np.arange(50) < 40
    point = Trial("stage2", "", 1e-3, "none", 9)
    assert not choose_candidate([candidate(same, 1, trial=point), candidate(same, 5)]).trial


class Images(SimpleNamespace):
    """What planning asks of a table: how many images there are, and stages."""

    def __len__(self):
        return 100


STAGES = Images(stages=("one", "two", "three", "four", "features"))


@pytest.mark.parametrize(
    ("strategy", "amount", "gains", "expected"),
    [
        ("linear", "little", False, 0),
        ("grid", "little", False, 16),
        ("layers", "little", False, 2),
        ("finetune", "little", False, 1),
        ("auto", "little", False, 3),
        ("auto", "little", True, 4),
        ("auto", "much", False, 4),
    ],
)
def test_number_of_planned_trials(strategy, amount, gains, expected):
    advice = SimpleNamespace(amount=amount, finetuning_may_gain=gains, strategies=("layers", "linear", "finetune"))
    points, _ = plan_trials(strategy, advice, STAGES, "two+features")
    assert len({*points}) == len(points) == expected


def test_whole_network_is_always_tried():
    strategies = ("interior", "layers", "linear", "finetune")
    advice = SimpleNamespace(amount="little", finetuning_may_gain=False, strategies=strategies)
    points, _ = plan_trials("auto", advice, STAGES, "two+features")
    assert (points[-1].stage, points[-1].freeze, points[-1].learning_rate) == ("features", "two", 1e-3)


@pytest.mark.parametrize(
    ("rate", "expected"), [(3e-5, [1e-4]), (3e-4, [1e-4, 1e-3]), (1e-3, [3e-4])], ids=lambda value: str(value)
)
def test_neighboring_learning_rates(rate, expected):
    point = Trial("stage2", "", rate, "none", 9)
    assert [each.learning_rate for each in neighboring_trials(point)] == expected
    assert {replace(each, learning_rate=rate) for each in neighboring_trials(point)} == {point}


@pytest.mark.parametrize(
    ("images", "expected"), [(20, (7, 20)), (300, (5, 15)), (1000, (2, 6)), (100_000, (2, 6))], ids=str
)
def test_epochs_by_number_of_images(images, expected):
    assert rung_epochs(images) == expected


def test_freeze_options():
    assert freeze_options(STAGES, "two+features") == {"head": "features", "last": "three", "half": "two", "all": ""}
    assert freeze_options(STAGES, "two") == {"head": "two", "last": "one", "all": ""}
    assert freeze_options(STAGES, "one") == {"head": "one", "all": ""}


def outcome(point):
    """The higher the rate, the lower the loss; a second for each epoch."""
    return TrialResult(trial=point, loss=1 / point.learning_rate, seconds=float(point.epochs))


def test_halving_keeps_the_best():
    points = [Trial("stage", "", rate, "none", 1) for rate in range(1, 10)]
    found = successive_halving(points, outcome, TimeBudget(None), lambda *given: 0.0, (1, 2, 6), ("none", "shift"))
    assert found.ended == "all planned trials finished"
    found = found.results
    rates = {
        epochs: [each.trial.learning_rate for each in found if each.trial.epochs == epochs] for epochs in (1, 2, 6)
    }
    assert rates == {1: [*range(1, 10)], 2: [9, 8, 7], 6: [9, 9]}
    assert [each.trial.augment for each in found][-2:] == ["none", "shift"]


def test_only_the_best_trials_get_neighbors():
    points = [Trial("stage", freeze, 5.0, "none", 1) for freeze in "ab"]
    lower = lambda point: TrialResult(trial=point, loss=1 / point.learning_rate + (point.freeze == "b"), seconds=0.0)  # noqa: E731
    near = lambda point: [replace(point, learning_rate=rate) for rate in (4.0, 6.0)]  # noqa: E731
    found = successive_halving(points, lower, TimeBudget(None), lambda *given: 0.0, (1, 6), neighbors=near).results
    tried = [(each.trial.freeze, each.trial.learning_rate, each.trial.epochs) for each in found]
    assert tried == [("a", 5, 1), ("b", 5, 1), ("a", 4, 1), ("a", 6, 1), ("a", 6, 6), ("a", 5, 6)]


def test_unpromising_trials_end_after_the_first_rung():
    points = [Trial("stage", "", rate, "none", 1) for rate in range(1, 10)]
    asked = []
    no = lambda outcome: asked.append(outcome.trial.learning_rate)  # noqa: E731
    found = successive_halving(points, outcome, TimeBudget(None), lambda *given: 0.0, (1, 2, 6), is_promising=no)
    assert len(found.results) == 9
    assert found.ended == "after 1 epochs no trial beat the best linear classifier in log-likelihood"
    assert asked == [9]  # the best


def test_learning_rates_beyond_the_minimum_are_skipped():
    losses = {1: 3.0, 2: 1.0, 3: 2.0, 4: 0.0}
    points = [Trial("stage", freeze, rate, "none", 1) for freeze in ("a", "b") for rate in losses]

    def attempt(point):
        return TrialResult(trial=point, loss=losses[point.learning_rate] * (1 if point.freeze == "a" else -1))

    rungs = {True: (1, 2, 6), False: (None,)}
    searches = {
        thin: successive_halving(points, attempt, TimeBudget(None), lambda *given: 0.0, rungs[thin]) for thin in rungs
    }
    first = [result.trial for result in searches[True].results if result.trial.epochs == 1]
    tried = [(trial.freeze, trial.learning_rate) for trial in first]
    assert tried == [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2)]
    skipped = {(trial.freeze, trial.learning_rate): reason for trial, reason in searches[True].skipped.items()}
    assert {*skipped} >= {("a", 4), ("b", 3), ("b", 4)}
    assert "already rises" in skipped["a", 4]
    assert len(searches[False].results) == 8


def test_halving_stays_within_the_budget():
    points = [Trial("stage", "", rate, "none", 1) for rate in range(1, 10)]
    clock = TimeBudget(12.0)
    found = successive_halving(points, outcome, clock, lambda point, before: point.epochs, (1, 2, 6))
    assert clock.spent == sum(each.trial.epochs for each in found.results) <= (1 - RESERVE) * 12
    assert len(found.results) == 9  # one for 2 epochs more would not fit
    assert found.ended == "the time left is too short for the remaining trials"
    assert {trial.epochs: reason for trial, reason in found.skipped.items()}[2] == "2 s estimated, 1 s left"


def alone(out):
    """A study for a process of its own."""
    runner.CAN_FORK = False
    told = lambda done, budget, what: print(what, flush=True)  # noqa: E731
    transfer(photos(), varied(), out=out, strategy="finetune", on_progress=told, **QUICK)


@pytest.mark.nightly
def test_resumed_study_equals_an_uninterrupted_one(whole, tmp_path):
    """kill -9 after the second point; and points in processes of their own say what those in this one do."""
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), str(here.parent / "support"), *filter(None, sys.path)])
    words = [sys.executable, "-c", "import sys, test_study as t; t.alone(sys.argv[1])", str(tmp_path)]
    process = subprocess.Popen(words, env=os.environ | {"PYTHONPATH": paths}, stdout=subprocess.PIPE, text=True)
    points = 0
    while points < 2:
        points += "learning rate" in process.stdout.readline()
        assert process.poll() is None
    process.kill()
    process.communicate()
    finished = {path.name: path.read_bytes() for path in (tmp_path / "ledger").glob("point-*.npz")}
    assert len(finished) >= 2
    resumed = transfer(photos(), varied(), out=tmp_path, strategy="finetune", **QUICK)
    assert all((tmp_path / "ledger" / name).read_bytes() == data for name, data in finished.items())
    _, found, _ = whole
    columns = [name for name in found.table.columns if name != "seconds"]
    pd.testing.assert_frame_equal(resumed.table[columns], found.table[columns])
    np.testing.assert_allclose(resumed.trials["loss"], found.trials["loss"], rtol=1e-5)


def test_repr_is_one_line(whole):
    found = whole[1]
    assert repr(found).startswith(f"<Study: {found.data.name}, {len(found.candidates)} candidates, ")
    assert f"test accuracy {found.evaluation.accuracy:.3f}, chosen " in repr(found)
    assert "\n" not in repr(found)


def test_baseline_can_be_selected(whole):
    _, found, _ = whole
    networks = [(found.baseline, found.model)] * 2
    both = study.evaluate_test_once(Store(None), found.data, networks, "both")
    assert both["comparison"].difference.value == 0
    np.testing.assert_array_equal(both["evaluation"].probs, both["baseline_evaluation"].probs)


def test_a_page_has_no_column_without_a_value():
    from kerascnn.transfer_learning.page import without_empty_columns

    nan = float("nan")
    rows = pd.DataFrame({"a": [1.0, nan], "b": [nan, nan], "c": ["", ""], "d": ["", "x"], "e": [False, False]})
    assert [*without_empty_columns(rows)] == ["a", "d", "e"]


@pytest.mark.usefixtures("here")
def test_a_budget_that_is_too_short_is_told(backbone, monkeypatch):
    """What the advice orders is done, or the study says why not, and why it stopped."""
    monkeypatch.setattr(runner, "STARTUP_SECONDS", 400.0)
    found = transfer(photos(30), backbone, strategy="finetune", budget=300, **QUICK)
    outcomes = page.describe_outcomes(found)
    assert [*outcomes] == [*found.advice.strategies]
    assert re.fullmatch(r"\d trials? skipped: 4\d\d s estimated, 2\d\d s left", outcomes["finetune"])
    assert outcomes["layers"] == "not tried: the strategy was finetune"
    assert "of at most 300 s" in page.describe_time(found)
    assert any("A larger budget would allow" in sentence for sentence in page.describe_conclusion(found))
    assert "the time left is too short for the remaining trials" in page.describe_time(found)
    assert not found.trials.size
    assert all(line in str(found) for line in outcomes.values())


def test_outcomes_of_finetuning(whole):
    found = whole[1]
    outcomes = page.describe_outcomes(found)
    assert re.match(r"done: (ridge|mean of \d linear classifiers) on features", outcomes["linear"])
    assert outcomes["layers"] == "not tried: the strategy was finetune"
    trials = len(found.trial_results)
    assert re.match(
        rf"done: {trials} trials, log-likelihood [+-]0\.\d+ ± 0\.\d+ against the best", outcomes["finetune"]
    )


@pytest.mark.parametrize(
    ("chosen", "text"), [(0, "did not pay: worse"), (1, "Fine-tuning paid")], ids=["linear", "tuned"]
)
def test_conclusion(whole, chosen, text):
    """It follows from the evidence: the lead of the trial, the budget that is left, the classes that are worst."""
    found = whole[1]
    right = np.arange(90) % 3 != 0  # every third image is wrong: class 0
    labels = np.arange(90) % 3
    correct, wrong = 5 * np.eye(3)[labels], 5 * np.eye(3)[(labels + 1) % 3]
    linear = replace(candidate(right, 1), labels=labels, logits=np.where(right[:, None], correct, wrong))
    trial = Trial("stage2", "", 1e-3, "none", 9)
    tuned = replace(linear, trial=trial, logits=correct if chosen else wrong)
    metadata = found.metadata | {"strategy": "auto", "budget": 100.0, "spent": 40.0}
    given = {"candidates": (linear, tuned), "chosen": (linear, tuned)[chosen], "skipped": {}, "metadata": metadata}
    first, second = page.describe_conclusion(replace(found, **given))
    assert text in first
    assert "A larger budget would change nothing: 60 of 100 s were left." in first
    assert "class 0 (0.0 %) and class 1 (100.0 %)" in second


def test_trials_that_only_got_worse_are_no_failures(whole):
    """Their best epoch is 0, the linear classifier; they are no candidates."""
    found = whole[1]
    trial = Trial("stage2", "", 1e-3, "none", 9)
    result = TrialResult(trial=trial, accuracy=0.5, loss=1.0, epoch=0, seconds=1.0)
    linear = tuple(each for each in found.candidates if not each.trial)
    given = {"candidates": linear, "chosen": linear[0], "skipped": {}}
    worse = replace(found, trial_results=(result,), **given)
    assert "no epoch was better" in page.describe_conclusion(worse)[0]
    assert page.describe_outcomes(worse)["finetune"].startswith("done: 1 trial, no epoch was better")
    failed = replace(found, trial_results=(TrialResult(trial=trial, failed="out of memory"),), **given)
    assert "Fine-tuning failed" in page.describe_conclusion(failed)[0]


def test_best_truncated_network_is_truncated(whole):
    """A classifier that ends at the last stage is none, though it uses earlier ones."""
    found = whole[1]
    joined = replace(candidate(np.arange(60) < 57, 9), backbone="tiny_resnet", stage="stage1+features", head="ridge")
    last = replace(candidate(np.arange(60) < 40, 9), backbone="tiny_resnet", stage="features", head="ridge")
    early = replace(candidate(np.arange(60) < 50, 6), backbone="tiny_resnet", stage="stage1", head="ridge")
    text = page.describe_earlier_stages(replace(found, candidates=(joined, last, early), chosen=joined))
    assert text == (
        "done: the best of 2 classifiers is ridge on stage1+features (95.0 %), "
        "the best truncated network is ridge on stage1 (83.3 %), with 33 % fewer multiply-adds"
    )
    assert page.describe_earlier_stages(replace(found, candidates=(joined, last))).endswith("no network was truncated")


def test_names_of_trials_differ_in_their_first_words():
    """So that rows of a table do not read the same."""
    settings = {"freeze": ("stage1", "stage2", ""), "learning_rate": (1e-4, 1e-3), "epochs": (7, 20)}
    trials = [Trial("a+b+c+d", freeze, rate, "none", epochs) for freeze, rate, epochs in product(*settings.values())]
    assert len({str(trial)[:48] for trial in trials}) == len(trials)


def test_epochs_and_best_epoch_of_a_candidate():
    trial = Trial("stage2", "", 1e-3, "none", 20)
    row = candidate(np.arange(50) < 40, 1, trial=trial, epoch=3).row
    assert (row["epochs"], row["best_epoch"]) == (20, 3)
    assert {"epochs", "best_epoch"} <= {*study.COLUMNS}


def test_trial_grid_is_in_network_order():
    """The stages of the plot, not the alphabet; settings without a trial say so."""
    from kerascnn.plots.style import new_figure
    from kerascnn.transfer_learning.figures import draw_trial_grid

    axis = new_figure(4, 4).subplots()
    rows = [("stage2", 1e-4, 0.8), ("stage2_block1", 1e-3, 0.7), ("stage10", 1e-4, 0.9), ("", 1e-3, 0.6)]
    points = pd.DataFrame(rows, columns=["freeze", "learning_rate", "accuracy"]).assign(failed="")
    draw_trial_grid(axis, points, ("stage2_block1", "stage2", "stage10"))
    labels = [label.get_text().split("\n")[-1] for label in axis.get_yticklabels()]
    assert labels == ["frozen", "stage2_block1", "stage2", "stage10"]
    assert sorted(text.get_text() for text in axis.texts) == ["60.0", "70.0", "80.0", "90.0", *["not tried"] * 4]


def test_images_that_a_backbone_was_trained_on_are_warned_of(backbone, monkeypatch, rng):
    images = rng.integers(0, 256, (60, 16, 16, 3), np.uint8)
    data = prepare_data(load((images, np.arange(60) % 2), valid=0.1, test=0.2), 0.2, None, 0)
    record = training_images.record_training_images([*data.train.hashes, *data.test.hashes[:3]])
    monkeypatch.setattr(training_images, "training_images_of", lambda model: record)
    with pytest.warns(UserWarning, match="was trained on") as caught:
        warn_of_known_images([backbone], data)
    messages = [str(warning.message).partition(":")[0] for warning in caught]
    total = len(data.train)
    assert messages == [
        f"{backbone.name} was trained on {total} of the {total} training images",
        f"{backbone.name} was trained on 3 of the {len(data.test)} test images",
    ]


def test_classes_with_too_few_images_are_named(rng):
    x, y = rng.integers(0, 256, (33, 8, 8, 3), dtype=np.uint8), np.array([0] * 15 + [1] * 16 + [2] * 2)
    with pytest.warns(UserWarning, match="fewer than 5 images of 2"):
        data = prepare_data((x, y), 0.2, None, 0)
    expected = {"classes with fewer than 5 images": "2", "classes without test images": "2"}
    assert page.describe_small_classes(data) == expected


def test_what_is_wrong_with_the_data_is_told_once(rng):
    """They are loaded again without a test set, as a class has one image; its copy in another class is told once."""
    x, y = rng.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8), np.array([0] * 19 + [1])
    x[18] = x[19]
    with pytest.warns(UserWarning, match="conflicting") as caught, pytest.raises(DataError, match="class 1 with 1"):
        prepare_data((x, y), 0.2, None, 0)
    texts = [str(warning.message) for warning in caught]
    assert len([text for text in texts if "conflicting labels: images/00019" in text]) == 1, texts
    assert any("all images are used for training" in text for text in texts)


def test_the_mean_of_classifiers_is_a_candidate_unless_left_out(backbone, tmp_path):
    found = transfer(photos(90), backbone, strategy="linear", out=tmp_path, **QUICK)
    (mean,) = [each for each in found.candidates if each.members]
    row = found.table.set_index("name").loc[mean.name]
    assert (row["kind"], row["head"]) == ("linear", f"mean of {len(mean.members)} linear classifiers")
    with pytest.MonkeyPatch.context() as patch:  # as if it were the best
        patch.setattr(study, "choose_candidate", lambda candidates: candidates[-1])
        with pytest.warns(UserWarning, match="an earlier choice was already evaluated"):
            chosen = transfer(photos(90), backbone, strategy="linear", out=tmp_path, **QUICK)
    assert chosen.chosen.members
    assert all(member.name.removeprefix("tiny_resnet, ") in str(chosen) for member in chosen.chosen.members)
    again = predict(chosen.model, chosen.data.test.items, class_names=False).probs
    np.testing.assert_allclose(again, chosen.evaluation.probs, atol=1e-5)
    without = transfer(photos(90), backbone, strategy="linear", ensemble=False, **QUICK)
    assert not any(each.members for each in without.candidates)
    assert len(without.candidates) == len(found.candidates) - 1
