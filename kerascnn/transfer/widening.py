"""More views of each image for the surest linear classifier to learn from, where they make it surer."""

import time
from dataclasses import replace

import numpy as np

from .choosing import lead, surest
from .keys import digest
from .probes import WIDE, depths
from .stages import PLUS
from .tapping import taps

MORE = ("top_left", "flip_bottom_right"), ("top_left", "bottom_right")  # photos may be mirrored, digits may not


def widened(probed, images, ledger, clock, tell, *, seed, size=None, cache=True):
    """``Probed``s of the surest stage in more views, until one of them is surer: mirrored first."""
    best, found = surest(probed.candidates), []
    width = probed.table.row(best.stage, best.head)["width"]
    for views in MORE:
        rows = (1 + len(views)) * len(probed.taps)
        if min(rows, width) > WIDE or not clock.allows(len(views) * probed.seconds["features"]):
            break
        found.append(wider(probed, images, best.stage, views, ledger, seed, size=size, cache=cache))
        clock.spent += sum(found[-1].seconds.values())
        (wide,) = found[-1].candidates
        tell(f"{wide.name}: {wide.accuracy:.1%} of images not shown")
        if lead(wide, best, "sure")[0] > 0:
            break
    return tuple(found)


def wider(probed, images, stage, views, ledger, seed, **how):
    """A stage's ``Probed`` with these views beside those it has."""
    began, silent = time.perf_counter(), lambda done: None
    known = beside(probed.taps, taps(probed.model, images, views=views, stages=stage.split(PLUS), tell=silent, **how))
    table = depths(known, heads="ridge", stages=(stage,), together=(), fractions=(), seed=seed, tell=silent)
    spent = {"views": time.perf_counter() - began}
    seconds, _ = ledger.once(f"clock-{digest(known.model, *known.views, *known.hashes)}", lambda: (spent, {}))
    return replace(probed, taps=known, table=table, seconds=seconds)


def beside(first, second):
    """``Taps`` of the same images with the views of both, at the second's stages."""
    features = {stage: np.concatenate([first.features[stage], more], 1) for stage, more in second.features.items()}
    return replace(first, features=features, views=(*first.views, *second.views))
