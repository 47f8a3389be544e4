"""Transfer learning as the Keras guide teaches it, point by point of a grid: what `kerascnn bench transfer` is beside.

Every point is a new model: augmentation layers, the backbone called with training=False, means over the places,
dropout, a dense layer that starts at random, Adam. All layers run in each epoch. Pixels are decoded and cut
beforehand, and XLA is off, which on a CPU is faster.
"""

import os
import time
from itertools import product
from types import SimpleNamespace

import numpy as np

DEPTHS = ("head", "all", "half", "last")  # what learns, as `kerascnn.transfer.planning` names it
RATES = (1e-3, 1e-4, 1e-2, 1e-5)  # the first and the last are the guide's
CHANGES = ("none", "flip", "shift")
BATCH, DROPOUT, HELD, SHIFT = 32, 0.2, 0.2, 1 / 8


def spent():
    """(seconds on the wall, seconds of processors): of this process, and of those it started that have ended."""
    return np.array([time.perf_counter(), sum(os.times()[:4])])


def grid(backbone, train, test, options, tell):
    """What each point took and came to; with ``whole`` all of them, else an epoch of each depth and change.

    Rates cost the same, so that epoch stands for all of them. Of each depth one point is learned to the end, to see
    what accuracy this way gets: the first rate for the head alone, else the second.
    """
    depths, rates, changes = (
        every[: options[name]] for every, name in ((DEPTHS, "depths"), (RATES, "rates"), (CHANGES, "augmentations"))
    )
    rows, best = [], None
    for depth, change, number in product(depths, changes, range(len(rates) if options["whole"] else 1)):
        finished = options["whole"] or change == CHANGES[0]
        rate = rates[number if options["whole"] or depth == "head" else min(1, len(rates) - 1)]
        epochs = options["epochs"] if finished else 1
        model, row = point(backbone, depth, rate, change, train, epochs)
        rows.append({"depth": depth, "rate": rate, "augmentation": change, "finished": finished} | row)
        tell(f"guide: {depth}, {change}, rate {rate:g}, epochs {epochs}: {row['accuracy']:.1%} held out")
        if finished and (best is None or row["accuracy"] > rows[best[0]]["accuracy"]):
            best = len(rows) - 1, model.predict(test, batch_size=BATCH, verbose=0)
    return {"rows": rows, "best": best[0], "scores": best[1]}


def point(backbone, depth, rate, change, train, epochs):
    """(the model, its seconds and accuracy on the images held out): to make it and trace a step, and of each epoch."""
    import keras

    x, y = train
    held = np.arange(len(y)) < HELD * len(y)  # their order is random
    began = spent()
    keras.utils.set_random_seed(0)
    model = built(backbone, depth, change, y.max() + 1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"], jit_compile=False)
    how = {"batch_size": BATCH, "verbose": 0}
    first = model.get_weights()
    model.fit(x[~held][:BATCH], y[~held][:BATCH], validation_data=(x[held][:BATCH], y[held][:BATCH]), **how)
    model.set_weights(first)
    ready = spent()
    told = model.fit(x[~held], y[~held], validation_data=(x[held], y[held]), epochs=epochs, **how).history
    done = spent()
    row = {"epochs": epochs, "tracing": (ready - began).tolist(), "seconds": ((done - ready) / epochs).tolist()}
    return model, row | {"accuracy": told["val_accuracy"][-1]}


def built(backbone, depth, change, classes):
    """The guide's model on a copy of the backbone, in which only ``depth`` learns."""
    import keras
    from keras import layers

    from kerascnn.graph.run import before
    from kerascnn.graph.walk import walk
    from kerascnn.transfer_learning.taps import staged
    from kerascnn.transfer_learning.trials import freezes

    copy = keras.models.clone_model(backbone)
    copy.set_weights(backbone.get_weights())
    graph = walk(copy)
    stages = tuple(staged(graph))
    freeze = freezes(SimpleNamespace(stages=stages), stages[-1]).get(depth, "")
    for node in before(graph.find(freeze)) if freeze else ():
        if node.is_layer:
            node.operation.trainable = False
    for layer in copy.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False  # Keras 3.15 hands fit's training=True on, over the False that the guide calls with
    base = keras.Model(copy.input, copy.get_layer(stages[-1]).output)
    x = inputs = keras.Input(copy.input_shape[1:])
    if change != "none":
        x = layers.RandomFlip("horizontal")(x)
    if change == "shift":
        x = layers.RandomTranslation(SHIFT, SHIFT)(x)
    x = base(x, training=False)
    x = layers.GlobalAveragePooling2D()(x) if len(x.shape) == 4 else x
    return keras.Model(inputs, layers.Dense(int(classes))(layers.Dropout(DROPOUT)(x)))
