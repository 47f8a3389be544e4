"""Photos to try an export with, and what the model says of them."""

import io
import os

import keras
import numpy as np
from PIL import Image

from ..data.decode import decode, kind_of, unpack
from ..data.gather import gather
from ..predictions import predict
from .classifier import features, softened

SIZES = ((240, 320), (320, 240), (97, 131), (300, 300))


def drawn():
    """[(file, bytes)] of smooth colours from a fixed seed: JPEG and PNG, upright and turned, grey and transparent."""
    rng = np.random.default_rng(0)
    coarse = [Image.fromarray(rng.integers(0, 256, (5, 7, 4), np.uint8)) for _ in SIZES]
    photos = [image.resize(size[::-1], Image.Resampling.BICUBIC) for image, size in zip(coarse, SIZES, strict=True)]
    colour, turned, clear, grey = photos
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    return [
        ("colour.jpg", written(colour.convert("RGB"), "JPEG", quality=90)),
        ("turned.jpg", written(turned.convert("RGB"), "JPEG", quality=90, exif=exif)),
        ("clear.png", written(clear, "PNG")),
        ("grey.png", written(grey.convert("L"), "PNG")),
    ]


def written(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def given(images):
    """[(file, bytes)] of a user's samples: JPEG and PNG files as they are, anything else written as PNG."""
    return [(f"{i:03}", encoded(image)) for i, (_, image) in enumerate(gather(images))]


def encoded(image):
    if isinstance(image, np.ndarray):
        image = np.clip(np.round(image), 0, 255).astype(np.uint8)
        return written(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image), "PNG")
    if isinstance(image, Image.Image):
        return written(Image.fromarray(unpack(image, "the image")), "PNG")
    if isinstance(image, str | os.PathLike):
        decode(image)  # says what a file is that is no image
        with open(image, "rb") as file:
            image = file.read()
    image = image.read() if hasattr(image, "read") else bytes(image)
    return image if kind_of(image[:16]) in ("JPEG", "PNG") else written(Image.fromarray(decode(image)), "PNG")


def answers(plan, samples, limit):
    """What the model says of samples through ``predict``, and what each of an export's files then has to say."""
    data = [each for _, each in samples]
    with keras.device("cpu"):  # where the check in a fresh process runs; a GPU rounds otherwise
        probs = predict(plan.model, data, size=plan.cut.size, labels=plan.classes).probs
        pixels = np.stack([plan.cut(each) for each in data])
        seen = keras.ops.convert_to_numpy(features(plan.model)(pixels, training=False))
    return {
        "files": np.array([name for name, _ in samples]),
        "classes": np.array(plan.classes),
        "probs": probs,
        "answers": softened(probs, plan.end, plan.temperature),
        "pixels": pixels.astype(np.uint8),
        "features": seen.astype(np.float32),
        "limit": np.array(limit),
    }


def write(folder, samples, expected):
    """Samples and answers as files in a new folder."""
    os.makedirs(folder)
    for name, data in samples:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
    np.savez_compressed(os.path.join(folder, "expected.npz"), **expected)
