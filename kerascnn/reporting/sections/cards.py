"""The summary in six cards: size, cost, accuracy, calibration, dead units, most costly layer."""

from ...diagnose.verdict import MIN_IMAGES
from ...inputs.class_names import published_class_names
from ...support.text import format_count, format_percent
from ...zoo.registry import CARDS
from ..context import Skipped
from ..page import Section, cards, paragraph

FEW_IMAGES = 100  # labeled images, below which an accuracy says little
DEAD_LIMITS = ((0.01, "good"), (0.10, "fair"))  # share of units, up to which
COUNTS = "counted"


def summary_section(subject):
    """At most six cards, each with a status."""
    anatomy, results = subject.anatomy, {}
    whole = any(row.name == "features" for row in anatomy.rows)  # a network that was cut short keeps only the name
    card = CARDS.get(subject.name) if whole else None
    rows = [size_card(anatomy, card, results), cost_card(anatomy, card, results)]
    try:
        found = subject.evaluation
        rows += [accuracy_card(found, subject, results), calibration_card(found, results)]
    except Skipped as why:
        rows.append(("Accuracy", "not measured", "no labels", str(why)))
    try:
        rows.append(dead_units_card(subject.activity, results))
    except Skipped as why:
        rows.append(("Dead units", "not measured", "no images", str(why)))
    rows.append(costliest_layer_card(anatomy, results))
    note = "Each status is a rule of thumb that its card states; the evidence is in the sections below."
    return Section("Summary", (cards(rows), paragraph(note, soft=True)), results)


def size_card(anatomy, card, results):
    """Number of parameters, compared with the published number."""
    results |= {"parameters": anatomy.learnable, "weights": anatomy.params}
    note = f"{format_count(4 * anatomy.params)}B as float32"
    return (
        "Parameters",
        format_count(anatomy.learnable),
        *compare_with_published(anatomy.learnable, card, "params", note),
    )


def cost_card(anatomy, card, results):
    """Multiply-adds per image."""
    results["multiply_adds"] = anatomy.macs
    memory = f", {format_count(anatomy.bytes)}B of activations" if anatomy.bytes else ""
    value = format_count(anatomy.macs) if anatomy.macs else "unknown"
    return ("Multiply-adds", value, *compare_with_published(anatomy.macs, card, "macs", f"per image{memory}"))


def compare_with_published(counted, card, what, note):
    """(status, note) of a count compared with the published one."""
    published = card and (card.params if what == "params" else card.gmacs and card.gmacs * 1e9)
    if not counted or not published:
        return COUNTS, note
    off = abs(counted - published) / published
    exact = off == 0 if what == "params" else off < 0.02
    said = f"{note}; published: {format_count(published).strip()} ({card.source.split(';')[0]})"
    return ("as published" if exact else COUNTS), said


def accuracy_card(found, subject, results):
    """Accuracy with its interval, and the published accuracy of these weights."""
    from ...inputs.classifier import find_published_source

    value, low, high = found.interval["accuracy"]
    results |= {"accuracy": value, "accuracy_low": low, "accuracy_high": high, "judged": len(found)}
    note = f"on {len(found):,} images; 95 % interval {format_percent(low)} to {format_percent(high)}"
    if 5 in found.ks:
        results["top5"] = found.top(5)
        note += f"; top-5 {format_percent(found.top(5))}"
    source = find_published_source(subject.model)
    if source and source.top1 and subject.given_class_names == published_class_names(found.probs.shape[1]):
        note += f"; published: {source.top1:g} %"
    return "Accuracy", format_percent(value), "few images" if len(found) < FEW_IMAGES else "measured", note


def calibration_card(found, results):
    """Expected calibration error, compared with what chance alone gives."""
    error = found.calibration
    results |= {"ece": error.ece, "ece_by_chance": error.chance}
    status = "good" if error.ece <= error.chance else "fair" if error.ece <= error.chance + 0.05 else "poor"
    lean = "overconfident" if error.gap > 0 else "underconfident"
    chance, gap = format_percent(error.chance), format_percent(abs(error.gap))
    note = f"15 bins; up to {chance} by chance; on average {gap} {lean}"
    return "Calibration error", format_percent(error.ece), status, note


def dead_units_card(activity, results):
    """Units that are 0 on all images."""
    units, silent = len(activity.units), len(activity.dead)
    share = silent / units if units else 0.0
    results |= {"units": units, "dead_units": silent, "dead_share": share, "seen": activity.images}
    status = next((word for limit, word in DEAD_LIMITS if share <= limit), "poor")
    few = activity.images < MIN_IMAGES
    note = (
        f"{silent:,} of {units:,} units are 0 on all of {activity.images:,} images; up to 1 % is good, up to 10 % fair"
    )
    return "Dead units", format_percent(share), "few images" if few and silent else status, note


def costliest_layer_card(anatomy, results):
    """The layer with the most multiply-adds."""
    known = [row for row in anatomy.rows if row.macs]
    if not known:
        return "Most costly layer", "unknown", COUNTS, "the multiply-adds are unknown for every layer"
    most = max(known, key=lambda row: row.macs)
    share = most.macs / sum(row.macs for row in known)
    results |= {"costliest": most.name, "costliest_share": share}
    return (
        "Most costly layer",
        format_percent(share),
        COUNTS,
        f"{most.name}: {format_count(most.macs)} multiply-adds per image",
    )
