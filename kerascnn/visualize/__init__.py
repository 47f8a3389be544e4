"""What a network sees: which pixels support a class, what its filters and units respond to.

Every method takes a Keras model and images, and returns data that can draw itself.
"""

from ..support.lazy import lazy_attributes
from .registry import ROWS

PUBLIC = {name: row.module.removeprefix(".") for name, row in ROWS.items()} | {  # name -> module
    "Lens": "engine.lens",
    "lens": "engine.lens",
    "Attribution": "attribution.attribution",
    "METHODS": "registry",
    "Occlusion": "attribution.occlusion",
    "to_fully_convolutional": "features.convolutional",
    "fit_gabor": "features.gabor",
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
    "guide_similarity": "engine.scores",
    "variation": "synthesis.regularizers",
    "synthesize": "synthesis.synthesize",
    "SynthesisRecipe": "synthesis.recipes",
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
    "dream_frames": "synthesis.dream",
    "ROWS": "registry",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazy_attributes(__name__, PUBLIC)
