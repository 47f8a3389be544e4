"""What a network is made of: `dissect` a model into a table, find what its units see, draw it as blocks.

Works on any Functional or Sequential Keras model with channels last, nested or shared, with or without weights.
"""

from ..support.lazy import lazy_attributes

PUBLIC = {  # name -> module; loaded when first asked for
    "connectivity": "arithmetic",
    "dense_weights": "arithmetic",
    "inception_cost": "arithmetic",
    "naive_inception_cost": "arithmetic",
    "output_size": "arithmetic",
    "single_kernel": "arithmetic",
    "kernel_stack": "arithmetic",
    "equivalent_3x3_depth": "arithmetic",
    "EXAMPLE": "convolution",
    "equivariance": "convolution",
    "invariance": "convolution",
    "toeplitz": "convolution",
    "Diagram": "diagram",
    "diagram": "diagram",
    "ReceptiveField": "receptive_field",
    "receptive_field": "receptive_field",
    "receptive_field_mask": "receptive_field",
    "Anatomy": "table",
    "LayerRow": "table",
    "dissect": "table",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazy_attributes(__name__, PUBLIC)
