"""These tests start from a seed but clear no session: they count and draw, and clearing takes longer than most."""

import keras
import pytest


@pytest.fixture(autouse=True)
def fresh():
    keras.utils.set_random_seed(0)
