"""`kerascnn diagnose`: text, JSON, figures, and errors."""

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

TINY = ["--widths", "2", "--epochs", "1", "--batch-size", "10"]


@pytest.fixture
def data(tmp_path, rng):
    """Twenty small images of two classes in a file."""
    path = tmp_path / "small.npz"
    np.savez(path, x=rng.integers(0, 256, (20, 8, 8, 3), np.uint8), y=np.arange(20) % 2)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A file of a model with a convolution of 5x5 filters and two dead units."""
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 5, activation="relu", name="conv")(layers.Rescaling(1 / 255)(inputs))
    network = keras.Model(inputs, layers.Dense(3, "softmax", name="probs")(layers.GlobalAveragePooling2D()(x)))
    network.get_layer("conv").bias.assign([2, 2, -1e6, 2, 2, -1e6])
    path = tmp_path_factory.mktemp("models") / "dead.keras"
    network.save(path)
    return path


@pytest.fixture
def photos(tmp_path, rng):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(4):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / f"{i}.png")
    return folder


def test_small_weights_as_in_the_lecture(run, document):
    """CS231n 2016, lecture 5: 0.213081, 0.047551, 0.010630 .. of another seed."""
    found = document("diagnose", "init")["result"]
    stds = [row["stddev"] for row in found["layers"]]
    np.testing.assert_allclose(stds[:4], [0.213081, 0.047551, 0.010630, 0.002378], rtol=0.02)
    page = run("diagnose", "init").stdout.split("\n")
    assert page[0] == "10 tanh layers, weights with standard deviation 0.01"
    assert [line.split()[1][:5] for line in page[3:6]] == ["0.214", "0.047", "0.010"]


def test_large_weights_and_cures(document):
    def last(*words):
        return document("diagnose", "init", *words)["result"]["layers"][-1]

    assert last("--stddev", "1")["saturated"] > 0.9
    assert 0.2 < last("--initializer", "xavier")["stddev"] < 0.25
    assert last("--initializer", "xavier", "--activation", "relu")["stddev"] < 0.05
    assert last("--initializer", "he", "--activation", "relu")["stddev"] > 0.5


@pytest.mark.nightly
def test_residual_and_going_on(run, document, fails, data, tmp_path):
    words = ["diagnose", "residual", "--data", data, *TINY, "--out", tmp_path / "out"]
    first = run("-q", *words, "--depths", "8")
    assert (first.exit_code, first.stderr) == (0, "")
    assert first.stdout.splitlines()[2].split()[0] == "8"
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {"plain8.csv", "resnet8.csv", "settings.json", "losses.csv", "losses.png"}
    found = document(*words, "--depths", "8")["result"]["networks"]
    assert [(row["depth"], row["network"]) for row in found] == [(8, "plain"), (8, "resnet")]
    assert f"{found[0]['loss']:.4f}" in first.stdout
    more = run(*words, "--depths", "8,14")
    told = more.stderr.splitlines()
    assert [line.split()[0] for line in told] == ["plain14", "resnet14"]
    assert all("epoch 1 of 1" in line for line in told)
    assert first.stdout.splitlines()[2] == more.stdout.splitlines()[2]
    text = fails(*words, "--depths", "8", "--learning-rate", "0.3", code=2)
    assert "rate 0.1, not 0.3" in text
    assert "another --out" in text


def test_units(run, document, model, photos):
    found = document("diagnose", "units", model, photos)["result"]
    assert found["images"] == 4
    assert not found["good"]
    assert [(row["layer"], row["dead"]) for row in found["layers"]] == [("conv", 2)]
    assert found["filters"]["layer"] == "conv"
    assert any("dead units 33%" in reason for reason in found["reasons"])
    outcome = run("diagnose", "units", model, photos)
    assert "only 4 images" in outcome.stderr
    assert "conv: " in outcome.stdout


def test_gradient(run, document, model):
    found = document("diagnose", "gradient", model, "--samples", "3")["result"]
    assert found["passed"]
    assert found["error"] < 1e-5
    assert [row["layer"] for row in found["layers"]] == ["conv", "probs"]
    assert "gradients right" in run("diagnose", "gradient", model, "--samples", "3").stdout


@pytest.mark.parametrize("what", ["init", "units", "gradient"])
def test_pictures(run, fails, model, photos, tmp_path, what):
    words = {"init": [], "units": [model, photos], "gradient": [model, "--samples", "1"]}[what]
    path = tmp_path / "drawn.png"
    path.write_text("somebody's")
    assert "already exists" in fails("diagnose", what, *words, "--save", path, code=2)
    assert path.read_text() == "somebody's"
    assert run("diagnose", what, *words, "--save", path, "--force").exit_code == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    if what == "units":
        assert run("diagnose", what, *words, "--save", tmp_path / "new.png").exit_code == 0


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ("ini", 2, "Did you mean init"),
        ("init --stddev 0", 2, "not in the range"),
        ("init --save start.gif", 2, "should end in .png"),
        ("units resnet51 photos", 2, "Did you mean resnet50"),
        ("units lenet5", 2, "Missing argument"),
        ("units tiny_resnet photos", 2, "no published weights"),
        ("gradient no/model.keras", 4, "file not found"),
        ("residual", 2, "Missing option"),
        ("residual --data no/where", 4, "--data not found: no/where"),
        ("residual --data no/where --depths 20,33", 2, "6n + 2"),
    ],
)
def test_errors_of_arguments(fails, words, code, text):
    assert text in fails("diagnose", *words.split(), code=code)


def test_group_lists_its_commands(run):
    outcome = run("diagnose")
    assert outcome.exit_code == 0
    assert all(name in outcome.stdout for name in ("init", "units", "gradient", "residual"))
