"""Keras, loaded without what TensorFlow prints before its own log level counts."""

import logging
import os
import sys
from contextlib import contextmanager, nullcontext

from .errors import Failure
from .options import given
from .output import waiting


def load_keras():
    """Import Keras and its backend; every command that needs them starts here."""
    if "keras" in sys.modules:
        return sys.modules["keras"]
    verbose = given("verbose")
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with waiting("loading Keras ..."), nullcontext() if verbose else hushed():
            import keras

            look_for_devices(keras.config.backend())
            if not verbose:  # one that says so for each of several networks, as if they were one
                logging.getLogger("tensorflow").setLevel(logging.ERROR)
    except Exception as error:
        raise Failure(f"Keras cannot be imported: {error}", "kerascnn doctor") from error
    return keras


def look_for_devices(backend):
    """Have TensorFlow look for accelerators now: where it finds none, their drivers complain."""
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.list_physical_devices()


@contextmanager
def hushed():
    """Keep what anybody writes to file descriptor 2, and show it only if the body fails."""
    import tempfile

    try:
        sys.stderr.flush()
        before = os.dup(2)
    except (OSError, AttributeError):  # there is no stderr
        yield
        return
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except Exception:
            kept.seek(0)
            os.write(before, kept.read())
            raise
        finally:
            os.dup2(before, 2)
            os.close(before)
