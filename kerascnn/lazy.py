"""Packages whose public names are loaded when they are first asked for, so that importing them costs nothing."""

import sys
from importlib import import_module
from types import ModuleType


def lazily(package, modules):
    """``__getattr__`` and ``__dir__`` of a package; ``modules`` says in which module of it each public name is."""

    def get(name):
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f".{modules[name]}", package), name)

    def names():
        return sorted({*vars(sys.modules[package]), *modules})

    return get, names


def calling(package, function):
    """A package that can be called: `kerascnn.transfer(data)` is its public ``function``.

    Such a package is named by the verb that people say, and a function of that name would be hidden by the package as
    soon as any of its modules is imported.
    """
    module = sys.modules[package]
    call = lambda self, *given, **named: getattr(self, function)(*given, **named)  # noqa: E731
    module.__class__ = type(package.rpartition(".")[2].title(), (ModuleType,), {"__call__": call})
    return module
