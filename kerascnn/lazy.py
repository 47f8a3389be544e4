"""Packages whose public names are loaded when they are first asked for, so that importing them costs nothing."""

import sys
from importlib import import_module


def lazily(package, modules):
    """``__getattr__`` and ``__dir__`` of a package; ``modules`` says in which module of it each public name is."""

    def get(name):
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f".{modules[name]}", package), name)

    def names():
        return sorted({*vars(sys.modules[package]), *modules})

    return get, names
