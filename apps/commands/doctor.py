"""`kerascnn doctor`: what is installed and what the machine has, to be pasted into a report."""

import os

import click

from ..backend import load_keras
from ..errors import one_line, pip_install
from ..options import Command
from ..output import answer, bold, dim, pairs, short, width
from ..settings import short_path

SETTINGS = ("backend", "floatx", "image_data_format")


@click.command("doctor", cls=Command)
def command():
    """Say what is installed and what the machine has.

    Paste it into a report. Exit code 1 where something that kerascnn needs is missing, too old, or cannot be
    imported.
    """
    result = {
        "packages": packages(),
        "extras": extras(),
        "python": python_facts(),
        "keras": keras_facts(),
        "machine": machine_facts(),
    }
    problems = [
        *package_problems(result["packages"]),
        *result["keras"].pop("problems"),
        *machine_problems(result["machine"]),
    ]
    result |= {"healthy": not problems, "problems": problems}
    answer("doctor", result, lines(result))
    return 1 if problems else 0


def python_facts():
    import platform

    return {"version": platform.python_version(), "platform": platform.platform(), "kerascnn": own_version()}


def own_version():
    import kerascnn

    return kerascnn.__version__


def packages():
    """Every package that kerascnn needs: the version that is there, and the least that it takes."""
    return [
        {"name": name, "version": installed_version(name), "needs": least}
        for name, least, extra in requirements()
        if extra is None
    ]


def package_problems(rows):
    """What is missing or too old, in words."""
    if not rows:
        yield 'kerascnn is not installed, only found on the path: pip install -e "."'
    for row in rows:
        wanted = f"{row['name']}>={row['needs']}" if row["needs"] else row["name"]
        if row["version"] is None:
            yield f'{row["name"]} is missing: pip install "{wanted}"'
        elif is_older(row["version"], row["needs"]):
            yield f'{row["name"]} {row["version"]} is too old: pip install "{wanted}"'


def extras():
    """Every optional part, what it consists of, and how to get it."""
    found = {}
    for name, _, extra in requirements():
        if extra and name != "kerascnn":
            found.setdefault(extra, {})[name] = installed_version(name)
    return [
        {"name": extra, "present": None not in parts.values(), "packages": parts, "install": pip_install(extra)}
        for extra, parts in found.items()
    ]


def keras_facts():
    """Keras as it runs here: backend, precision, devices; and what keeps it from running."""
    try:
        keras = load_keras()
        found = {
            "backend": keras.config.backend(),
            "floatx": keras.config.floatx(),
            "image_data_format": keras.config.image_data_format(),
            "devices": devices(keras.config.backend()),
        }
    except Exception as error:
        return {"backend": None, "devices": [], "problems": [one_line(error)]}
    first = found["image_data_format"] == "channels_first"
    wrong = 'Keras is set to channels_first, kerascnn has channels last: "image_data_format" in keras.json'
    return found | {"problems": [wrong] if first else []}


def devices(backend):
    """Names of the processors and accelerators that the backend sees."""
    if backend == "tensorflow":
        import tensorflow as tf

        details = tf.config.experimental.get_device_details
        found = {device.name: details(device) for device in tf.config.list_physical_devices()}
        names = {name.removeprefix("/physical_device:"): more for name, more in found.items()}
        return [f"{name} {more.get('device_name', '')}".strip() for name, more in names.items()]
    from keras.distribution import list_devices

    return [str(device) for device in list_devices()]


