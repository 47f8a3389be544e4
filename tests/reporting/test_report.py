"""The engine of a report: what fails is boxed, what is interrupted goes on, numbers are the same in page and twin."""

import json
import re
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

import kerascnn
from kerascnn import build_model
from kerascnn.evaluation.evaluate import from_probabilities
from kerascnn.reporting import Section, context, paragraph
from kerascnn.reporting.context import Skipped
from kerascnn.reporting.sections import SECTIONS
from kerascnn.reporting.sections.errors import untested_classes
from kerascnn.visualize import lens

making = import_module("kerascnn.reporting.report")  # of that name the package has a function too

OWN = ("cards", "anatomy", "filters", "health", "appendix")  # that need seconds only
HOSTILE = "<script>alert('cat')</script>"


@pytest.fixture
def planned(monkeypatch):
    """Sections of a test's own in place of the package's: {name: function}."""

    def plan(**functions):
        rows = {
            name: SimpleNamespace(
                title=name.title(), needs="luck", seconds=(1, 1, 1), runs_network=True, load=lambda made=function: made
            )
            for name, function in functions.items()
        }
        monkeypatch.setattr(making, "SECTIONS", rows)

    return plan


def fine(about):
    return Section("Fine", (paragraph(f"seed {about.seed}"),), {"seed": about.seed})


def broken(about):
    raise RuntimeError("the map is <empty>")


def lacking(about):
    raise Skipped("no photos: --images")


def stopped(about):
    raise KeyboardInterrupt


def test_failed_section_does_not_stop_the_others(planned, model):
    planned(first=fine, second=broken, third=lacking, fourth=lambda about: None, fifth=fine)
    report = kerascnn.report(model)
    assert report.sections_in("finished").keys() == {"first", "fifth"}
    assert report.sections_in("failed") == {"second": "RuntimeError: the map is <empty>"}
    assert report.sections_in("skipped") == {"third": "no photos: --images", "fourth": "needs luck"}
    assert not report.is_complete
    text = report.to_html()
    assert "Failed: RuntimeError: the map is &lt;empty&gt;" in text
    assert "test_report.py" in text
    assert "Skipped: no photos: --images" in text
    assert str(report).endswith("2 finished, 2 skipped, 1 failed")


def test_plain_text_blocks_are_rejected(planned, model):
    planned(first=lambda about: Section("First", ("text",)))
    assert "blocks" in kerascnn.report(model).sections_in("failed")["first"]


def test_interrupted_report_is_saved_and_resumed(planned, model):
    ran = []

    def counted(about):
        ran.append("counted")
        return fine(about)

    appendix = SECTIONS["appendix"].load()
    planned(one=counted, two=stopped, three=fine, appendix=appendix)
    report = kerascnn.report(model, seed=11)
    assert report.sections_in("interrupted").keys() == {"two", "three"}
    assert "Not computed: interrupted" in report.to_html()
    assert report.sections_in("finished").keys() == {"one", "appendix"}
    planned(one=counted, two=fine, three=fine, appendix=appendix)
    again = kerascnn.report(model, seed=11)
    assert again.is_complete
    assert again.metadata["reused"] == ["one"]
    assert ran == ["counted"]
    assert again.results["one"] == report.results["one"]
    planned(one=stopped, two=stopped, three=fine, appendix=appendix)
    stopped_again = kerascnn.report(model, seed=11)
    assert stopped_again.sections_in("interrupted").keys() == {"one", "two"}
    assert stopped_again.metadata["reused"] == ["three"]  # what was done before needs no time


def test_sections_are_recomputed_after_a_change(planned, model):
    ran = []

    def counted(about):
        ran.append(about.seed)
        return fine(about)

    planned(one=counted)
    images = np.zeros((2, 20, 24, 3), np.float32)
    kerascnn.report(model, seed=21)
    kerascnn.report(model, seed=21)
    assert len(ran) == 1
    for changed in ({"seed": 22}, {"effort": "full"}, {"layers": ["conv1"]}, {"images": images}):
        kerascnn.report(model, **{"seed": 21} | changed)
    assert len(ran) == 5
    kerascnn.report(model, images=images, seed=21, preprocess=lambda pixels: pixels / 255)
    assert len(ran) == 6
    kerascnn.report(model, images=images, seed=21, preprocess=lambda pixels: pixels / 255)
    assert len(ran) == 6
    kernel = model.get_layer("conv2").kernel
    before = kernel.numpy()
    kernel.assign(before + 1)
    kerascnn.report(model, seed=21)
    kernel.assign(before)
    kerascnn.report(model, seed=21)
    assert len(ran) == 7


