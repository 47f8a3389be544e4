"""A report, section by section: what fails is boxed, what is interrupted is said, what was made before is reused."""

import time
import traceback
import warnings
from contextlib import suppress
from pathlib import Path

from .. import __version__
from ..registry import unknown
from . import hashes, keeping
from .clock import Clock
from .provenance import finished, lead_of, provenance
from .results import Part, Report, plain
from .sections import SECTIONS, Row
from .subject import Skipped

NEVER_KEPT = ("appendix", "comparison")
COMPARISON = Row("comparison.comparison", "Comparison", "another report.json", (0.1,) * 3, asks=False)


def make(
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
    tell=None,
):
    """A network as one page: what it is, sees, gets wrong and suffers from, in numbers and pictures: `Report`.

    ``model`` is any Functional or Sequential Keras model, a file of one, or the name of a network of the zoo, which
    gets the best weights there are. ``data`` are labelled images as `kerascnn.evaluate` takes them, ``images`` photos
    as `predict` takes them; what needs one of them is left out where it is missing. ``classes`` names the model's
    classes, ``transfer`` is the folder of a finished study, ``compare`` another report.json. ``effort``: "quick",
    "normal" or "full".

    ``only`` and ``skip`` name sections (``SECTIONS``). Each is kept when it is done; Ctrl-C ends the work and gives the
    report as far as it is. ``out`` also saves it. ``tell(done, title, left)`` hears how far it is, 0 to 1, at which
    section, and about how many seconds are left.
    """
    rows = chosen(only, skip, compare)
    about = {"transfer": transfer and Path(transfer), "classes": classes, "effort": effort, "layers": layers}
    about |= {"seed": seed, "preprocess": preprocess}
    report = made(model, data, images, about, rows, Clock(rows, effort, tell), compare)
    if out is not None:
        report.save(out)
    return report


def made(model, data, images, options, rows, clock, compare):
    """The `Report` of these sections."""
    from .material import subject

    started = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        about = subject(model, data, images, tell=clock.tell, **options)
        meta = provenance(about)
        about.facts.update(parts=[], compare=compare, warnings=caught, started=started, meta=meta)
        one_by_one(about, rows, clock)
    parts = tuple(about.facts["parts"])
    return Report(f"Report on {about.name}", lead_of(about, parts), parts, finished(meta, about, parts))


def chosen(only, skip, compare=None):
    """{name: row} of the sections asked for, in the order of the page."""
    for name in (*(only or ()), *(skip or ())):
        if name not in SECTIONS:
            raise ValueError(unknown("section", name, SECTIONS))
    rows = {name: row for name, row in SECTIONS.items() if name in (only or SECTIONS) and name not in (skip or ())}
    if compare is None:
        return rows
    last = {"appendix": rows.pop("appendix")} if "appendix" in rows else {}
    return rows | {"comparison": COMPARISON} | last


def one_by_one(about, rows, clock):
    """Make the sections; after an interrupt only what needs no time."""
    parts, stopped = about.facts["parts"], False
    for name, row in rows.items():
        started = time.monotonic()
        clock.begin(name)
        try:
            part = attempted(about, name, row, stopped)
        except KeyboardInterrupt:
            stopped = True
            part = Part(name, row.title, "interrupted", reason="interrupted; the next run goes on from here")
        parts.append(part._replace(seconds=time.monotonic() - started))
        clock.end(part.reused)


def attempted(about, name, row, stopped=False):
    """The `Part` of one section: kept from before, made now, left out, or failed."""
    if row.asks and about.probe is None:
        return Part(name, row.title, "skipped", reason=about.facts["mute"])
    try:
        section, reused = kept_or_made(about, name, row.load(), stopped)
    except Skipped as why:
        return Part(name, row.title, "skipped", reason=str(why))
    except Exception as error:
        said = f"{type(error).__name__}: {str(error).strip() or 'no reason given'}"
        return Part(name, row.title, "failed", reason=said, where=way(error))
    if section is None:
        return Part(name, row.title, "skipped", reason=f"it needs {row.needs}")
    return Part(name, row.title, "finished", section, reused=reused)


def kept_or_made(about, name, function, stopped):
    """(`Section` or None, whether it is from a run before)."""
    if name in NEVER_KEPT:
        return function(about), False
    folder, key = keeping.folder_of(about.name, about.facts["model"]), key_of(about, name, function)
    found = keeping.kept(folder, name, key)
    if found is not None:
        return found, True
    if stopped:
        raise KeyboardInterrupt
    found = function(about)
    if found is None:
        return None, False
    if not all(hasattr(block, "__html__") for block in found.blocks):
        raise TypeError("blocks should be made by functions of kerascnn.report. Received: plain text among them")
    found = found._replace(results=plain(found.results))
    with suppress(OSError):  # a full disk costs only time
        keeping.keep(folder, name, key, found)
    return found, False


def key_of(about, name, function):
    """A hash of all that a section follows from."""
    facts = about.facts
    code = (__version__, hashes.of_code(), function.__qualname__)
    asked = (about.effort, about.seed, about.layers, about.classes, facts.get("preprocess"))
    folder = hashes.of_folder(about.transfer) if name == "transfer" else ""
    return hashes.digest(*code, facts["model"], facts.get("data"), *asked, folder)


def way(error):
    """Where an error was raised: files of packages and lines, without the folders above them."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return "\n".join(f"{'/'.join(Path(f.filename).parts[-3:])}:{f.lineno} in {f.name}" for f in frames)
