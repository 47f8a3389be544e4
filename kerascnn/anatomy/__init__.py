"""What a network is made of: `dissect` a model into a table, find what its units see, draw it as blocks.

Works on any Functional or Sequential Keras model with channels last, nested or shared, with or without weights.
"""

from .arithmetic import (
    connectivity,
    dense_weights,
    inception_cost,
    naive_inception_cost,
    output_size,
    single,
    stack,
    stacked_threes,
)
from .convolution import EXAMPLE, equivariance, invariance, toeplitz
from .diagram import Diagram, diagram
from .graph import walk
from .receptive import ReceptiveField, receptive_field, support
from .table import Anatomy, Row, dissect

__all__ = [
    "EXAMPLE",
    "Anatomy",
    "Diagram",
    "ReceptiveField",
    "Row",
    "connectivity",
    "dense_weights",
    "diagram",
    "dissect",
    "equivariance",
    "inception_cost",
    "invariance",
    "naive_inception_cost",
    "output_size",
    "receptive_field",
    "single",
    "stack",
    "stacked_threes",
    "support",
    "toeplitz",
    "walk",
]
