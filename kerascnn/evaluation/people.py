"""People against a network: the same images, the same classes, and who is right where the other is wrong."""

import csv
import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

from ..inputs.class_names import by_name
from ..support.display import Measured
from ..support.files import records
from .compare import taken, two_by_two
from .evaluate import Evaluation
from .statistics import kappa, mcnemar, wilson

COLUMNS = ("image", "answer")


@dataclass(frozen=True, eq=False)
class HumanAgainstNetwork(Measured):
    """One person's answers, or the majority's, and the network's ``evaluation`` of the same images.

    ``answers`` are class numbers in the order of the evaluation's images. Of several persons ``each`` has everyone's
    own result, and ``tied`` names images without a majority, which are left out.
    """

    evaluation: Evaluation
    answers: np.ndarray = field(repr=False)
    person: str = "human"
    each: dict = field(default_factory=dict, repr=False)
    tied: tuple = field(default=(), repr=False)

    @property
    def right(self):
        """Whether each of the human's answers is right."""
        return self.answers == self.evaluation.labels

    @property
    def table(self):
        """The 2x2 DataFrame: human right or wrong as rows, network right or wrong as columns."""
        return two_by_two(self.right, self.evaluation.right, "human", "network")

    @property
    def p(self):
        """McNemar's exact p that both are equally often right."""
        human, network = self.right, self.evaluation.right
        return mcnemar(int((human & ~network).sum()), int((~human & network).sum()))

    @property
    def agreement(self):
        """Cohen's kappa of the answers: whether they name the same classes, beyond chance."""
        return kappa(self.answers, self.evaluation.predicted)

    @property
    def consistency(self):
        """Cohen's kappa of right and wrong: whether they fail on the same images (Geirhos et al. 2020)."""
        return kappa(self.right, self.evaluation.right)

    @property
    def people(self):
        """A DataFrame with a row for each person, the majority, and the network on the majority's images."""
        import pandas as pd

        rows = [row_of(result) for result in [*self.each.values(), self]]
        accuracy = wilson(int(self.evaluation.right.sum()), len(self.evaluation))
        rows.append(("network", len(self.evaluation), *accuracy, np.nan, np.nan, np.nan))
        columns = ["who", "n", "accuracy", "low", "high", "agreement", "consistency", "p"]
        return pd.DataFrame(rows, columns=columns)

    @property
    def images(self):
        """A DataFrame with a row for each image, as the evaluation has it, and the human's answer."""
        table = self.evaluation.images
        table.insert(3, "answer", [self.evaluation.class_name(int(number)) for number in self.answers])
        return table

    def examples(self, human, network, n=10):
        """Images of one cell, such as ``examples("right", "wrong")``, those first of which the network is surest."""
        for argument, given in (("human", human), ("network", network)):
            if given not in ("right", "wrong"):
                raise ValueError(f"`{argument}` should be 'right' or 'wrong'. Received: {given!r}")
        table = self.images
        cell = (self.right == (human == "right")) & (self.evaluation.right == (network == "right"))
        found = table[cell].sort_values("p_predicted", ascending=False, kind="stable")
        return found.head(n).reset_index(drop=True)

    def __str__(self):
        return self.text()

    def text(self):
        """The table, and how far both agree."""
        shown = self.people.to_string(index=False, float_format="{:.3f}".format, na_rep="")
        tied = f"\nleft out, without a majority: {len(self.tied)}" if self.tied else ""
        return f"images that {self.person} (rows) and the network (columns) have right\n{self.table}\n\n{shown}{tied}"

    def plot(self):
        """The 2x2 table as a figure."""
        from .figures import draw_cells, figure_of

        return figure_of(lambda axis: draw_cells(axis, self.table))

    def rows(self):
        """The images with all answers."""
        return self.images

    def facts(self):
        """The numbers as plain data; the 2x2 table has both right, only the human, only the network, none."""
        table = self.table.to_numpy().tolist()
        return {"who": self.person, "table": table, "people": records(self.people), "tied": [*self.tied]}


def row_of(result):
    """One line of ``people``."""
    accuracy = wilson(int(result.right.sum()), len(result.answers))
    return (result.person, len(result.answers), *accuracy, result.agreement, result.consistency, result.p)


def human_against_network(evaluation, path):
    """Answers of people in a CSV file (image, answer[, person]) against an evaluation: ``HumanAgainstNetwork``.

    An image is named as in the evaluation, or by its file's name alone; an answer is a class's name or number. Only
    images with an answer count. Of several persons the majority's answer does.
    """
    given = read(path, evaluation)
    results = {person: result(evaluation, person, answers) for person, answers in given.items()}
    if len(results) == 1:
        return next(iter(results.values()))
    votes = defaultdict(list)
    for answers in given.values():
        for image, answer in answers.items():
            votes[image].append(answer)
    majority, tied = {}, []
    for image, cast in votes.items():
        (answer, most), *others = Counter(cast).most_common(2)
        if others and others[0][1] == most:
            tied.append(evaluation.names[image])
        else:
            majority[image] = answer
    if not majority:
        raise ValueError(f"{path} should have a majority for some image. Received: {len(tied)} ties")
    return result(evaluation, "majority", majority, results, tuple(tied))


def result(evaluation, person, answers, each=None, tied=()):
    """One person's result, from {row of the evaluation: class number}."""
    rows = sorted(answers)
    numbers = np.array([answers[row] for row in rows])
    return HumanAgainstNetwork(taken(evaluation, rows), numbers, person, each or {}, tied)


def read(path, evaluation):
    """{person: {row of the evaluation: class number}} from a CSV file, each line checked."""
    places, found = rows_by_name(evaluation.names), defaultdict(dict)
    with open(path, newline="", encoding="utf-8-sig") as file:
        lines = csv.DictReader(file)
        titles = [title.strip().lower() for title in lines.fieldnames or ()]
        if not {*COLUMNS} <= {*titles}:
            raise ValueError(f"{path} should have the columns image, answer[, person]. Received: {', '.join(titles)}")
        lines.fieldnames = titles
        for line in lines:
            where = f"{path}, line {lines.line_num}"
            image, answer = ((line[title] or "").strip() for title in COLUMNS)
            person = (line.get("person") or "").strip() or "human"
            row = places.get(image)
            if row is None:
                some = f"one of the evaluation, such as {evaluation.names[0]!r}"
                raise ValueError(f"{where}: `image` should be {some}. Received: {image!r}")
            if row in found[person]:
                raise ValueError(f"{where}: {person} should answer once for {image}. Received: another answer")
            found[person][row] = number_of(answer, evaluation, where)
    if not found:
        raise ValueError(f"{path} should have answers. Received: none")
    return dict(found)


def rows_by_name(names):
    """Each image's row by its name, and by its file's name where only one has it."""
    short = [os.path.basename(name) for name in names]
    often = Counter(short)
    rows = {base: i for i, base in enumerate(short) if often[base] == 1}
    return rows | {name: i for i, name in enumerate(names)}


def number_of(answer, evaluation, where):
    """The class that an answer names; capitals do not matter."""
    classes = evaluation.classes or ()
    same = [name for name in classes if name.casefold() == answer.casefold()]
    width = evaluation.probs.shape[1]
    try:
        number = int(by_name([same[0] if len(same) == 1 else answer], width, classes)[0])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if not 0 <= number < width:
        raise ValueError(f"{where}: `answer` should be a class, 0 to {width - 1}. Received: {answer!r}")
    return number
