"""A study in words and as an HTML page: the chosen network, the evidence for it, its test accuracy, computing time."""

import numpy as np
import pandas as pd

from ..evaluation.statistics import LEVEL
from ..reporting.page import Section, data_table, definition_list, details, figure, page, paragraph, photo_grid
from ..support.files import write_text
from ..support.text import file_name, format_percent, list_names, pluralize, shorten_end, shorten_middle
from .advice import STRATEGY_TEXTS, describe_dataset
from .study import describe_candidate, describe_split
from .taps import stage_label
from .trials import RESERVE, mean_difference, most_likely

MAX_MISTAKES = 24  # images shown
LETTERS = 32  # of a name in the caption of an image
CANDIDATE_HEADS = {  # column of the table on the page -> its heading
    "name": "candidate",
    "log_likelihood": "log-likelihood",
    "difference": "from the chosen",
    "accuracy": "accuracy, %",
    "interval": "95 % interval",
    "images": "images",
    "macs": "million multiply-adds",
}
TRIAL_HEADS = {  # column of `Study.trials` -> its heading
    "freeze": "frozen up to",
    "learning_rate": "learning rate",
    "augment": "augmentation",
    "accuracy": "accuracy, %",
    "epoch": "best epoch",
    "failed": "error",
}
CLASS_HEADS = {  # column of `Evaluation.per_class` -> its heading
    "n": "images",
    "accuracy": "accuracy, %",
    "low": "95 % from",
    "high": "95 % to",
    "precision": "precision, %",
    "f1": "F1",
    "few": "too few images",
    "confused_with": "most often mistaken for",
}


def write_page(study, path):
    """Write the page as one HTML file and return its path."""
    builders = (
        result_section,
        advice_section,
        stages_section,
        candidates_section,
        trials_section,
        test_classes_section,
        mistakes_section,
        data_section,
        time_section,
    )
    sections = filter(None, (build(study) for build in builders))
    return write_text(path, page(f"Transfer learning on {study.data.name}", sections, headline(study)))


def headline(study):
    """The result in one sentence."""
    if study.evaluation is None:
        return f"{describe_candidate(study.chosen)}. No test set was set aside."
    return f"Test accuracy: {describe_accuracy(study.evaluation)}."


def in_percent(rows, columns):
    """A table with some columns in percent, rounded to one decimal."""
    return rows.assign(**{name: (100 * rows[name].astype(float)).round(1) for name in columns})


def without_empty_columns(rows):
    """A table without the columns that no row has a value in."""
    has_value = rows.notna() & (rows.astype(object) != "")
    return rows.loc[:, has_value.any()]


def result_section(study):
    return Section("Result", (definition_list(describe_result(study)),))


def advice_section(study):
    advice, outcomes = study.advice, describe_outcomes(study)
    steps = [f"{i}. {STRATEGY_TEXTS[name]}: {outcomes[name]}" for i, name in enumerate(advice.strategies, start=1)]
    blocks = (
        paragraph(f"{describe_dataset(advice)} {advice.remark}".strip()),
        definition_list(advice.evidence),
        figure(advice.plot(), f"{describe_dataset(advice)} The evidence and the strategies are in the text."),
        paragraph("Strategies, the most promising first, and what became of them:"),
        *map(paragraph, steps),
    )
    return Section("Dataset", blocks)


def stages_section(study):
    note = (
        "A classifier was trained on the features of each stage and evaluated on images held out from its training. "
        "± is half the width of the 95 % interval."
    )
    blocks = [paragraph(note)]
    for table in study.probes:
        heads = tuple(table.summary["head"].unique())
        rows = table.layers_table(heads=heads).reset_index(names="classifier (stage)")
        rows = rows.round(1).rename(columns={"accuracy": "held-out accuracy, %", "error": "±"})
        blocks += [figure(table.plot(), f"{table.model}: accuracy by stage, as in the table below"), data_table(rows)]
    return Section("Stages", tuple(blocks))


def candidates_section(study):
    ranking = f"Candidates are ranked by log-likelihood: the {describe_ranking(study)}. On few images it tells more "
    ranking += "than accuracy, because it also counts how sure a candidate is."
    rule = (
        "The difference is on the images held out for both candidates, ± its standard error. The cheapest candidate "
        "whose log-likelihood and accuracy are within one standard error of the best is chosen; it is highlighted. "
        "Linear classifiers are cheaper than fine-tuned networks, then fewer multiply-adds are. Fine-tuned networks "
        "are evaluated on fewer images, to save time."
    )
    table = study.table
    leads = zip(table["log_likelihood_lead"], table["log_likelihood_error"], table["chosen"], strict=True)
    bounds = zip(table["low"], table["high"], strict=True)
    rows = in_percent(table, ["accuracy"]).round({"log_likelihood": 3})
    rows = rows.assign(
        name=short_names(table),
        macs=(table["macs"] / 1e6).round(1),
        difference=[format_lead(lead, error, chosen) for lead, error, chosen in leads],
        interval=[f"{100 * low:.1f} to {100 * high:.1f}" for low, high in bounds],
    )
    rows = without_empty_columns(rows[[*CANDIDATE_HEADS, "chosen"]]).rename(columns=CANDIDATE_HEADS)
    drawing = figure(study.plot(), "log-likelihood and accuracy of the candidates, as in the table below")
    table = data_table(rows, highlight="chosen", max_rows=30)
    return Section("Candidates", (paragraph(ranking), paragraph(rule), drawing, table))


