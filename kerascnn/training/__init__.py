"""Training: recipes as published by their authors, and `fit`, which is repeatable and resumes after a crash."""

from ..support.lazy import lazy_attributes

PUBLIC = {  # name -> module; loaded when first asked for
    "TrainingDiverged": "fit",
    "History": "history",
    "RECIPES": "recipes",
    "Recipe": "recipes",
    "fit": "fit",
    "initialize": "optimizers",
    "recipe": "recipes",
    "recipe_of": "recipes",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazy_attributes(__name__, PUBLIC)
