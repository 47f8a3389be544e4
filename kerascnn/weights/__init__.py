"""Pretrained weights: published sources, readers of their files, and which tensor fills which variable.

No PyTorch is needed, no code from a file is executed, and a file with false sizes is refused.
"""

from ..support.lazy import lazy_attributes

PUBLIC = {  # name -> module; loaded when first asked for
    "read_weights": "formats.read",
    "group_by_layer": "formats.read",
    "count_nonfinite": "formats.read",
    "WeightsError": "formats",
    "DownloadError": "fetch",
    "load_weights": "load",
    "open_weights": "load",
    "load_pretrained": "load",
    "LoadReport": "match",
    "save_weights": "save",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazy_attributes(__name__, PUBLIC)
