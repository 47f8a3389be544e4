"""What came of a training run, epoch by epoch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..plots.style import BLUE, RED, new_figure, unframe, whole_ticks
from ..support.display import Drawn
from ..support.files import replacing, save_figure

COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "rate", "seconds")


@dataclass(frozen=True, eq=False)
class History(Drawn):
    """Loss and accuracy after each epoch: ``table``, a DataFrame; ``stopped`` says why a run ended early."""

    table: Any = field(repr=False)
    stopped: str = ""

    @property
    def best(self):
        """The epoch with the highest accuracy on the validation images (else the lowest loss), as {column: value}."""
        row = best_row(self.table.to_dict("records"))
        if row is None:
            raise ValueError("`history` should have at least one epoch. Received: none")
        return row

    def plot(self):
        """A figure: loss, accuracy and rate over the epochs."""
        figure = new_figure(10.5, 3.2)
        axes = figure.subplots(1, 3)
        lines = {"loss": ("loss", "val_loss"), "accuracy": ("accuracy", "val_accuracy"), "rate": ("rate",)}
        for axis, (title, columns) in zip(axes, lines.items(), strict=True):
            draw(axis, self.table, title, columns)
        return figure

    def save(self, path):
        """Write the figure (.png, .svg, .pdf) or the table (.csv), whole or not at all; return where it is."""
        path = Path(path)
        if path.suffix != ".csv":
            return save_figure(self.plot(), path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as draft:
            self.table.to_csv(draft, index=False)
        return path

    def __str__(self):
        if not len(self.table):
            return self.stopped or "no epoch"
        text = ", ".join(f"{key} {value:.4g}" for key, value in self.best.items() if key not in ("epoch", "seconds"))
        return f"{len(self.table)} epochs, the best {self.best['epoch']}: {text}" + (
            f"; {self.stopped}" * bool(self.stopped)
        )


def draw(axis, table, title, columns):
    """One panel: training in blue, validation in red, its best epoch marked."""
    for name, column, color in zip(("training", "validation"), columns, (BLUE, RED), strict=False):
        values = table[column].astype(float)
        if values.notna().any():
            label = name if len(columns) > 1 else None
            axis.plot(table["epoch"], values, color=color, label=label, marker="o", markersize=2.5, linewidth=1.3)
    if title == "accuracy" and len(table):
        best = best_row(table.to_dict("records"))
        axis.axvline(best["epoch"], color="0.75", linewidth=0.8, linestyle="--", zorder=0)
        axis.set_title(f"accuracy, best after epoch {best['epoch']:.0f}", fontsize=10, loc="left")
    else:
        axis.set_title(title, fontsize=10, loc="left")
    axis.set_xlabel("epoch", fontsize=9)
    whole_ticks(axis)
    axis.tick_params(labelsize=8)
    unframe(axis)
    if title != "accuracy":
        axis.set_ylim(bottom=0)
    if len(columns) > 1:
        axis.legend(fontsize=8, frameon=False)


def best_row(rows):
    """Of epochs the best one, the first of equals; None of none."""
    return min(rows, key=merit, default=None)


def merit(row):
    """Lower is better."""
    accuracy, loss = row.get("val_accuracy"), row.get("val_loss")
    if accuracy is None or accuracy != accuracy:
        return (row["loss"],)
    return -accuracy, loss


def error_of(row):
    """What a schedule watches: the error on the validation images, else the loss."""
    accuracy = row.get("val_accuracy")
    return row["loss"] if accuracy is None else 1 - accuracy


def history_of(rows, stopped=""):
    import pandas as pd

    return History(pd.DataFrame(rows, columns=list(COLUMNS)), stopped)
