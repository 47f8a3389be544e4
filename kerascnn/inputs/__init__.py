"""Prepare what goes into a model: decode images, resize and crop them, and name classes."""

from ..support.lazy import lazy_attributes

PUBLIC = {  # name -> module; loaded when first asked for
    "ImageError": "decode",
    "decode": "decode",
    "gather": "gather",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazy_attributes(__name__, PUBLIC)
