"""The same image seen differently: mirrored, and its corners."""

import keras
import numpy as np

SIDE = 7 / 8  # of the image that a corner shows, as 224 of 256 pixels
CORNERS = {"top_left": (0, 0), "top_right": (0, 1), "bottom_left": (1, 0), "bottom_right": (1, 1)}
VIEWS = {  # name -> mirrored?, corner; the ten of Krizhevsky et al. 2012, with the whole image for the centre
    "identity": (False, None),
    "flip": (True, None),
    **{name: (False, at) for name, at in CORNERS.items()},
    **{f"flip_{name}": (True, at) for name, at in CORNERS.items()},
}


def seen(batch, view):
    """A batch (N, H, W, C) as a view shows it, in the same size."""
    mirrored, corner = VIEWS[view]
    if corner is not None:
        size = batch.shape[1:3]
        height, width = (round(SIDE * side) for side in size)
        top, left = corner[0] * (size[0] - height), corner[1] * (size[1] - width)
        part = batch[:, top : top + height, left : left + width]
        batch = keras.ops.convert_to_numpy(keras.ops.image.resize(part, size))
    return np.ascontiguousarray(batch[:, :, ::-1]) if mirrored else batch
