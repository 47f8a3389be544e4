"""Training: recipes as their authors published them, and `fit`, which is repeatable and goes on after a crash."""

from importlib import import_module

PUBLIC = {  # name -> module; loaded when first asked for: recipes can be read without Keras
    "Diverged": "fitting",
    "History": "history",
    "RECIPES": "recipes",
    "Recipe": "rows",
    "fit": "fitting",
    "initialise": "descent",
    "recipe": "recipes",
    "recipe_of": "recipes",
}
__all__ = sorted(PUBLIC)


def __getattr__(name):
    if name not in PUBLIC:
        raise AttributeError(f"module 'kerascnn.training' has no attribute {name!r}")
    return getattr(import_module(f".{PUBLIC[name]}", __name__), name)


def __dir__():
    return sorted([*globals(), *PUBLIC])
