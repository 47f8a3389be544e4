"""A finished report: its parts, the numbers in them as plain data, and how it is written."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..support.files import displayable, plain, write_text
from .page import Section, box, code, facts, folded, page, paragraph, within

SCHEMA = 1  # of report.json
BUDGET = 20e6  # bytes of a page
STATES = ("finished", "skipped", "failed", "interrupted")


class Part(NamedTuple):
    """What became of a section: its state, why where it did not finish, and how long it took."""

    name: str
    title: str
    state: str  # one of STATES
    section: Section | None = None
    reason: str = ""
    where: str = ""  # a failure's way through the code
    seconds: float = 0.0
    reused: bool = False  # from a run before


@dataclass(frozen=True, eq=False)
class Report:
    """A network as a page. ``parts`` are its sections in order, finished or not; ``results`` their numbers by name.

    ``meta`` says how it was made: versions, hashes, command, seed, times. Two runs differ in nothing else.
    """

    title: str
    lead: str
    parts: tuple = field(repr=False)
    meta: dict = field(repr=False)

    @property
    def results(self):
        """{section: its numbers as plain data}, of those that finished."""
        return {part.name: plain(part.section.results) for part in self.parts if part.state == "finished"}

    def of(self, state):
        """{section: why} of those "finished", "skipped", "failed" or "interrupted"."""
        return {part.name: part.reason for part in self.parts if part.state == state}

    @property
    def complete(self):
        """Whether no section failed or was interrupted."""
        return not self.of("failed") and not self.of("interrupted")

    def json(self):
        """The numbers as a JSON document that is the same from run to run but for ``meta``."""
        sections = {part.name: {"state": part.state, "reason": part.reason} for part in self.parts}
        document = {"schema_version": SCHEMA, "title": self.title, "sections": sections}
        document |= {"results": self.results, "meta": plain(self.meta)}
        return json.dumps(displayable(document), indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)

    def html(self, budget=BUDGET):
        """The page as text; pictures get smaller where it would have more than ``budget`` bytes."""
        sections = [shown(part) for part in self.parts]
        note, data = self.meta.get("made", ""), self.json()
        _, said = within(page(self.title, sections, self.lead, note=note, data=data), budget)
        return within(page(self.title, sections, self.lead, note=f"{note} {said}", data=data), budget)[0]

    def save(self, path):
        """Write the page, and beside it the numbers as .json; the paths of both."""
        path = Path(path)
        return write_text(path, self.html()), write_text(path.with_suffix(".json"), self.json() + "\n")

    def _repr_html_(self):
        counts = {state: ", ".join(self.of(state)) for state in STATES if self.of(state)}
        return str(paragraph(self.lead) + facts(counts) + paragraph('.save("report.html") writes the page', soft=True))

    def __str__(self):
        counts = (f"{len(self.of(state))} {state}" for state in STATES if self.of(state))
        return f"{self.title}: {', '.join(counts)}"


def shown(part):
    """A part as a section of the page; of one that did not finish, why."""
    if part.state == "finished":
        return part.section
    words = {"skipped": "Left out", "failed": "Failed", "interrupted": "Not computed"}[part.state]
    blocks = [paragraph(f"{words}: {part.reason}")]
    if part.where:
        blocks.append(folded("Where", code(part.where)))
    return Section(part.title, (box(*blocks, failed=part.state == "failed"),))
