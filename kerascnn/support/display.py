"""Base classes of results: how they are shown in notebooks and saved to files."""

from pathlib import Path

from .files import save_figure, write_json, write_text
from .text import clip_line, table_text

REPR_LETTERS = 100  # of a result in one line
PICTURES = (".png", ".svg", ".pdf", ".jpg")


class TextResult:
    """A result that a notebook shows as the text that it prints."""

    def _headline(self):
        """What the repr says: what it is of, with counts; by default the first line of the text."""
        if type(self).__str__ is object.__str__:  # which would ask for the repr again
            return ""
        return str(self).strip().partition("\n")[0]

    def __repr__(self):
        headline = clip_line(self._headline(), REPR_LETTERS)
        return f"<{type(self).__name__}{headline and ': '}{headline}>"

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": str(self)}


class TableResult(TextResult):
    """A result with a ``table``, which a notebook shows."""

    def __str__(self):
        return table_text(self.table)

    def _repr_html_(self):
        return self.table._repr_html_()


class FigureResult(TextResult):
    """A result with a ``plot()``, shown as its figure in notebooks."""

    def save(self, path):
        """Save the figure.

        Args:
            path: file to write; its suffix says the format.

        Returns:
            The path.
        """
        return save_figure(self.plot(), path)

    def _repr_png_(self):
        import io

        file = io.BytesIO()
        self.plot().savefig(file, format="png", dpi=110)
        return file.getvalue()


class MeasuredResult(FigureResult):
    """A result with a ``plot()``, a ``table``, and all numbers as plain data from ``to_dict()``."""

    path_hint = ""  # advice for a path without a suffix

    def rows(self):
        """The DataFrame that is saved as .csv."""
        return self.table

    def save(self, path):
        """Save the numbers (.json), the table (.csv) or the figure (.png, .svg, .pdf, .jpg).

        Args:
            path: file to write; its suffix says which.

        Returns:
            The path.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix in (".json", ".csv"):
            path.parent.mkdir(parents=True, exist_ok=True)
        if suffix == ".json":
            return write_json(path, self.to_dict())
        if suffix == ".csv":
            return write_text(path, self.rows().to_csv(index=False))
        if suffix in PICTURES:
            return save_figure(self.plot(), path)
        suffixes = ", ".join((".json", ".csv", *PICTURES)) + self.path_hint
        raise ValueError(f"`path` should end in {suffixes}. Received: {path}")
