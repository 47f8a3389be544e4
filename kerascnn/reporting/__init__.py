"""A network as one HTML file: what it is, what it sees, how good and how healthy it is, where it fails.

report = kerascnn.report(model, data="photos")
report.save("report.html")  # and report.json beside it, the same numbers for programs

A page is made of sections, a section of blocks; other packages make pages of their own from these.
"""

from ..support.lazy import lazily

PUBLIC = {  # name -> module; loaded when first asked for
    "Report": "results",
    "SECTIONS": "sections",
    "Skipped": "context",
    "Subject": "context",
    "report": "report",
    "Section": "page",
    "box": "page",
    "cards": "page",
    "drawn": "page",
    "facts": "page",
    "figure": "page",
    "folded": "page",
    "heading": "page",
    "page": "page",
    "paragraph": "page",
    "photos": "page",
    "picture": "page",
    "row": "page",
    "table": "page",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazily(__name__, PUBLIC)
