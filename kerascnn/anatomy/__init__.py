"""What a network is made of: `dissect` a model into a table, find what its units see, draw it as blocks.

Works on any Functional or Sequential Keras model with channels last, nested or shared, with or without weights.
"""

from ..support.lazy import lazily

PUBLIC = {  # name -> module; loaded when first asked for
    "connectivity": "arithmetic",
    "dense_weights": "arithmetic",
    "inception_cost": "arithmetic",
    "naive_inception_cost": "arithmetic",
    "output_size": "arithmetic",
    "single": "arithmetic",
    "stack": "arithmetic",
    "stacked_threes": "arithmetic",
    "EXAMPLE": "convolution",
    "equivariance": "convolution",
    "invariance": "convolution",
    "toeplitz": "convolution",
    "Diagram": "diagram",
    "diagram": "diagram",
    "ReceptiveField": "receptive_field",
    "receptive_field": "receptive_field",
    "support": "receptive_field",
    "Anatomy": "table",
    "Row": "table",
    "dissect": "table",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazily(__name__, PUBLIC)
