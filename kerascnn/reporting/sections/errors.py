"""Accuracy and mistakes on labeled images; on unlabeled ones the predictions only."""

import numpy as np

from ...support.text import file_name, format_probability, list_names, shorten_end, shorten_middle
from .. import figures
from ..context import Skipped
from ..figures import code_details
from ..page import Section, block_row, box, data_table, definition_list, details, figure, heading, paragraph
from ..page import photo_grid as thumbnails

CLASSES, PAIRS = 20, 15  # of which a matrix is drawn; pairs in the table of more
LETTERS = 32  # of a name in the caption of an image
SHOWN, ROWS = 12, 20  # images; rows of a table before the rest is folded


def errors_section(subject):
    """Accuracy with intervals, confusions, the hardest classes, confident mistakes, uncertain predictions."""
    try:
        evaluation = subject.evaluation
    except Skipped as why:
        if subject.samples is None:
            raise
        return predictions_section(subject, str(why))
    parts = (overall_measures, confusion_blocks, class_table_blocks, mistake_blocks, doubt_blocks)
    blocks = [block for part in parts for block in part(subject, evaluation)]
    return Section("Errors", tuple(blocks), error_numbers(evaluation))


def error_numbers(evaluation):
    """The numbers of the section as plain data."""
    intervals = {name: [*map(float, interval)] for name, interval in evaluation.intervals.items()}
    calibration = {
        "ece": evaluation.calibration.ece,
        "chance": evaluation.calibration.chance,
        "gap": evaluation.calibration.gap,
    }
    pairs = evaluation.confusions.head(PAIRS)[["class", "predicted", "count", "share"]]
    columns = ["image", "class", "predicted", "p_true", "p_predicted"]
    return {
        "n": len(evaluation),
        "failed": len(evaluation.failed),
        **intervals,
        "calibration": {name: float(value) for name, value in calibration.items()},
        "confused": pairs.to_dict("records"),
        "mistakes": most_confident_mistakes(evaluation)[columns].to_dict("records"),
        "doubts": least_confident(evaluation)[columns].to_dict("records"),
    }


def overall_measures(subject, evaluation):
    """Measures over all images."""
    from ...evaluation.summary import TITLES, format_loss

    measures = {"images": f"{len(evaluation):,} images of {len(evaluation.per_class):,} classes"}
    untested = untested_classes(evaluation)
    if untested:
        measures["classes without images"] = list_names(untested)
    if evaluation.failed:
        measures["unreadable"] = f"{len(evaluation.failed)} images, for example {next(iter(evaluation.failed))}"
    for name, interval in evaluation.intervals.items():
        text = format_loss(interval) if name in ("nll", "brier") else str(interval)
        measures[TITLES.get(name, name.replace("top", "top-"))] = text
    measures["calibration"] = evaluation.calibration.text()
    note = "95 % intervals in brackets: Wilson's method for fractions of images, bootstrap otherwise."
    return [definition_list(measures), paragraph(note, soft=True)]


def untested_classes(evaluation):
    """The names of classes without images; () if most have none, as of a network for many more classes."""
    there = {*evaluation.per_class["number"].tolist()}
    missing = [number for number in range(evaluation.probs.shape[1]) if number not in there]
    return evaluation.names_of_classes(missing) if len(missing) <= len(there) else ()


def python_code(subject, *lines):
    """Code in which ``{}`` stands for the preprocessing argument, if there is one."""
    argument = "" if subject.preprocess is None else ", preprocess=preprocess"
    return "\n".join(("import kerascnn", *lines)).replace("{}", argument)


def evaluation_code(subject, *lines):
    """Code that evaluates the network again."""
    return python_code(subject, "evaluation = kerascnn.evaluate(model, data{})", *lines)


def confusion_blocks(subject, evaluation):
    """Which classes are confused, and how well the network is calibrated."""
    calibration = evaluation.calibration
    bins = f"{len(calibration.table)} bins of equally many images"
    direction = "overconfident" if calibration.gap > 0 else "underconfident"
    alt = (
        f"accuracy by confidence: calibration error {calibration.ece:.1%} "
        f"(up to {calibration.chance:.1%} by chance), {direction}"
    )
    caption = f"Confidence and accuracy in {bins}, with 95 % intervals, n = {len(evaluation):,}"
    if calibration.too_few:
        caption += ": too few images to measure calibration"
    reliable = figure(
        calibration.plot(), alt, caption, evaluation_code(subject, "evaluation.calibration.plot()"), name="reliability"
    )
    pairs = evaluation.confusions
    if not len(pairs):
        return [heading("Confusions"), paragraph("No image is misclassified."), reliable]
    worst = pairs.iloc[0]
    summary = (
        f"most frequent confusion: {worst['class']} predicted as {worst['predicted']}, {worst['count']} "
        f"images, {worst['share']:.0%} of the class"
    )
    if evaluation.probs.shape[1] > CLASSES:
        return [heading("Confusions"), block_row([confusion_table(pairs), reliable])]
    code = evaluation_code(subject, "print(evaluation.confusion)", "evaluation.plot()")
    matrix = figure(
        figures.confusion_figure(evaluation),
        f"confusion matrix; {summary}",
        f"Confusion matrix of {len(evaluation):,} images; {summary}",
        code,
    )
    return [heading("Confusions"), block_row([matrix, reliable])]


