"""A report, section by section: what fails is boxed, what is interrupted is said, what was made before is reused."""

import json
import os
import shlex
import sys
import time
import traceback
import warnings
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from .. import __version__
from ..support import store
from ..support.files import plain, write_text
from ..support.text import percent, unknown
from . import context
from .context import EFFORTS, Skipped
from .page import Section
from .results import Part, Report
from .sections import SECTIONS, Row

NEVER_KEPT = ("appendix", "comparison")
COMPARISON = Row("comparison.comparison", "Comparison", "another report.json", (0.1,) * 3, asks=False)


def report(
    model,
    data=None,
    images=None,
    *,
    classes=None,
    transfer=None,
    effort="normal",
    only=None,
    skip=None,
    layers=None,
    seed=0,
    preprocess=None,
    compare=None,
    out=None,
    on_progress=None,
):
    """A network as one page: what it is, sees, gets wrong and suffers from, in numbers and pictures: `Report`.

    ``model`` is any Functional or Sequential Keras model, a file of one, or the name of a network of the zoo, which
    gets the best weights there are. ``data`` are labeled images as `kerascnn.evaluate` takes them, ``images`` photos
    as `predict` takes them; what needs one of them is left out where it is missing. ``classes`` names the model's
    classes, ``transfer`` is the folder of a finished study, ``compare`` another report.json. ``effort``: "quick",
    "normal" or "full".

    ``only`` and ``skip`` name sections (``SECTIONS``). Each is kept when it is done; Ctrl-C ends the work and gives the
    report as far as it is. ``out`` also saves it. ``on_progress(done, total, what)`` hears how many seconds of the
    work are done, of about how many, and at which section it is; it may raise to end the work.
    """
    rows, started = select_rows(only, skip, compare), time.monotonic()
    clock = Clock(rows, effort, on_progress)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        subject = context.subject(
            model,
            data,
            images,
            classes=classes,
            transfer=transfer and Path(transfer),
            effort=effort,
            layers=layers,
            seed=seed,
            preprocess=preprocess,
            on_progress=clock.on_progress,
        )
        subject.facts.update(parts=[], compare=compare, warnings=caught, meta=provenance(subject))
        make_parts(subject, rows, clock)
    parts = tuple(subject.facts["parts"])
    meta = final_meta(subject, parts, time.monotonic() - started)
    found = Report(f"Report on {subject.name}", lead_of(subject, parts), parts, meta)
    if out is not None:
        found.save(out)
    return found


def select_rows(only, skip, compare):
    """{name: row} of the sections asked for, in the order of the page."""
    for name in (*(only or ()), *(skip or ())):
        if name not in SECTIONS:
            raise ValueError(unknown("section", name, SECTIONS))
    rows = {name: row for name, row in SECTIONS.items() if name in (only or SECTIONS) and name not in (skip or ())}
    if compare is None:
        return rows
    last = {"appendix": rows.pop("appendix")} if "appendix" in rows else {}
    return rows | {"comparison": COMPARISON} | last


def make_parts(subject, rows, clock):
    """Make the sections; after an interrupt only what needs no time."""
    parts, stopped = subject.facts["parts"], False
    for name, row in rows.items():
        started = time.monotonic()
        clock.begin(name)
        try:
            part = make_part(subject, name, row, stopped)
        except KeyboardInterrupt:
            stopped = True
            part = Part(name, row.title, "interrupted", reason="interrupted; the next run goes on from here")
        parts.append(part._replace(seconds=time.monotonic() - started))
        clock.end(part.reused)


def make_part(subject, name, row, stopped):
    """The `Part` of one section: kept from before, made now, left out, or failed."""
    if row.asks and subject.probe is None:
        return Part(name, row.title, "skipped", reason=subject.facts["mute"])
    try:
        section, reused = load_or_make(subject, name, row.load(), stopped)
    except Skipped as why:
        return Part(name, row.title, "skipped", reason=str(why))
    except Exception as error:
        said = f"{type(error).__name__}: {str(error).strip() or 'no reason given'}"
        return Part(name, row.title, "failed", reason=said, where=way(error))
    if section is None:
        return Part(name, row.title, "skipped", reason=f"it needs {row.needs}")
    return Part(name, row.title, "finished", section, reused=reused)


def load_or_make(subject, name, function, stopped):
    """(`Section` or None, whether it is from a run before)."""
    if name in NEVER_KEPT:
        return function(subject), False
    path = folder_of(subject.name, subject.facts["model"]) / f"{name}-{key_of(subject, name, function)}.json"
    section = load_section(path)
    if section is not None:
        return section, True
    if stopped:
        raise KeyboardInterrupt
    section = function(subject)
    if section is None:
        return None, False
    if not all(hasattr(block, "__html__") for block in section.blocks):
        raise TypeError("blocks should be made by functions of kerascnn.reporting. Received: plain text among them")
    section = section._replace(results=plain(section.results))
    with suppress(OSError):  # a full disk costs only time
        write_text(path, json.dumps(section._asdict()))
    return section, False


