"""How accurate is a classifier, is it better than another one, and which of its layers matter?"""

from ..support.lazy import lazy_attributes

PUBLIC = {  # name -> module; loaded when first asked for
    "Ablation": "ablation",
    "ablate": "ablation",
    "Calibration": "calibration",
    "Temperature": "calibration",
    "reliability": "calibration",
    "temperature": "calibration",
    "Comparison": "compare",
    "compare": "compare",
    "nadeau_bengio_test": "compare",
    "Ensemble": "ensembles",
    "ensemble": "ensembles",
    "Evaluation": "evaluate",
    "evaluate": "evaluate",
    "from_probabilities": "evaluate",
    "Interval": "statistics",
    "bootstrap": "statistics",
    "mcnemar": "statistics",
    "wilson": "statistics",
    "HumanAgainstNetwork": "people",
    "human_against_network": "people",
    "Guess": "predict",
    "Predictions": "predict",
    "predict": "predict",
    "NotRemovable": "ablation",
    "without_part": "ablation",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazy_attributes(__name__, PUBLIC)
