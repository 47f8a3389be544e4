"""What every result that can be drawn does with its figure: it goes into files and notebooks."""

from ..files import save_figure


class Drawn:
    """A result with a ``plot()``."""

    def save(self, path):
        """Draw into a file; its suffix says which kind."""
        return save_figure(self.plot(), path)

    def _repr_png_(self):
        from .drawing import png

        return png(self.plot())
