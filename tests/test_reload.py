"""A saved model in a fresh process, and what importing kerascnn costs."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from networks import CUSTOM

from kerascnn import build_model

LOAD = """
import sys, numpy as np
{first}
model = keras.saving.load_model(sys.argv[1])
np.save(sys.argv[3], model(np.load(sys.argv[2])))
"""
ORDERS = {
    "kerascnn-first": "import kerascnn; import keras",
    "keras-first": "import keras; import kerascnn",
    "weights-first": "from kerascnn import load_weights; import keras",
}


def run(*arguments):
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """One model with every custom layer in a file, images, and what it says of them."""
    folder, rng = tmp_path_factory.mktemp("saved"), np.random.default_rng(0)
    inputs = keras.Input((32, 32, 3))
    outputs = [build_model(name)(inputs) for name in CUSTOM]
    model = keras.Model(inputs, keras.layers.Average()(outputs))
    x = rng.uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    model.save(folder / "all.keras")
    np.save(folder / "x.npy", x)
    return folder, np.array(model(x))


@pytest.mark.nightly
@pytest.mark.parametrize("order", ORDERS)
def test_importing_kerascnn_is_enough_to_load_a_model(order, saved, tmp_path):
    """Whichever import comes first."""
    folder, answer = saved
    done = run("-c", LOAD.format(first=ORDERS[order]), folder / "all.keras", folder / "x.npy", tmp_path / "y.npy")
    assert done.returncode == 0, done.stderr[-2000:]
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), answer)


def test_importing_kerascnn_imports_nothing_heavy():
    done = run("-c", "import kerascnn, sys; print([m for m in ('keras', 'tensorflow', 'numpy') if m in sys.modules])")
    assert done.stdout.strip() == "[]"
