"""How good a network is on labeled images, and where it is wrong; of unlabeled ones what it says, and no more."""

import numpy as np

from ...support.text import cut, probability
from .. import figures
from ..context import Skipped
from ..figures import snippet
from ..page import Section, box, facts, figure, folded, heading, paragraph, row, table
from ..page import photos as thumbnails

CLASSES, PAIRS = 20, 15  # of which a matrix is drawn; pairs in the table of more
SHOWN, ROWS = 12, 20  # images; rows of a table before the rest is folded


def errors(subject):
    """Accuracy with its interval, who is taken for whom, the hardest classes, mistakes, and doubts."""
    try:
        judged = subject.evaluation
    except Skipped as why:
        if subject.samples is None:
            raise
        return unlabeled(subject, str(why))
    parts = (measures, confusions, by_class, mistakes, doubts)
    blocks = [block for part in parts for block in part(subject, judged)]
    return Section("Errors", tuple(blocks), numbers(judged))


def numbers(judged):
    """What is told, as plain data."""
    found = {name: [*map(float, interval)] for name, interval in judged.interval.items()}
    calibration = {"ece": judged.calibration.ece, "chance": judged.calibration.chance, "gap": judged.calibration.gap}
    pairs = judged.confused.head(PAIRS)[["class", "predicted", "count", "share"]]
    told = ["image", "class", "predicted", "p_true", "p_predicted"]
    return {
        "n": len(judged),
        "failed": len(judged.failed),
        **found,
        "calibration": {name: float(value) for name, value in calibration.items()},
        "confused": pairs.to_dict("records"),
        "mistakes": confident(judged)[told].to_dict("records"),
        "doubts": unsure(judged)[told].to_dict("records"),
    }


def measures(subject, judged):
    """The numbers of all images together."""
    from ...evaluation.figures import TITLES, measure

    found = {"images": f"{len(judged):,}, of {len(judged.per_class):,} classes"}
    if judged.failed:
        found["not read"] = f"{len(judged.failed)}, such as {next(iter(judged.failed))}"
    for name, interval in judged.interval.items():
        shown = measure(interval) if name in ("nll", "brier") else str(interval)
        found[TITLES.get(name, name.replace("top", "top-"))] = shown
    found["calibration"] = judged.calibration.text()
    note = "In brackets 95 % intervals: Wilson's for shares of images, the bootstrap's for the others."
    return [facts(found), paragraph(note, soft=True)]


def program(subject, *lines):
    """Code, ``{}`` filled with what makes of pixels what the network takes."""
    given = "" if subject.preprocess is None else ", preprocess=preprocess"
    return "\n".join(("import kerascnn", *lines)).replace("{}", given)


def evaluated(subject, *lines):
    """Code that judges again."""
    return program(subject, "judged = kerascnn.evaluate(model, data{})", *lines)


def confusions(subject, judged):
    """Who is taken for whom, and how sure the network is."""
    made = judged.calibration
    bins = f"{len(made.table)} bins of equally many images"
    sure = "too sure" if made.gap > 0 else "not sure enough"
    alt = f"accuracy by confidence: calibration error {made.ece:.1%}, by chance up to {made.chance:.1%}, {sure}"
    caption = f"Confidence and accuracy, {bins}, 95 % intervals, n = {len(judged):,}"
    reliable = figure(made.plot(), alt, caption, evaluated(subject, "judged.calibration.plot()"), name="reliability")
    pairs = judged.confused
    if not len(pairs):
        return [heading("Who is taken for whom"), paragraph("No image is taken for another class."), reliable]
    worst = pairs.iloc[0]
    said = f"most often {worst['class']} for {worst['predicted']}: {worst['count']} of its images, {worst['share']:.0%}"
    if judged.probs.shape[1] > CLASSES:
        return [heading("Who is taken for whom"), row([pairs_table(pairs), reliable])]
    again = evaluated(subject, "print(judged.confusion)", "judged.plot()")
    matrix = figure(figures.confusion(judged), f"confusion, {said}", f"Of {len(judged):,} images, {said}", again)
    return [heading("Who is taken for whom"), row([matrix, reliable])]


def pairs_table(pairs):
    """The pairs of classes that are confused most."""
    shown = pairs.head(PAIRS)[["class", "predicted", "count", "share"]].assign(
        share=pairs["share"].map("{:.0%}".format)
    )
    shown = shown.rename(columns={"class": "true", "predicted": "taken for", "count": "images", "share": "of its own"})
    return table(shown, caption=f"The {len(shown)} of {len(pairs):,} confused pairs with the most images")


