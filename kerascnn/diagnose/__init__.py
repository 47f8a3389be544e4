"""What is wrong with a network? Its start, its units, its filters, its gradients, and runs side by side.

Every answer is a frozen dataclass of tables, which draws itself with `.plot()` and `.save(path)`.
"""

from .effects import activation_effect, dropout_effect, norm_effect
from .initial import Initialisation, initialisation
from .kernels import Filters, filters
from .numerical import GradientCheck, gradient_check
from .units import Activity, activity
from .variants import Comparison, compare, plain_against_residual
from .verdicts import ENOUGH, TrainingVerdict, training_verdict

__all__ = [
    "ENOUGH",
    "Activity",
    "Comparison",
    "Filters",
    "GradientCheck",
    "Initialisation",
    "TrainingVerdict",
    "activation_effect",
    "activity",
    "compare",
    "dropout_effect",
    "filters",
    "gradient_check",
    "initialisation",
    "norm_effect",
    "plain_against_residual",
    "training_verdict",
]
