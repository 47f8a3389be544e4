"""Transfer learning that finds out by itself: features of every stage, how far each gets, and what that advises.

found = taps(model, data)  # one pass gives the features of all stages, kept on disk
table = depths(found)  # a classifier on each stage, judged on images that it was not trained on
advice = advise(table)  # where the data lies between little and much, similar and different
model = fitted(found, table).model(model)  # the best of them as a Keras model

kerascnn.transfer("photos", budget="10m")  # all of it, and finetuning where that pays
"""

from ..support.lazy import lazily

PUBLIC = {  # name -> module; loaded when first asked for
    "Taps": "taps",
    "taps": "taps",
    "VIEWS": "taps",
    "ProbeTable": "probes",
    "depths": "probes",
    "HEADS": "heads",
    "Head": "networks",
    "fitted": "networks",
    "head_model": "networks",
    "truncated": "networks",
    "Advice": "advice",
    "advise": "advice",
    "Study": "study",
    "transfer": "study",
    "finetuned": "finetune",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazily(__name__, PUBLIC)