def test_code_hash_covers_code_template_and_style():
    hashed = {path.name for path in context.code_files()}
    assert {"page.py", "health.py", "page.html.jinja", "style.css", "primitives.py"} <= hashed
    package = Path(context.__file__).parent
    assert {path.name for path in package.rglob("*.*") if path.suffix != ".pyc"} <= hashed


def test_progress_is_monotonic(planned, model):
    def slowly(about):
        about.on_progress(1, 2, "half")
        return fine(about)

    planned(one=slowly, two=slowly, three=broken)
    heard = []
    kerascnn.report(model, seed=31, on_progress=lambda *said: heard.append(said))
    shares = [round(done / total, 9) for done, total, _ in heard]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert "One: half" in [title for _, _, title in heard]
    assert all(done <= total for done, total, _ in heard)


@pytest.fixture(scope="module")
def report(model, data):
    return kerascnn.report(model, data, effort="quick", only=OWN, class_names=["a", "b", HOSTILE, "d"])


def test_json_is_the_same_in_every_run(report, model, data, home, monkeypatch, tmp_path):
    monkeypatch.setenv("KERASCNN_HOME", str(tmp_path))  # so that nothing is reused
    again = kerascnn.report(model, data, effort="quick", only=OWN, class_names=["a", "b", HOSTILE, "d"])
    assert again.metadata["reused"] == []
    first, second = (json.loads(each.to_json()) for each in (report, again))
    first.pop("meta")
    second.pop("meta")
    assert first == second
    assert [*first] == sorted(first)


def test_page_json_and_evaluation_agree(report, model, data, tmp_path):
    page, twin = report.save(tmp_path / "new" / "x.html")
    document = json.loads(twin.read_text())
    assert document["schema_version"] == 1
    assert document["meta"]["versions"]["kerascnn"] == kerascnn.__version__
    text = page.read_text()
    inside = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)[1]
    assert json.loads(inside) == document
    right = np.argmax(model.predict(data[0].astype(np.float32), verbose=0), -1) == data[1]
    found = document["results"]["cards"]
    assert found["accuracy"] == pytest.approx(right.mean(), rel=1e-5)
    assert found["judged"] == 48
    assert f"<b>{100 * right.mean():.1f} %</b>" in text
    assert all(title in text for title in ("Accuracy", "Calibration error", "Dead units"))
    assert found["parameters"] == model.count_params() == document["results"]["anatomy"]["totals"]["params"]
    assert f"{model.count_params():,} parameters" in text


def test_names_are_escaped(report, model, data):
    text = report.to_html()
    assert HOSTILE not in text
    assert "<script>" not in text
    renamed = keras.Model(model.inputs, model.outputs, name="<img src=x onerror=alert(1)>")
    assert "<img src=x" not in kerascnn.report(renamed, only=["anatomy", "appendix"]).to_html()


def test_report_contains_its_provenance(report, model):
    meta = report.metadata
    assert meta["model"]["name"] == "small"
    assert len(meta["model"]["hash"]) == 32
    assert meta["data"]["images"] == {"judged": 48, "statistics": 48}
    assert meta["layers"] == ["conv1", "conv2"]
    assert meta["seconds"].keys() == {*OWN}
    assert all(each in report.to_html() for each in (meta["model"]["hash"], meta["data"]["hash"], meta["date"]))


def test_pictures_are_drawn_of_the_photos(planned, model, data):
    seen = []

    def look(about):
        seen.append(about)
        return fine(about)

    planned(one=look)
    photo = np.full((20, 24, 3), 7, np.uint8)
    kerascnn.report(model, data, images=[photo], effort="quick")
    (about,) = seen
    assert (about.samples == 7).all()
    assert about.sample_labels is None
    assert about.pool.shape == (48, 20, 24, 3)
    planned(two=look)
    kerascnn.report(model, data, effort="quick")
    np.testing.assert_array_equal(sorted(seen[-1].sample_labels), [0, 1, 2, 3])  # one of each class


