"""People compared with a network on the same images."""

from __future__ import annotations

import csv
import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

from ..inputs.class_names import names_to_numbers
from ..support.display import MeasuredResult
from ..support.files import table_records
from ..support.types import FilePath
from .compare import contingency_table, select_images
from .evaluate import Evaluation
from .statistics import cohen_kappa, mcnemar, wilson

COLUMNS = ("image", "answer")


@dataclass(frozen=True, eq=False)
class HumanAgainstNetwork(MeasuredResult):
    """Answers of people compared with the predictions of a network.

    Attributes:
        evaluation: `Evaluation` of the network on the images that have an answer.
        answers: class numbers in the order of the images.
        person: name of the person, or "majority".
        individuals: result of each of several persons by name.
        ties: names of images without a majority, which are excluded.
    """

    evaluation: Evaluation
    answers: np.ndarray = field(repr=False)
    person: str = "human"
    individuals: dict = field(default_factory=dict, repr=False)
    ties: tuple = field(default=(), repr=False)

    @property
    def correct(self):
        """Whether each of the human's answers is right."""
        return self.answers == self.evaluation.labels

    @property
    def table(self):
        """The 2x2 DataFrame of right and wrong: human as rows, network as columns."""
        return contingency_table(self.correct, self.evaluation.correct, "human", "network")

    @property
    def p(self):
        """McNemar's exact p that both are equally often right."""
        human, network = self.correct, self.evaluation.correct
        return mcnemar(int((human & ~network).sum()), int((~human & network).sum()))

    @property
    def agreement(self):
        """Cohen's kappa of the answers: whether they name the same classes, beyond chance."""
        return cohen_kappa(self.answers, self.evaluation.predicted)

    @property
    def consistency(self):
        """Error consistency: Cohen's kappa of right and wrong (Geirhos et al. 2020)."""
        return cohen_kappa(self.correct, self.evaluation.correct)

    @property
    def people(self):
        """A DataFrame with a row for each person, the majority and the network."""
        import pandas as pd

        rows = [person_row(result) for result in [*self.individuals.values(), self]]
        accuracy = wilson(int(self.evaluation.correct.sum()), len(self.evaluation))
        rows.append(("network", len(self.evaluation), *accuracy, np.nan, np.nan, np.nan))
        columns = ["who", "n", "accuracy", "low", "high", "agreement", "consistency", "p"]
        return pd.DataFrame(rows, columns=columns)

    @property
    def images(self):
        """A DataFrame with a row for each image, with the human's answer."""
        table = self.evaluation.images
        table.insert(3, "answer", [self.evaluation.class_name(int(number)) for number in self.answers])
        return table

    def examples(self, human, network, n=10):
        """Images of one cell, such as ``examples("right", "wrong")``.

        Images with the highest probability of the predicted class come first.
        """
        for argument, given in (("human", human), ("network", network)):
            if given not in ("right", "wrong"):
                raise ValueError(f"`{argument}` should be 'right' or 'wrong'. Received: {given!r}")
        table = self.images
        cell = (self.correct == (human == "right")) & (self.evaluation.correct == (network == "right"))
        found = table[cell].sort_values("p_predicted", ascending=False, kind="stable")
        return found.head(n).reset_index(drop=True)

    def __str__(self):
        return self.text()

    def text(self):
        """The table, and how far both agree."""
        shown = self.people.to_string(index=False, float_format="{:.3f}".format, na_rep="")
        tied = f"\nexcluded, because no answer has a majority: {len(self.ties)} images" if self.ties else ""
        return f"correct answers of {self.person} (rows) and the network (columns)\n{self.table}\n\n{shown}{tied}"

    def plot(self):
        """The 2x2 table as a figure."""
        from .figures import draw_cells, single_axis_figure

        return single_axis_figure(lambda axis: draw_cells(axis, self.table))

    def rows(self):
        """The images with all answers."""
        return self.images

    def to_dict(self):
        """The numbers as plain data.

        The 2x2 table counts images that both, only the human, only the network or none has right.
        """
        table = self.table.to_numpy().tolist()
        return {"who": self.person, "table": table, "people": table_records(self.people), "tied": [*self.ties]}


def person_row(result):
    """One line of ``people``."""
    accuracy = wilson(int(result.correct.sum()), len(result.answers))
    return (result.person, len(result.answers), *accuracy, result.agreement, result.consistency, result.p)


def human_against_network(evaluation: Evaluation, path: FilePath) -> HumanAgainstNetwork:
    """Compare the answers of people with the predictions of a network.

    Args:
        evaluation: `Evaluation` of the network; only images with an answer count.
        path: CSV file with the columns image, answer and optionally person. An image is named as in the evaluation, or
            by its file name; an answer is the name or number of a class. Of several persons, the majority counts.

    Returns:
        A `HumanAgainstNetwork`.
    """
    given = read_answers(path, evaluation)
    results = {person: person_result(evaluation, person, answers) for person, answers in given.items()}
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
        raise ValueError(f"{path} should have a majority answer for at least one image. Received: {len(tied)} ties")
    return person_result(evaluation, "majority", majority, results, tuple(tied))


def person_result(evaluation, person, answers, each=None, tied=()):
    """One person's result, from {row of the evaluation: class number}."""
    rows = sorted(answers)
    numbers = np.array([answers[row] for row in rows])
    return HumanAgainstNetwork(select_images(evaluation, rows), numbers, person, each or {}, tied)


def read_answers(path, evaluation):
    """{person: {row of the evaluation: class number}} from a CSV file, each line checked."""
    places, found = rows_by_image_name(evaluation.names), defaultdict(dict)
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
                some = f"one of the evaluated images, such as {evaluation.names[0]!r}"
                raise ValueError(f"{where}: `image` should be {some}. Received: {image!r}")
            if row in found[person]:
                raise ValueError(f"{where}: {person} should have only one answer for {image}. Received: another answer")
            found[person][row] = parse_answer(answer, evaluation, where)
    if not found:
        raise ValueError(f"{path} should have at least one answer. Received: none")
    return dict(found)


def rows_by_image_name(names):
    """Each image's row by its name, and by its file's name where only one has it."""
    short = [os.path.basename(name) for name in names]
    often = Counter(short)
    rows = {base: i for i, base in enumerate(short) if often[base] == 1}
    return rows | {name: i for i, name in enumerate(names)}


def parse_answer(answer, evaluation, where):
    """The class that an answer names; capitals do not matter."""
    classes = evaluation.class_names or ()
    same = [name for name in classes if name.casefold() == answer.casefold()]
    width = evaluation.probs.shape[1]
    try:
        number = int(names_to_numbers([same[0] if len(same) == 1 else answer], width, classes)[0])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if not 0 <= number < width:
        raise ValueError(f"{where}: `answer` should be a class number, 0 to {width - 1}. Received: {answer!r}")
    return number
