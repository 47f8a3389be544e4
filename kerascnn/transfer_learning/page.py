"""A study in words and as an HTML page: the chosen network, the evidence for it, its test accuracy, computing time."""

import numpy as np
import pandas as pd

from ..evaluation.evaluate import MIN_IMAGES
from ..evaluation.statistics import LEVEL
from ..reporting.page import Section, data_table, definition_list, details, figure, page, paragraph, photo_grid
from ..support.files import write_text
from ..support.text import file_name, format_percent, list_names, pluralize, shorten_end, shorten_middle
from .advice import STRATEGY_TEXTS, TRIED_STRATEGIES, describe_dataset
from .figures import distinct_rows
from .study import describe_candidate, describe_split
from .taps import stage_label
from .trials import mean_difference, most_likely, rank_by_loss

MAX_MISTAKES = 24  # images shown
NO_BETTER_EPOCH = "no epoch was better than the linear classifier at the start"
LETTERS = 32  # of a name in the caption of an image
CANDIDATE_HEADS = {  # column of the table on the page -> its heading
    "name": "candidate",
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
    "f1": "F1, %",
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
        words_section,
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
    blocks = definition_list(describe_result(study)), *map(paragraph, describe_conclusion(study))
    return Section("Result", blocks)


def advice_section(study):
    advice, outcomes = study.advice, describe_outcomes(study)
    steps = [f"{i}. {STRATEGY_TEXTS[name]}: {outcomes[name]}" for i, name in enumerate(advice.strategies, start=1)]
    blocks = (
        paragraph(describe_dataset(advice)),
        definition_list(advice.evidence),
        figure(advice.plot(), f"{describe_dataset(advice)} The evidence and the strategies are in the text."),
        paragraph(TRIED_STRATEGIES),
        *map(paragraph, steps),
    )
    return Section("Dataset", blocks)


def stages_section(study):
    note = (
        "A classifier was trained on the features of each stage and evaluated on images held out from its training. "
        "± is half the width of the 95 % interval. Joined stages were concatenated."
    )
    blocks = [paragraph(note)]
    for table in study.probes:
        rows = table.summary
        order = [*table.stages, *rows["stage"]]  # joined stages last
        rows = rows.sort_values("stage", key=lambda stages: stages.map(order.index), kind="stable")
        rows = rows.assign(
            classifier=rows["head"],
            stage=rows["stage"].map(stage_label),
            accuracy=(100 * rows["accuracy"]).round(1),
            error=(50 * (rows["high"] - rows["low"])).round(1),
        )[["stage", "classifier", "accuracy", "error"]]
        rows = rows.rename(columns={"accuracy": "held-out accuracy, %", "error": "±"})
        blocks += [figure(table.plot(), f"{table.model}: accuracy by stage, as in the table below"), data_table(rows)]
    return Section("Stages", tuple(blocks))


def candidates_section(study):
    table = distinct_rows(study.table)
    bounds = zip(table["low"], table["high"], strict=True)
    rows = in_percent(table, ["accuracy"])
    rows = rows.assign(
        name=short_names(table),
        macs=(table["macs"] / 1e6).round(1),
        difference=format_leads(table),
        interval=[f"{100 * low:.1f} to {100 * high:.1f}" for low, high in bounds],
    )
    rows = without_empty_columns(rows[[*CANDIDATE_HEADS, "chosen"]]).rename(columns=CANDIDATE_HEADS)
    drawing = figure(study.plot(), "log-likelihood and accuracy of the best candidates, from the table below")
    table = data_table(rows, highlight="chosen", max_rows=30)
    return Section("Candidates", (definition_list(describe_ranking(study)), drawing, table))


def trials_section(study):
    if not study.trial_results:
        return None
    columns = [
        *("stage", "freeze", "learning_rate", "augment", "epochs", "epoch", "fold", "accuracy", "loss"),
        *("seconds", "failed"),
    ]
    rows = in_percent(study.trials[columns], ["accuracy"]).round({"seconds": 1})
    rows = rows.assign(
        stage=rows["stage"].map(stage_label), freeze=rows["freeze"].replace("", "nothing"), fold=rows["fold"] + 1
    )
    notes = [
        "Each row is a network fine-tuned without the images of one fold, in the order in which they ran; accuracy and "
        "loss (lower is better) are on that fold, after the best epoch. The loss is before calibration, the "
        "log-likelihood of the candidates after it."
    ]
    few, many = rows["epochs"].min(), rows["epochs"].max()
    if few < many:
        notes.append(f"Trials of {few} epochs only select; the best went on to {many} epochs, and became candidates.")
    images_of_a_fold = np.count_nonzero(study.best_probes.folds == 0)
    for candidate in study.candidates:
        if candidate.trial and len(candidate.labels) > images_of_a_fold:
            notes.append(
                f"The best trial ({candidate.trial}) was evaluated on further folds: "
                f"{format_percent(candidate.accuracy)} on {len(candidate.labels):,} images in all."
            )
    if study.chosen.trial:
        notes.append("The chosen network was then trained on all training images.")
    table = data_table(without_empty_columns(rows).rename(columns=TRIAL_HEADS))
    return Section("Fine-tuning trials", (*map(paragraph, notes), table))


def test_classes_section(study):
    if study.evaluation is None:
        return None
    columns = ["class", "n", "accuracy", "low", "high", "precision", "f1", "confused_with"]
    table = study.evaluation.per_class
    rows = in_percent(table[columns], ["accuracy", "low", "high", "precision", "f1"])
    rows = rows.assign(confused_with=[most_confused(study.evaluation, name) for name in rows["class"]])
    few = int(table["few"].sum())
    subject = "Every class has" if few == len(table) else f"{few:,} of {len(table):,} classes have"
    text = f"{subject} fewer than {MIN_IMAGES} test images, too few for a precise accuracy."
    notes = [paragraph(text)] if few else []
    drawing = figure(study.evaluation.plot(), "accuracy of each class, as in the table below")
    return Section(
        "Accuracy by class on the test set",
        (*notes, drawing, data_table(without_empty_columns(rows).rename(columns=CLASS_HEADS), max_rows=40)),
    )


def most_confused(evaluation, name):
    """The classes that images of a class are most often mistaken for; empty unless that happened more than once."""
    confusions = evaluation.confusions
    rows = confusions[confusions["class"] == name]
    count = rows["count"].max() if len(rows) else 0
    return list_names([*rows["predicted"][rows["count"] == count]]) if count > 1 else ""


def mistakes_section(study):
    """The most confident mistakes on the test set."""
    if study.evaluation is None or study.evaluation.correct.all():
        return None
    test, photos = study.data.test, []
    rows = study.evaluation.hardest(MAX_MISTAKES)
    rows = rows[~rows["correct"]]
    for _, row in rows.iterrows():
        confidence = f"{100 * row['p_predicted']:.0f} %"
        names = [shorten_end(row[column], LETTERS) for column in ("class", "predicted")]
        image = shorten_middle(file_name(row["image"]), LETTERS)
        caption = f"{image}: {names[0]} mistaken for {names[1]} with confidence {confidence}"
        photos.append((np.asarray(test.decode_image(test.names.index(row["image"]))), caption))
    wrong = int((~study.evaluation.correct).sum())
    note = (
        f"{wrong:,} of {len(study.evaluation):,} test images are misclassified; {len(rows):,} of them are shown, "
        "sorted by how much more probable the wrong class was than the true one. The confidence is the probability of "
        "the wrong class."
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
        facts["a full grid search"] = f"about {estimate:,.0f} s for 48 trials of 10 epochs, estimated from one epoch"
        facts["grid search compared with this study"] = f"{estimate / max(spent, 1e-9):,.1f} times the computing time"
    steps = pd.DataFrame(study.log, columns=["seconds", "what"]).round({"seconds": 1})
    return Section("Time", (definition_list(facts), details("What was done, in order", data_table(steps))))


def describe_ranking(study):
    """How candidates are compared and the chosen one is found, in words: {heading: meaning}."""
    facts = {
        "from the chosen": (
            "difference in log-likelihood (mean log-probability of the true class), on the images held out for both, "
            "± its standard error; the rows are sorted by it, and above 0 is better"
        ),
        "chosen": (
            "the cheapest candidate within one standard error of the best, in log-likelihood and in accuracy, first "
            "among linear classifiers, then against the best fine-tuned network; linear classifiers are cheaper than "
            "fine-tuned networks, then fewer multiply-adds are"
        ),
        "images": (
            "held out from training by cross-validation, and used to choose; the test images, set aside at the start, "
            "took no part in it"
        ),
    }
    if study.table["images"].nunique() > 1:
        facts["images"] += "; fine-tuned networks are evaluated on fewer, to save time"
    return facts


WORDS = {
    "ridge, softmax": "kinds of linear classifiers: ridge regression and multinomial logistic regression",
    "stage": "group of layers with feature maps of one size, numbered from the input; a linear classifier sees the "
    "means of its maps",
    "features": "what the last layer of the backbone sees, usually the last stage averaged over all positions",
    "3 crops, including mirrored": "trained on three sections of each image, some of them mirrored",
    "frozen up to": "these layers, the named stage included, keep their weights",
    "shift": "augmentation: the training images are moved a little at random",
    "fold": "one of the parts of the training images, each held out once",
}


def words_section(study):
    """What the words in names of candidates mean."""
    return Section("Words", (definition_list(WORDS),))


def short_names(table):
    """Names of the candidates in a `Study.table`, without the backbone if there is only one."""
    if table["backbone"].nunique() > 1:
        return [*table["name"]]
    return [name.removeprefix(f"{backbone}, ") for name, backbone in zip(table["name"], table["backbone"], strict=True)]


def format_leads(table):
    """The differences in log-likelihood from the chosen candidate in a `Study.table`, with their standard errors."""
    leads = zip(table["log_likelihood_lead"], table["log_likelihood_error"], table["chosen"], strict=True)
    return ["chosen" if is_chosen else f"{lead:+.3f} ± {error:.3f}" for lead, error, is_chosen in leads]


def is_baseline_chosen(study):
    """Whether the chosen network predicts the same as the baseline, perhaps under the name of another stage."""
    return np.array_equal(study.chosen.logits, study.baseline.logits)


def describe_result(study):
    """The result in words: {what: its value}."""
    chosen = describe_candidate(study.chosen)
    if is_baseline_chosen(study):
        chosen = f"{chosen}; it is the baseline: none was better"
    facts = {"chosen network": chosen} | describe_small_classes(study.data)
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
    sentences = {
        "linear": describe_last_features(study),
        "interior": describe_earlier_stages(study),
        "layers": describe_finetuning(study, lambda trial: bool(trial.freeze)),
        "finetune": describe_finetuning(study, lambda trial: not trial.freeze),
    }
    return {name: sentences[name] for name in study.advice.strategies}


def linear_candidates(study):
    """The linear classifiers on the backbone that the advice is on."""
    backbone = study.best_probes.model
    return [candidate for candidate in study.candidates if not candidate.trial and candidate.backbone == backbone]


def describe_last_features(study):
    """The best linear classifier on the last features in a sentence, and the best of all if that is another."""
    linear, last = linear_candidates(study), study.best_probes.stages[-1]
    best = most_likely(linear)
    on_last = most_likely([candidate for candidate in linear if candidate.stage == last])
    text = f"done: {describe_briefly(on_last)}"
    is_other = not np.array_equal(best.logits, on_last.logits)
    if "interior" not in study.advice.strategies and is_other:
        text = f"{text}; the best of all linear classifiers: {describe_briefly(best)}"
    return text


def describe_earlier_stages(study):
    """The best linear classifier with an earlier stage in a sentence, and the best truncated network."""
    linear, last = linear_candidates(study), study.best_probes.stages[-1]
    on_last = [candidate.logits for candidate in linear if candidate.stage == last]
    earlier = [
        candidate for candidate in linear if not any(np.array_equal(candidate.logits, logits) for logits in on_last)
    ]
    if not earlier:
        return "not tried"

    best, whole = most_likely(earlier), max(candidate.macs for candidate in linear)
    text = f"done: the best of {pluralize(len(earlier), 'classifier')} is {describe_briefly(best)}"
    truncated = [candidate for candidate in earlier if candidate.macs < whole]
    if not truncated:
        return f"{text}; no network was truncated"
    shortest = most_likely(truncated)
    saved = f"{100 * (1 - shortest.macs / whole):.0f} % fewer multiply-adds"
    if shortest is best:
        return f"{text}, a truncated network with {saved}"
    return f"{text}, the best truncated network is {describe_briefly(shortest)}, with {saved}"


def describe_briefly(candidate):
    """A candidate without its backbone, with its held-out accuracy."""
    return f"{candidate.name.removeprefix(f'{candidate.backbone}, ')} ({format_percent(candidate.accuracy)})"


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
    if candidates:
        lead, error = lead_of_finetuning(study, candidates)
        verdict = describe_verdict(lead, error)
        text = f"log-likelihood {lead:+.3f} ± {error:.3f} against the best linear classifier: {verdict}"
    elif not any(result.epoch for result in results):
        text = NO_BETTER_EPOCH
    else:
        best = rank_by_loss(results)[0]
        first = rank_by_loss(each for each in study.trial_results if each.trial.epochs == best.trial.epochs)[0]
        text = f"dropped after {best.trial.epochs} epochs: loss {best.loss:.2f}, the best trial had {first.loss:.2f}"
    return "; ".join([f"done: {pluralize(len(results), 'trial')}, {text}", *parts])


def lead_of_finetuning(study, candidates):
    """(lead, standard error) of the best of some fine-tuned candidates over the best linear classifier."""
    linear = most_likely([candidate for candidate in study.candidates if not candidate.trial])
    return mean_difference(most_likely(candidates), linear, "log_likelihood")


def describe_verdict(lead, error):
    """A difference in words."""
    return "no clear difference" if abs(lead) <= error else "better" if lead > 0 else "worse"


def describe_conclusion(study):
    """What follows from the study, in at most three sentences: fine-tuning and budget, images, the weakest classes."""
    return [f"{conclude_finetuning(study)} {conclude_budget(study)}".strip(), conclude_images(study)]


def conclude_finetuning(study):
    """Whether fine-tuning paid, in a sentence."""
    finetuned = [candidate for candidate in study.candidates if candidate.trial]
    if not finetuned and any(not result.failed for result in study.trial_results):
        return f"Fine-tuning was tried and did not pay: {NO_BETTER_EPOCH}."
    if not finetuned:
        tried = "Fine-tuning failed" if study.trial_results else "Fine-tuning was not tried"
        return f"{tried}: {study.metadata['ended']}."
    lead, error = lead_of_finetuning(study, finetuned)
    values = f"log-likelihood {lead:+.3f} ± {error:.3f} against the best linear classifier"
    if study.chosen.trial:
        return f"Fine-tuning paid: {values}."
    if lead > error:
        return f"Fine-tuning was tried, but not chosen: {values}."
    return f"Fine-tuning was tried and did not pay: {describe_verdict(lead, error)}, {values}."


def conclude_budget(study):
    """Whether a larger budget would change anything, in a sentence; empty if there was none, or nothing to spend it."""
    budget, spent = study.metadata["budget"], study.metadata["spent"]
    if budget is None or study.metadata["strategy"] == "linear":
        return ""
    short = [trial for trial, reason in study.skipped.items() if reason.endswith(" s left")]
    if short:
        return f"A larger budget would allow {pluralize(len(short), 'more trial')}."
    return f"A larger budget would change nothing: {max(budget - spent, 0):,.0f} of {budget:,.0f} s were left."


def conclude_images(study):
    """What more images would bring, and the classes to add images of first, in a sentence."""
    advice = study.advice
    classes = f"the weakest classes are {weakest_classes(study)}"
    if not np.isfinite(advice.slope):
        return f"On held-out images {classes}."
    if advice.more_images_help:
        gain = f"{pluralize(max(round(100 * advice.slope), 1), 'percentage point')} or less"
        return (
            f"Twice the images (now {advice.images_per_class:,.0f} per class) may bring {gain}: "
            f"{classes} on held-out images, so add those first."
        )
    return f"More images would hardly help, another backbone may; on held-out images {classes}."


def weakest_classes(study):
    """The two classes that the best linear classifier recognizes worst, with their held-out accuracy."""
    best = most_likely([candidate for candidate in study.candidates if not candidate.trial])
    names = study.best_probes.class_names
    accuracy = [best.correct[best.labels == label].mean() for label in range(len(names))]
    worst = np.argsort(accuracy, kind="stable")[:2]
    return " and ".join(f"{names[label]} ({format_percent(accuracy[label])})" for label in worst)


def describe_time(study):
    """The computing time against the budget, and why no more of it was used, in words."""
    budget = study.metadata["budget"]
    limit = "without a limit" if budget is None else f"of at most {budget:,.0f} s"
    ended = "fine-tuning ended" if study.trial_results else "no fine-tuning"
    return f"{study.metadata['spent']:,.0f} s {limit}; {ended}: {study.metadata['ended']}"


def describe_accuracy(evaluation):
    """The accuracy of an evaluation with its interval, in words."""
    value, low, high = evaluation.intervals["accuracy"]
    interval = f"95 % interval {100 * low:.1f} to {100 * high:.1f}"
    return f"{format_percent(value)} on {len(evaluation):,} images ({interval})"
