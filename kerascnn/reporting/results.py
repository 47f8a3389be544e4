"""The result of a report: its sections, their numbers as plain data, and how to save it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..support.display import TextResult
from ..support.files import escape_surrogates, to_json_data, write_text
from .page import Section, box, code, definition_list, details, fit_to_budget, page, paragraph

SCHEMA = 1  # of report.json
BUDGET = 20e6  # bytes of a page
STATES = ("finished", "skipped", "failed", "interrupted")


class ReportPart(NamedTuple):
    """The outcome of a section: its state, the reason if it did not finish, its computing time."""

    name: str
    title: str
    state: str  # one of STATES
    section: Section | None = None
    reason: str = ""
    where: str = ""  # a failure's way through the code
    seconds: float = 0.0
    reused: bool = False  # from a run before


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Report(TextResult):
    """A report on a network.

    Attributes:
        title: Title of the page.
        lead: Sentence below the title.
        parts: `ReportPart`s in order, finished or not.
        metadata: Versions, hashes, command, seed, times. Two runs differ in nothing else.
    """

    title: str
    lead: str
    parts: tuple
    metadata: dict

    @property
    def results(self):
        """The numbers of the finished sections: {section: plain data}."""
        return {part.name: to_json_data(part.section.results) for part in self.parts if part.state == "finished"}

    def sections_in(self, state):
        """Sections in a state: {section: reason}.

        Args:
            state: "finished", "skipped", "failed" or "interrupted".

        Returns:
            A dict.
        """
        return {part.name: part.reason for part in self.parts if part.state == state}

    @property
    def is_complete(self):
        """Whether no section failed or was interrupted."""
        return not self.sections_in("failed") and not self.sections_in("interrupted")

    def to_json(self):
        """The numbers as a JSON document.

        Two runs differ in its ``meta`` only.

        Returns:
            A string.
        """
        sections = {part.name: {"state": part.state, "reason": part.reason} for part in self.parts}
        document = {"schema_version": SCHEMA, "title": self.title, "sections": sections}
        document |= {"results": self.results, "meta": to_json_data(self.metadata)}
        return json.dumps(escape_surrogates(document), indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)

    def to_html(self, budget=BUDGET):
        """The page as a string.

        Args:
            budget: Size in bytes above which the pictures are reduced.

        Returns:
            A string.
        """
        sections = [part_section(part) for part in self.parts]
        note, data = self.metadata.get("made", ""), self.to_json()
        _, reduction = fit_to_budget(page(self.title, sections, self.lead, note=note, data=data), budget)
        return fit_to_budget(page(self.title, sections, self.lead, note=f"{note} {reduction}", data=data), budget)[0]

    def save(self, path):
        """Write the page, and next to it the numbers as .json.

        Args:
            path: HTML file to write.

        Returns:
            The paths of both files.
        """
        path = Path(path)
        return write_text(path, self.to_html()), write_text(path.with_suffix(".json"), self.to_json() + "\n")

    def _repr_html_(self):
        counts = {state: ", ".join(self.sections_in(state)) for state in STATES if self.sections_in(state)}
        return str(
            paragraph(self.lead)
            + definition_list(counts)
            + paragraph('.save("report.html") writes the report', soft=True)
        )

    def __str__(self):
        counts = (f"{len(self.sections_in(state))} {state}" for state in STATES if self.sections_in(state))
        return f"{self.title}: {', '.join(counts) or 'no sections'}"


def part_section(part):
    """A part as a section of the page; if it did not finish, the reason."""
    if part.state == "finished":
        return part.section
    words = {"skipped": "Skipped", "failed": "Failed", "interrupted": "Not computed"}[part.state]
    blocks = [paragraph(f"{words}: {part.reason}")]
    if part.where:
        blocks.append(details("Location", code(part.where)))
    return Section(part.title, (box(*blocks, failed=part.state == "failed"),))