def trials_section(study):
    if not study.trial_results:
        return None
    columns = [
        *("stage", "freeze", "learning_rate", "augment", "epochs", "epoch", "fold", "accuracy", "loss"),
        *("seconds", "failed"),
    ]
    rows = in_percent(study.trials[columns], ["accuracy"]).round({"seconds": 1})
    rows = rows.assign(stage=rows["stage"].map(stage_label), freeze=rows["freeze"].replace("", "nothing"))
    note = (
        "Each row is a network fine-tuned without the images of one fold, in the order in which they ran; accuracy and "
        "loss (lower is better) are on that fold, after the best epoch."
    )
    return Section("Fine-tuning trials", (paragraph(note), data_table(rows.rename(columns=TRIAL_HEADS))))


def test_classes_section(study):
    if study.evaluation is None:
        return None
    columns = ["class", "n", "accuracy", "low", "high", "precision", "f1", "few", "confused_with"]
    rows = in_percent(study.evaluation.per_class[columns], ["accuracy", "low", "high", "precision"]).round({"f1": 2})
    drawing = figure(study.evaluation.plot(), "accuracy of each class, as in the table below")
    return Section(
        "Accuracy by class on the test set", (drawing, data_table(rows.rename(columns=CLASS_HEADS), max_rows=40))
    )


def mistakes_section(study):
    """The most confident mistakes on the test set."""
    if study.evaluation is None or study.evaluation.correct.all():
        return None
    test, photos = study.data.test, []
    rows = study.evaluation.hardest(MAX_MISTAKES)
    for _, row in rows[~rows["correct"]].iterrows():
        confidence = f"{100 * row['p_predicted']:.0f} %"
        names = [shorten_end(row[column], LETTERS) for column in ("class", "predicted")]
        image = shorten_middle(file_name(row["image"]), LETTERS)
        caption = f"{image}: {names[0]} mistaken for {names[1]} with confidence {confidence}"
        photos.append((np.asarray(test.decode_image(test.names.index(row["image"]))), caption))
    wrong = int((~study.evaluation.correct).sum())
    note = (
        f"{wrong:,} of {len(study.evaluation):,} test images are misclassified; the most confident mistakes come first."
    )
    return Section("Most confident mistakes", (paragraph(note), photo_grid(photos)))


def data_section(study):
    """The dataset, and what its audit found before training."""
    audit, split = study.data.audit, describe_split(study.data)
    if audit is None:
        return None
    if not len(audit.table):
        return Section("Data", (paragraph(f"{split}. The audit found no problems."),))
    counts = definition_list(audit.counts)
    return Section("Data", (paragraph(f"{split}. The audit found:"), counts, data_table(audit.table, max_rows=40)))


def time_section(study):
    spent, estimate = study.metadata["spent"], study.metadata["grid_search_seconds"]
    finetuning = sum(result.seconds for result in study.trial_results)
    facts = {"this study": describe_time(study), "fine-tuning trials": f"{finetuning:,.0f} s"}
    if estimate:
        facts["a full grid search"] = f"about {estimate:,.0f} s for 48 trials, estimated from one epoch"
        facts["grid search compared with this study"] = f"{estimate / max(spent, 1e-9):,.1f} times the computing time"
    steps = pd.DataFrame(study.log, columns=["seconds", "what"]).round({"seconds": 1})
    return Section("Time", (definition_list(facts), details("What was done, in order", data_table(steps))))


def describe_ranking(study):
    """What the log-likelihood is, by which candidates are ranked, in one sentence."""
    classes = len(study.data.class_names)
    return (
        "mean log-probability that a candidate gives to the true class of held-out images; 0 is perfect, guessing "
        f"among {classes} classes gives {-np.log(classes):.2f}"
    )


def short_names(table):
    """Names of the candidates in a `Study.table`, without the backbone if there is only one."""
    if table["backbone"].nunique() > 1:
        return [*table["name"]]
    return [name.removeprefix(f"{backbone}, ") for name, backbone in zip(table["name"], table["backbone"], strict=True)]


def format_lead(lead, error, is_chosen):
    """A difference in log-likelihood from the chosen candidate, with its standard error."""
    return "chosen" if is_chosen else f"{lead:+.3f} ± {error:.3f}"


