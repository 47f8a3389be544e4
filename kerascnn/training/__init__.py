"""Training: recipes as their authors published them, and `fit`, which is repeatable and goes on after a crash."""

from ..lazy import lazily

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
__getattr__, __dir__ = lazily(__name__, PUBLIC)
