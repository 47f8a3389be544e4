"""What results do in a notebook, and those with a figure with files: they show themselves."""

from pathlib import Path

from .files import save_figure, write_json, write_text

PICTURES = (".png", ".svg", ".pdf", ".jpg")


class Told:
    """A result that a notebook shows as the text that it prints, not field by field."""

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": str(self)}


class Tabled(Told):
    """A result with a ``table``, which a notebook shows."""

    def _repr_html_(self):
        return self.table._repr_html_()


class Drawn(Told):
    """A result with a ``plot()``, whose figure goes into files and notebooks."""

    def save(self, path):
        """Draw into a file; its suffix says which kind."""
        return save_figure(self.plot(), path)

    def _repr_png_(self):
        import io

        file = io.BytesIO()
        self.plot().savefig(file, format="png", dpi=110)
        return file.getvalue()


class Measured(Drawn):
    """A result with a ``plot()`` and a ``table``, and all its numbers as plain data in ``facts()``."""

    otherwise = ""  # what a path may be that has no suffix

    def rows(self):
        """What goes into a table: a DataFrame."""
        return self.table

    def save(self, path):
        """Write the numbers (.json), the table (.csv) or the figure (.png, .svg, .pdf, .jpg)."""
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix in (".json", ".csv"):
            path.parent.mkdir(parents=True, exist_ok=True)
        if suffix == ".json":
            return write_json(path, self.facts())
        if suffix == ".csv":
            return write_text(path, self.rows().to_csv(index=False))
        if suffix in PICTURES:
            return save_figure(self.plot(), path)
        known = ", ".join((".json", ".csv", *PICTURES)) + self.otherwise
        raise ValueError(f"`path` should end in {known}. Received: {path}")
