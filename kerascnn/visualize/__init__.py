"""What a network sees: which pixels speak for a class, what its filters and units look for.

Every method takes any Keras model and images, and answers with data that draws itself.
"""

from ..support.lazy import lazily
from .registry import ROWS

PUBLIC = {name: row.module.removeprefix(".") for name, row in ROWS.items()} | {  # name -> module
    "Probe": "engine.lens",
    "probe": "engine.lens",
    "Attribution": "attribution.attribution",
    "METHODS": "registry",
    "Occlusion": "attribution.occlusion",
    "convolutional": "features.convolutional",
    "gabor": "features.gabor",
    "cka": "features.side_by_side",
    "Score": "engine.scores",
    "logit": "engine.scores",
    "probability": "engine.scores",
    "log_probability": "engine.scores",
    "neuron": "engine.scores",
    "channel": "engine.scores",
    "peak": "engine.scores",
    "energy": "engine.scores",
    "distance": "engine.scores",
    "direction": "engine.scores",
    "matching": "engine.scores",
    "variation": "synthesis.regularizers",
    "climb": "synthesis.synthesize",
    "Recipe": "synthesis.recipes",
    "RECIPES": "synthesis.recipes",
    "Synthesis": "synthesis.synthesize",
    "Inversion": "synthesis.invert",
    "ten_numbers": "lectures.linear",
    "fool_linear": "lectures.linear",
    "ATTACKS": "attacks.fool",
    "Fooled": "attacks.attack",
    "fgsm": "attacks.pgd",
    "bim": "attacks.pgd",
    "pgd": "attacks.pgd",
    "minimal": "attacks.minimal",
    "lbfgs": "attacks.lbfgs",
    "twin": "attacks.twins",
    "Twins": "attacks.twins",
    "hog_twin": "lectures.hog",
    "dream_on": "synthesis.dream",
    "ROWS": "registry",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazily(__name__, PUBLIC)
