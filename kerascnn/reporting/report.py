"""A report, section by section: what fails is boxed, what is interrupted is said, what was made before is reused."""

import json
import os
import platform
import shlex
import shutil
import sys
import time
import traceback
import warnings
from contextlib import suppress
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .. import __version__
from ..support import store
from ..support.files import replacing
from ..support.text import percent, unknown
from ..weights.cache import Cached, home
from . import context
from .context import EFFORTS, Skipped
from .page import Section
from .results import Part, Report, plain
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
    gets the best weights there are. ``data`` are labelled images as `kerascnn.evaluate` takes them, ``images`` photos
    as `predict` takes them; what needs one of them is left out where it is missing. ``classes`` names the model's
    classes, ``transfer`` is the folder of a finished study, ``compare`` another report.json. ``effort``: "quick",
    "normal" or "full".

    ``only`` and ``skip`` name sections (``SECTIONS``). Each is kept when it is done; Ctrl-C ends the work and gives the
    report as far as it is. ``out`` also saves it. ``on_progress(done, total, what)`` hears how many seconds of the
    work are done, of about how many, and at which section it is; it may raise to end the work.
    """
    rows = chosen(only, skip, compare)
    about = {"transfer": transfer and Path(transfer), "classes": classes, "effort": effort, "layers": layers}
    about |= {"seed": seed, "preprocess": preprocess}
    report = made(model, data, images, about, rows, Clock(rows, effort, on_progress), compare)
    if out is not None:
        report.save(out)
    return report


def made(model, data, images, options, rows, clock, compare):
    """The `Report` of these sections."""
    from .context import subject

    started = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        about = subject(model, data, images, on_progress=clock.on_progress, **options)
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
    folder, key = folder_of(about.name, about.facts["model"]), key_of(about, name, function)
    found = kept(folder, name, key)
    if found is not None:
        return found, True
    if stopped:
        raise KeyboardInterrupt
    found = function(about)
    if found is None:
        return None, False
    if not all(hasattr(block, "__html__") for block in found.blocks):
        raise TypeError("blocks should be made by functions of kerascnn.reporting. Received: plain text among them")
    found = found._replace(results=plain(found.results))
    with suppress(OSError):  # a full disk costs only time
        keep(folder, name, key, found)
    return found, False


def key_of(about, name, function):
    """A hash of all that a section follows from."""
    facts = about.facts
    code = (__version__, context.of_code(), function.__qualname__)
    asked = (about.effort, about.seed, about.layers, about.classes, facts.get("preprocess"))
    folder = context.of_folder(about.transfer) if name == "transfer" else ""
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


FOLDER = "reports"


def folder_of(name, model):
    """Where the sections of a network are kept, beside the downloaded weights; ``model`` is its hash."""
    letters = "".join(each if each.isalnum() or each in "-_" else "_" for each in name)[:60]
    return home() / FOLDER / f"{letters}-{model[:12]}"


def kept(folder, name, key):
    """The section that was kept under a key, or None."""
    from markupsafe import Markup

    try:
        found = json.loads((folder / f"{name}-{key}.json").read_text(encoding="utf-8"))
        return Section(found["title"], tuple(map(Markup, found["blocks"])), found["results"])
    except (OSError, ValueError, KeyError, TypeError):  # not there, or not what it was
        return None


def keep(folder, name, key, section):
    """Keep a section in place of those that the same part of the page had before."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{key}.json"
    with replacing(path) as draft:
        text = json.dumps({"title": section.title, "blocks": section.blocks, "results": section.results})
        draft.write_text(text, encoding="utf-8")


def stored(pattern="*"):
    """A row for each network whose sections are kept and that fits the shell's wildcards."""
    folder = home() / FOLDER
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ()
    rows = []
    for name in names:
        size = sum(file.stat().st_size for file in (folder / name).iterdir())
        rows.append(Cached(f"../{FOLDER}/{name}", size, True))
    return [row for row in rows if fnmatchcase(Path(row.file).name, pattern)]


def clear(pattern="*"):
    """Remove the sections of the networks that fit; those removed."""
    gone = stored(pattern)
    for row in gone:
        shutil.rmtree(home() / FOLDER / Path(row.file).name, ignore_errors=True)
    return gone


def versions():
    """{tool: version} of what the numbers depend on."""
    import keras
    import numpy as np

    from .. import __version__

    found = {"kerascnn": __version__, "keras": keras.__version__, "numpy": np.__version__}
    try:
        found[keras.config.backend()] = version(keras.config.backend())
    except PackageNotFoundError:
        found[keras.config.backend()] = "unknown"
    return found | {"python": platform.python_version()}


def device():
    """What computes, in a word or two."""
    from keras import distribution

    try:
        found = [*map(str, distribution.list_devices())]
    except (AttributeError, ImportError, RuntimeError, ValueError):
        found = []
    others = [each for each in found if not each.lower().startswith("cpu")]
    return ", ".join(others) or f"CPU, {os.cpu_count()} cores"


def command():
    """The command line, its program without the folders before it."""
    program = os.path.basename(sys.argv[0] or "python")
    name = "kerascnn" if program in ("__main__.py", "kerascnn") else program
    return shlex.join([name, *sys.argv[1:]]) if name == "kerascnn" else name


def provenance(about):
    """``meta`` of a report, as far as it is known before its sections are made."""
    from ..inputs.classifier import published

    facts, source = about.facts, published(about.model)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "versions": versions(),
        "device": device(),
        "command": command(),
        "effort": about.effort,
        "seed": about.seed,
        "model": {"name": about.name, "weights": source.name if source else "its own", "hash": facts["model"]},
        "data": {"name": facts.get("source", ""), "hash": facts.get("data", ""), "images": facts.get("images", {})},
        "layers": list(about.layers),
    }


def finished(meta, about, parts):
    """``meta`` when all is done: with times, remarks and what the page says of itself."""
    tools = ", ".join(f"{name} {number}" for name, number in meta["versions"].items() if name != "python")
    made = (
        f"Made {meta['date']} with {tools}; {meta['device']}; effort {meta['effort']}, seed {meta['seed']}. "
        "The numbers stand in the .json file beside this page and inside it; printing opens what is folded."
    )
    times = {part.name: part.seconds for part in parts}
    reused = [part.name for part in parts if part.reused]
    wall = time.monotonic() - about.facts["started"]
    return meta | {"made": made, "seconds": times, "reused": reused, "wall": wall, "notes": remarks(about)}


def remarks(about):
    """What was left out or warned of, each once."""
    warned = (str(each.message) for each in about.facts["warnings"] if issubclass(each.category, UserWarning))
    return [*dict.fromkeys([*about.facts["notes"], *warned])]


def lead_of(about, parts):
    """The network in a sentence, from what its verdict found."""
    found = next((part.section.results for part in parts if part.name == "cards" and part.state == "finished"), {})
    told = []
    if found.get("parameters"):
        told.append(f"{found['parameters']:,} parameters")
    if found.get("multiply_adds"):
        told.append(f"{found['multiply_adds']:,} multiply-adds an image")
    if found.get("accuracy") is not None:
        told.append(f"{percent(found['accuracy'])} of {found['judged']:,} images named right")
    return f"{about.name}: {', '.join(told)}." if told else f"{about.name}."
