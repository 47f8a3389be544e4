from .fit import TrainingDiverged as TrainingDiverged
from .fit import fit as fit
from .history import History as History
from .optimizers import initialize as initialize
from .recipes import RECIPES as RECIPES
from .recipes import Recipe as Recipe
from .recipes import recipe as recipe
from .recipes import recipe_of as recipe_of

PUBLIC: dict[str, str]
