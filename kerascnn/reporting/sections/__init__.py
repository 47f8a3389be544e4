"""The sections of a report: a row each, in the order of the page."""

from importlib import import_module
from typing import NamedTuple


class Row(NamedTuple):
    """A section: the function that makes it, its title, what it needs in words, and seconds for each effort."""

    function: str  # "module.function" in this package
    title: str
    needs: str
    seconds: tuple  # subject, of a small network on two cores: quick, normal, full
    asks: bool = True  # whether it puts images to the network

    def load(self):
        """The function, which makes a `Section` of a `Subject`."""
        module, function = self.function.split(".")
        return getattr(import_module(f".{module}", __name__), function)


SECTIONS = {
    "cards": Row("cards.verdict", "Verdict", "a network; more with labeled images", (8, 20, 60), asks=False),
    "anatomy": Row("anatomy.anatomy", "Architecture", "a network", (1, 1, 1), asks=False),
    "filters": Row("filters.filters", "Filters", "a network with convolutions", (2, 2, 2), asks=False),
    "units": Row("units.units", "What units look for", "images", (10, 30, 120)),
    "classes": Row("synthesis.classes", "What classes look like", "a classifier", (12, 50, 200)),
    "explanations": Row("explanations.explanations", "Why it says so", "images", (10, 30, 100)),
    "errors": Row("errors.errors", "Errors", "labeled images", (1, 3, 10)),
    "fooling": Row("fooling.fooling", "Fooling", "images", (12, 40, 160)),
    "inversion": Row("synthesis.inversion", "What layers keep", "images", (12, 50, 200)),
    "health": Row("health.health", "Health", "images", (3, 8, 20)),
    "transfer": Row("transfer.transfer", "Transfer", "the folder of a finished transfer", (1, 1, 1), asks=False),
    "appendix": Row("appendix.appendix", "Appendix", "nothing", (0.1, 0.1, 0.1), asks=False),
}
