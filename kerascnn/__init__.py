"""kerascnn: the famous convolutional networks in Keras, transfer learning, and what the networks see."""

import importlib.util
import sys

from .lazy import lazily

__version__ = "0.1.0"

PUBLIC = {  # name -> module; loaded when first asked for, so that importing kerascnn costs nothing
    "build_model": "build",
    "outline": "build",
    "features": "build",
    "rehead": "build",
    "pattern": "build",
    "load_weights": "weights",
    "save_weights": "weights",
    "card": "build",
    "list_models": "build",
    "dissect": "anatomy",
    "receptive_field": "anatomy",
    "diagram": "anatomy",
    "predict": "predictions",
    "load": "data",
    "audit": "data",
    "batches": "data",
    "evaluate": "evaluation",
    "from_probabilities": "evaluation",
    "temperature": "evaluation",
    "compare": "evaluation",
    "ensemble": "evaluation",
    "human_against_network": "evaluation",
    "ablate": "evaluation",
    "fit": "training",
    "Recipe": "training",
    "recipe_of": "training",
    "initialisation": "diagnose",
    "activity": "diagnose",
    "gradient_check": "diagnose",
    "export": "exporting",
    "transfer": "transfer",
    "report": "report",
    "help": "guide",
}
__all__ = sorted(PUBLIC.keys() - {"help"})  # which a star import would put in place of Python's own
__getattr__, __dir__ = lazily(__name__, PUBLIC)


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
                if f"{__name__}.layers" not in sys.modules:  # which imports Keras itself, and is not there yet
                    importlib.import_module(".paths", __name__)

            spec.loader.exec_module = load_then_register
        return spec


if "keras" in sys.modules:
    importlib.import_module(".paths", __name__)
else:
    sys.meta_path.insert(0, _AfterKeras())
