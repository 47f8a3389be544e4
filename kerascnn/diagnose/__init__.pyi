from .activity import Activity as Activity
from .activity import activity as activity
from .filters import Filters as Filters
from .filters import filters as filters
from .gradient_check import GradientCheck as GradientCheck
from .gradient_check import gradient_check as gradient_check
from .initialization import Initialization as Initialization
from .initialization import initialization as initialization
from .variants import TrainingComparison as TrainingComparison
from .variants import activation_effect as activation_effect
from .variants import compare_training as compare_training
from .variants import dropout_effect as dropout_effect
from .variants import norm_effect as norm_effect
from .variants import plain_against_residual as plain_against_residual
from .verdict import MIN_IMAGES as MIN_IMAGES
from .verdict import TrainingVerdict as TrainingVerdict
from .verdict import training_verdict as training_verdict

PUBLIC: dict[str, str]
