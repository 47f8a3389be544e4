"""What kerascnn needs and what it can use besides, as its installed metadata says."""

import re


def requirements():
    """Rows (package, least version, extra or None) in the order of the metadata; none if not installed."""
    from importlib import metadata

    try:
        stated = metadata.requires("kerascnn") or []
    except metadata.PackageNotFoundError:
        return []
    return [parsed(text) for text in stated]


def parsed(text):
    """`starlette>=0.46; extra == "explore"` as ("starlette", "0.46", "explore")."""
    name = re.match(r"[\w.-]+", text)[0]
    least = re.search(r">=\s*([\w.]+)", text.split(";")[0])
    extra = re.search(r"extra == ['\"]([\w-]+)['\"]", text)
    return name, least[1] if least else None, extra[1] if extra else None


def extra_of(module):
    """The optional part that brings a module, or None."""
    for name, _, extra in requirements():
        if extra and name.replace("-", "_").lower() == module.lower():
            return extra
    return None


def installed(name):
    """The version of a package without importing it, or None."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def older(version, least):
    """Whether a version is older than another, by their numbers."""
    return least is not None and numbers(version) < numbers(least)


def numbers(version):
    """The leading numbers: 2.20.0rc1 as (2, 20, 0)."""
    return tuple(int(part) for part in re.match(r"[\d.]*", version)[0].split(".") if part)
