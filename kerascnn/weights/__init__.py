"""Pretrained weights: `read` takes a torch, safetensors or Keras HDF5 file and gives its arrays by name.

No PyTorch is needed, nothing that a file holds is executed, and a file that lies about its sizes is refused.
"""

from .files import by_layer, nonfinite, read
from .limits import WeightsError

__all__ = ["WeightsError", "by_layer", "nonfinite", "read"]
