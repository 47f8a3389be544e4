"""A classifier and a batch of images, understood once: files decoded, resized and cropped, classes named."""

from ..support.lazy import lazily

PUBLIC = {  # name -> module; loaded when first asked for
    "ImageError": "decode",
    "decode": "decode",
    "gather": "gather",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazily(__name__, PUBLIC)
