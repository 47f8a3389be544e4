"""Pretrained weights: where they are published, how their files are read, and which tensor fills which variable.

No PyTorch is needed, nothing that a file holds is executed, and a file that lies about its sizes is refused.
"""

from ..lazy import lazily

PUBLIC = {  # name -> module; loaded when first asked for: some need Keras, others only the standard library
    "read": "files",
    "by_layer": "files",
    "nonfinite": "files",
    "WeightsError": "limits",
    "DownloadError": "cache",
    "load_weights": "loading",
    "open_weights": "loading",
    "pretrain": "loading",
    "Loaded": "fitting",
    "save_weights": "saving",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazily(__name__, PUBLIC)
