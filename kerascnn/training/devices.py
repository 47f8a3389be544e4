"""Where training computes: one device, or all of a kind at once."""

from contextlib import nullcontext

import keras


def strategy():
    """TensorFlow's ``MirroredStrategy`` over the GPUs, else over the logical CPUs, where there are several; or None."""
    if keras.config.backend() != "tensorflow":
        return None
    import tensorflow as tf

    for kind in ("GPU", "CPU"):
        devices = [device.name for device in tf.config.list_logical_devices(kind)]
        if devices:
            return tf.distribute.MirroredStrategy(devices) if len(devices) > 1 else None
    return None


def on(devices):
    """The scope in which a ``strategy`` wants variables made."""
    return devices.scope() if devices else nullcontext()


def compiled_by_xla(devices):
    """Keras' ``jit_compile``: never on a CPU, where XLA made steps of ResNet-20 two to six times slower."""
    if keras.config.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    return "auto" if devices is None and tf.config.list_logical_devices("GPU") else False
