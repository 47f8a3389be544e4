from .ablation import Ablation as Ablation
from .ablation import NotRemovable as NotRemovable
from .ablation import ablate as ablate
from .ablation import without_part as without_part
from .calibration import Calibration as Calibration
from .calibration import Temperature as Temperature
from .calibration import reliability as reliability
from .calibration import temperature as temperature
from .compare import Comparison as Comparison
from .compare import compare as compare
from .compare import nadeau_bengio_test as nadeau_bengio_test
from .ensembles import Ensemble as Ensemble
from .ensembles import ensemble as ensemble
from .evaluate import Evaluation as Evaluation
from .evaluate import evaluate as evaluate
from .evaluate import from_probabilities as from_probabilities
from .people import HumanAgainstNetwork as HumanAgainstNetwork
from .people import human_against_network as human_against_network
from .predict import Guess as Guess
from .predict import Predictions as Predictions
from .predict import predict as predict
from .statistics import Interval as Interval
from .statistics import bootstrap as bootstrap
from .statistics import mcnemar as mcnemar
from .statistics import wilson as wilson

PUBLIC: dict[str, str]
