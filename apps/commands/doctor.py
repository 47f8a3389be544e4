"""`kerascnn doctor`: installed versions and hardware, to be pasted into a bug report."""

import os

import click

from ..backend import load_keras
from ..errors import one_line, pip_install
from ..options import Command
from ..output import bold, dim, format_count, format_pairs, print_result, terminal_width
from ..settings import short_path

SETTINGS = ("backend", "floatx", "image_data_format")


@click.command("doctor", cls=Command)
def doctor_command():
    """Show installed versions and hardware, and find problems.

    Paste the output into a bug report. Exit code 1 if a required package is missing, too old or broken.
    """
    result = {
        "packages": package_versions(),
        "extras": optional_extras(),
        "python": python_info(),
        "keras": keras_info(),
        "machine": machine_info(),
    }
    problems = [
        *package_problems(result["packages"]),
        *result["keras"].pop("problems"),
        *machine_problems(result["machine"]),
    ]
    result |= {"healthy": not problems, "problems": problems}
    print_result("doctor", result, doctor_lines(result))
    return 1 if problems else 0


def python_info():
    import platform

    return {"version": platform.python_version(), "platform": platform.platform(), "kerascnn": kerascnn_version()}


def kerascnn_version():
    import kerascnn

    return kerascnn.__version__


def package_versions():
    """The installed and the least version of every required package."""
    return [
        {"name": name, "version": package_version(name), "needs": least}
        for name, least, extra in requirements()
        if extra is None
    ]


def package_problems(rows):
    """Messages about missing and outdated packages."""
    if not rows:
        yield 'kerascnn is importable but not installed: pip install -e "."'
    for row in rows:
        wanted = f"{row['name']}>={row['needs']}" if row["needs"] else row["name"]
        if row["version"] is None:
            yield f'{row["name"]} is missing: pip install "{wanted}"'
        elif is_older(row["version"], row["needs"]):
            yield f'{row["name"]} {row["version"]} is too old: pip install "{wanted}"'


def optional_extras():
    """Every optional extra: its packages, and how to install it."""
    packages = {}
    for name, _, extra in requirements():
        if extra and name != "kerascnn":
            packages.setdefault(extra, {})[name] = package_version(name)
    return [
        {"name": extra, "present": None not in parts.values(), "packages": parts, "install": pip_install(extra)}
        for extra, parts in packages.items()
    ]


def keras_info():
    """Backend, precision and devices of Keras, or the error that keeps it from loading."""
    try:
        keras = load_keras()
        info = {
            "backend": keras.config.backend(),
            "floatx": keras.config.floatx(),
            "image_data_format": keras.config.image_data_format(),
            "devices": device_names(keras.config.backend()),
        }
    except Exception as error:
        return {"backend": None, "devices": [], "problems": [one_line(error)]}
    first = info["image_data_format"] == "channels_first"
    wrong = 'Keras uses channels_first, but kerascnn needs channels_last: edit "image_data_format" in keras.json'
    return info | {"problems": [wrong] if first else []}


def device_names(backend):
    """Names of the devices that the backend can use."""
    if backend == "tensorflow":
        import tensorflow as tf

        details = tf.config.experimental.get_device_details
        details_of = {device.name: details(device) for device in tf.config.list_physical_devices()}
        names = {name.removeprefix("/physical_device:"): more for name, more in details_of.items()}
        return [f"{name} {more.get('device_name', '')}".strip() for name, more in names.items()]
    from keras.distribution import list_devices

    return [str(device) for device in list_devices()]


def machine_info():
    """Cores, memory, cache folder and the font of figures."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    total, free = memory_bytes()
    return {"cores": cores, "memory": total, "free": free, **cache_info(), "font": font_name()}


def machine_problems(machine):
    """Messages about the cache folder and fonts."""
    if not machine["writable"]:
        yield f"cache folder {machine['cache']} is not writable: set KERASCNN_HOME to another folder"
    if machine["font"] is None:
        yield "matplotlib finds no font: pip install --force-reinstall matplotlib"


def memory_bytes():
    """Total and free memory in bytes, if the system tells."""
    try:
        with open("/proc/meminfo") as file:
            stated = dict(line.split(":") for line in file)
        return tuple(int(stated[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        pages = os.sysconf_names if hasattr(os, "sysconf_names") else {}
        known = "SC_PHYS_PAGES" in pages
        return (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if known else None), None


def cache_info():
    """The cache folder, whether it is writable, and the free space on its disk."""
    import shutil

    from kerascnn.support.store import home

    folder = home()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    return {"cache": short_path(str(folder)), "writable": writable, "room": shutil.disk_usage(there).free}


def font_name():
    """The font of figures; None if matplotlib has none or cannot be imported."""
    try:
        from matplotlib import font_manager

        name = font_manager.FontProperties().get_name()
        return name if os.path.isfile(font_manager.findfont(name, fallback_to_default=False)) else None
    except Exception:
        return None


def doctor_lines(result):
    room = terminal_width()
    about, keras, machine = result["python"], result["keras"], result["machine"]
    yield bold(f"kerascnn {about['kerascnn']}, Python {about['version']}, {about['platform']}")
    yield from section_lines("packages", {row["name"]: package_text(row) for row in result["packages"]}, room)
    yield from section_lines("optional", {row["name"]: extra_text(row) for row in result["extras"]}, room)
    read_only = "" if machine["writable"] else ", read-only"
    facts = {
        "backend": ", ".join(keras[key] for key in SETTINGS if keras.get(key)) or "none",
        "devices": ", ".join(keras["devices"]) or "none",
        "cores": machine["cores"],
        "memory": f"{format_count(machine['memory'])}B, {format_count(machine['free'])}B free",
        "cache": f"{machine['cache']}, {format_count(machine['room'])}B free{read_only}",
        "font": machine["font"] or "none",
    }
    yield from section_lines("machine", facts, room)
    yield ""
    yield from (click.style(f"problem: {problem}", fg="red") for problem in result["problems"])
    if result["healthy"]:
        yield click.style("No problems found.", fg="green")


def section_lines(title, facts, room):
    yield ""
    yield bold(title)
    yield from format_pairs(facts, room=room)


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


def extra_of_module(module):
    """The optional extra that installs a module, or None."""
    for name, _, extra in requirements():
        if extra and name.replace("-", "_").lower() == module.lower():
            return extra
    return None


def package_version(name):
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
