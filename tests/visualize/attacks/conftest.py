import numpy as np
import pytest
from attacked import SIZE


@pytest.fixture
def pixels(rng):
    return rng.uniform(60, 190, (5, *SIZE)).astype(np.float32)
