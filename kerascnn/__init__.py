"""kerascnn: the famous convolutional networks in Keras, transfer learning, and what the networks see."""

import importlib.util
import sys

from .support.lazy import lazy_attributes

__version__ = "0.1.0"

PUBLIC = {  # name -> module; loaded when first asked for, so that importing kerascnn costs nothing
    "build_model": "zoo.build",
    "outline": "zoo.build",
    "features": "zoo.build",
    "rehead": "zoo.build",
    "pattern": "zoo.build",
    "card": "zoo.build",
    "list_models": "zoo.build",
    "load_weights": "weights.load",
    "save_weights": "weights.save",
    "dissect": "anatomy.table",
    "receptive_field": "anatomy.receptive_field",
    "diagram": "anatomy.diagram",
    "load": "data.load",
    "audit": "data.audit",
    "batches": "data.batches",
    "fit": "training.fit",
    "Recipe": "training.recipes",
    "recipe_of": "training.recipes",
    "predict": "evaluation.predict",
    "evaluate": "evaluation.evaluate",
    "from_probabilities": "evaluation.evaluate",
    "temperature": "evaluation.calibration",
    "compare": "evaluation.compare",
    "ensemble": "evaluation.ensembles",
    "human_against_network": "evaluation.people",
    "ablate": "evaluation.ablation",
    "initialization": "diagnose.initialization",
    "activity": "diagnose.activity",
    "gradient_check": "diagnose.gradient_check",
    "transfer": "transfer_learning.study",
    "export": "exporting.export",
    "report": "reporting.report",
    "help": "help",
}
PACKAGES = (
    "anatomy",
    "data",
    "diagnose",
    "evaluation",
    "exporting",
    "graph",
    "inputs",
    "plots",
    "reporting",
    "support",
    "training",
    "transfer_learning",
    "visualize",
    "weights",
    "zoo",
)
__all__ = sorted(PUBLIC.keys() - {"help"})  # which a star import would put in place of Python's own
__getattr__, __dir__ = lazy_attributes(__name__, PUBLIC, PACKAGES)


class _AfterKeras:
    """Import hook that makes kerascnn's layers known to Keras as soon as Keras is there.

    A model file names its layers; Keras finds only those that were registered. Importing kerascnn has to be enough for
    that, and must not import Keras.
    """

    def find_spec(self, name, path=None, target=None):
        if name != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_then_register(module):
                load(module)
                if f"{__name__}.zoo.layers" not in sys.modules:  # which imports Keras itself, and is not there yet
                    importlib.import_module(".zoo.layers", __name__)

            spec.loader.exec_module = load_then_register
        return spec


if "keras" in sys.modules:
    importlib.import_module(".zoo.layers", __name__)
else:
    sys.meta_path.insert(0, _AfterKeras())
