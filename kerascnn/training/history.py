"""The results of a training run, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..plots.style import BLUE, RED, hide_frame, integer_ticks, new_figure
from ..support.display import FigureResult
from ..support.files import save_figure, write_atomically
from ..support.text import pluralize
from ..support.types import FilePath

COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")
STORED_KEYS = {"learning_rate": "rate"}  # column -> its key in the rows of a run's state


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class History(FigureResult):
    """Loss and accuracy of each epoch of a training run.

    Attributes:
        table: a DataFrame with a row per epoch: epoch, loss, accuracy, val_loss, val_accuracy, learning_rate, seconds.
        stopped: why the run stopped early; empty if it did not.
    """

    table: Any
    stopped: str = ""

    @property
    def best(self):
        """The row of the best epoch as a dict.

        It has the highest accuracy on the validation images, or without them the lowest training loss.
        """
        row = best_row(self.table.to_dict("records"))
        if row is None:
            raise ValueError("`history` should have at least one epoch. Received: none")
        return row

    def plot(self):
        """Draw loss, accuracy and learning rate by epoch."""
        figure = new_figure(10.5, 3.2)
        axes = figure.subplots(1, 3)
        lines = {
            "loss": ("loss", "val_loss"),
            "accuracy": ("accuracy", "val_accuracy"),
            "learning rate": ("learning_rate",),
        }
        for axis, (title, columns) in zip(axes, lines.items(), strict=True):
            draw_panel(axis, self.table, title, columns)
        return figure

    def save(self, path: FilePath) -> Path:
        """Write the figure (.png, .svg, .pdf) or the table (.csv).

        Args:
            path: the file; its suffix is the format.

        Returns:
            The path.
        """
        path = Path(path)
        if path.suffix != ".csv":
            return save_figure(self.plot(), path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as draft:
            self.table.to_csv(draft, index=False)
        return path

    def __str__(self):
        if not len(self.table):
            return self.stopped or "no epochs"
        best = self.best
        text = ", ".join(f"{key} {value:.4g}" for key, value in best.items() if key not in ("epoch", "seconds"))
        reason = f"; {self.stopped}" if self.stopped else ""
        return f"{pluralize(len(self.table), 'epoch')}, best epoch {best['epoch']}: {text}{reason}"

    def _headline(self):
        return f"{pluralize(len(self.table), 'epoch')}{', stopped early' if self.stopped else ''}"


def draw_panel(axis, table, title, columns):
    """Draw one panel: training in blue, validation in red, the best epoch marked."""
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
    integer_ticks(axis)
    axis.tick_params(labelsize=8)
    hide_frame(axis)
    if title != "accuracy":
        axis.set_ylim(bottom=0)
    if len(columns) > 1:
        axis.legend(fontsize=8, frameon=False)


def best_row(rows):
    """The best epoch, the first of equal ones; None without epochs."""
    return min(rows, key=epoch_rank, default=None)


def epoch_rank(row):
    """Sort key of epochs; lower is better."""
    accuracy, loss = row.get("val_accuracy"), row.get("val_loss")
    if accuracy is None or accuracy != accuracy:
        return (row["loss"],)
    return -accuracy, loss


def schedule_error(row):
    """The error on the validation images that a schedule depends on, or without them the loss."""
    accuracy = row.get("val_accuracy")
    return row["loss"] if accuracy is None else 1 - accuracy


def history_of(rows, stopped=""):
    import pandas as pd

    keys = {STORED_KEYS.get(column, column): column for column in COLUMNS}
    table = pd.DataFrame(rows, columns=list(keys)).rename(columns=keys)
    return History(table=table, stopped=stopped)
