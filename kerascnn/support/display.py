"""What results do in a notebook, and those with a figure with files: they show themselves."""

from .files import save_figure


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
