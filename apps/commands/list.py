"""`kerascnn list`: the networks of the zoo."""

import click

from kerascnn.support.text import count, sides

from ..errors import Misuse
from ..models import best_top1, complete_families, complete_names, complete_publishers, networks
from ..options import Command, Count
from ..output import answer, dim, remark, short, table, to_person, width

WORDS = ("network", "family", "input", "paper")
TOP1 = "top-1"
TITLES = ("network", "family", "year", "params", "mult-adds", TOP1, "input", "classes", "paper")
SPARE = (TOP1, "classes", "paper", "input", "family")  # what a narrow terminal does without, first things first
OPTIONS = {
    "pattern": "the pattern {}",
    "family": "--family {}",
    "year": "--year {}",
    "max_params": "--max-params {}",
    "pretrained": "--from {}",
}


@click.command("list", cls=Command)
@click.argument("pattern", default="*", shell_complete=complete_names)
@click.option("--family", metavar="F", shell_complete=complete_families, help="Only this family, as resnet.")
@click.option("--year", type=int, metavar="Y", help="Only what was published in this year.")
@click.option("--max-params", type=Count(), metavar="N", help="At most so many parameters, as 5M or 1.2e6.")
@click.option("--pretrained/--no-pretrained", default=None, help="Only with published weights, or only without.")
@click.option(
    "--from",
    "publisher",
    metavar="P",
    shell_complete=complete_publishers,
    help="Only with weights from this publisher, as timm; top-1 is then of those.",
)
def command(pattern, family, year, max_params, pretrained, publisher):
    """List the networks.

    PATTERN is a part of the name, or has the shell's wildcards: vgg, "*cifar10". Networks made for tests
    are shown only when asked for: "tiny*".
    """
    from kerascnn.zoo.registry import matching

    if publisher and pretrained is False:
        raise Misuse(f"--no-pretrained and --from {publisher} exclude each other", f"kerascnn list --from {publisher}")
    rows = networks()
    filters = {"pattern": wildcards(pattern), "family": family, "year": year, "max_params": max_params}
    filters["pretrained"] = pretrained if publisher is None else publisher
    try:
        found = matching(rows, **filters)
    except ValueError as error:
        raise Misuse(error, "kerascnn list") from error
    warnings = [] if found else explain_nothing(rows, filters)
    result = [network_facts(row, publisher) for row in found]
    text = [*lines(result, SPARE if filters["pretrained"] is None else [*SPARE[1:], TOP1])]
    answer("list", result, text, warnings)
    if found and to_person():
        explain_numbers(found, top1=TOP1 in text[0])


def network_facts(row, publisher=None):
    """A network without its stages, with the names of its weights and the best top-1 among them."""
    from kerascnn.zoo.registry import sources

    weights = [source for source in sources().get(row.name, ()) if publisher in (None, source.publisher)]
    stated = {key: value for key, value in vars(row).items() if key != "stages"}
    return stated | {"weights": [source.name for source in weights], "top1": best_top1(weights)}


def explain_numbers(found, top1):
    """What the numbers mean, and how to see more of a network."""
    remark(dim(f"\n{count(len(found), 'network')}. Counted are trainable parameters, and multiply-adds an image."))
    if top1:
        remark(dim("Top-1: the best published, in % of ImageNet, of weights that are free for every use."))
    remark(dim(f"One of them in full: kerascnn show {found[0].name}"))


def wildcards(pattern):
    """The pattern with a star on both sides, unless it has wildcards of its own."""
    pattern = pattern.lower()
    if any(sign in pattern for sign in "*?["):
        return pattern
    return f"{pattern}*" if pattern.startswith("tiny") else f"*{pattern}*"


def lines(rows, spare):
    cells = [
        (
            row["name"],
            row["family"],
            row["year"],
            short(row["params"]),
            short(row["macs"]),
            "" if row["top1"] is None else f"{row['top1']:.1f}",
            sides(row["input_shape"]),
            row["classes"],
            "" if row["paper"] == "none" else row["paper"],
        )
        for row in rows
    ]
    return table(TITLES, cells, words=WORDS, spare=spare, room=width()) if rows else []


def explain_nothing(rows, filters):
    """That nothing was found, and how many there would be without one of the filters."""
    from kerascnn.zoo.registry import matching

    asked = {name: value for name, value in filters.items() if value not in (None, "*")}
    words = [filter_text(name, value) for name, value in asked.items()]
    advice = [f"No network fits {', '.join(words)}."]
    for name, word in zip(asked, words, strict=True):
        others = matching(rows, **(filters | {name: "*" if name == "pattern" else None}))
        if others and len(asked) > 1:
            advice.append(f"Without {word} there are {count(len(others), 'network')}.")
    return advice if len(advice) > 1 else [*advice, "Leave it out to see all: kerascnn list"]


def filter_text(name, value):
    """A filter as it was given on the command line."""
    if isinstance(value, bool):
        return "--pretrained" if value else "--no-pretrained"
    return OPTIONS[name].format(value)
