"""Fitting arrays to networks without memory for either."""

from pathlib import Path

import numpy as np

from kerascnn import outline
from kerascnn.weights.load import WeightsFile, prepare_values


def blank(rows):
    """Arrays of these shapes, without memory."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in rows.items()}


def fitted(network, arrays):
    """The report of fitting arrays to a network, and the network, without memory for either."""
    model = outline(network)
    _, report = prepare_values(model, WeightsFile(path=Path("weights"), arrays=arrays))
    return report, model
