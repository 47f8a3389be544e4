"""A network as one HTML file: what it is, what it sees, how good and how healthy it is, where it fails.

report = kerascnn.report(model, data="photos")  # the package is its own main function
report.save("report.html")  # and report.json beside it, the same numbers for programs

A page is made of sections, a section of blocks; other packages make pages of their own from these.
"""

from ..lazy import calling, lazily
from .page import (
    Section,
    box,
    cards,
    drawn,
    facts,
    figure,
    folded,
    heading,
    page,
    paragraph,
    photos,
    picture,
    row,
    table,
)

PUBLIC = {"Report": "results", "SECTIONS": "sections", "Skipped": "subject", "Subject": "subject", "make": "making"}
__all__ = [
    "SECTIONS",
    "Report",
    "Section",
    "Skipped",
    "Subject",
    "box",
    "cards",
    "drawn",
    "facts",
    "figure",
    "folded",
    "heading",
    "make",
    "page",
    "paragraph",
    "photos",
    "picture",
    "row",
    "table",
]
__getattr__, __dir__ = lazily(__name__, PUBLIC)
report = calling(__name__, "make")
