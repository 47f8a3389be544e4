"""Transfer learning that finds out by itself: features of every stage, how far each gets, and what that advises.

found = taps(model, data)  # one pass gives the features of all stages, kept on disk
table = depths(found)  # a classifier on each stage, judged on images that it did not learn from
advice = advise(table)  # where the data lies between little and much, similar and different
model = fitted(found, table).model(model)  # the best of them as a Keras model
"""

from ..lazy import lazily

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
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazily(__name__, PUBLIC)
