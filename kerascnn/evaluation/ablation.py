"""What each part of a network is worth: its accuracy without a layer, block or stage, as it is and trained again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import keras
import numpy as np

from ..graph.copy import clone
from ..inputs.classifier import classifier
from ..support.display import Drawn
from ..support.text import percent
from .compare import compare
from .evaluate import Evaluation, measured
from .labelled import labelled
from .statistics import wilson
from .surgery import NotRemovable, calls_of, exit_of, flat, part_of, without


@dataclass(frozen=True, eq=False)
class Ablation(Drawn):
    """The network with each part left out, on the same images.

    ``table`` has a row for each part: parameters, accuracy with Wilson's interval, and the drop from the intact network
    with the paired bootstrap's interval and McNemar's p; where there was training, the same for retrained networks,
    against the intact one retrained alike. ``refused`` says of parts why the network cannot be without.
    """

    intact: Evaluation
    table: object = field(repr=False)
    evaluations: Mapping = field(repr=False)
    refused: Mapping
    retrained: Evaluation | None = None

    def __str__(self):
        return self.text()

    def text(self):
        """The table, and what was refused."""
        shown = readable_table(self.table).to_string(index=False, float_format="{:.2g}".format)
        refused = [f"cannot be left out: {name}, {reason}" for name, reason in self.refused.items()]
        trained = f", {percent(self.retrained.accuracy)} retrained" if self.retrained else ""
        intact = f"intact {percent(self.intact.accuracy)}{trained}, {len(self.intact):,} images"
        return "\n".join([intact, shown, *refused])

    def plot(self):
        """The drops with their intervals as a figure."""
        from .figures import draw_drops

        return draw_drops(self.table, f"{self.intact.model or 'The network'} without ...")

    def save(self, path):
        """Write the numbers (.json), the table (.csv) or the figure (.png, .svg, .pdf, .jpg)."""
        from .save import keep, of_ablation

        return keep(path, lambda: self.table, self.plot, lambda: of_ablation(self))


def ablate(model, names, images, labels=None, *, how="remove", retrain: Callable = None, part=None, **options):
    """What happens without a layer, block or stage: an ``Ablation``; the model itself stays as it is.

    ``images``, ``labels``, ``part`` and ``options`` are as in ``evaluate``.
    ``names`` are layers, or what names of a block's or stage's layers begin with ("stage2_block1", "stage2"). "remove"
    takes the branches of residual blocks away and bypasses other parts if their shapes allow; "zero" and "mean" put 0
    or the mean over these images in place of the part's output; ("stage2", [3, 5]) means these units of it only.
    This is lesioning: the remaining weights were trained with the part. ``retrain(network)`` may train a copy (in
    place, or return another), on other images than these; the intact network is then retrained alike for comparison.
    """
    return ablated(model, names, labelled(images, labels, part=part), how=how, retrain=retrain, **options)


def ablated(model, names, given, *, how="remove", retrain=None, batch_size=64, **options):
    """``ablate`` on a labelled `Batch`."""
    model, parts, options = flat(model), listed(names), {"batch_size": batch_size, **options}
    means = means_of(model, [name for name, _ in parts], given, options) if how == "mean" else {}
    cut, refused = {}, {}
    for name, units in parts:
        try:
            cut[called(name, units)] = without(model, name, how, units=units, means=means.get(name))
        except NotRemovable as reason:
            refused[called(name, units)] = str(reason)
    if not cut:
        raise NotRemovable("; ".join(refused.values()))
    intact, again, found = measured(model, given, **options), None, {}
    if retrain:
        again = measured(trained(clone(model), retrain), given, **options)
    rows = []
    for name in [*cut]:
        network = cut.pop(name)  # which is then free again
        row, found[name] = [name, how, network.count_params()], measured(network, given, **options)
        row += dropped(intact, found[name])
        if retrain:
            found[f"{name} retrained"] = measured(trained(network, retrain), given, **options)
            row += dropped(again, found[f"{name} retrained"])
        rows.append(row)
    return Ablation(intact, framed(rows, retrain), found, refused, again)


def listed(names):
    """[(name, units or None)] from a name, names, or names with units."""
    names = [names] if isinstance(names, str) else list(names)
    parts = [(name, None) if isinstance(name, str) else tuple(name) for name in names]
    if not parts or any(len(part) != 2 or not isinstance(part[0], str) for part in parts):
        raise ValueError(f"`names` should be names of parts, or (name, units). Received: {names!r}")
    return parts


def called(name, units):
    """What a part is called in the table."""
    return name if units is None else f"{name}:{','.join(map(str, units))}"


def trained(network, retrain):
    """The network after training; what ``retrain`` returns, or else the network that it was given."""
    result = retrain(network)
    return result if isinstance(result, keras.Model) else network


def dropped(intact, other):
    """Accuracy with its interval, and the drop with its."""
    versus = compare(intact, other)
    return [*wilson(int(other.right.sum()), len(other)), *versus.difference, versus.p]


def framed(rows, retrain):
    import pandas as pd

    columns = ["accuracy", "low", "high", "drop", "drop_low", "drop_high", "p"]
    again = [f"retrained_{column}" for column in columns] if retrain else []
    return pd.DataFrame(rows, columns=["part", "how", "params", *columns, *again])


def readable_table(table):
    """The table in per cent and points, intervals in brackets."""
    import pandas as pd

    shown = {"without": table["part"], "params": [f"{count:,}" for count in table["params"]]}
    for prefix, title in (("", ""), ("retrained_", "retrained ")):
        if f"{prefix}drop" in table:
            drops = 100 * table[[f"{prefix}drop", f"{prefix}drop_low", f"{prefix}drop_high"]].to_numpy()
            shown[f"{title}%"] = [f"{100 * share:.1f}" for share in table[f"{prefix}accuracy"]]
            shown[f"{title}lost"] = ["{:.1f} ({:.1f} to {:.1f})".format(*row) for row in drops]
            shown[f"{title}p"] = table[f"{prefix}p"]
    return pd.DataFrame(shown)


def means_of(model, names, given, options):
    """{name: the mean of each channel of a part's output}, over images and places."""
    calls, ends = calls_of(model), {}
    for name in names:
        try:
            ends[name] = exit_of(calls, part_of(calls, name), name)
        except NotRemovable:
            continue  # which `without` says again
    if not ends:
        return {}
    outputs = {end: model.get_layer(end).output for end in ends.values()}
    taps = keras.Model(model.input, outputs)
    total, count = dict.fromkeys(outputs, 0.0), dict.fromkeys(outputs, 0)
    preprocess = options.get("preprocess") or (lambda pixels: pixels)
    preprocessing = classifier(model).preprocessing_of(given)
    for _, pixels in given.chunks(preprocessing, options["batch_size"]):
        found = taps.predict_on_batch(preprocess(pixels))
        for end, maps in found.items():
            maps = np.asarray(maps, np.float64)
            total[end] = total[end] + maps.reshape(-1, maps.shape[-1]).sum(axis=0)
            count[end] += maps[..., 0].size
    return {name: total[end] / count[end] for name, end in ends.items()}
