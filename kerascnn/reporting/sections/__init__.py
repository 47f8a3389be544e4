"""The sections of a report, in the order of the page."""

from importlib import import_module
from typing import NamedTuple


class SectionRow(NamedTuple):
    """A section: the function that makes it, its title, what it needs, its seconds by effort."""

    function: str  # "module.function" in this package
    title: str
    needs: str
    seconds: tuple  # subject, of a small network on two cores: quick, normal, full
    runs_network: bool = True  # whether it puts images to the network

    def load(self):
        """The function from a `Subject` to a `Section`."""
        module, function = self.function.split(".")
        return getattr(import_module(f".{module}", __name__), function)


SECTIONS = {
    "cards": SectionRow(
        "cards.summary_section", "Summary", "a network; labeled images for accuracy", (8, 20, 60), runs_network=False
    ),
    "anatomy": SectionRow("anatomy.anatomy_section", "Architecture", "a network", (1, 1, 1), runs_network=False),
    "filters": SectionRow(
        "filters.filters_section", "Filters", "a network with convolutions", (2, 2, 2), runs_network=False
    ),
    "units": SectionRow("units.units_section", "What units respond to", "images", (10, 30, 120)),
    "classes": SectionRow("synthesis.classes_section", "What classes look like", "a classifier", (12, 50, 200)),
    "explanations": SectionRow(
        "explanations.explanations_section", "Explanations of predictions", "images", (10, 30, 100)
    ),
    "errors": SectionRow("errors.errors_section", "Errors", "labeled images", (1, 3, 10)),
    "fooling": SectionRow("fooling.fooling_section", "Adversarial images", "images", (12, 40, 160)),
    "inversion": SectionRow("synthesis.inversion_section", "What layers preserve", "images", (12, 50, 200)),
    "health": SectionRow("health.health_section", "Health", "images", (3, 8, 20)),
    "transfer": SectionRow(
        "transfer.transfer_section",
        "Transfer learning",
        "the folder of a finished `kerascnn transfer` run",
        (1, 1, 1),
        runs_network=False,
    ),
    "appendix": SectionRow("appendix.appendix_section", "Appendix", "nothing", (0.1, 0.1, 0.1), runs_network=False),
}
