"""A classifier as files that others can run: bytes of a photo in, names of classes out, checked when written."""

from .artifact import Exported, export
from .verification import Check, ExportError, verify

__all__ = ["Check", "ExportError", "Exported", "export", "verify"]
