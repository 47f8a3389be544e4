"""Seeds, and where the shared photos and figures are."""

import gc
import os
import random
from importlib import import_module
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest

SHARED = Path(os.environ.get("KERASCNN_SHARED", Path(__file__).parents[1] / ".." / "shared"))


@pytest.fixture(scope="session")
def shared():
    """A file or folder of the shared data, or a skip that says what is missing."""

    def find(*parts):
        path = SHARED.joinpath(*parts)
        if not path.exists():
            pytest.skip(f"{'/'.join(parts)} is not in KERASCNN_SHARED")
        return path

    return find


@pytest.fixture(scope="session")
def squeezenet(shared):
    """SqueezeNet 1.1 with torchvision's weights, built once for all tests, none of which changes it."""
    from kerascnn import build_model

    return build_model("squeezenet1_1", weights=str(shared("weights", "squeezenet1_1_torchvision.safetensors")))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def seeded():
    """Each test starts from the same seed; compiled functions are optimized anew whenever TensorFlow's is set."""
    import keras
    import tensorflow as tf
    from tensorflow.python.eager.context import context

    with pytest.MonkeyPatch.context() as patch:
        if context()._seed == 0 and context()._rng.getstate() == random.Random(0).getstate():  # nothing was drawn
            patch.setattr(tf.random, "set_seed", lambda seed: None)
        keras.utils.set_random_seed(0)


@pytest.fixture(scope="session", autouse=True)
def split_folder(tmp_path_factory):
    """Splits are remembered in a folder of this session, not in that of the user who runs the tests."""
    module = import_module("kerascnn.data.load")
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("splits")
        patch.setattr(module, "SPLITS", folder)  # a whole path, so that what is before it has no effect
        yield folder


@pytest.fixture(scope="session", autouse=True)
def frozen():
    """Objects of imported modules, which no collection needs to visit."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def forgotten():
    """For tests of large networks: leave nothing behind. (Keras' clear_session can abort TensorFlow while it works.)"""
    yield
    gc.collect()


@pytest.fixture
def in_process(monkeypatch):
    """The checks of an export in this process, not in fresh ones, for tests of what follows from them."""
    from kerascnn.exporting import reload, standalone
    from kerascnn.exporting.verify import Check

    verification = import_module("kerascnn.exporting.verify")

    def finished(file, folders):
        rows = (reload if file == "model.keras" else standalone).run_checks(*folders)
        return [Check(**row) for row in rows if row["what"] != "works without kerascnn"]

    class Folders(tuple):
        def kill(self):
            pass

    monkeypatch.setattr(verification, "start_process", lambda words: Folders(map(str, words[-2:])))
    monkeypatch.setattr(verification, "read_report", finished)
