"""Datasets: `load` and `audit` a folder, an archive, a table or arrays; split them; make `batches`."""

from ..support.lazy import lazy_attributes

PUBLIC = {  # name -> module; loaded when first asked for
    "Audit": "audit",
    "Data": "dataset",
    "audit": "audit",
    "batches": "batches",
    "load": "load",
    "Batch": ".inputs.batch",
    "DataError": ".inputs.batch",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazy_attributes(__name__, PUBLIC)
