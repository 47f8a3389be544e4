"""One container of images: what it is made of, in what order it is read, and what cannot be read."""

import io

import numpy as np
import pytest
from PIL import Image

from kerascnn.inputs.batch import Batch, as_batch
from kerascnn.inputs.decode import ImageError
from kerascnn.inputs.resize import Preprocessing

AS_THEY_ARE = Preprocessing((2, 2), 3, 2, "bilinear", "all")


def png(value):
    """A photo of one color."""
    file = io.BytesIO()
    Image.fromarray(np.full((2, 2, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("decoded", [False, True], ids=["files", "pixels"])
def test_chunks_keep_the_order_and_are_full(decoded):
    images = as_batch([png(value) for value in range(10)])
    images = Batch(images.pixels()) if decoded else images
    chunks = [*images.chunks(AS_THEY_ARE, 4)]
    assert [rows for rows, _ in chunks] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    for rows, pixels in chunks:
        assert pixels.dtype == np.float32
        np.testing.assert_array_equal(pixels[:, 0, 0, 0], rows)


def test_unreadable_images_are_left_out_of_chunks():
    images, failed = as_batch([png(0), b"<html>", png(2), png(3), b""]), {}
    rows = [rows for rows, _ in images.chunks(AS_THEY_ARE, 2, failed)]
    assert rows == [[0, 2], [3]]
    assert list(failed) == [1, 4]
    images.check_readable(failed)
    assert images.reasons(failed)["image 1"].startswith("an HTML page")
    with pytest.raises(ImageError, match="HTML page"):
        images.array(AS_THEY_ARE)
    none = images.take([1, 4])
    assert [*none.chunks(AS_THEY_ARE, 2, failed := {})] == []
    with pytest.raises(ImageError, match="2 unreadable images; the first is image 1: an HTML page"):
        none.check_readable(failed)


def test_at_most_one_chunk_is_read_ahead():
    read = []

    class Seen(Preprocessing):
        def __call__(self, image):
            read.append(image)
            return super().__call__(image)

    chunks = as_batch([png(0)] * 100).chunks(Seen((2, 2), 3, 2, "bilinear", "all"), 4)
    next(chunks)
    assert len(read) <= 10
    chunks.close()
    assert len(read) <= 10


def test_take_and_names():
    images = as_batch(np.zeros((4, 2, 2, 3), np.uint8), ["a", "b", "a", "c"])
    some = images.take([3, 1])
    assert some.names == ("image 3", "image 1")
    assert some.labels.tolist() == ["c", "b"]
    assert as_batch(some) is some
    with pytest.raises(ValueError, match="`names` should have one name for each of the 4 images. Received: 1"):
        as_batch(images.items, names=["a"])
