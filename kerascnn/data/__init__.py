"""Datasets: `load` and `audit` a folder, archive, table or arrays, divide them, make `batches`."""

from ..support.lazy import lazily

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
__getattr__, __dir__ = lazily(__name__, PUBLIC)