def test_unlabeled_photos_alone(planned, model):
    seen = []
    planned(one=lambda about: seen.append(about))
    kerascnn.report(model, images=np.zeros((9, 20, 24, 3), np.uint8), effort="quick")
    assert [len(seen[0].samples), len(seen[0].pool), seen[0].data] == [4, 9, None]
    with pytest.raises(Skipped, match="--data"):
        _ = seen[0].evaluation


def test_several_inputs_are_given_by_name():
    """Sections about photos are made with the other inputs beside them; those that make images are skipped."""
    photo, position = keras.Input((12, 12, 3), name="photo"), keras.Input((2,), name="position")
    x = layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 255)(photo))
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), position])
    model = keras.Model([position, photo], layers.Dense(3, activation="softmax")(x), name="located")
    rng = np.random.default_rng(0)
    data = kerascnn.load((rng.integers(0, 256, (12, 12, 12, 3), np.uint8), np.arange(12) % 3), valid=0, test=0).train
    inputs = {"photo": data, "position": rng.normal(size=(12, 2)).astype(np.float32) * 9}
    report = kerascnn.report(model, inputs, effort="quick")
    assert report.sections_in("failed") == {}
    made = report.sections_in("finished").keys()
    assert {"explanations", "errors", "fooling", "units", "inversion"} <= made
    assert {*report.sections_in("skipped")} == {"classes", "health", "transfer"}
    expected = kerascnn.evaluate(model, inputs, verbose=0)
    assert report.results["errors"]["nll"][0] == pytest.approx(expected.intervals["nll"].value, rel=1e-4)
    assert len(report.results["explanations"]["samples"]) == 4


def test_several_inputs_skip_sections_that_need_images():
    a, b = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    x = layers.Flatten()(layers.Conv2D(2, 3)(layers.Add()([a, b])))
    report = kerascnn.report(keras.Model([a, b], layers.Dense(2)(x), name="two"))
    assert report.sections_in("failed") == {}
    assert {"anatomy", "filters", "cards", "appendix"} <= report.sections_in("finished").keys()
    assert "several inputs" in report.sections_in("skipped")["explanations"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"only": ["helth"]}, "Did you mean health"),
        ({"only": "helth"}, "Unknown section 'helth'. Did you mean health"),
        ({"skip": ["appendx"]}, "Did you mean appendix"),
        ({"effort": "fast"}, "effort"),
        ({"layers": ["conv3"]}, "conv"),
        ({"class_names": ["a", "b"]}, "4 classes"),
    ],
    ids=str,
)
def test_invalid_arguments(model, options, text):
    with pytest.raises(ValueError, match=text):
        kerascnn.report(model, **options)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet20_cifar10", ("stage1", "stage2", "stage3")),
        ("vgg16", ("stage1_conv2_relu", "stage2_conv2_relu", "stage3_conv3_relu", "stage4_conv3_relu",
                   "stage5_conv3_relu")),
    ],
)  # fmt: skip
def test_one_layer_per_stage(name, expected):
    model = kerascnn.outline(name) if name == "vgg16" else build_model(name)
    assert context.stage_layers(lens(model)) == expected


def test_comparison_of_two_reports(planned, model, tmp_path):
    def made(about):
        return Section("Numbers", (), {"accuracy": 0.5 + about.seed / 10, "rows": [{"name": "a", "n": 3}]})

    planned(numbers=made)
    kerascnn.report(model, seed=1, out=tmp_path / "old.html")
    report = kerascnn.report(model, seed=3, compare=tmp_path / "old.json")
    assert report.results["comparison"] == {"differ": 1, "compared": 2}
    text = report.to_html()
    assert "numbers.accuracy</th>" in text
    assert [f"<td>{number}</td>" in text for number in ("0.8", "0.6", "0.2")] == [True] * 3
    (tmp_path / "bad.json").write_text("[]")
    assert "bad.json" in kerascnn.report(model, compare=tmp_path / "bad.json").sections_in("skipped")["comparison"]


