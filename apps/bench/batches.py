"""`kerascnn bench batches`: fit on `kerascnn.batches` from JPEG files, compared with an array in memory."""

import tempfile
import time
from pathlib import Path

import numpy as np

from ..output import format_table
from .timing import machine_load

SIDE = 32
ARRAY = "array in memory"
WAYS = {  # name -> augmentation; the last one decodes its files in every epoch
    ARRAY: None,
    "files": "none",
    "files, crop_flip": "crop_flip",
    "files, resized_crop": "resized_crop",
}


def measure_throughput(network, images, batch_size, rounds):
    """Images per second of each input, the median of ``rounds`` epochs that take turns."""
    import keras

    import kerascnn

    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        write_shapes(Path(folder), images)
        data = kerascnn.load(folder, valid=0, test=0)
        files = data.audit.good
        model = kerascnn.build_model(network, classes=len(files.class_names), input_shape=(SIDE, SIDE, 3))
        model.compile("sgd", "sparse_categorical_crossentropy")
        x, y = files.pixels(SIDE).astype(np.float32), files.labels
        seconds = {input_name: [] for input_name in WAYS}
        for epoch in range(-1, rounds):  # the first epoch compiles and reads the files
            for input_name, augment in WAYS.items():
                start = read_clocks()
                if augment is None:
                    model.fit(x, y, batch_size=batch_size, verbose=0)
                else:
                    order = {"shuffle": True, "epoch": epoch + 1}
                    model.fit(
                        kerascnn.batches(files, SIDE, batch_size, augment=augment, **order), shuffle=False, verbose=0
                    )
                if epoch >= 0:
                    seconds[input_name].append(read_clocks() - start)
    rows = [throughput_row(input_name, len(files), seconds[input_name], seconds[ARRAY]) for input_name in WAYS]
    about = {"network": network, "images": len(files), "batch": batch_size, "rounds": rounds}
    return about | machine_load() | {"rows": rows}


def read_clocks():
    """(wall seconds, CPU seconds of this process)."""
    return np.array([time.perf_counter(), time.process_time()])


def throughput_row(input_name, images, seconds, array_seconds):
    """The speed of one input and its median ratio to the array, by wall time and by CPU time.

    CPU time is disturbed less by other work on the machine.
    """
    ratio, cpu = np.median(np.array(array_seconds) / np.array(seconds), axis=0).round(3).tolist()
    speed = images / float(np.median(seconds, axis=0)[0])
    return {"way": input_name, "images_per_second": round(speed, 1), "ratio": ratio, "cpu_ratio": cpu}


def write_shapes(folder, count):
    """Write ``count`` JPEG files of shapes, one folder per class."""
    from PIL import Image

    from kerascnn.data.sources import SHAPES, shapes

    dataset = shapes(-(-count // len(SHAPES)))
    for i, (image, entry) in enumerate(zip(dataset.pixels[:count], dataset.entries[:count], strict=True)):
        path = folder / entry.label / f"{i:05}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path, quality=95)


def throughput_lines(result):
    """The speed of each input, also relative to the array."""
    yield (
        f"{result['network']}, {result['images']:,} JPEG files of {SIDE}x{SIDE}, batches of {result['batch']}, "
        f"{result['rounds']} epochs of each in turn; {result['cores']} cores, load {result['load']}"
    )
    yield ""
    rows = [
        [row["way"], f"{row['images_per_second']:,.0f}", f"{row['ratio']:.2f}", f"{row['cpu_ratio']:.2f}"]
        for row in result["rows"]
    ]
    yield from format_table(["fit on", "images/s", "relative to the array", "by CPU time"], rows, words=["fit on"])
