"""What a network sees: which pixels speak for a class, what its filters and units look for.

Every method takes any Keras model and images, and answers with data that draws itself.
"""

from ..lazy import lazily
from .registry import ROWS

PUBLIC = {name: row.module.removeprefix(".") for name, row in ROWS.items()} | {  # name -> module
    "Probe": "engine",
    "probe": "engine",
    "Attribution": "attribution",
    "METHODS": "registry",
    "Occlusion": "covering",
    "convolutional": "convolving",
    "gabor": "gabors",
    "cka": "pairs",
    "Score": "scores",
    "logit": "scores",
    "probability": "scores",
    "log_probability": "scores",
    "neuron": "scores",
    "channel": "scores",
    "peak": "scores",
    "energy": "scores",
    "distance": "scores",
    "direction": "scores",
    "matching": "scores",
    "variation": "priors",
    "climb": "climbing",
    "Recipe": "recipes",
    "RECIPES": "recipes",
    "Synthesis": "synthesis",
    "Inversion": "inverting",
    "ten_numbers": "linear_fooling",
    "fool_linear": "linear_fooling",
    "ATTACKS": "attacks",
    "Fooled": "attacking",
    "fgsm": "bounded",
    "bim": "bounded",
    "pgd": "bounded",
    "minimal": "boundary",
    "lbfgs": "szegedy",
    "twin": "twins",
    "Twins": "twins",
    "hog_twin": "hog_twins",
    "dream_on": "dreaming",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazily(__name__, PUBLIC)
