"""The same weights give the same scores when Keras computes with JAX; runs where jax is installed."""

import gc
import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from networks import ALL, TINY, images, odd, scores, vary

from kerascnn import build_model

pytestmark = pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed")

THERE = """
import gc, json, sys
import numpy as np
import keras
from kerascnn import build_model, features
assert keras.backend.backend() == "jax"
for name, shape in json.load(open(sys.argv[1] + "/shapes.json")).items():
    model = build_model(name, input_shape=tuple(shape), classes=7, weights=f"{sys.argv[1]}/{name}.weights.h5")
    np.save(f"{sys.argv[1]}/{name}.jax.npy", features(model, "logits")(np.load(f"{sys.argv[1]}/{name}.x.npy")))
    gc.collect()
"""


def differences(names, folder, rng):
    """The largest relative difference of the scores, by network."""
    here = {}
    for name in names:
        shape = odd(name)
        model, x = build_model(name, input_shape=shape, classes=7), images(shape, 1)
        vary(model, rng)
        here[name] = scores(model, x)
        model.save_weights(folder / f"{name}.weights.h5")
        np.save(folder / f"{name}.x.npy", x)
        gc.collect()
    (folder / "shapes.json").write_text(json.dumps({name: odd(name) for name in names}))
    # almost all of the time is compiling, an operation and shape at a time
    flags = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    done = subprocess.run([sys.executable, "-c", THERE, str(folder)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    there = {name: np.load(folder / f"{name}.jax.npy") for name in names}
    return {name: float(np.abs(there[name] - here[name]).max() / np.abs(here[name]).max()) for name in names}


@pytest.mark.nightly
@pytest.mark.parametrize("names", [TINY, ALL], ids=["tiny", "all"])
def test_the_same_weights_give_the_same_scores_under_jax(names, tmp_path, rng):
    found = differences(names, tmp_path, rng)
    assert {name: value for name, value in found.items() if not value <= 1e-4} == {}