def machine_facts():
    """Cores, memory, where files are kept, and the fonts of pictures."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    total, free = memory()
    return {"cores": cores, "memory": total, "free": free, **cache_facts(), "font": font()}


def machine_problems(machine):
    """What of the machine keeps kerascnn from its work, in words."""
    if not machine["writable"]:
        yield f"the cache folder {machine['cache']} cannot be written: set KERASCNN_HOME to another"
    if machine["font"] is None:
        yield "matplotlib finds no font for pictures: pip install --force-reinstall matplotlib"


def memory():
    """Bytes of memory in all and free, as far as the system tells."""
    try:
        with open("/proc/meminfo") as file:
            stated = dict(line.split(":") for line in file)
        return tuple(int(stated[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        pages = os.sysconf_names if hasattr(os, "sysconf_names") else {}
        known = "SC_PHYS_PAGES" in pages
        return (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if known else None), None


def cache_facts():
    """The folder for files that can be made or fetched again; whether it can be written; the room on its disk."""
    import shutil

    from kerascnn.support.store import home

    folder = home()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    return {"cache": short_path(str(folder)), "writable": writable, "room": shutil.disk_usage(there).free}


def font():
    """The font of pictures; None where matplotlib has none, or cannot be imported."""
    try:
        from matplotlib import font_manager

        name = font_manager.FontProperties().get_name()
        return name if os.path.isfile(font_manager.findfont(name, fallback_to_default=False)) else None
    except Exception:
        return None


def lines(result):
    room = width()
    about, keras, machine = result["python"], result["keras"], result["machine"]
    yield bold(f"kerascnn {about['kerascnn']}, Python {about['version']}, {about['platform']}")
    yield from section("packages", {row["name"]: package_text(row) for row in result["packages"]}, room)
    yield from section("optional", {row["name"]: extra_text(row) for row in result["extras"]}, room)
    facts = {
        "backend": ", ".join(keras[key] for key in SETTINGS if keras.get(key)) or "none",
        "devices": ", ".join(keras["devices"]) or "none",
        "cores": machine["cores"],
        "memory": f"{short(machine['memory'])}B, {short(machine['free'])}B free",
        "cache": f"{machine['cache']}, {short(machine['room'])}B free{'' if machine['writable'] else ', read-only'}",
        "font": machine["font"] or "none",
    }
    yield from section("machine", facts, room)
    yield ""
    yield from (click.style(f"problem: {problem}", fg="red") for problem in result["problems"])
    if result["healthy"]:
        yield click.style("healthy: everything that kerascnn needs is here", fg="green")


def section(title, facts, room):
    yield ""
    yield bold(title)
    yield from pairs(facts, room=room)


def package_text(row):
    least = dim(f"  needs {row['needs']}") if row["needs"] else ""
    if row["version"] is None:
        return "missing"
    return row["version"].ljust(9) + least


def extra_text(row):
    if not row["present"]:
        return f"not installed: {row['install']}"
    return ", ".join(f"{name} {version}" for name, version in row["packages"].items())


def requirements():
    """Rows (package, least version, extra or None) in the order of the metadata; none if not installed."""
    from importlib import metadata

    try:
        stated = metadata.requires("kerascnn") or []
    except metadata.PackageNotFoundError:
        return []
    return [parse_requirement(text) for text in stated]


def parse_requirement(text):
    """`starlette>=0.46; extra == "explore"` as ("starlette", "0.46", "explore")."""
    from packaging.requirements import Requirement

    stated = Requirement(text)
    least = next((each.version for each in stated.specifier if each.operator == ">="), None)
    always = stated.marker is None or stated.marker.evaluate({"extra": ""})
    extras = () if always else (name for name in extra_names() if stated.marker.evaluate({"extra": name}))
    return stated.name, least, next(iter(extras), None)


def extra_names():
    """The optional parts that the metadata names."""
    from importlib import metadata

    return metadata.metadata("kerascnn").get_all("Provides-Extra", [])


def extra_of(module):
    """The optional part that brings a module, or None."""
    for name, _, extra in requirements():
        if extra and name.replace("-", "_").lower() == module.lower():
            return extra
    return None


def installed_version(name):
    """The version of a package without importing it, or None."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def is_older(version, least):
    """Whether a version is older than another."""
    from packaging.version import Version

    return least is not None and Version(version) < Version(least)
