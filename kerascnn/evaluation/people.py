"""Human answers compared with the predictions of a network on the same images."""

from __future__ import annotations

import csv
import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

from ..inputs.class_names import names_to_numbers
from ..support.display import MeasuredResult
from ..support.files import table_records
from ..support.text import format_percent, pluralize
from ..support.types import FilePath
from .compare import contingency_table, select_images
from .evaluate import Evaluation
from .statistics import cohen_kappa, mcnemar, wilson

COLUMNS = ("image", "answer")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class HumanAgainstNetwork(MeasuredResult):
    """Answers of people compared with the predictions of a network.

    Attributes:
        evaluation: `Evaluation` of the network on the images that have an answer.
        answers: class number that the person, or the majority, gives for each image.
        person: name of the person, or "majority".
        individuals: {person: `HumanAgainstNetwork`} if several persons answered.
        ties: names of images without a majority, which are excluded.
    """

    evaluation: Evaluation
    answers: np.ndarray
    person: str = "human"
    individuals: dict = field(default_factory=dict)
    ties: tuple = ()

    def __len__(self):
        return len(self.answers)

    def __repr__(self):
        human, network = format_percent(self.correct.mean()), format_percent(self.evaluation.accuracy)
        images = pluralize(len(self), "image")
        return f"<HumanAgainstNetwork: {self.person} {human} and network {network} correct on {images}>"

    @property
    def correct(self):
        """Whether each answer of the person is correct."""
        return self.answers == self.evaluation.labels

    @property
    def contingency(self):
        """The 2x2 contingency table: images correct or wrong by human and network.

        A DataFrame with the human as rows and the network as columns.
        """
        return contingency_table(self.correct, self.evaluation.correct, ("human", "network"))

    @property
    def p(self):
        """McNemar's exact p-value for equal accuracies of human and network."""
        human, network = self.correct, self.evaluation.correct
        return mcnemar(int((human & ~network).sum()), int((~human & network).sum()))

    @property
    def agreement(self):
        """Cohen's kappa of answers and predictions: 0 is chance, 1 full agreement."""
        return cohen_kappa(self.answers, self.evaluation.predicted)

    @property
    def consistency(self):
        """Error consistency (Geirhos et al. 2020): Cohen's kappa of being correct."""
        return cohen_kappa(self.correct, self.evaluation.correct)

    @property
    def people(self):
        """A DataFrame with a row for each person, the majority and the network."""
        import pandas as pd

        network_accuracy = wilson(int(self.evaluation.correct.sum()), len(self.evaluation))
        network_row = ("network", len(self.evaluation), *network_accuracy, np.nan, np.nan, np.nan)
        rows = [person_row(result) for result in [*self.individuals.values(), self]]
        columns = ["who", "n", "accuracy", "low", "high", "agreement", "consistency", "p"]
        return pd.DataFrame([*rows, network_row], columns=columns)

    @property
    def table(self):
        """A DataFrame with a row for each image: ``evaluation.table`` with the answers."""
        table = self.evaluation.table
        table.insert(3, "answer", self.evaluation.names_of_classes(self.answers))
        return table

    def examples(self, human, network, n=10):
        """The ``n`` images with these outcomes, such as ``examples("correct", "wrong")``.

        Images on which the network is most confident come first.

        Args:
            human: "correct" or "wrong".
            network: "correct" or "wrong".
            n: largest number of images.

        Returns:
            Rows of ``table``.
        """
        for argument, value in (("human", human), ("network", network)):
            if value not in ("correct", "wrong"):
                raise ValueError(f"`{argument}` should be 'correct' or 'wrong'. Received: {value!r}")
        human_matches = self.correct == (human == "correct")
        network_matches = self.evaluation.correct == (network == "correct")
        table = self.table[human_matches & network_matches]
        return table.sort_values("p_predicted", ascending=False, kind="stable").head(n).reset_index(drop=True)

    def __str__(self):
        return self.text()

    def text(self):
        """The 2x2 table of correct and wrong answers, and the table of people."""
        title = f"correct answers of {self.person} (rows) and the network (columns)"
        people = self.people.to_string(index=False, float_format="{:.3f}".format, na_rep="")
        text = f"{title}\n{self.contingency}\n\n{people}"
        if self.ties:
            text += f"\nexcluded, because no answer has a majority: {pluralize(len(self.ties), 'image')}"
        return text

    def plot(self):
        """The 2x2 contingency table as a figure."""
        from .figures import draw_contingency, single_axis_figure

        return single_axis_figure(lambda axis: draw_contingency(axis, self.contingency))

    def to_dict(self):
        """The numbers as plain data.

        "table" holds the numbers of images that both, only the human, only the network, or neither has correct.
        """
        return {
            "who": self.person,
            "table": self.contingency.to_numpy().tolist(),
            "people": table_records(self.people),
            "tied": [*self.ties],
        }


