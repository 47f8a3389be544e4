"""A classifier as files that others can run: bytes of a photo in, names of classes out, checked when written."""

from ..support.lazy import lazily

PUBLIC = {  # name -> module; loaded when first asked for
    "Exported": "export",
    "export": "export",
    "Check": "verify",
    "ExportError": "verify",
    "verify": "verify",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazily(__name__, PUBLIC)
