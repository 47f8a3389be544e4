"""`kerascnn export`: a network as files that servers and other programs run, checked after writing."""

import os

import click

from ..errors import BadFile, Failure, Misuse, failing_as
from ..files import read_facts
from ..models import model_argument
from ..options import POSITIVE, Command, classes_option, force_option, given
from ..output import answer, bold, dim, pairs, remark, short, table, to_person, waiting, width

FORMATS = ("keras", "saved_model", "tflite", "onnx")


@click.command("export", cls=Command)
@model_argument
@click.argument("out", metavar="FOLDER", type=click.Path())
@classes_option
@click.option(
    "--format", "formats", default="keras,saved_model", show_default=True, metavar="F,...", help="Also tflite, onnx."
)
@click.option("--temperature", default=1.0, metavar="T", type=POSITIVE, help="Divides the logits.")
@click.option("--sample", "samples", multiple=True, metavar="IMAGE", help="A photo, or a folder, to check with.")
@click.option("--facts", metavar="FILE.json", help="What card.json is to say besides: data, accuracy ...")
@click.option("--no-verify", is_flag=True, help="Write without checking.")
@force_option("Replace another export.")
def command(model, out, classes, formats, temperature, samples, facts, no_verify):
    """Write a network for others to run.

    FOLDER gets model.keras, and saved_model/ for TensorFlow Serving, which takes photos as they are uploaded and
    answers with names. All of it is loaded again in fresh processes and compared with `kerascnn predict`; where
    something differs the exit code is 1.
    """
    formats = check_formats(formats)
    check_folder(out)
    facts = None if facts is None else read_facts(facts)
    missing = next((path for path in samples if not os.path.exists(path)), None)
    if missing:
        raise BadFile(f"there is no image {missing}")
    network = model.open()
    options = {"formats": formats, "temperature": temperature, "samples": [*samples] or None, "facts": facts}
    written = write_export(network, out, classes=classes, verify=not no_verify, replace=given("force"), **options)
    answer("export", result(written, network), lines(written, network))
    if to_person():
        remark(dim(f"\nCheck again, also elsewhere: python -m kerascnn.exporting {out}"))


def check_formats(text):
    formats = tuple(filter(None, (word.strip() for word in text.split(","))))
    wrong = next((name for name in formats if name not in FORMATS), None)
    if wrong or not formats:
        raise Misuse(f"--format should be of {', '.join(FORMATS)}. Received: {wrong or text!r}", "--format saved_model")
    return formats


def check_folder(path):
    if not os.path.lexists(path):
        return
    if not given("force"):
        raise Misuse(f"{path} is there already and stays", "another name, or --force to replace an export")
    if not os.path.isfile(os.path.join(path, "card.json")):
        raise Misuse(f"{path} is no export, and stays", "another name")


def write_export(model, out, **options):
    from kerascnn import export
    from kerascnn.exporting import ExportError

    try:
        with (
            failing_as(BadFile, f"{model.name} cannot be exported: "),
            waiting("writing, and checking in fresh processes ..."),
        ):
            return export(model, out, **options)
    except ExportError as error:
        for line in checks_table(error.checks):
            remark(line)
        raise Failure(error, f"the files are in {error.folder}") from error
    except FileExistsError as error:
        raise Misuse(error) from error


def result(written, model):
    """The answer as plain data."""
    return {
        "model": model.name,
        "folder": str(written.folder),
        "files": dict(written.files),
        "checks": [vars(check) for check in written.checks],
    }


def checks_table(checks):
    rows = [(check.file, check.what, "yes" if check.passed else "NO", check.found) for check in checks]
    words = ("file", "check", "right", "found")
    return table(words, rows, words=words, room=width())


def lines(written, model):
    """What was checked, what was written, and how it is served."""
    from kerascnn.exporting.card import PYTHON, request, server

    if written.checks:
        yield from [*checks_table(written.checks), ""]
    parts = {}
    for name, size in written.files.items():
        part = name.split("/")[0] + "/" * ("/" in name)
        parts[part] = parts.get(part, 0) + size
    yield bold(str(written.folder))
    yield from pairs({part: f"{short(size)}B" for part, size in parts.items()}, room=width())
    if "saved_model/" in parts:
        yield from ["", bold("serve"), f"  {server(str(written.folder / 'saved_model'), model.name)}"]
        yield from ["", bold("ask"), f"  {request(model.name)}"]
        path = written.folder / "saved_model" / "1"
        yield from ["", bold("in Python"), *(f"  {line}" for line in PYTHON.format(path=path).splitlines())]
