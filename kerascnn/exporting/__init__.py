"""Export a classifier to files that others can run, checked when written."""

from ..support.lazy import lazy_attributes

PUBLIC = {  # name -> module; loaded when first asked for
    "Exported": "export",
    "export": "export",
    "Check": "verify",
    "ExportError": "verify",
    "verify": "verify",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazy_attributes(__name__, PUBLIC)
