"""Training: recipes as their authors published them, and `fit`, which is repeatable and goes on after a crash."""

from ..support.lazy import lazily

PUBLIC = {  # name -> module; loaded when first asked for
    "Diverged": "fit",
    "History": "history",
    "RECIPES": "recipes",
    "Recipe": "recipes",
    "fit": "fit",
    "initialize": "optimizers",
    "recipe": "recipes",
    "recipe_of": "recipes",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazily(__name__, PUBLIC)
