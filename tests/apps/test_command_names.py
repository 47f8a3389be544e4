"""File names that are not UTF-8: every command finishes, and its files can be read."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from kerascnn.support.files import escape_surrogates

ODD = os.fsdecode(b"caf\xe9")
SHOWN = "caf\\udce9"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes of photos, one bright on the left; one class and its files have names that are not UTF-8."""
    folder = tmp_path_factory.mktemp("odd") / os.fsdecode(b"data\xff")
    rng = np.random.default_rng(0)
    for kind, columns in ((ODD, slice(0, 8)), ("plain", slice(8, 16))):
        try:
            (folder / kind).mkdir(parents=True)
        except OSError:
            pytest.skip("this file system takes only names in UTF-8")
        for i in range(20):
            pixels = rng.integers(0, 120, (16, 16, 3), dtype=np.uint8)
            pixels[:, columns] += 100
            Image.fromarray(pixels).save(folder / kind / f"{kind}{i:02}.png")
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A file of a small network for two classes, with a convolution to look at."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(4, 3, activation="relu", padding="same", name="stage1")(x)
    x = layers.Conv2D(8, 3, activation="relu", padding="same", strides=2, name="stage2")(x)
    x = layers.Dense(2, name="logits")(layers.GlobalAveragePooling2D(name="features")(x))
    path = tmp_path_factory.mktemp("networks") / "small.keras"
    keras.Model(inputs, layers.Softmax(name="probs")(x), name="small").save(path)
    return path


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    from kerascnn.transfer_learning import runner

    monkeypatch.setattr(runner, "CAN_FORK", False)
    monkeypatch.setenv("KERASCNN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def texts_in(folder):
    """The text files below a folder, each read as strictly as others read it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".json", ".csv", ".txt", ".html") and "home" not in path.parts:
            found[path.name] = path.read_bytes().decode("utf-8")
            if path.suffix == ".json":
                json.dumps(json.loads(found[path.name]), ensure_ascii=False).encode("utf-8")
    return found


COMMANDS = {
    "predict": ("predict NETWORK CLASS --save answers.csv", ("answers.csv",)),
    "evaluate": ("evaluate NETWORK DATA --class-names CLASS,plain --save out", ("images.csv", "per_class.csv")),
    "evaluate json": ("evaluate NETWORK DATA --class-names CLASS,plain --save out.json", ("out.json",)),
    "evaluate csv": ("evaluate NETWORK DATA --class-names CLASS,plain --save out.csv", ("out.csv",)),
    "evaluate png": ("evaluate NETWORK DATA --class-names CLASS,plain --save out.png", ()),
    "data check csv": ("data check DATA --save found.csv", ("found.csv",)),
    "data check json": ("data check DATA --save found.json", ("found.json",)),
    "see": ("see grad_cam NETWORK PHOTO --out map.png --values map.npz", ()),
    "see maps": ("see activation_maps NETWORK PHOTO --layer stage1 --out maps.png", ()),
    "diagnose": ("diagnose units NETWORK CLASS --save units.png", ()),
    "report": (
        "report NETWORK -o page.html --data DATA --images PHOTO --class-names CLASS,plain --quick",
        ("page.html",),
    ),
    "transfer": ("transfer DATA --models NETWORK --out run --strategy linear", ("labels.json", "report.html")),
    "train": ("train tiny_resnet --data DATA --epochs 1 --size 16 --out run", ()),
    "export": ("export NETWORK out --class-names CLASS,plain --sample PHOTO --no-verify", ("labels.json",)),
}


def run_all(run, photos, network, line, *more):
    given = {"NETWORK": str(network), "DATA": str(photos), "CLASS": str(photos / ODD)}
    given |= {"PHOTO": str(photos / ODD / f"{ODD}00.png"), "CLASS,plain": f"{SHOWN},plain"}
    return run(*(given.get(word, word) for word in line.split()), *more)


@pytest.mark.parametrize("case", COMMANDS)
@pytest.mark.parametrize("more", [(), ("--json",)], ids=["text", "json"])
def test_a_name_that_is_not_utf8(case, more, run, photos, network, here):
    line, holding = COMMANDS[case]
    (photos / ODD / f"{ODD}99.png").write_bytes(b"")  # a name among those that cannot be read
    outcome = run_all(run, photos, network, line, *more)
    assert outcome.exit_code in (0, 5) or (case.startswith("data") and outcome.exit_code == 4), outcome.stderr
    written = texts_in(here)
    for name in holding:
        assert SHOWN in written[name].replace("\\\\", "\\"), (name, written[name][:300])
    if more:
        json.dumps(json.loads(outcome.stdout), ensure_ascii=False).encode("utf-8")


def test_displayable():
    assert escape_surrogates(ODD) == SHOWN
    assert escape_surrogates("café.png") == "café.png"
    assert escape_surrogates({ODD: [ODD, 1, None, (ODD,)]}) == {SHOWN: [SHOWN, 1, None, [SHOWN]]}
