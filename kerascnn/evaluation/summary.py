"""The summary of an evaluation as lines of text."""

from ..support.text import clip_line

TITLES = {
    "accuracy": "accuracy",
    "balanced": "balanced accuracy",
    "macro_f1": "macro F1",
    "nll": "NLL",
    "brier": "Brier score",
}
TITLE_WIDTH = 19
MAX_ROWS = 5  # classes or pairs in a list


def headline(evaluation):
    """Images, classes, model and dataset in one line."""
    model = f", model {evaluation.model}" if evaluation.model else ""
    dataset = f" ({evaluation.dataset})" if evaluation.dataset else ""
    return f"{len(evaluation):,} images of {len(evaluation.per_class):,} classes{model}{dataset}"


def summary_lines(evaluation, width=100):
    """Measures with intervals, calibration, easiest and hardest classes, confusions; lines of at most ``width``."""
    yield headline(evaluation)
    if evaluation.failed:
        yield f"{len(evaluation.failed)} images could not be read, for example {next(iter(evaluation.failed))}"
    yield ""

    for name, interval in evaluation.intervals.items():
        title = TITLES.get(name, name.replace("top", "top-"))
        value = format_loss(interval) if name in ("nll", "brier") else str(interval)
        yield f"  {title:<{TITLE_WIDTH}}{value}"
    yield f"  {'calibration':<{TITLE_WIDTH}}{evaluation.calibration.text()}"

    for title, table in classes_to_list(evaluation.per_class).items():
        yield from ("", title)
        for row in table.itertuples():
            yield clip_line(f"  {class_line(row)}", width)

    pairs = evaluation.confusions.head(MAX_ROWS)
    if len(pairs):
        yield from ("", "most frequent confusions, true -> predicted class")
        for row in pairs.to_dict("records"):
            images = round(row["count"] / row["share"])
            yield clip_line(f"  {row['count']:>4} of {images:<4} {row['class']} -> {row['predicted']}", width)


def format_loss(interval):
    """An interval of a measure that is not a fraction: "0.412 (0.380 to 0.451)"."""
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def classes_to_list(table):
    """{title: rows of ``per_class``}: all classes if they are few, else the easiest and the hardest."""
    if len(table) <= 2 * MAX_ROWS:
        return {"classes, easiest first": table}
    return {"easiest classes": table.head(MAX_ROWS), "hardest classes, hardest last": table.tail(MAX_ROWS)}


def class_line(row):
    """Accuracy, number of images and name of a class, and the class with which it is confused most."""
    class_name = row[2]  # the column "class", which is a keyword
    confusion = f", most often confused with {row.confused_with}" if row.confused_with else ""
    few = " (few images)" if row.few else ""
    return f"{100 * row.accuracy:5.1f} % of {row.n:<4} {class_name}{few}{confusion}"