def person_row(result):
    """The row of a result in ``people``."""
    accuracy = wilson(int(result.correct.sum()), len(result.answers))
    return (result.person, len(result.answers), *accuracy, result.agreement, result.consistency, result.p)


def human_against_network(evaluation: Evaluation, path: FilePath) -> HumanAgainstNetwork:
    """Compare the answers of people with the predictions of a network.

    Args:
        evaluation: `Evaluation` of the network; only images with an answer count.
        path: CSV file with the columns image, answer and optionally person. An image is named as in the evaluation or
            by its file name; an answer is the name or number of a class. If several persons answered, the answer of
            the majority counts.

    Returns:
        A `HumanAgainstNetwork`.
    """
    answers_by_person = read_answers(path, evaluation)
    individuals = {person: person_result(evaluation, person, answers) for person, answers in answers_by_person.items()}
    if len(individuals) == 1:
        return next(iter(individuals.values()))

    majority, tied_rows = majority_answers(answers_by_person.values())
    if not majority:
        raise ValueError(
            f"{path} should have a majority answer for at least one image. Received: {len(tied_rows)} ties"
        )
    ties = tuple(evaluation.names[row] for row in tied_rows)
    return person_result(evaluation, "majority", majority, individuals=individuals, ties=ties)


def majority_answers(answers_of_people):
    """({row: the most frequent answer}, rows in which two answers are equally frequent)."""
    votes = defaultdict(list)
    for answers in answers_of_people:
        for row, answer in answers.items():
            votes[row].append(answer)

    majority, tied_rows = {}, []
    for row, answers in votes.items():
        (answer, count), *runner_up = Counter(answers).most_common(2)
        if runner_up and runner_up[0][1] == count:
            tied_rows.append(row)
        else:
            majority[row] = answer
    return majority, tied_rows


def person_result(evaluation, person, answers, **options):
    """The result of one person, from {row of the evaluation: class number}."""
    rows = sorted(answers)
    return HumanAgainstNetwork(
        evaluation=select_images(evaluation, rows),
        answers=np.array([answers[row] for row in rows]),
        person=person,
        **options,
    )


def read_answers(path, evaluation):
    """{person: {row of the evaluation: class number}} from a CSV file; every line is checked."""
    rows_by_name = rows_by_image_name(evaluation.names)
    answers = defaultdict(dict)
    with open(path, newline="", encoding="utf-8-sig") as file:
        lines = csv.DictReader(file)
        columns = [column.strip().lower() for column in lines.fieldnames or ()]
        if not {*COLUMNS} <= {*columns}:
            raise ValueError(f"{path} should have the columns image, answer[, person]. Received: {', '.join(columns)}")
        lines.fieldnames = columns
        for line in lines:
            location = f"{path}, line {lines.line_num}"
            image, answer = ((line[column] or "").strip() for column in COLUMNS)
            person = (line.get("person") or "").strip() or "human"
            row = rows_by_name.get(image)
            if row is None:
                expected = f"one of the evaluated images, such as {evaluation.names[0]!r}"
                raise ValueError(f"{location}: `image` should be {expected}. Received: {image!r}")
            if row in answers[person]:
                raise ValueError(
                    f"{location}: {person} should have only one answer for {image}. Received: another answer"
                )
            answers[person][row] = parse_answer(answer, evaluation, location)
    if not answers:
        raise ValueError(f"{path} should have at least one answer. Received: none")
    return dict(answers)


def rows_by_image_name(names):
    """{name: row} of images by their full names, and by their file names if these are unique."""
    file_names = [os.path.basename(name) for name in names]
    counts = Counter(file_names)
    rows = {file_name: row for row, file_name in enumerate(file_names) if counts[file_name] == 1}
    return rows | {name: row for row, name in enumerate(names)}


def parse_answer(answer, evaluation, location):
    """The class number of an answer: a class name in any case, or a number; ``location`` is for the messages."""
    class_names = evaluation.class_names or ()
    matches = [name for name in class_names if name.casefold() == answer.casefold()]
    name = matches[0] if len(matches) == 1 else answer
    classes = evaluation.probs.shape[1]
    try:
        number = int(names_to_numbers([name], classes, class_names)[0])
    except ValueError as error:
        raise ValueError(f"{location}: {error}") from None
    if not 0 <= number < classes:
        raise ValueError(f"{location}: `answer` should be a class number, 0 to {classes - 1}. Received: {answer!r}")
    return number
