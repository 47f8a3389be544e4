"""The summary in six cards: size, cost, accuracy, calibration, dead units, most costly layer."""

from ...diagnose.verdict import MIN_IMAGES
from ...inputs.class_names import published_class_names
from ...support.text import format_count, format_percent, format_shape
from ...zoo.registry import CARDS
from ..context import Skipped
from ..page import Section, cards, paragraph

FEW_IMAGES = 100  # labeled images, below which an accuracy says little
DEAD_LIMITS = ((0.01, "good"), (0.10, "fair"))  # share of units, up to which
COUNTS = "counted"


def summary_section(subject):
    """At most six cards, each with a status."""
    anatomy, results = subject.anatomy, {}
    # a truncated network keeps only the name
    is_complete = any(row.name == "features" for row in anatomy.rows)
    card = CARDS.get(subject.name) if is_complete else None
    rows = [size_card(anatomy, card, results), cost_card(anatomy, card, results)]
    try:
        evaluation = subject.evaluation
        rows += [accuracy_card(evaluation, subject, results), calibration_card(evaluation, results)]
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
    status, note = compare_with_published(anatomy.macs, card, "macs", f"per image{memory}")
    size = next((tuple(row.shape[:2]) for row in anatomy.rows if not row.inputs), None)
    if card and card.gmacs and size != card.input_shape[:2]:
        note += f", at {format_shape(card.input_shape[:2])}"
    return "Multiply-adds", value, status, note


def compare_with_published(count, card, quantity, note):
    """(status, note) of a count compared with the published one."""
    published = card and (card.params if quantity == "params" else card.gmacs and card.gmacs * 1e9)
    if not count or not published:
        return COUNTS, note
    off = abs(count - published) / published
    exact = off == 0 if quantity == "params" else off < 0.02
    comparison = f"{note}; published: {format_count(published).strip()} ({card.source.split(';')[0]})"
    return ("as published" if exact else COUNTS), comparison


def accuracy_card(evaluation, subject, results):
    """Accuracy with its interval, and the published accuracy of these weights."""
    from ...inputs.classifier import classifier

    value, low, high = evaluation.intervals["accuracy"]
    results |= {"accuracy": value, "accuracy_low": low, "accuracy_high": high, "judged": len(evaluation)}
    note = f"on {len(evaluation):,} images; 95 % interval {format_percent(low)} to {format_percent(high)}"
    if 5 in evaluation.top_k:
        results["top5"] = evaluation.top(5)
        note += f"; top-5 {format_percent(evaluation.top(5))}"
    network = classifier(subject.model, several_inputs=True)
    source = network.source
    if source and source.top1 and subject.given_class_names == published_class_names(evaluation.probs.shape[1]):
        note += f"; published: {published_accuracy(source, network.size)}"
    return "Accuracy", format_percent(value), "few images" if len(evaluation) < FEW_IMAGES else "measured", note


def published_accuracy(source, size):
    """The published accuracy of weights, and for which size it is if the model's images have another."""
    figure = f"{source.top1:g} %"
    if source.is_measured_at(size):
        return figure
    return f"{figure} at {source.crop}x{source.crop}, not at the {format_shape(size)} of this model"


def calibration_card(evaluation, results):
    """Expected calibration error, compared with what chance alone gives."""
    calibration = evaluation.calibration
    results |= {"ece": calibration.ece, "ece_by_chance": calibration.chance}
    status = (
        "good"
        if calibration.ece <= calibration.chance
        else "fair"
        if calibration.ece <= calibration.chance + 0.05
        else "poor"
    )
    status = "few images" if calibration.too_few else status
    direction = "overconfident" if calibration.gap > 0 else "underconfident"
    chance, gap = format_percent(calibration.chance), format_percent(abs(calibration.gap))
    note = f"15 bins; up to {chance} by chance; on average {gap} {direction}"
    return "Calibration error", format_percent(calibration.ece), status, note


def dead_units_card(activity, results):
    """Units that are 0 on all images."""
    units, dead = len(activity.unit_table), len(activity.dead)
    share = dead / units if units else 0.0
    results |= {"units": units, "dead_units": dead, "dead_share": share, "seen": activity.image_count}
    status = next((word for limit, word in DEAD_LIMITS if share <= limit), "poor")
    few_images = activity.image_count < MIN_IMAGES
    silence = f"{dead:,} of {units:,} units are 0 on all of {activity.image_count:,} images"
    note = f"{silence}; up to 1 % is good, up to 10 % fair"
    return "Dead units", format_percent(share), "few images" if few_images and dead else status, note


def costliest_layer_card(anatomy, results):
    """The layer with the most multiply-adds."""
    rows = [row for row in anatomy.rows if row.macs]
    if not rows:
        return "Most costly layer", "unknown", COUNTS, "the multiply-adds are unknown for every layer"
    costliest = max(rows, key=lambda row: row.macs)
    share = costliest.macs / sum(row.macs for row in rows)
    results |= {"costliest": costliest.name, "costliest_share": share}
    return (
        "Most costly layer",
        format_percent(share),
        COUNTS,
        f"{costliest.name}: {format_count(costliest.macs)} multiply-adds per image",
    )
