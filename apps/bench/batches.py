"""`kerascnn bench batches`: fit on `kerascnn.batches` from JPEG files, beside fit on an array in memory."""

import tempfile
import time
from pathlib import Path

import numpy as np

from ..output import table
from .timing import machine

SIDE = 32
ARRAY = "array in memory"
WAYS = {  # name -> augmentation of batches; the last decodes its files in every epoch
    ARRAY: None,
    "files": "none",
    "files, crop_flip": "crop_flip",
    "files, resized_crop": "resized_crop",
}


def measured(network, images, batch, rounds):
    """Images a second of each way, the median of ``rounds`` epochs that take turns."""
    import keras

    import kerascnn

    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), images)
        data = kerascnn.load(folder, valid=0, test=0)
        files = data.audit.good
        model = kerascnn.build_model(network, classes=len(files.classes), input_shape=(SIDE, SIDE, 3))
        model.compile("sgd", "sparse_categorical_crossentropy")
        x, y = files.pixels(SIDE).astype(np.float32), files.labels
        seconds = {way: [] for way in WAYS}
        for epoch in range(-1, rounds):  # the first compiles, and reads the files
            for way, augment in WAYS.items():
                started = clocks()
                if augment is None:
                    model.fit(x, y, batch_size=batch, verbose=0)
                else:
                    order = {"shuffle": True, "epoch": epoch + 1}
                    model.fit(kerascnn.batches(files, SIDE, batch, augment=augment, **order), shuffle=False, verbose=0)
                if epoch >= 0:
                    seconds[way].append(clocks() - started)
    rows = [row(way, len(files), seconds[way], seconds[ARRAY]) for way in WAYS]
    about = {"network": network, "images": len(files), "batch": batch, "rounds": rounds}
    return about | machine() | {"rows": rows}


def clocks():
    """(seconds, seconds of CPU time of this process)."""
    return np.array([time.perf_counter(), time.process_time()])


def row(way, images, own, base):
    """The speed of one way, and the median of what it is of the array's, round by round; the same in images a second
    of CPU time, which other work on the machine disturbs less."""
    ratio, cpu = np.median(np.array(base) / np.array(own), axis=0).round(3).tolist()
    speed = images / float(np.median(own, axis=0)[0])
    return {"way": way, "images_per_second": round(speed, 1), "ratio": ratio, "cpu_ratio": cpu}


def write(folder, count):
    """``count`` JPEG files of drawn shapes, a folder a class."""
    from PIL import Image

    from kerascnn.data.sources import SHAPES, shapes

    drawn = shapes(-(-count // len(SHAPES)))
    for i, (image, entry) in enumerate(zip(drawn.pixels[:count], drawn.entries[:count], strict=True)):
        path = folder / entry.label / f"{i:05}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path, quality=95)


def lines(result):
    """Each way, its speed, and that as a share of the array's."""
    yield (
        f"{result['network']}, {result['images']:,} JPEG files of {SIDE}x{SIDE}, batches of {result['batch']}, "
        f"{result['rounds']} epochs of each in turn; {result['cores']} cores, load {result['load']}"
    )
    yield ""
    rows = [
        [row["way"], f"{row['images_per_second']:,.0f}", f"{row['ratio']:.2f}", f"{row['cpu_ratio']:.2f}"]
        for row in result["rows"]
    ]
    yield from table(["fit on", "images/s", "of the array's", "by CPU time"], rows, words=["fit on"])
