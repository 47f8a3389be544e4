"""`kerascnn report`: an HTML report about a network, and its numbers as JSON."""

import os
from pathlib import Path

import click

from ..errors import INTERRUPTED, PARTIAL, BadFile, Misuse, writing
from ..models import model_argument
from ..options import Command, Names, check_output_file, class_names_option, force_option, is_flag_set, seed_option
from ..output import bold, dim, format_table, is_interactive, print_result, remark, terminal_width, verbosity
from .evaluate import check_data_exists

EVERY = 10  # seconds between lines of progress without a terminal
FILE = click.Path(dir_okay=False)


@click.command("report", cls=Command)
@model_argument
@click.option(
    "-o",
    "--out",
    metavar="FILE.html",
    required=True,
    type=FILE,
    help="Output file; a .json file is written next to it.",
)
@click.option(
    "--data", metavar="DATA", type=click.Path(), help="Labeled images, in any form that `kerascnn evaluate` takes."
)
@click.option(
    "--images", metavar="PATH", multiple=True, type=click.Path(), help="A photo or a folder of photos; may be repeated."
)
@class_names_option
@click.option("--transfer", metavar="RUN", type=click.Path(), help="Folder of a finished `kerascnn transfer` run.")
@click.option("--quick", "effort", flag_value="quick", help="Use fewer images and steps; takes about a minute.")
@click.option("--full", "effort", flag_value="full", help="Use more images, units and steps.")
@click.option("--only", metavar="A,B", type=Names(), help="Include only these sections.")
@click.option("--skip", metavar="A,B", type=Names(), help="Leave out these sections.")
@click.option("--layers", metavar="L,L", type=Names(), help="Layers to analyze. [one per stage]")
@click.option("--compare", metavar="OTHER.json", type=FILE, help="Show the differences to another report.")
@seed_option("Random seed for sampling and synthesis.")
@click.option("--open-free", is_flag=True, help="If --out exists, write to the next free name.")
@force_option("Overwrite the file at --out.")
def report_command(model, out, data, images, transfer, compare, open_free, only, skip, effort, **options):
    """Write an HTML report about a network.

    NAME is a network listed by `kerascnn list`, used with its published weights; FILE is any Keras model, .keras or
    .h5. Without --data and --images the report describes the architecture; photos add what the network sees in them,
    labeled images add its accuracy and errors. Finished sections are cached: after Ctrl-C the report contains what is
    done, and the next run continues from there. Exit code 5 if a section failed.
    """
    check_sections(only, skip)
    out = next_free_name(out) if open_free else out
    check_output_file(out, "--out report.html", (".html",), is_flag_set("force"))
    check_output_file(str(Path(out).with_suffix(".json")), "--out report.html", (".json",), is_flag_set("force"))
    check_files_exist(data, images, transfer, compare)
    network = model.open()
    files = {"data": data, "images": [*images] or None, "transfer": transfer, "compare": compare}
    html_report = make_report(network, effort=effort or "normal", only=only, skip=skip, **files, **options)
    with writing(out):
        pages = [*map(str, html_report.save(out))]
    print_result(
        "report", report_result(html_report, pages), report_lines(html_report, pages), html_report.metadata["notes"]
    )
    if html_report.sections_in("interrupted"):
        remark("interrupted; to continue, run the same command with --force")
        return INTERRUPTED
    return 0 if html_report.is_complete else PARTIAL


def check_sections(only, skip):
    """Refuse unknown sections before Keras is loaded."""
    from kerascnn.reporting import SECTIONS
    from kerascnn.support.text import unknown_name

    for name in (*(only or ()), *(skip or ())):
        if name not in SECTIONS:
            raise Misuse(unknown_name("section", name, SECTIONS), f"one of {', '.join(SECTIONS)}")


def check_files_exist(data, images, transfer, compare):
    """Refuse missing files before Keras is loaded."""
    if data is not None:
        check_data_exists(data, None)
    for what, path in (*(("image", path) for path in images), ("folder", transfer), ("file", compare)):
        if path is not None and not os.path.exists(path):
            raise BadFile(f"{what} not found: {path}")


def next_free_name(path):
    """The path, or if it exists the next free name with a number."""
    path, count = Path(path), 1
    free = path
    while free.exists() or free.with_suffix(".json").exists():
        count += 1
        free = path.with_name(f"{path.stem}-{count}{path.suffix}")
    return str(free)


def make_report(network, **options):
    """Make the report, with progress as a bar or as lines."""
    import kerascnn
    from kerascnn.support.progress import progress

    def section_of(done, total, what):
        return what.split(":")[0]

    try:
        with progress(verbosity(), unit="seconds", wait=0, every=EVERY, topic=section_of) as shown:
            return kerascnn.report(network, on_progress=shown, **options)
    except ValueError as error:
        if "`layer`" in str(error):
            raise Misuse(error, f"kerascnn show --layers, which names them: {network.name}") from error
        raise BadFile(error) from error


def report_result(html_report, pages):
    """The result as plain data."""
    states = {state: html_report.sections_in(state) for state in ("skipped", "failed", "interrupted")}
    page, numbers = pages
    done = [part.name for part in html_report.parts if part.state == "finished"]
    seconds = {part.name: round(part.seconds, 3) for part in html_report.parts}
    return {"title": html_report.title, "page": page, "json": numbers, "finished": done, **states, "seconds": seconds}


def report_lines(html_report, pages):
    """One line per section, and the path of the report."""
    yield bold(html_report.lead)
    rows = [
        (part.name, "reused" if part.reused else part.state, f"{part.seconds:.1f}", part.reason)
        for part in html_report.parts
    ]
    yield from format_table(
        ("section", "state", "seconds", "why"), rows, words=("section", "state", "why"), room=terminal_width()
    )
    page, numbers = pages
    yield f"report: {page} ({os.path.getsize(page) / 1e6:.1f} MB)"
    yield f"numbers: {numbers}"
    if is_interactive():
        yield dim("\nCompare with another report: --compare OTHER.json")
