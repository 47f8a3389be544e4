"""How a report was made: versions, device, command, seed, hashes, times."""

import os
import platform
import shlex
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from .sections.words import percent


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
    from ..predictions import published

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