def key_of(subject, name, function):
    """A hash of all that a section follows from."""
    facts = subject.facts
    code = (__version__, context.of_code(), function.__qualname__)
    asked = (subject.effort, subject.seed, subject.layers, subject.classes, facts.get("preprocess"))
    folder = context.of_folder(subject.transfer) if name == "transfer" else ""
    return store.digest(*code, facts["model"], facts.get("data"), *asked, folder)


def way(error):
    """Where an error was raised: files of packages and lines, without the folders above them."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return "\n".join(f"{'/'.join(Path(f.filename).parts[-3:])}:{f.lineno} in {f.name}" for f in frames)


REUSED = 0.05  # seconds of a section that was kept


class Clock:
    """Calls a hook with the seconds of work that are done, how many there are about, and the section at work."""

    def __init__(self, rows, effort, hook=None):
        place = EFFORTS.index(effort) if effort in EFFORTS else 0
        self.rows, self.hook = rows, hook
        self.costs = {name: row.seconds[place] for name, row in rows.items()}
        self.past, self.spent, self.name, self.since = 0.0, 0.0, None, 0.0

    def begin(self, name):
        self.name, self.since = name, time.monotonic()
        self.on_progress(0, 1)

    def end(self, reused):
        """A section is done; one that was reused says nothing of the speed."""
        cost = self.costs[self.name]
        if not reused:
            self.past += cost
            self.spent += time.monotonic() - self.since
        self.costs[self.name] = 0.0 if not reused else REUSED
        self.on_progress(1, 1)

    def on_progress(self, done, total, what=""):
        """What a section calls, with its own work."""
        if self.hook is None:
            return
        names = [*self.rows]
        title = self.rows[self.name].title
        rest = sum(self.costs[name] for name in names[names.index(self.name) + 1 :])
        here = self.costs[self.name] * (1 - min(max(done / total, 0.0), 1.0))
        pace = self.spent / self.past if self.spent and self.past else 1.0
        whole = max(sum(self.costs.values()) + self.past, rest + here, 1e-9)
        self.hook(pace * (whole - rest - here), pace * whole, f"{title}: {what}" if what else title)


def folder_of(name, model):
    """Where the sections of a network are kept, beside the downloaded weights; ``model`` is its hash."""
    letters = "".join(each if each.isalnum() or each in "-_" else "_" for each in name)[:60]
    return store.home() / store.REPORTS / f"{letters}-{model[:12]}"


def load_section(path):
    """The section that was kept in a file, or None."""
    from markupsafe import Markup

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Section(found["title"], tuple(map(Markup, found["blocks"])), found["results"])
    except (OSError, ValueError, KeyError, TypeError):  # not there, or not what it was
        return None


def device():
    """What computes, in a word or two."""
    from keras import distribution

    try:
        names = [*map(str, distribution.list_devices())]
    except (AttributeError, ImportError, RuntimeError, ValueError):
        names = []
    accelerators = [name for name in names if not name.lower().startswith("cpu")]
    return ", ".join(accelerators) or f"CPU, {os.cpu_count()} cores"


def command():
    """The command line, its program without the folders before it."""
    program = os.path.basename(sys.argv[0] or "python")
    name = "kerascnn" if program in ("__main__.py", "kerascnn") else program
    return shlex.join([name, *sys.argv[1:]]) if name == "kerascnn" else name


def provenance(subject):
    """``meta`` of a report, as far as it is known before its sections are made."""
    from ..inputs.classifier import published

    facts, source = subject.facts, published(subject.model)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "versions": store.versions(),
        "device": device(),
        "command": command(),
        "effort": subject.effort,
        "seed": subject.seed,
        "model": {"name": subject.name, "weights": source.name if source else "its own", "hash": facts["model"]},
        "data": {"name": facts.get("source", ""), "hash": facts.get("data", ""), "images": facts.get("images", {})},
        "layers": list(subject.layers),
    }


def final_meta(subject, parts, wall):
    """``meta`` when all is done: with times, remarks and what the page says of itself."""
    meta = subject.facts["meta"]
    tools = ", ".join(f"{name} {number}" for name, number in meta["versions"].items() if name != "python")
    made = (
        f"Made {meta['date']} with {tools}; {meta['device']}; effort {meta['effort']}, seed {meta['seed']}. "
        "The numbers stand in the .json file beside this page and inside it; printing opens what is folded."
    )
    times = {part.name: part.seconds for part in parts}
    reused = [part.name for part in parts if part.reused]
    return meta | {"made": made, "seconds": times, "reused": reused, "wall": wall, "notes": subject.remarks}


def lead_of(subject, parts):
    """The network in a sentence, from what its verdict found."""
    found = next((part.section.results for part in parts if part.name == "cards" and part.state == "finished"), {})
    told = []
    if found.get("parameters"):
        told.append(f"{found['parameters']:,} parameters")
    if found.get("multiply_adds"):
        told.append(f"{found['multiply_adds']:,} multiply-adds an image")
    if found.get("accuracy") is not None:
        told.append(f"{percent(found['accuracy'])} of {found['judged']:,} images named right")
    return f"{subject.name}: {', '.join(told)}." if told else f"{subject.name}."
