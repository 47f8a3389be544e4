"""The HTML page of a study: the chosen network, the evidence for it, its accuracy on the test set, computing time."""

import numpy as np

from ..reporting.page import Section, data_table, definition_list, figure, page, paragraph, photo_grid
from ..support.files import write_text
from ..support.text import file_name, shorten_end, shorten_middle
from .advice import STRATEGY_TEXTS, describe_dataset
from .study import describe_accuracy, describe_candidate, describe_result, describe_split
from .taps import stage_label

MAX_MISTAKES = 24  # images shown
LETTERS = 32  # of a name in the caption of an image
CANDIDATE_HEADS = {  # column of `Study.table` -> its heading on the page
    "name": "candidate",
    "head": "classifier",
    "freeze": "frozen up to",
    "learning_rate": "learning rate",
    "augment": "augmentation",
    "accuracy": "held-out accuracy, %",
    "low": "95 % from",
    "high": "95 % to",
    "images": "held-out images",
    "lead": "difference from the chosen network, points",
    "lead_error": "standard error of the difference",
    "macs": "multiply-adds",
}
TRIAL_HEADS = {  # column of `Study.trials` -> its heading
    "freeze": "frozen up to",
    "learning_rate": "learning rate",
    "augment": "augmentation",
    "fold": "held-out fold",
    "accuracy": "held-out accuracy, %",
    "loss": "held-out loss",
    "epoch": "best epoch",
    "batch_size": "batch size",
    "cached": "frozen layers cached",
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
    advice = study.advice
    steps = [f"{i}. {STRATEGY_TEXTS[name]}" for i, name in enumerate(advice.strategies, start=1)]
    blocks = (
        paragraph(describe_dataset(advice)),
        definition_list(advice.evidence),
        figure(advice.plot(), f"{describe_dataset(advice)} The evidence and the strategies are in the text."),
        paragraph("Strategies to try, in this order:"),
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
    note = (
        "Candidates are compared by the mean log-probability of the true class on held-out images. The cheapest one "
        "within one standard error of the best (paired by image) is chosen; it is highlighted below."
    )
    rows = in_percent(study.table, ["accuracy", "low", "high", "lead", "lead_error"]).round({"seconds": 1})
    rows = rows.assign(
        head=rows["head"].replace("finetuned", "fine-tuned"), freeze=rows["freeze"].replace("", "nothing")
    )
    rows = without_empty_columns(rows.drop(columns=["kind", "backbone", "stage"])).rename(columns=CANDIDATE_HEADS)
    drawing = figure(study.plot(), "accuracy of the candidates, as in the table below")
    return Section("Candidates", (paragraph(note), drawing, data_table(rows, highlight="chosen", max_rows=30)))


def trials_section(study):
    if not study.trial_results:
        return None
    columns = [
        *("stage", "freeze", "learning_rate", "augment", "epochs", "fold", "accuracy", "loss", "epoch", "batch_size"),
        *("attempts", "cached", "seconds", "failed"),
    ]
    rows = in_percent(study.trials[columns], ["accuracy"]).round({"seconds": 1})
    rows = rows.assign(stage=rows["stage"].map(stage_label), freeze=rows["freeze"].replace("", "nothing"))
    note = "Each row is a network fine-tuned on all folds but the held-out one, in the order in which they ran."
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
    facts = {"this study": f"{spent:,.0f} s, of which fine-tuning trials {finetuning:,.0f} s"}
    if estimate:
        facts["a full grid search"] = f"about {estimate:,.0f} s for 48 trials, estimated from one epoch"
        facts["grid search compared with this study"] = f"{estimate / max(spent, 1e-9):,.1f} times the computing time"
    return Section("Time", (definition_list(facts),))
