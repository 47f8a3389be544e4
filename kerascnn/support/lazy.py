"""Packages whose public names are imported on first use, so that importing the package costs nothing."""

import sys
from importlib import import_module
from types import ModuleType


def lazy_attributes(package, modules, subpackages=()):
    """Return `__getattr__` and `__dir__` of a package with lazy public names.

    A module may have the name of the function that it is known for (`fit` in `fit.py`). The import system would put
    the module in the function's place, so the package refuses that.

    Args:
        package: The package's `__name__`.
        modules: For each public name the module that has it, below the package.
        subpackages: Packages below this one, imported on first use.

    Returns:
        The two functions, to be assigned to `__getattr__` and `__dir__` in the package.
    """

    class LazyPackage(ModuleType):
        def __setattr__(self, name, value):
            if name not in modules or not isinstance(value, ModuleType):
                super().__setattr__(name, value)

    def get(name):
        if name in modules:
            return getattr(import_module(f".{modules[name]}", package), name)
        if name in subpackages:
            return import_module(f".{name}", package)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names():
        return sorted({*modules, *subpackages, "__version__"} & {*modules, *subpackages, *vars(sys.modules[package])})

    sys.modules[package].__class__ = LazyPackage
    return get, names
