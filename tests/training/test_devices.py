"""Several devices learn what one does."""

import os
import subprocess
import sys

import learners
import pytest

PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from dataclasses import replace
from learners import QUICK, images, small
from kerascnn import fit
from kerascnn.training import learner
found = []
for device_strategy in (learner.device_strategy, lambda: None):
    learner.device_strategy = device_strategy
    devices = device_strategy()
    print("devices:", devices.num_replicas_in_sync if devices else 1)
    model = small(dropout=0.0)
    model.get_layer("norm").trainable = False  # two halves of a batch have other statistics
    folder = sys.argv[1] + "/" + str(len(found))
    fit(model, (images(), images(8, seed=1)), replace(QUICK, epochs=2), verbose=False, out=folder)
    found.append(model.get_weights())
for two, one in zip(*found, strict=True):
    np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)
"""


@pytest.mark.nightly
def test_two_devices_train_like_one(tmp_path):
    words = [sys.executable, "-c", PROGRAM.format(tests=os.path.dirname(learners.__file__)), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split("\n")[:2] == ["devices: 2", "devices: 1"]
