"""Exports tried in fresh processes, and what happens where they say something else than their model."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from networks import CUSTOM
from PIL import Image

import kerascnn
from kerascnn import export
from kerascnn.exporting import ExportError, standalone, verify
from kerascnn.exporting.__main__ import main as check_again
from kerascnn.exporting.export import answers_to_check, decode, encode_samples

samples = import_module("kerascnn.exporting.export")  # of that name the package has a function too

KINDS = CUSTOM  # every layer of ours; models of all other kinds are tried in this process
ALONE = """
import json, runpy, sys
run_checks = runpy.run_path(sys.argv.pop())["run_checks"]
"""
RELOAD = """
import json, keras, sys

def load(folder):
    return keras.saving.load_model(folder + "/model.keras", compile=False)

load(sys.argv.pop())
try:
    load(sys.argv[1])
    said = "loaded"
except Exception as error:
    said = str(error).splitlines()[-1]
from kerascnn.exporting.reload import run_checks
"""
ALL = """
rows = [[folder, *row.values()] for folder in sys.argv[1:] for row in run_checks(folder, folder + "/check")]
print(json.dumps([globals().get("said"), rows]))
"""


def fresh(code, *words, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-1]


@pytest.mark.nightly
def test_kinds_of_networks_in_fresh_processes(tmp_path, rng):
    """Bytes in, names out, in one process that has TensorFlow alone and one that has Keras, and later kerascnn.

    A plain network needs Keras alone; one of ours says whose layers it misses, as its card does.
    """
    for name in KINDS:
        model = kerascnn.build_model(name)
        for weight in model.weights:  # batch norm statistics and biases far from 0 and 1
            if len(weight.shape) == 1 and "seed" not in weight.path:
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        export(model, tmp_path / name, verify=False)
    plain = keras.Sequential([keras.Input((8, 8, 3)), layers.GlobalAveragePooling2D()], name="plain")
    export(plain, tmp_path / "plain", formats="keras", verify=False)
    folders = [tmp_path / name for name in KINDS]
    _, rows = json.loads(fresh(ALONE + ALL, *folders, standalone.__file__))
    refused, more = json.loads(fresh(RELOAD + ALL, *folders, tmp_path / "plain"))
    assert "kerascnn" in refused
    rows += more
    assert not [row for row in rows if not row[-1]]
    for name in KINDS:
        words = [what for folder, _, what, *_ in rows if Path(folder).name == name]
        assert {"bytes: predicted class", "images: probabilities", "features: repeated call gives the same result"} <= {
            *words
        }
        assert "photos: repeated call gives the same result" in words


@pytest.mark.nightly
def test_real_weights_on_real_photos(squeezenet, shared, in_process, tmp_path):
    """SqueezeNet at its own size on photos as they were taken, and on what else people upload."""
    folder = tmp_path / "photos"
    folder.mkdir()
    paths = sorted(shared("data", "imagenet_sample").glob("*.jpg"))[:8]
    for path in paths:
        (folder / path.name).symlink_to(path)
    photo, exif = Image.open(paths[0]), Image.Exif()
    exif[0x0112] = 8
    photo.save(folder / "turned.jpg", exif=exif)
    photo.convert("L").save(folder / "gray.jpg")
    photo.convert("CMYK").save(folder / "inks.jpg", quality=95)
    photo.quantize().save(folder / "palette.png")
    photo.resize((99, 70)).save(folder / "tiny.webp", lossless=True)
    names = [f"thing {i}" for i in range(1000)]
    written = export(squeezenet, tmp_path / "out", class_names=names, samples=folder)
    assert all(check.passed for check in written.checks)
    first = next(check for check in written.checks if check.what == "bytes: predicted class")
    assert first.found == "17 of 17 equal"  # the four drawn ones too
    assert json.loads((tmp_path / "out" / "card.json").read_text())["needs"] == {"model.keras": ["kerascnn"]}


def test_correct_exports_pass_in_new_processes(means, tmp_path):
    written = export(means(layers.Softmax()), tmp_path / "out", class_names=["a", "b", "c"], temperature=2)
    assert {check.file for check in written.checks} == {"card.json", "labels.json", "saved_model", "model.keras"}
    assert all(check.passed for check in written.checks)


def test_changed_files_are_detected(means, in_process, tmp_path, capsys):
    """What `python -m kerascnn.exporting` says of a bit that flips."""
    export(means(layers.Softmax()), tmp_path / "out", class_names=["a", "b", "c"], temperature=2)
    names = tmp_path / "out" / "labels.json"
    names.write_text(names.read_text().replace("b", "B"))
    assert check_again([str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "FAIL  card.json: SHA-256 of all files: labels.json" in lines
    assert "FAIL  labels.json: class names: different names or order" in lines
    assert [line for line in lines if not line.startswith("FAIL")] == [x for x in lines if x.startswith("ok    ")]


def test_failed_check_removes_nothing(means, in_process, tmp_path, monkeypatch):
    """Nothing is removed, neither what was written nor the export that was to be replaced."""
    options = {"formats": "saved_model", "class_names": ["a", "b", "c"]}
    export(means(), tmp_path / "out", **options)
    before = (tmp_path / "out" / "card.json").read_bytes()
    right = answers_to_check

    def wrong(*arguments):
        found = right(*arguments)
        return found | {"answers": found["answers"][:, ::-1]}

    monkeypatch.setattr(samples, "answers_to_check", wrong)
    with pytest.raises(ExportError, match="saved_model: bytes: probabilities: ") as caught:
        export(means(), tmp_path / "out", replace=True, **options)
    assert (tmp_path / "out" / "card.json").read_bytes() == before
    assert caught.value.folder != tmp_path / "out"
    assert (caught.value.folder / "saved_model" / "1" / "saved_model.pb").exists()
    assert {check.passed for check in caught.value.checks} == {True, False}
    with pytest.raises(ExportError):
        export(means(), tmp_path / "other", **options)
    assert not (tmp_path / "other").exists()
    assert len([*tmp_path.glob("other.unfinished-*/card.json")]) == 1


def test_active_noise_is_detected(in_process, tmp_path):
    """A layer that draws anew whether it trains or not: such an answer cannot be repeated."""

    class Noise(layers.Layer):
        def call(self, x):
            return x + 50 * tf.random.normal(tf.shape(x))

    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(Noise()(inputs)), name="noisy")
    with pytest.raises(ExportError) as caught:
        export(model, tmp_path / "out", formats="saved_model")
    wrong = [check.what for check in caught.value.checks if not check.passed]
    assert "bytes: repeated call gives the same result" in wrong


def test_replacing(means, in_process, tmp_path):
    options = {"formats": "saved_model", "verify": False}
    export(means(), tmp_path / "out", class_names=["a", "b", "c"], **options)
    with pytest.raises(FileExistsError, match="which exists"):
        export(means(), tmp_path / "out", **options)
    export(means(), tmp_path / "out", class_names=["x", "y", "z"], replace=True, **options)
    assert json.loads((tmp_path / "out" / "labels.json").read_text()) == ["x", "y", "z"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_interrupted(means, tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(samples, "answers_to_check", stop)
    with pytest.raises(KeyboardInterrupt):
        export(means(), tmp_path / "out", formats="keras")
    assert not [*tmp_path.iterdir()]


def test_folder_without_an_export(tmp_path):
    with pytest.raises(ValueError, match="`folder` should be an export written by kerascnn.export"):
        verify(tmp_path)


def test_samples_of_all_kinds(means, tmp_path):
    """What TensorFlow decodes is taken as it is, anything else as the PNG of its pixels."""
    array = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    Image.fromarray(array).save(tmp_path / "a.jpg")
    Image.fromarray(array).save(tmp_path / "b.webp", lossless=True)
    jpeg, webp, gray = encode_samples(means(), [tmp_path / "a.jpg", tmp_path / "b.webp", array[..., :1]]).photos
    assert jpeg == (tmp_path / "a.jpg").read_bytes()
    np.testing.assert_array_equal(decode(webp), array)
    np.testing.assert_array_equal(decode(gray), array[..., :1].repeat(3, -1))


def test_standalone_check_needs_only_tensorflow():
    """What checks for machines without kerascnn imports nothing of it."""
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); print([m for m in sys.modules if m.startswith('kerascnn')])"
    assert fresh(code, standalone.__file__) == "[]"
