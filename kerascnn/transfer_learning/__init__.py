"""Transfer learning: features of every stage, linear probes on each, advice on what to try, and a complete study.

features = taps(model, data)  # the features of all stages in one pass, cached on disk
table = train_probes(features)  # a classifier on each stage, evaluated on held-out images
advice = advise(table)  # little or much data, similar to the pretraining data or different
model = fit_head(features, table).model(model)  # the best of them as a Keras model

kerascnn.transfer("photos", budget="10m")  # all of this, and fine-tuning where it pays
"""

from ..support.lazy import lazy_attributes

PUBLIC = {  # name -> module; loaded when first asked for
    "Taps": "taps",
    "taps": "taps",
    "CROPS": "taps",
    "ProbeTable": "probes",
    "train_probes": "probes",
    "HEADS": "heads",
    "Head": "networks",
    "fit_head": "networks",
    "head_model": "networks",
    "truncate_at_stages": "networks",
    "Advice": "advice",
    "advise": "advice",
    "Study": "study",
    "transfer": "study",
    "finetune": "finetune",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazy_attributes(__name__, PUBLIC)
