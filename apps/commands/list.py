"""`kerascnn list`: the available networks."""

import click

from kerascnn.support.text import format_shape, pluralize

from ..errors import Misuse
from ..models import catalog_rows, complete_families, complete_names, complete_publishers
from ..options import Command, Count
from ..output import dim, format_count, format_table, is_interactive, print_result, remark, terminal_width

WORDS = ("network", "family", "input", "paper")
TOP1 = "top-1"
TITLES = ("network", "family", "year", "params", "mult-adds", TOP1, "input", "classes", "paper")
SPARE = (TOP1, "classes", "paper", "input", "family")  # columns that a narrow terminal drops, in this order
NO_MATCH = 1  # exit code, as of grep
OPTIONS = {
    "pattern": "the pattern {}",
    "family": "--family {}",
    "year": "--year {}",
    "max_params": "--max-params {}",
    "pretrained": "--from {}",
}


@click.command("list", cls=Command)
@click.argument("pattern", default="*", shell_complete=complete_names)
@click.option(
    "--family", metavar="F", shell_complete=complete_families, help="Only networks of this family, such as resnet."
)
@click.option("--year", type=int, metavar="Y", help="Only networks published in this year.")
@click.option("--max-params", type=Count(), metavar="N", help="Largest number of parameters, such as 5M or 1.2e6.")
@click.option(
    "--pretrained/--no-pretrained", default=None, help="Only networks with published weights, or only those without."
)
@click.option(
    "--from",
    "publisher",
    metavar="P",
    shell_complete=complete_publishers,
    help=("Only networks with weights from this publisher, such as timm; top-1 then refers to those weights."),
)
def list_command(pattern, family, year, max_params, pretrained, publisher):
    """List the available networks.

    PATTERN is a part of the name, or uses shell wildcards: vgg, "*cifar10". Tiny networks made for tests are listed
    only if PATTERN asks for them: "tiny*". The exit code is 1 if no network matches.
    """
    from kerascnn.zoo.registry import filter_networks

    if publisher and pretrained is False:
        raise Misuse(f"--no-pretrained and --from {publisher} cannot be combined", f"kerascnn list --from {publisher}")
    rows = catalog_rows()
    filters = {"pattern": wildcards(pattern), "family": family, "year": year, "max_params": max_params}
    filters["pretrained"] = pretrained if publisher is None else publisher
    try:
        matches = filter_networks(rows, **filters)
    except ValueError as error:
        raise Misuse(error, "kerascnn list") from error
    warnings = [] if matches else explain_nothing(rows, filters)
    result = [network_facts(row, publisher) for row in matches]
    text = [*network_lines(result, SPARE if filters["pretrained"] is None else [*SPARE[1:], TOP1])]
    print_result("list", result, text, warnings)
    if matches and is_interactive():
        explain_numbers(matches, top1=TOP1 in text[0])
    return 0 if matches else NO_MATCH


def network_facts(row, publisher=None):
    """A network without its stages, with the names of its weights, and the top-1 of those that are the default."""
    from kerascnn.zoo.registry import default_source, weights_sources

    weights = [source for source in weights_sources().get(row.name, ()) if publisher in (None, source.publisher)]
    stated = {key: value for key, value in vars(row).items() if key != "stages"}
    default = default_source(row.name, publisher)
    on_imagenet = default is not None and not default.is_shipped
    measured = {"top1": default.top1, "top1_size": default.crop} if on_imagenet else {"top1": None, "top1_size": None}
    return stated | {"weights": [source.name for source in weights]} | measured


def explain_numbers(matches, top1):
    """Explain the columns, and how to see more of a network."""
    remark(dim(f"\n{pluralize(len(matches), 'network')}. Columns: trainable parameters, multiply-adds per image."))
    if top1:
        remark(dim("Top-1: published ImageNet accuracy in % of the default weights; with * at a larger input size."))
    remark(dim(f"Details of a network: kerascnn show {matches[0].name}"))


def wildcards(pattern):
    """The pattern with a star on both sides, unless it has wildcards."""
    pattern = pattern.lower()
    if any(sign in pattern for sign in "*?["):
        return pattern
    return f"{pattern}*" if pattern.startswith("tiny") else f"*{pattern}*"


def network_lines(rows, spare):
    cells = [
        (
            row["name"],
            row["family"],
            row["year"],
            format_count(row["params"]),
            format_count(row["macs"]),
            top1_text(row),
            format_shape(row["input_shape"]),
            row["classes"],
            "" if row["paper"] == "none" else row["paper"],
        )
        for row in rows
    ]
    return format_table(TITLES, cells, words=WORDS, spare=spare, room=terminal_width()) if rows else []


def top1_text(row):
    """The accuracy as text, with a star where it was measured, and the network is built, at another size."""
    if row["top1"] is None:
        return ""
    star = "" if row["top1_size"] == row["input_shape"][0] else "*"
    return f"{row['top1']:.1f}{star}"


def explain_nothing(rows, filters):
    """Which filters matched nothing, and how many networks match without one of them."""
    from kerascnn.zoo.registry import filter_networks

    active = {name: value for name, value in filters.items() if value not in (None, "*")}
    words = [filter_text(name, value) for name, value in active.items()]
    advice = [f"No network matches {', '.join(words)}.{near_networks(rows, filters['pattern'])}"]
    for name, word in zip(active, words, strict=True):
        others = filter_networks(rows, **(filters | {name: "*" if name == "pattern" else None}))
        if others and len(active) > 1:
            advice.append(f"Without {word}, {pluralize(len(others), 'network')} would match.")
    return advice if len(advice) > 1 else [*advice, "List all networks: kerascnn list"]


def near_networks(rows, pattern):
    """A hint with networks that are spelled like the pattern; empty if the pattern itself has matches, or none."""
    from kerascnn.support.text import close_matches
    from kerascnn.zoo.registry import filter_networks

    if filter_networks(rows, pattern=pattern):
        return ""
    names = [row.name for row in rows if pattern.startswith("tiny") or not row.name.startswith("tiny")]
    close = close_matches(pattern.strip("*"), names)
    return f" Did you mean {', '.join(close)}?" if close else ""


def filter_text(name, value):
    """A filter as on the command line."""
    if isinstance(value, bool):
        return "--pretrained" if value else "--no-pretrained"
    return OPTIONS[name].format(value)
