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
        seconds = {way: [] for way in WAYS}
        for epoch in range(-1, rounds):  # the first epoch compiles and reads the files
            for way, augment in WAYS.items():
                started = read_clocks()
                if augment is None:
                    model.fit(x, y, batch_size=batch_size, verbose=0)
                else:
                    order = {"shuffle": True, "epoch": epoch + 1}
                    model.fit(
                        kerascnn.batches(files, SIDE, batch_size, augment=augment, **order), shuffle=False, verbose=0
                    )
                if epoch >= 0:
                    seconds[way].append(read_clocks() - started)
    rows = [throughput_row(way, len(files), seconds[way], seconds[ARRAY]) for way in WAYS]
    about = {"network": network, "images": len(files), "batch": batch_size, "rounds": rounds}
    return about | machine_load() | {"rows": rows}


def read_clocks():
    """(wall seconds, CPU seconds of this process)."""
    return np.array([time.perf_counter(), time.process_time()])


def throughput_row(way, images, own, base):
    """The speed of one input and its median ratio to the array, by wall time and by CPU time.

    CPU time is disturbed less by other work on the machine.
    """
    ratio, cpu = np.median(np.array(base) / np.array(own), axis=0).round(3).tolist()
    speed = images / float(np.median(own, axis=0)[0])
    return {"way": way, "images_per_second": round(speed, 1), "ratio": ratio, "cpu_ratio": cpu}


def write_shapes(folder, count):
    """Write ``count`` JPEG files of shapes, one folder per class."""
    from PIL import Image

    from kerascnn.data.sources import SHAPES, shapes

    drawn = shapes(-(-count // len(SHAPES)))
    for i, (image, entry) in enumerate(zip(drawn.pixels[:count], drawn.entries[:count], strict=True)):
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