def by_class(subject, judged):
    """The classes from the hardest to the easiest."""
    every = judged.per_class.iloc[::-1]
    few = int(every["few"].sum())
    names = {"accuracy": "right, %", "low": "from", "high": "to", "precision": "precision, %"}
    shown = every[["class", "n", *names]].assign(F1=every["f1"].round(2), taken=every["confused_with"].map(cut))
    shown[[*names]] = (100 * shown[[*names]]).round(1)
    shown = shown.rename(columns=names | {"n": "images", "taken": "most often taken for"})
    blocks = [heading("Classes, the hardest first"), table(shown.head(ROWS))]
    if len(shown) > ROWS:
        blocks += [folded(f"All {len(shown):,} classes", table(shown, most=1000))]
    if few:
        said = (
            f"{few:,} of {len(every):,} classes have fewer than 10 images, whose shares say little: see the intervals."
        )
        blocks += [paragraph(said, soft=True)]
    return blocks


def confident(judged):
    """The wrong answers that the network is surest of, as rows of ``images``."""
    wrong = judged.images[~judged.right]
    return wrong.sort_values("p_predicted", ascending=False, kind="stable").head(SHOWN)


def unsure(judged):
    """The images whose likeliest class is the least likely, as rows of ``images``."""
    return judged.images.sort_values("p_predicted", kind="stable").head(SHOWN)


def mistakes(subject, judged):
    """The most confident mistakes: the first place to look for wrong labels."""
    rows, wrong = confident(judged), int((~judged.right).sum())
    if not len(rows):
        return [heading("Mistakes"), paragraph(f"None of {len(judged):,} images is taken for another class.")]
    said = f"{wrong:,} of {len(judged):,} images are taken for another class; these with the highest p."
    said += " Some may be right and labeled wrong."
    words = [
        f"✗ {cut(each['predicted'], 40)} {each.p_predicted:.0%}; it is {cut(each['class'], 40)} {each.p_true:.0%} "
        f"({cut(each['image'], 40)})"
        for _, each in rows.iterrows()
    ]
    return [heading("The most confident mistakes"), paragraph(said), thumbnails(seen(subject, rows, words))]


def doubts(subject, judged):
    """The images that the network is least sure of."""
    rows = unsure(judged)
    words = [
        f"{'✓' if each.right else '✗'} {cut(each['predicted'], 40)} {each.p_predicted:.0%}"
        f"{'' if each.right else '; it is ' + cut(each['class'], 40)} ({cut(each['image'], 40)})"
        for _, each in rows.iterrows()
    ]
    said = f"The {len(rows)} of {len(judged):,} images whose likeliest class has the lowest p."
    return [heading("The least sure"), paragraph(said), thumbnails(seen(subject, rows, words))]


def seen(subject, rows, words):
    """(pixels, words) of images by their names; what cannot be decoded again is left out."""
    place = {name: i for i, name in enumerate(subject.data.names)}
    for name, text in zip(rows["image"], words, strict=True):
        if name in place:
            yield np.asarray(subject.data.one(place[name], None, subject.probe.shape[-1])), text


def unlabeled(subject, why):
    """What the network says of images of which nobody knows what they are."""
    samples, names, probs = subject.photos, subject.class_names, subject.photo_probabilities
    many = samples if subject.pool is None else subject.pool
    words = [
        f"{', '.join(f'{names[k]} {probability(each[k])}' for k in np.argsort(-each, kind='stable')[:3])}: {name}"
        for each, name in zip(probs, subject.sample_names, strict=True)
    ]
    counted = counts(subject.probabilities(many), names)
    blocks = (
        box(paragraph(f"Whether any of this is right is not known: {why}.")),
        heading("What it says of the photos"),
        thumbnails(zip(samples, words, strict=True)),
        heading(f"What it says of {len(many):,} images"),
        table(counted, most=ROWS, caption="By the likeliest class, the commonest first; p is the mean of its images"),
        snippet(program(subject, "print(kerascnn.predict(model, photos{}))")),
    )
    results = {"n": len(many), "labeled": False, "predicted": counted.to_dict("records")}
    return Section("What it says", blocks, results)


def counts(probs, names):
    """A DataFrame of the classes that images are taken for."""
    import pandas as pd

    best, sure = probs.argmax(1), probs.max(1)
    rows = [(names[k], int((best == k).sum()), float(sure[best == k].mean())) for k in np.unique(best)]
    found = pd.DataFrame(rows, columns=["class", "images", "p"])
    return found.sort_values(["images", "p"], ascending=False, kind="stable").reset_index(drop=True)
