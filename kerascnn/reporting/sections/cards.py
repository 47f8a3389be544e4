"""The verdict in six cards: size, cost, accuracy, calibration, dead units, where the work goes."""

from ...diagnose.verdict import ENOUGH
from ...inputs.class_names import class_names
from ...support.text import percent, short
from ...zoo.registry import CARDS
from ..context import Skipped
from ..page import Section, cards, paragraph

FEW = 100  # labeled images, below which an accuracy says little
DEAD = ((0.01, "good"), (0.10, "fair"))  # share of units, up to which
COUNTS = "counted"


def verdict(subject):
    """At most six cards, each with a word that says how good its number is."""
    anatomy, results = subject.anatomy, {}
    whole = any(row.name == "features" for row in anatomy.rows)  # a network that was cut short keeps only the name
    card = CARDS.get(subject.name) if whole else None
    rows = [size(anatomy, card, results), cost(anatomy, card, results)]
    try:
        found = subject.evaluation
        rows += [accuracy(found, subject, results), calibration(found, results)]
    except Skipped as why:
        rows.append(("Accuracy", "not measured", "no labels", str(why)))
    try:
        rows.append(dead(subject.activity, results))
    except Skipped as why:
        rows.append(("Dead units", "not measured", "no images", str(why)))
    rows.append(costliest(anatomy, results))
    note = "A status is a rule of thumb, said in each card; the sections below have the evidence."
    return Section("Verdict", (cards(rows), paragraph(note, soft=True)), results)


def size(anatomy, card, results):
    """Parameters, beside the published number where there is one."""
    results |= {"parameters": anatomy.learned, "weights": anatomy.params}
    note = f"{short(4 * anatomy.params)}B as float32"
    return ("Parameters", short(anatomy.learned), *beside(anatomy.learned, card, "params", note))


def cost(anatomy, card, results):
    """Multiply-adds of one image."""
    results["multiply_adds"] = anatomy.macs
    memory = f", {short(anatomy.bytes)}B of activations" if anatomy.bytes else ""
    value = short(anatomy.macs) if anatomy.macs else "unknown"
    return ("Multiply-adds", value, *beside(anatomy.macs, card, "macs", f"for one image{memory}"))


def beside(counted, card, what, note):
    """(status, note) of a count against the published one."""
    published = card and (card.params if what == "params" else card.gmacs and card.gmacs * 1e9)
    if not counted or not published:
        return COUNTS, note
    off = abs(counted - published) / published
    exact = off == 0 if what == "params" else off < 0.02
    said = f"{note}; published: {short(published).strip()} ({card.source.split(';')[0]})"
    return ("as published" if exact else COUNTS), said


def accuracy(found, subject, results):
    """The share named right, with its interval, beside what is published of these weights."""
    from ...inputs.classifier import published

    value, low, high = found.interval["accuracy"]
    results |= {"accuracy": value, "accuracy_low": low, "accuracy_high": high, "judged": len(found)}
    note = f"of {len(found):,} images; 95 % interval {percent(low)} to {percent(high)}"
    if 5 in found.ks:
        results["top5"] = found.top(5)
        note += f"; top 5: {percent(found.top(5))}"
    source = published(subject.model)
    if source and source.top1 and subject.classes == class_names(found.probs.shape[1]):
        note += f"; published: {source.top1:g} %"
    return "Accuracy", percent(value), "few images" if len(found) < FEW else "measured", note


def calibration(found, results):
    """Expected calibration error, against what chance alone gives."""
    error = found.calibration
    results |= {"ece": error.ece, "ece_by_chance": error.chance}
    status = "good" if error.ece <= error.chance else "fair" if error.ece <= error.chance + 0.05 else "poor"
    lean = "too sure" if error.gap > 0 else "not sure enough"
    note = f"error in 15 bins; by chance up to {percent(error.chance)}; on average {percent(abs(error.gap))} {lean}"
    return "Calibration error", percent(error.ece), status, note


def dead(activity, results):
    """Units that answer to nothing."""
    units, silent = len(activity.units), len(activity.dead)
    share = silent / units if units else 0.0
    results |= {"units": units, "dead_units": silent, "dead_share": share, "seen": activity.images}
    status = next((word for limit, word in DEAD if share <= limit), "poor")
    few = activity.images < ENOUGH
    note = f"{silent:,} of {units:,} never answer to {activity.images:,} images; good up to 1 %, fair up to 10 %"
    return "Dead units", percent(share), "few images" if few and silent else status, note


def costliest(anatomy, results):
    """The layer with the largest share of the work."""
    known = [row for row in anatomy.rows if row.macs]
    if not known:
        return "Most costly layer", "unknown", COUNTS, "no layer's multiply-adds are known"
    most = max(known, key=lambda row: row.macs)
    share = most.macs / sum(row.macs for row in known)
    results |= {"costliest": most.name, "costliest_share": share}
    return "Most costly layer", percent(share), COUNTS, f"{most.name}: {short(most.macs)} multiply-adds of one image"