def confusion_table(pairs):
    """The most frequent confusions."""
    table = pairs.head(PAIRS)[["class", "predicted", "count", "share"]].assign(
        share=pairs["share"].map("{:.0%}".format)
    )
    table = table.rename(
        columns={"class": "true", "predicted": "predicted as", "count": "images", "share": "% of the class"}
    )
    return data_table(table, caption=f"The {len(table)} most frequent of {len(pairs):,} confusions")


def class_table_blocks(subject, evaluation):
    """The classes from the hardest to the easiest."""
    classes = evaluation.per_class.iloc[::-1]
    small_classes = int(classes["few"].sum())
    names = {"accuracy": "accuracy, %", "low": "from", "high": "to", "precision": "precision, %"}
    table = classes[["class", "n", *names]].assign(
        F1=classes["f1"].round(2), taken=classes["confused_with"].map(shorten_end)
    )
    table[[*names]] = (100 * table[[*names]]).round(1)
    table = table.rename(columns=names | {"n": "images", "taken": "most often predicted as"})
    blocks = [heading("Classes, hardest first"), data_table(table.head(ROWS))]
    if len(table) > ROWS:
        blocks += [details(f"All {len(table):,} classes", data_table(table, max_rows=1000))]
    if small_classes:
        note = (
            f"{small_classes:,} of {len(classes):,} classes have fewer than 10 images, too few for a reliable "
            "accuracy: see the intervals."
        )
        blocks += [paragraph(note, soft=True)]
    return blocks


def most_confident_mistakes(evaluation):
    """The mistakes with the highest confidence, as rows of ``Evaluation.table``."""
    wrong = evaluation.table[~evaluation.correct]
    return wrong.sort_values("p_predicted", ascending=False, kind="stable").head(SHOWN)


def least_confident(evaluation):
    """The images with the lowest confidence, as rows of ``Evaluation.table``."""
    return evaluation.table.sort_values("p_predicted", kind="stable").head(SHOWN)


def mistake_blocks(subject, evaluation):
    """The most confident mistakes: the first place to look for wrong labels."""
    rows, wrong = most_confident_mistakes(evaluation), int((~evaluation.correct).sum())
    if not len(rows):
        return [heading("Mistakes"), paragraph(f"None of {len(evaluation):,} images is misclassified.")]
    introduction = (
        f"{wrong:,} of {len(evaluation):,} images are misclassified; shown are those with the highest confidence."
    )
    introduction += " Some of the labels may be wrong."
    captions = [
        (
            f"✗ {shorten_end(row['predicted'], LETTERS)} {row.p_predicted:.0%}; "
            f"label {shorten_end(row['class'], LETTERS)} {row.p_true:.0%} ({short_file_name(row['image'])})"
        )
        for _, row in rows.iterrows()
    ]
    return [
        heading("Most confident mistakes"),
        paragraph(introduction),
        thumbnails(photos_with_captions(subject, rows, captions)),
    ]


def doubt_blocks(subject, evaluation):
    """The predictions with the lowest confidence."""
    rows = least_confident(evaluation)
    captions = [
        f"{'✓' if row.correct else '✗'} {shorten_end(row['predicted'], LETTERS)} {row.p_predicted:.0%}"
        f"{'' if row.correct else '; label ' + shorten_end(row['class'], LETTERS)} ({short_file_name(row['image'])})"
        for _, row in rows.iterrows()
    ]
    introduction = f"The {len(rows)} of {len(evaluation):,} images with the lowest confidence."
    return [
        heading("Least confident predictions"),
        paragraph(introduction),
        thumbnails(photos_with_captions(subject, rows, captions)),
    ]


def short_file_name(name):
    """The name of a file as a caption has it, without folders, shortened in its middle."""
    return shorten_middle(file_name(name), LETTERS)


def photos_with_captions(subject, rows, words):
    """(pixels, caption) of images by their names; those that cannot be decoded again are left out."""
    row_by_name = {name: i for i, name in enumerate(subject.data.names)}
    for name, text in zip(rows["image"], words, strict=True):
        if name in row_by_name:
            yield np.asarray(subject.data.decode_image(row_by_name[name], None, subject.lens.shape[-1])), text


def predictions_section(subject, why):
    """Predictions for images without labels."""
    samples, names, probs = subject.photos, subject.class_names, subject.photo_probs
    total = len(samples if subject.pool is None else subject.pool)
    captions = [
        ", ".join(f"{names[k]} {format_probability(row[k])}" for k in np.argsort(-row, kind="stable")[:3])
        + f": {short_file_name(name)}"
        for row, name in zip(probs, subject.sample_names, strict=True)
    ]
    counts = count_predictions(subject.probs(subject.pool_inputs()), names)
    blocks = (
        box(paragraph(f"The accuracy is unknown: {why}.")),
        heading("Predictions for the photos"),
        thumbnails(zip(samples, captions, strict=True)),
        heading(f"Predictions for {total:,} images"),
        data_table(counts, max_rows=ROWS, caption="Most frequent predicted classes first; p is the mean confidence"),
        code_details(python_code(subject, "print(kerascnn.predict(model, photos{}))")),
    )
    results = {"n": total, "labeled": False, "predicted": counts.to_dict("records")}
    return Section("Predictions", blocks, results)


def count_predictions(probs, names):
    """A DataFrame of the predicted classes and how often each is predicted."""
    import pandas as pd

    predicted, confidence = probs.argmax(1), probs.max(1)
    rows = [
        (names[k], int((predicted == k).sum()), float(confidence[predicted == k].mean())) for k in np.unique(predicted)
    ]
    counts = pd.DataFrame(rows, columns=["class", "images", "p"])
    return counts.sort_values(["images", "p"], ascending=False, kind="stable").reset_index(drop=True)
