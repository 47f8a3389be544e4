"""A network as one HTML page: what it is, what it sees, how accurate and how healthy it is, where it fails.

report = kerascnn.report(model, data="photos")
report.save("report.html")  # and report.json next to it, the same numbers for programs

A page consists of sections, a section of blocks; other packages build pages of their own from these.
"""

from ..support.lazy import lazy_attributes

PUBLIC = {  # name -> module; loaded when first asked for
    "Report": "results",
    "SECTIONS": "sections",
    "Skipped": "context",
    "Subject": "context",
    "report": "report",
    "Section": "page",
    "box": "page",
    "cards": "page",
    "svg_figure": "page",
    "definition_list": "page",
    "figure": "page",
    "details": "page",
    "heading": "page",
    "page": "page",
    "paragraph": "page",
    "photo_grid": "page",
    "picture": "page",
    "block_row": "page",
    "data_table": "page",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazy_attributes(__name__, PUBLIC)
