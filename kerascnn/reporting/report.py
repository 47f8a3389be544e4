"""Make a report section by section: failures are boxed, interrupts noted, sections of earlier runs reused."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from .. import __version__
from ..support import store
from ..support.files import to_json_data, write_text
from ..support.text import format_percent, unknown_name
from ..support.types import ClassNames, Dataset, DataSource, FilePath, Images, Layers, Model
from . import context
from .context import EFFORTS, Skipped
from .page import Section
from .results import Report, ReportPart
from .sections import SECTIONS, SectionRow

NEVER_KEPT = ("appendix", "comparison")
COMPARISON = SectionRow(
    "comparison.comparison_section", "Comparison", "another report.json", (0.1,) * 3, runs_network=False
)


def report(
    model: Model | FilePath,
    data: DataSource | Dataset | None = None,
    images: Images | None = None,
    *,
    class_names: ClassNames | None = None,
    transfer: FilePath | None = None,
    effort: Literal["quick", "normal", "full"] = "normal",
    only: Sequence[str] | None = None,
    skip: Sequence[str] | None = None,
    layers: Layers | None = None,
    seed: int = 0,
    preprocess: Callable | None = None,
    compare: FilePath | None = None,
    out: FilePath | None = None,
    on_progress: Callable[[float, float, str], object] | None = None,
) -> Report:
    """Report on a network in one HTML page: structure, pictures, errors, health.

    Sections that need images or labels are skipped without them. Each section is stored when it is finished and reused
    by the next run; Ctrl-C ends the work and returns the report so far.

    Args:
        model: Functional or Sequential Keras model, file of one, or name of a network of the zoo, which gets the best
            published weights.
        data: Labeled images, as `kerascnn.evaluate` takes them.
        images: Photos to draw pictures of, as `kerascnn.predict` takes them; None draws images of ``data``.
        class_names: Names of the model's classes; False for none.
        transfer: Folder of a finished study (`kerascnn.transfer`).
        effort: "quick", "normal" or "full".
        only: Names of the sections to make, in ``SECTIONS``; None is all.
        skip: Names of sections to leave out.
        layers: Layers to show; None is one per stage.
        seed: Random seed.
        preprocess: Function from pixels 0..255 to the network's input, for networks that do not preprocess themselves.
        compare: Path of the report.json of another report, to compare the numbers with.
        out: HTML file to save the report to.
        on_progress: Function called with (seconds done, estimated seconds in total, section); raising stops the work.

    Returns:
        A `Report`.
    """
    rows, start_time = select_rows(only, skip, compare), time.monotonic()
    clock = ProgressClock(rows, effort, on_progress)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        subject = context.make_subject(
            model,
            data,
            images,
            class_names=class_names,
            transfer=transfer and Path(transfer),
            effort=effort,
            layers=layers,
            seed=seed,
            preprocess=preprocess,
            on_progress=clock.on_progress,
        )
        subject.metadata.update(parts=[], compare=compare, warnings=caught, meta=provenance(subject))
        make_parts(subject, rows, clock)
    parts = tuple(subject.metadata["parts"])
    metadata = final_metadata(subject, parts, time.monotonic() - start_time)
    result = Report(
        title=f"Report on {subject.name}", lead=lead_sentence(subject, parts), parts=parts, metadata=metadata
    )
    if out is not None:
        result.save(out)
    return result


def select_rows(only, skip, compare):
    """{name: row} of the requested sections, in the order of the page."""
    only, skip = ((names,) if isinstance(names, str) else tuple(names or ()) for names in (only, skip))
    for name in (*only, *skip):
        if name not in SECTIONS:
            raise ValueError(unknown_name("section", name, SECTIONS))
    rows = {name: row for name, row in SECTIONS.items() if name in (only or SECTIONS) and name not in skip}
    if compare is None:
        return rows
    last = {"appendix": rows.pop("appendix")} if "appendix" in rows else {}
    return rows | {"comparison": COMPARISON} | last


def make_parts(subject, rows, clock):
    """Make the sections; after an interrupt only those that take no time."""
    parts, interrupted = subject.metadata["parts"], False
    for name, row in rows.items():
        start_time = time.monotonic()
        clock.begin(name)
        try:
            part = make_part(subject, name, row, interrupted)
        except KeyboardInterrupt:
            interrupted = True
            part = ReportPart(name, row.title, "interrupted", reason="interrupted; the next run continues from here")
        parts.append(part._replace(seconds=time.monotonic() - start_time))
        clock.end(part.reused)


def make_part(subject, name, row, interrupted):
    """The `ReportPart` of one section: reused, finished, skipped or failed."""
    if row.runs_network and subject.lens is None:
        return ReportPart(name, row.title, "skipped", reason=subject.metadata["mute"])
    try:
        section, reused = load_or_make(subject, name, row.load(), interrupted)
    except Skipped as why:
        return ReportPart(name, row.title, "skipped", reason=str(why))
    except Exception as error:
        message = f"{type(error).__name__}: {str(error).strip() or 'unknown error'}"
        return ReportPart(name, row.title, "failed", reason=message, where=format_traceback(error))
    if section is None:
        return ReportPart(name, row.title, "skipped", reason=f"needs {row.needs}")
    return ReportPart(name, row.title, "finished", section, reused=reused)


def load_or_make(subject, name, function, interrupted):
    """(`Section` or None, whether it is from an earlier run)."""
    if name in NEVER_KEPT:
        return function(subject), False
    path = (
        sections_folder(subject.name, subject.metadata["model"]) / f"{name}-{section_key(subject, name, function)}.json"
    )
    section = load_section(path)
    if section is not None:
        return section, True
    if interrupted:
        raise KeyboardInterrupt
    section = function(subject)
    if section is None:
        return None, False
    if not all(hasattr(block, "__html__") for block in section.blocks):
        raise TypeError("blocks should be made by functions of kerascnn.reporting. Received: a plain string")
    section = section._replace(results=to_json_data(section.results))
    with suppress(OSError):  # a full disk costs only time
        write_text(path, json.dumps(section._asdict()))
    return section, False


def section_key(subject, name, function):
    """Hash of everything that a section depends on."""
    metadata = subject.metadata
    code = (__version__, context.hash_code(), function.__qualname__)
    arguments = (subject.effort, subject.seed, subject.layers, subject.given_class_names, metadata.get("preprocess"))
    folder = context.hash_folder(subject.transfer) if name == "transfer" else ""
    return store.digest(*code, metadata["model"], metadata.get("data"), *arguments, folder)


def format_traceback(error):
    """Files and lines of a traceback, without the folders above the packages."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return "\n".join(f"{'/'.join(Path(f.filename).parts[-3:])}:{f.lineno} in {f.name}" for f in frames)


