"""How good a classifier is, how sure one can be of that, against whom, and what each part of it is worth."""

from .ablation import Ablation, ablate
from .calibration import Calibration, Temperature, reliability, temperature
from .comparison import Comparison, compare, corrected_t
from .ensembles import Ensemble, ensemble
from .evaluation import Evaluation, evaluate, from_probabilities
from .intervals import Interval, bootstrap, mcnemar, wilson
from .people import HumanAgainstNetwork, human_against_network
from .surgery import NotRemovable, without

__all__ = [
    "Ablation",
    "Calibration",
    "Comparison",
    "Ensemble",
    "Evaluation",
    "HumanAgainstNetwork",
    "Interval",
    "NotRemovable",
    "Temperature",
    "ablate",
    "bootstrap",
    "compare",
    "corrected_t",
    "ensemble",
    "evaluate",
    "from_probabilities",
    "human_against_network",
    "mcnemar",
    "reliability",
    "temperature",
    "wilson",
    "without",
]