@pytest.fixture
def study(tmp_path):
    """The files of a finished transfer, as `Study.save` writes them."""
    row = {
        "name": "resnet20_cifar10, ridge on stage3",
        "kind": "linear",
        "backbone": "resnet20_cifar10",
        "stage": "stage3",
        "head": "ridge",
        "penalty": 0.1,
    }
    row |= {"freeze": None, "accuracy": 0.9, "low": 0.8, "high": 0.95, "images": 100, "macs": 1, "seconds": 2.0}
    other = row | {
        "name": "resnet20_cifar10, stage1, nothing frozen",
        "kind": "finetuned",
        "stage": "stage1",
        "accuracy": 0.85,
        "low": 0.75,
        "high": 0.9,
    }
    pd.DataFrame([row | {"chosen": True}, other | {"chosen": False}]).to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "points.csv").write_text("\n")
    card = {"data": HOSTILE, "classes": 3, "learned from": 100, "chosen": row, "advice": ["different", "little"]}
    test = {"images": 50, "right": 45, "accuracy": 0.9, "low": 0.79, "high": 0.96}
    gap = {"value": 0.05, "low": 0.01, "high": 0.09, "p": 0.02}
    card |= {"test": test, "test of the usual way": test | {"accuracy": 0.85}, "difference": gap, "spent": 60.0}
    (tmp_path / "study.json").write_text(json.dumps(card))
    return tmp_path


def test_transfer_section_is_read_from_the_study_folder(model, study):
    report = kerascnn.report(model, transfer=study, only=["transfer"])
    assert report.is_complete
    text = report.to_html()
    assert all(
        each in text
        for each in ("90.0 % (79.0 % to 96.0 %)", "+5.0 percentage points (+1.0 to +9.0)", "Different from")
    )
    assert HOSTILE not in text
    assert "Strategies" not in text  # a study of an earlier version
    assert report.results["transfer"]["candidates"] == 2
    card = json.loads((study / "study.json").read_text())
    card |= {"strategies": {"linear": "done: 2 linear classifiers"}, "ended": "all planned trials finished"}
    (study / "study.json").write_text(json.dumps(card))
    rows = pd.read_csv(study / "table.csv")
    rows.assign(log_likelihood=-0.25, log_likelihood_lead=-0.125, log_likelihood_error=0.5).to_csv(study / "table.csv")
    text = kerascnn.report(model, transfer=study, only=["transfer"]).to_html()
    words = (
        "done: 2 linear classifiers",
        "fine-tuning ended: all planned trials finished",
        "-0.125",
        "± standard error",
    )
    assert [each for each in words if each not in text] == []
    assert (
        "folder of a finished study"
        in kerascnn.report(model, transfer=study / "no", only=["transfer"]).sections_in("skipped")["transfer"]
    )
    (study / "study.json").unlink()
    assert (
        "folder of a finished study"
        in kerascnn.report(model, transfer=study, only=["transfer"]).sections_in("skipped")["transfer"]
    )


def test_classes_of_a_study_without_test_images_are_named(model, study):
    card = json.loads((study / "study.json").read_text())
    (study / "study.json").write_text(
        json.dumps(card | {"small_classes": ["rare"], "untested_classes": ["rare", "odd"]})
    )
    text = " ".join(re.sub("<[^>]*>", " ", kerascnn.report(model, transfer=study, only=["transfer"]).to_html()).split())
    assert "fewer than 5 images rare no test images rare, odd" in text


def test_classes_without_images_are_named_unless_they_are_most():
    probs, labels = np.full((4, 3), 1 / 3), [0, 1, 1, 0]
    assert [*untested_classes(from_probabilities(probs, labels, ["cat", "dog", "fish"]))] == ["fish"]
    assert [*untested_classes(from_probabilities(probs, [0, 1, 2, 2], ["cat", "dog", "fish"]))] == []
    assert [*untested_classes(from_probabilities(np.full((4, 10), 0.1), labels))] == []


def test_model_by_name_or_file(model, tmp_path):
    model.save(tmp_path / "small.keras")
    assert kerascnn.report(tmp_path / "small.keras", only=["anatomy"]).title == "Report on small"
    found = kerascnn.report("resnet20", only=["appendix"])
    assert found.metadata["model"]["weights"].startswith("kerascnn/")
    with pytest.raises(ValueError, match="resnet20"):
        kerascnn.report("resnet21_cifar10")


def test_stored_sections_can_be_cleared(planned, model):
    from kerascnn.support.store import REPORTS, clear_cached_folders, list_cached_folders

    planned(one=fine)
    kerascnn.report(model, seed=41)
    assert [row.file for row in list_cached_folders(REPORTS, "small-*")]
    assert clear_cached_folders(REPORTS, "small-*")
    assert not list_cached_folders(REPORTS, "small-*")