REUSED = 0.05  # seconds of a section that was kept


class ProgressClock:
    """Estimates the progress of the report in seconds and passes it to a hook with the section at work."""

    def __init__(self, rows, effort, hook=None):
        effort_index = EFFORTS.index(effort) if effort in EFFORTS else 0
        self.rows, self.hook = rows, hook
        self.costs = {name: row.seconds[effort_index] for name, row in rows.items()}
        self.past, self.spent, self.name, self.since = 0.0, 0.0, None, 0.0

    def begin(self, name):
        self.name, self.since = name, time.monotonic()
        self.on_progress(0, 1)

    def end(self, reused):
        """End a section; a reused one tells nothing about the speed."""
        cost = self.costs[self.name]
        if not reused:
            self.past += cost
            self.spent += time.monotonic() - self.since
        self.costs[self.name] = 0.0 if not reused else REUSED
        self.on_progress(1, 1)

    def on_progress(self, done, total, what=""):
        """Hook for the progress within a section."""
        if self.hook is None:
            return
        names = [*self.rows]
        title = self.rows[self.name].title
        later_cost = sum(self.costs[name] for name in names[names.index(self.name) + 1 :])
        remaining_cost = self.costs[self.name] * (1 - min(max(done / total, 0.0), 1.0))
        pace = self.spent / self.past if self.spent and self.past else 1.0
        total_cost = max(sum(self.costs.values()) + self.past, later_cost + remaining_cost, 1e-9)
        self.hook(
            pace * (total_cost - later_cost - remaining_cost), pace * total_cost, f"{title}: {what}" if what else title
        )


def sections_folder(name, model):
    """Folder of a network's stored sections, next to the downloaded weights; ``model`` is its hash."""
    letters = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)[:60]
    return store.home() / store.REPORTS / f"{letters}-{model[:12]}"


def load_section(path):
    """A stored section, or None."""
    from markupsafe import Markup

    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return Section(stored["title"], tuple(map(Markup, stored["blocks"])), stored["results"])
    except (OSError, ValueError, KeyError, TypeError):  # not there, or not what it was
        return None


def device_name():
    """The devices in a few words."""
    from keras import distribution

    try:
        names = [*map(str, distribution.list_devices())]
    except (AttributeError, ImportError, RuntimeError, ValueError):
        names = []
    accelerators = [name for name in names if not name.lower().startswith("cpu")]
    return ", ".join(accelerators) or f"CPU, {os.cpu_count()} cores"


def command_line():
    """The command line, without the folder of its program."""
    program = os.path.basename(sys.argv[0] or "python")
    name = "kerascnn" if program in ("__main__.py", "kerascnn") else program
    return shlex.join([name, *sys.argv[1:]]) if name == "kerascnn" else name


def provenance(subject):
    """Metadata that are known before the sections are made."""
    from ..inputs.classifier import find_published_source

    facts, source = subject.metadata, find_published_source(subject.model)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "versions": store.package_versions(),
        "device": device_name(),
        "command": command_line(),
        "effort": subject.effort,
        "seed": subject.seed,
        "model": {
            "name": subject.name,
            "weights": source.name if source else "included in the model",
            "hash": facts["model"],
        },
        "data": {"name": facts.get("source", ""), "hash": facts.get("data", ""), "images": facts.get("images", {})},
        "layers": list(subject.layers),
    }


def final_metadata(subject, parts, wall):
    """Metadata of a finished report: also times, notes and the small print."""
    meta = subject.metadata["meta"]
    tools = ", ".join(f"{name} {number}" for name, number in meta["versions"].items() if name != "python")
    note = (
        f"Created {meta['date']} with {tools} on {meta['device']}; effort {meta['effort']}, seed "
        f"{meta['seed']}. All numbers are in the .json file next to this page and embedded in it. Folded "
        "sections are expanded in print."
    )
    times = {part.name: part.seconds for part in parts}
    reused = [part.name for part in parts if part.reused]
    return meta | {"made": note, "seconds": times, "reused": reused, "wall": wall, "notes": subject.notes}


def lead_sentence(subject, parts):
    """The network in one sentence, from the results of the summary."""
    summary = next((part.section.results for part in parts if part.name == "cards" and part.state == "finished"), {})
    phrases = []
    if summary.get("parameters"):
        phrases.append(f"{summary['parameters']:,} parameters")
    if summary.get("multiply_adds"):
        phrases.append(f"{summary['multiply_adds']:,} multiply-adds per image")
    if summary.get("accuracy") is not None:
        phrases.append(f"accuracy {format_percent(summary['accuracy'])} on {summary['judged']:,} images")
    return f"{subject.name}: {', '.join(phrases)}." if phrases else f"{subject.name}."
