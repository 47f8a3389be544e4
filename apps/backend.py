"""Load Keras without TensorFlow's start-up messages."""

import logging
import os
import sys
from contextlib import contextmanager, nullcontext

from .errors import Failure
from .options import is_flag_set
from .output import waiting


def load_keras():
    """Import Keras and its backend; commands call this before they use Keras."""
    if "keras" in sys.modules:
        return sys.modules["keras"]
    verbose = is_flag_set("verbose")
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with waiting("loading Keras ..."), nullcontext() if verbose else silence_stderr():
            import keras

            look_for_devices(keras.config.backend())
            if not verbose:  # TensorFlow warns of retracing with several networks
                logging.getLogger("tensorflow").setLevel(logging.ERROR)
    except Exception as error:
        raise Failure(f"Keras cannot be imported: {error}", "kerascnn doctor") from error
    return keras


def look_for_devices(backend):
    """Let TensorFlow look for accelerators while its driver messages are silenced."""
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.list_physical_devices()


@contextmanager
def silence_stderr():
    """Capture file descriptor 2 and show what it got only if the body fails."""
    import tempfile

    try:
        sys.stderr.flush()
        original_stderr = os.dup(2)
    except (OSError, AttributeError):  # there is no stderr
        yield
        return
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except Exception:
            captured.seek(0)
            os.write(original_stderr, captured.read())
            raise
        finally:
            os.dup2(original_stderr, 2)
            os.close(original_stderr)
