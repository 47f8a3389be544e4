"""Transfer learning that finds out by itself: features of every stage, how far each gets, and what that advises.

found = taps(model, data)  # one pass gives the features of all stages, kept on disk
table = depths(found)  # a classifier on each stage, judged on images that it did not learn from
advice = advise(table)  # where the data lies between little and much, similar and different
model = fitted(found, table).model(model)  # the best of them as a Keras model

transfer("photos", budget="10m")  # all of it, and finetuning where that pays: the package is its own main function
"""

from ..lazy import calling, lazily

PUBLIC = {  # name -> module
    "Taps": "tapping",
    "taps": "tapping",
    "VIEWS": "views",
    "ProbeTable": "probes",
    "depths": "probes",
    "HEADS": "heads",
    "Head": "classifier",
    "fitted": "classifier",
    "head_model": "classifier",
    "truncated": "classifier",
    "Advice": "advice",
    "advise": "advice",
    "Study": "studies",
    "study": "studying",
    "finetuned": "finetuning",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazily(__name__, PUBLIC)

transfer = calling(__name__, "study")  # under the name by which kerascnn gives what it is asked for