def describe_result(study):
    """The result in words: {what: its value}."""
    facts = {"chosen network": describe_candidate(study.chosen)} | describe_small_classes(study.data)
    if study.chosen.members:
        backbone = f"{study.chosen.backbone}, "
        facts["classifiers averaged"] = "; ".join(member.name.removeprefix(backbone) for member in study.chosen.members)
    if study.evaluation is None:
        return facts | {"test accuracy": "unknown, because there is no test set"}

    value, low, high = (f"{100 * bound:+.1f}" for bound in study.comparison.difference)
    p = study.comparison.p
    significance = "significant" if p < 1 - LEVEL else "not significant"
    test = f"McNemar's exact test: p = {p:.2g}, {significance}"
    calibration = study.evaluation.calibration
    error, chance = format_percent(calibration.ece), format_percent(calibration.chance)
    too_few = "; too few images to measure it" if calibration.too_few else ""
    return facts | {
        "test accuracy": f"{describe_accuracy(study.evaluation)}; the test set took no part in the choice",
        "baseline": f"{study.baseline.name}, a linear classifier on the last features",
        "test accuracy of the baseline": describe_accuracy(study.baseline_evaluation),
        "difference from the baseline": f"{value} percentage points (95 % interval {low} to {high}); {test}",
        "calibration error on the test set": f"{error}; chance alone gives up to {chance}{too_few}",
    }


def describe_small_classes(data):
    """The classes of which there are too few images, in words: {what: their names}."""
    facts = {}
    if data.small_classes:
        facts["classes with fewer than 5 images"] = list_names(data.small_classes)
    if data.untested_classes:
        facts["classes without test images"] = list_names(data.untested_classes)
    return facts


def describe_outcomes(study):
    """What became of each strategy of the advice, or why it was not tried: {strategy: a sentence}."""
    last, strategies = study.best_probes.stages[-1], study.advice.strategies
    linear = [candidate for candidate in study.candidates if not candidate.trial]
    interior = [candidate for candidate in linear if candidate.stage != last]
    if "interior" in strategies:
        linear = [candidate for candidate in linear if candidate.stage == last]
    sentences = {
        "linear": describe_linear(linear),
        "interior": describe_linear(interior),
        "layers": describe_finetuning(study, lambda trial: bool(trial.freeze)),
        "finetune": describe_finetuning(study, lambda trial: not trial.freeze),
    }
    return {name: sentences[name] for name in strategies}


def describe_linear(candidates):
    """The best of some linear candidates in a sentence."""
    if not candidates:
        return "not tried"
    best = describe_candidate(most_likely(candidates))
    return f"done: {len(candidates)} linear classifiers, the best: {best}" if len(candidates) > 1 else f"done: {best}"


def describe_finetuning(study, belongs):
    """The trials for which ``belongs(trial)`` holds in a sentence: the best one, or why there are none."""
    results = [result for result in study.trial_results if belongs(result.trial)]
    reasons = [reason for trial, reason in study.skipped.items() if belongs(trial)]
    parts = [f"{pluralize(len(reasons), 'trial')} skipped: {reasons[-1]}"] if reasons else []
    failed = [result for result in results if result.failed]
    if failed:
        parts.insert(0, f"{pluralize(len(failed), 'trial')} failed: {failed[0].failed}")
    strategy = study.metadata["strategy"]
    if not results and not reasons and strategy not in ("auto", "linear"):
        return f"not tried: the strategy was {strategy}"
    if len(failed) == len(results):
        return "; ".join(parts) or f"not tried: {study.metadata['ended']}"

    candidates = [candidate for candidate in study.candidates if candidate.trial and belongs(candidate.trial)]
    text = "other trials were better and continued"
    if candidates:
        linear = most_likely([candidate for candidate in study.candidates if not candidate.trial])
        lead, error = mean_difference(most_likely(candidates), linear, "log_likelihood")
        verdict = "no clear difference" if abs(lead) <= error else "better" if lead > 0 else "worse"
        text = f"log-likelihood {lead:+.3f} ± {error:.3f} against the best linear classifier: {verdict}"
    return "; ".join([f"done: {pluralize(len(results), 'trial')}, {text}", *parts])


def describe_time(study):
    """The computing time against the budget, and why no more of it was used, in words."""
    budget, reserve = study.metadata["budget"], f"{100 * RESERVE:.0f} %"
    limit = "without a limit"
    if budget is not None:
        limit = f"of a budget of {budget:,.0f} s, {reserve} of which are kept for training the chosen network"
    return f"{study.metadata['spent']:,.0f} s {limit}; fine-tuning ended: {study.metadata['ended']}"


def describe_accuracy(evaluation):
    """The accuracy of an evaluation with its interval, in words."""
    value, low, high = evaluation.intervals["accuracy"]
    interval = f"95 % interval {100 * low:.1f} to {100 * high:.1f}"
    return f"{format_percent(value)} on {len(evaluation):,} images ({interval})"
