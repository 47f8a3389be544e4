"""Transfer learning as the Keras guide teaches it, as a grid; `kerascnn bench transfer` compares with it.

Every point is a new model: augmentation layers, the backbone called with training=False, global average pooling,
dropout, a randomly initialized dense layer, Adam. All layers run in each epoch. Pixels are decoded and resized
beforehand, and XLA is off, which is faster on a CPU.
"""

import os
import time
from itertools import product
from types import SimpleNamespace

import numpy as np

DEPTHS = ("head", "all", "half", "last")  # what is trainable, named as in `kerascnn.transfer_learning.trials`
RATES = (1e-3, 1e-4, 1e-2, 1e-5)  # the guide has the first and the last
CHANGES = ("none", "flip", "shift")
BATCH, DROPOUT, HELD, SHIFT = 32, 0.2, 0.2, 1 / 8


def clock_seconds():
    """(wall seconds, CPU seconds) of this process and of its finished child processes."""
    return np.array([time.perf_counter(), sum(os.times()[:4])])


def train_guide_grid(backbone, train, test, options, tell):
    """Time and accuracy of each point; without ``full`` only one epoch of each depth and augmentation.

    All learning rates cost the same, so that one epoch stands for all of them. For each depth one point is trained to
    the end to measure the accuracy: with the first learning rate for the head alone, else with the second.
    """
    depths, rates, changes = (
        every[: options[name]]
        for every, name in ((DEPTHS, "depths"), (RATES, "learning_rates"), (CHANGES, "augmentations"))
    )
    rows, best = [], None
    for depth, change, number in product(depths, changes, range(len(rates) if options["full"] else 1)):
        finished = options["full"] or change == CHANGES[0]
        rate = rates[number if options["full"] or depth == "head" else min(1, len(rates) - 1)]
        epochs = options["epochs"] if finished else 1
        model, row = train_guide_point(backbone, depth, rate, change, train, epochs)
        rows.append({"depth": depth, "learning_rate": rate, "augmentation": change, "finished": finished} | row)
        tell(
            f"guide: {depth}, {change}, learning rate {rate:g}, {epochs} epochs: held-out accuracy "
            f"{row['accuracy']:.1%}"
        )
        if finished and (best is None or row["accuracy"] > rows[best[0]]["accuracy"]):
            best = len(rows) - 1, model.predict(test, batch_size=BATCH, verbose=0)
    return {"rows": rows, "best": best[0], "scores": best[1]}


def train_guide_point(backbone, depth, rate, change, train, epochs):
    """(the model; its tracing time, seconds per epoch and held-out accuracy)."""
    import keras

    x, y = train
    held_out = np.arange(len(y)) < HELD * len(y)  # their order is random
    start = clock_seconds()
    keras.utils.set_random_seed(0)
    model = build_guide_model(backbone, depth, change, y.max() + 1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"], jit_compile=False)
    silent = {"batch_size": BATCH, "verbose": 0}
    initial_weights = model.get_weights()
    model.fit(
        x[~held_out][:BATCH], y[~held_out][:BATCH], validation_data=(x[held_out][:BATCH], y[held_out][:BATCH]), **silent
    )
    model.set_weights(initial_weights)
    traced = clock_seconds()
    history = model.fit(
        x[~held_out], y[~held_out], validation_data=(x[held_out], y[held_out]), epochs=epochs, **silent
    ).history
    end = clock_seconds()
    row = {"epochs": epochs, "tracing": (traced - start).tolist(), "seconds": ((end - traced) / epochs).tolist()}
    return model, row | {"accuracy": history["val_accuracy"][-1]}


def build_guide_model(backbone, depth, change, classes):
    """The guide's model on a copy of the backbone in which only ``depth`` is trainable."""
    import keras
    from keras import layers

    from kerascnn.graph.run import ancestors
    from kerascnn.graph.walk import build_graph
    from kerascnn.transfer_learning.taps import stage_nodes
    from kerascnn.transfer_learning.trials import freeze_options

    copy = keras.models.clone_model(backbone)
    copy.set_weights(backbone.get_weights())
    graph = build_graph(copy)
    stages = tuple(stage_nodes(graph))
    freeze = freeze_options(SimpleNamespace(stages=stages), stages[-1]).get(depth, "")
    for node in ancestors(graph.find(freeze)) if freeze else ():
        if node.is_layer:
            node.operation.trainable = False
    for layer in copy.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False  # in Keras 3.15 fit's training=True overrides the False of the guide's call
    base = keras.Model(copy.input, copy.get_layer(stages[-1]).output)
    x = inputs = keras.Input(copy.input_shape[1:])
    if change != "none":
        x = layers.RandomFlip("horizontal")(x)
    if change == "shift":
        x = layers.RandomTranslation(SHIFT, SHIFT)(x)
    x = base(x, training=False)
    x = layers.GlobalAveragePooling2D()(x) if len(x.shape) == 4 else x
    return keras.Model(inputs, layers.Dense(int(classes))(layers.Dropout(DROPOUT)(x)))
