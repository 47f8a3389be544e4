"""Pretrained weights: where they are published, how their files are read, and which tensor fills which variable.

No PyTorch is needed, nothing that a file holds is executed, and a file that lies about its sizes is refused.
"""

from ..support.lazy import lazily

PUBLIC = {  # name -> module; loaded when first asked for
    "read": "formats.read",
    "by_layer": "formats.read",
    "nonfinite": "formats.read",
    "WeightsError": "formats",
    "DownloadError": "fetch",
    "load_weights": "load",
    "open_weights": "load",
    "pretrain": "load",
    "Loaded": "match",
    "save_weights": "save",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazily(__name__, PUBLIC)
