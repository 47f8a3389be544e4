"""`kerascnn list`: the networks of the zoo."""

import click

from .command import Command, Misuse
from .networks import Count, complete_families, complete_names, networks
from .writing import answer, dim, remark, short, sides, table, to_person, width

WORDS = ("network", "family", "input", "paper")
TITLES = ("network", "family", "year", "params", "mult-adds", "input", "classes", "paper")
SPARE = ("classes", "paper", "input", "family")  # what a narrow terminal does without, first things first
OPTIONS = {"pattern": "the pattern", "family": "--family", "year": "--year", "max_params": "--max-params"}


@click.command("list", cls=Command)
@click.argument("pattern", default="*", shell_complete=complete_names)
@click.option("--family", metavar="F", shell_complete=complete_families, help="Only this family, as resnet.")
@click.option("--year", type=int, metavar="Y", help="Only what was published in this year.")
@click.option("--max-params", type=Count(), metavar="N", help="At most so many parameters, as 5M or 1.2e6.")
def command(pattern, family, year, max_params):
    """List the networks.

    PATTERN is a part of the name, or has the shell's wildcards: vgg, "*cifar10". Networks made for tests
    are shown only when asked for: "tiny*".
    """
    from kerascnn.registry import matching

    rows = networks()
    filters = {"pattern": wildcards(pattern), "family": family, "year": year, "max_params": max_params}
    try:
        found = matching(rows, **filters)
    except ValueError as error:
        raise Misuse(error, "kerascnn list") from error
    warnings = [] if found else nothing(rows, filters)
    result = [{key: value for key, value in vars(row).items() if key != "stages"} for row in found]
    answer("list", result, lines(found), warnings)
    for line in warnings:
        remark(line)
    if found and to_person():
        remark(dim(f"\n{count(found)}. Counted are trainable parameters, and multiply-adds an image."))
        remark(dim(f"One of them in full: kerascnn show {found[0].name}"))


def wildcards(pattern):
    """The pattern with a star on both sides, unless it has wildcards of its own."""
    pattern = pattern.lower()
    if any(sign in pattern for sign in "*?["):
        return pattern
    return f"{pattern}*" if pattern.startswith("tiny") else f"*{pattern}*"


def lines(rows):
    cells = [
        (
            row.name,
            row.family,
            row.year,
            short(row.params),
            short(row.macs),
            sides(row.input_shape),
            row.classes,
            "" if row.paper == "none" else row.paper,
        )
        for row in rows
    ]
    return table(TITLES, cells, words=WORDS, spare=SPARE, room=width()) if rows else []


def nothing(rows, filters):
    """That nothing was found, and how many there would be without one of the filters."""
    from kerascnn.registry import matching

    asked = {name: value for name, value in filters.items() if value not in (None, "*")}
    told = [f"{OPTIONS[name]} {value}" for name, value in asked.items()]
    advice = [f"No network fits {', '.join(told)}."]
    for name, said in zip(asked, told, strict=True):
        others = matching(rows, **(filters | {name: "*" if name == "pattern" else None}))
        if others and len(asked) > 1:
            advice.append(f"Without {said} there are {count(others)}.")
    return advice if len(advice) > 1 else [*advice, "Leave it out to see all: kerascnn list"]


def count(rows):
    return "1 network" if len(rows) == 1 else f"{len(rows)} networks"
