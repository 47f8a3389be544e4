"""What is wrong with a network? Its start, its units, its filters, its gradients, and runs side by side.

Every answer is a frozen dataclass of tables, which draws itself with `.plot()` and `.save(path)`.
"""

from ..support.lazy import lazy_attributes

PUBLIC = {  # name -> module; loaded when first asked for
    "activation_effect": "variants",
    "dropout_effect": "variants",
    "norm_effect": "variants",
    "Initialization": "initialization",
    "initialization": "initialization",
    "Filters": "filters",
    "filters": "filters",
    "GradientCheck": "gradient_check",
    "gradient_check": "gradient_check",
    "Activity": "activity",
    "activity": "activity",
    "TrainingComparison": "variants",
    "compare_training": "variants",
    "plain_against_residual": "variants",
    "MIN_IMAGES": "verdict",
    "TrainingVerdict": "verdict",
    "training_verdict": "verdict",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazy_attributes(__name__, PUBLIC)
