"""A study as one HTML file: what was chosen and why, how far to trust it, what it cost."""

import numpy as np

from ..reporting.page import Section, facts, figure, page, paragraph, photos, table
from ..support.files import write_text
from .advice import WORDS
from .taps import told

WORST = 24  # images that are shown


def written(study, path):
    """Write the page; return its path."""
    sections = [made(study) for made in (answer, advice, stages, candidates, grid, classes, mistakes, images, time)]
    return write_text(path, page(f"Transfer to {study.data.name}", filter(None, sections), lead(study)))


def lead(study):
    """The answer in a sentence."""
    if study.tested is None:
        return f"{study.chosen.name}: {study.chosen.accuracy:.1%} of images that it was not shown. No test was locked."
    return f"{study.tested.interval['accuracy']} of {len(study.tested):,} locked test images named right."


def answer(study):
    found = {"network": study.chosen.name, "images learned from": f"{len(study.data.train):,}"}
    found["on images not shown"] = f"{study.chosen.accuracy:.1%}, by {len(study.chosen.right):,} images"
    if study.tested is not None:
        gap = study.compared.difference
        found["locked test"] = f"{study.tested.interval['accuracy']}, looked at once"
        found["the usual way"] = f"{study.usual.name}: {study.usual_tested.interval['accuracy']}"
        points = [f"{100 * value:+.1f}" for value in gap]
        found["difference"] = f"{points[0]} points ({points[1]} to {points[2]}), McNemar's p = {study.compared.p:.2g}"
        error = study.tested.calibration
        found["calibration error"] = f"{error.ece:.1%} (by chance alone up to {error.chance:.1%})"
    return Section("Answer", (facts(found),))


def advice(study):
    lies = f"where the data lies: {study.advice.similarity}, {study.advice.amount}"
    words = [f"{i}. {WORDS[name]}" for i, name in enumerate(study.advice.strategies, start=1)]
    return Section("Where the data lies", (figure(study.advice.plot(), lies), *map(paragraph, words)))


def stages(study):
    blocks = []
    for probe in study.probes:
        rows = probe.layers_table(heads=tuple(probe.summary["head"].unique())).reset_index(names="head (stage)")
        rows = rows.rename(columns={"accuracy": "accuracy %", "error": "± %"})
        blocks += [figure(probe.plot(), "accuracy by stage, as in the table below"), table(rows)]
    note = "Each stage's features under linear classifiers, judged on images that these were not shown."
    return Section("Stages", (paragraph(note), *blocks))


def candidates(study):
    note = (
        "The best is the one that gives the true classes most probability. Of those that are not worse by more than "
        "one standard error, paired image by image, the cheapest is chosen."
    )
    rows = table(study.table.drop(columns=["kind", "backbone", "stage"]), marked="chosen", most=30)
    return Section("Candidates", (paragraph(note), figure(study.plot(), "candidates by accuracy, as below"), rows))


def grid(study):
    if not study.outcomes:
        return None
    names = ["stage", "freeze", "rate", "augment", "epochs", "fold", "accuracy", "loss", "epoch", "batch", "tries"]
    rows = study.points[[*names, "kept", "seconds", "failed"]]
    return Section("Points of the grid", (table(rows.assign(stage=rows["stage"].map(told))),))


def classes(study):
    if study.tested is None:
        return None
    names = ["class", "n", "accuracy", "low", "high", "precision", "f1", "few", "confused_with"]
    rows = table(study.tested.per_class[names], most=40)
    drawn = figure(study.tested.plot(), "accuracy of each class, as below")
    return Section("Classes, on the locked test", (drawn, rows))


def mistakes(study):
    """The worst of the locked test, with what they are taken for."""
    if study.tested is None or study.tested.right.all():
        return None
    test, shown = study.data.test, []
    rows = study.tested.hardest(WORST)
    for _, row in rows[~rows["right"]].iterrows():
        text = f"{row['class']}, taken for {row['predicted']} ({row['p_predicted']:.0%}): {row['image']}"
        shown.append((np.asarray(test.one(test.names.index(row["image"]))), text))
    wrong = int((~study.tested.right).sum())
    return Section("Worst mistakes", (paragraph(f"{wrong:,} of {len(study.tested):,} are wrong."), photos(shown)))


def images(study):
    """What the audit found, before anything was learned."""
    audit = study.data.audit
    if audit is None:
        return None
    found = audit.table
    if not len(found):
        return Section("Data", (paragraph(f"{study.data}. Nothing odd was found."),))
    return Section("Data", (paragraph(str(study.data)), facts(audit.counts), table(found, most=40)))


def time(study):
    spent, estimate = study.facts["spent"], study.facts["naive"]
    found = {
        "this study": f"{spent:,.0f} s of work",
        "of that on points": f"{sum(study.points.get('seconds', [0])):,.0f} s",
    }
    if estimate:
        found["a naive grid of 48 points"] = f"about {estimate:,.0f} s, estimated from one epoch"
        found["ratio"] = f"{estimate / max(spent, 1e-9):,.0f}x"
    return Section("Time", (facts(found),))
