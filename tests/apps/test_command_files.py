"""Class names from options and files, metadata files, and local weights files."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

import kerascnn
from kerascnn_apps.errors import BadFile
from kerascnn_apps.files import read_metadata, read_names

GIVEN = {
    "words": ("red, green,blue", None),
    "lines": ("names.txt", "red\ngreen\n\nblue\n"),
    "windows": ("names.csv", "\ufeffred\r\ngreen\r\nblue"),
    "json": ("labels.json", '["red", "green", "blue"]'),
    "no suffix": ("names", "red\ngreen\nblue"),
}


@pytest.mark.parametrize("case", GIVEN)
def test_names(case, monkeypatch, tmp_path):
    """The same three, however they are given; `kerascnn transfer` writes them as JSON."""
    monkeypatch.chdir(tmp_path)
    given, text = GIVEN[case]
    if text is not None:
        (tmp_path / given).write_text(text, encoding="utf-8")
    assert read_names(given) == ["red", "green", "blue"]


WRONG = {
    "none.txt": (None, "cannot read"),
    "a.json": ('{"0": "red"}', "should be a list of names"),
    "b.json": ("[1", "should be a JSON file"),
    "c.json": ('["red", ""]', "should be a list of names"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_names(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    text, said = WRONG[name]
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(BadFile, match=said):
        read_names(name)


def test_metadata(tmp_path):
    (tmp_path / "facts.json").write_text('{"data": "three colors"}')
    assert read_metadata(str(tmp_path / "facts.json")) == {"data": "three colors"}


NETWORK = "squeezenet1_1"
MISSING = {  # what is missing: a command line
    "none.pth": [
        f"predict {NETWORK}=none.pth photo.png",
        f"predict {NETWORK} photo.png --weights none.pth",
        f"see saliency {NETWORK}=none.pth photo.png",
        f"see saliency {NETWORK} photo.png --weights none.pth",
        f"evaluate {NETWORK}=none.pth photos",
        f"evaluate {NETWORK} photos --weights none.pth",
        f"evaluate resnet20 photos --against {NETWORK}=none.pth",
        f"export {NETWORK}=none.pth out",
        f"export {NETWORK} out --weights none.pth",
        f"report {NETWORK}=none.pth -o out.html",
        f"report {NETWORK} -o out.html --weights none.pth",
        f"transfer photos --models resnet20,{NETWORK}=none.pth",
        f"transfer photos --models {NETWORK} --weights none.pth",
        f"train {NETWORK} --data photos --weights none.pth",
    ],
    "none.keras": [
        "predict none.keras photo.png",
        "see saliency none.keras photo.png",
        "evaluate none.keras photos",
        "export none.keras out",
        "report none.keras -o out.html",
        "transfer photos --models none.keras",
    ],
    "none.txt": [
        "predict resnet20 photo.png --class-names none.txt",
        "see saliency resnet20 photo.png --class-names none.txt",
        "evaluate resnet20 photos --class-names none.txt",
        "export resnet20 out --class-names none.txt",
        "report resnet20 -o out.html --class-names none.txt",
    ],
    "nophotos": ["transfer nophotos", "evaluate resnet20 nophotos", "report resnet20 -o out.html --data nophotos"],
    "none.zip": ["transfer none.zip", "transfer photos --test-data none.zip", "evaluate resnet20 none.zip"],
}
RUN_ALL = """
import json, sys
from click.testing import CliRunner
from kerascnn_apps.main import main
for line in json.load(sys.stdin):
    outcome = CliRunner().invoke(main, line.split())
    print(json.dumps([line, outcome.exit_code, outcome.stderr, "tensorflow" in sys.modules]))
"""


def test_a_missing_file_is_named_before_tensorflow_loads(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    (tmp_path / "photos").mkdir()
    lines = [line for several in MISSING.values() for line in several]
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL],
        input=json.dumps(lines),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    outcomes = {line: rest for line, *rest in map(json.loads, done.stdout.splitlines())}
    for name, several in MISSING.items():
        for line in several:
            code, said, loaded = outcomes[line]
            assert (code, name in said.splitlines()[0], loaded) == (4, True, False), (line, said)


def test_a_network_with_a_weights_file(document, fails, tmp_path):
    """NAME=FILE is NAME --weights FILE, and gives what the network gives that the file was saved from."""
    keras.utils.set_random_seed(3)
    network = kerascnn.build_model(NETWORK)
    file, photo = tmp_path / "mine.safetensors", tmp_path / "photo.png"
    kerascnn.save_weights(network, file)
    pixels = np.random.default_rng(0).integers(0, 256, (227, 227, 3), np.uint8)
    Image.fromarray(pixels).save(photo)
    short, long = (
        document("predict", *words, photo, "--top", 1)["result"]["images"][0]["top"][0]
        for words in ((f"{NETWORK}={file}",), (NETWORK, "--weights", file))
    )
    probs = kerascnn.predict(network, photo).probs[0]
    assert short == long
    assert (short["class"], short["probability"]) == (probs.argmax(), pytest.approx(probs.max(), rel=1e-4))
    assert "given twice" in fails("predict", f"{NETWORK}={file}", photo, "--weights", file, code=2)
    assert "squeezenet1_1" in fails("predict", f"squeezenet1_2={file}", photo, code=2)
    said = fails("transfer", tmp_path, "--models", f"resnet20,{NETWORK}", "--weights", file, code=2)
    assert f"--models resnet20={file},{NETWORK}={file}" in said


def test_offline_the_whole_address_is_named(fails, monkeypatch, tmp_path):
    monkeypatch.setenv("KERASCNN_OFFLINE", "1")
    monkeypatch.setenv("KERASCNN_HOME", str(tmp_path))
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    address = "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth"
    said = fails("predict", NETWORK, tmp_path / "photo.png", code=1).splitlines()[1]
    assert said == f"try:   download {address} on another computer, then write {NETWORK}=FILE in place of {NETWORK}"
