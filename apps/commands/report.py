"""`kerascnn report`: a network as one HTML file, and the same numbers as JSON."""

import os
from pathlib import Path

import click

from ..errors import INTERRUPTED, PARTIAL, BadFile, Misuse, writing
from ..models import model_argument
from ..options import Command, Names, check_new, classes_option, force_option, given, seed_option
from ..output import answer, bold, dim, remark, table, to_person, verbosity, width
from .evaluate import check_data

EVERY = 10  # seconds between lines of progress where there is no terminal
FILE = click.Path(dir_okay=False)


@click.command("report", cls=Command)
@model_argument
@click.option(
    "-o", "--out", metavar="FILE.html", required=True, type=FILE, help="The page; .json is written beside it."
)
@click.option("--data", metavar="DATA", type=click.Path(), help="Labeled images, as `kerascnn evaluate` takes them.")
@click.option("--images", metavar="PATH", multiple=True, type=click.Path(), help="A photo, or a folder of them.")
@classes_option
@click.option("--transfer", metavar="RUN", type=click.Path(), help="The folder that `kerascnn transfer` wrote.")
@click.option("--quick", "effort", flag_value="quick", help="About a minute: fewer images, fewer steps.")
@click.option("--full", "effort", flag_value="full", help="More images, more units, more steps.")
@click.option("--only", metavar="A,B", type=Names(), help="These sections alone.")
@click.option("--skip", metavar="A,B", type=Names(), help="All sections but these.")
@click.option("--layers", metavar="L,L", type=Names(), help="Layers to look at; one a stage unless given.")
@click.option("--compare", metavar="OTHER.json", type=FILE, help="Put the numbers of another report beside these.")
@seed_option("Of what is drawn.")
@click.option("--open-free", is_flag=True, help="Where --out is there already, write under the next free name.")
@force_option("Let --out replace a file.")
def command(model, out, data, images, transfer, compare, open_free, only, skip, effort, **asked):
    """Look at a network from all sides, on one page.

    NAME is a network that `kerascnn list` names, with its published weights; FILE is any Keras model, .keras or .h5.
    Without --data and --images the page says what the network is; with photos also what it sees in them; with labeled
    images also how good it is. Sections that are done are kept: after Ctrl-C the page has them, and the next run goes
    on from there. Exit code 5 where a section failed.
    """
    check_sections(only, skip)
    out = free_name(out) if open_free else out
    check_new(out, "--out report.html", (".html",), given("force"))
    check_new(str(Path(out).with_suffix(".json")), "--out report.html", (".json",), given("force"))
    check_given(data, images, transfer, compare)
    network = model.open()
    files = {"data": data, "images": [*images] or None, "transfer": transfer, "compare": compare}
    found = make_report(network, effort=effort or "normal", only=only, skip=skip, **files, **asked)
    with writing(out):
        pages = [*map(str, found.save(out))]
    answer("report", result(found, pages), lines(found, pages), found.meta["notes"])
    if found.of("interrupted"):
        remark("interrupted: the same command goes on from here, with --force")
        return INTERRUPTED
    return 0 if found.complete else PARTIAL


def check_sections(only, skip):
    """Refuse names of sections that do not exist, before Keras is loaded."""
    from kerascnn.reporting import SECTIONS
    from kerascnn.support.text import unknown

    for name in (*(only or ()), *(skip or ())):
        if name not in SECTIONS:
            raise Misuse(unknown("section", name, SECTIONS), f"of {', '.join(SECTIONS)}")


def check_given(data, images, transfer, compare):
    """Refuse files that are not there, before Keras is loaded."""
    if data is not None:
        check_data(data, None)
    for what, path in (*(("image", path) for path in images), ("folder", transfer), ("file", compare)):
        if path is not None and not os.path.exists(path):
            raise BadFile(f"there is no {what} {path}")


def free_name(path):
    """The path, or where it is there already the next with a number that is free."""
    path, count = Path(path), 1
    found = path
    while found.exists() or found.with_suffix(".json").exists():
        count += 1
        found = path.with_name(f"{path.stem}-{count}{path.suffix}")
    return str(found)


def make_report(network, **asked):
    """The report of a network; whoever waits is shown a bar, or a line a section and every few seconds."""
    import kerascnn
    from kerascnn.support.progress import progress

    def section_of(done, total, what):
        return what.split(":")[0]

    try:
        with progress(verbosity(), unit="seconds", wait=0, every=EVERY, topic=section_of) as shown:
            return kerascnn.report(network, on_progress=shown, **asked)
    except ValueError as error:
        if "`layer`" in str(error):
            raise Misuse(error, f"kerascnn show --layers, which names them: {network.name}") from error
        raise BadFile(error) from error


def result(found, pages):
    """The answer as plain data."""
    states = {state: found.of(state) for state in ("skipped", "failed", "interrupted")}
    page, numbers = pages
    done = [part.name for part in found.parts if part.state == "finished"]
    seconds = {part.name: round(part.seconds, 3) for part in found.parts}
    return {"title": found.title, "page": page, "json": numbers, "finished": done, **states, "seconds": seconds}


def lines(found, pages):
    """A line a section, and where the page is."""
    yield bold(found.lead)
    rows = [
        (part.name, "reused" if part.reused else part.state, f"{part.seconds:.1f}", part.reason) for part in found.parts
    ]
    yield from table(("section", "state", "seconds", "why"), rows, words=("section", "state", "why"), room=width())
    page, numbers = pages
    yield f"page: {page} ({os.path.getsize(page) / 1e6:.1f} MB)"
    yield f"numbers: {numbers}"
    if to_person():
        yield dim("\nBeside another one: --compare OTHER.json")
