"""Drawing networks without memory for their weights."""

from contextlib import contextmanager

import keras
from keras.src.backend.common import global_state

WAITING = "uninitialized_variables"


@contextmanager
def weightless():
    """Variables made here never get memory.

    Keras remembers them as waiting and would allocate them all when it next traces a layer; so they are taken off its
    list, for which there is no public way.
    """
    waiting = list(global_state.get_global_attribute(WAITING) or ())
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(WAITING, waiting)
