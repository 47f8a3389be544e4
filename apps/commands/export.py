"""`kerascnn export`: write a network as files for servers and other programs, and verify them."""

import os

import click

from ..errors import BadFile, Failure, Misuse, raise_as
from ..files import read_metadata
from ..models import model_argument
from ..options import POSITIVE, Command, class_names_option, force_option, is_flag_set
from ..output import (
    bold,
    dim,
    format_count,
    format_pairs,
    format_table,
    is_interactive,
    print_result,
    remark,
    terminal_width,
    waiting,
)

FORMATS = ("keras", "saved_model", "tflite", "onnx")


@click.command("export", cls=Command)
@model_argument
@click.argument("out", metavar="FOLDER", type=click.Path())
@class_names_option
@click.option(
    "--format",
    "formats",
    default="keras,saved_model",
    show_default=True,
    metavar="F,...",
    help="Additional formats: tflite, onnx.",
)
@click.option(
    "--temperature",
    default=1.0,
    metavar="T",
    type=POSITIVE,
    help="Temperature by which logits are divided (calibration).",
)
@click.option(
    "--sample",
    "samples",
    multiple=True,
    metavar="IMAGE",
    help="A photo or a folder of photos to verify the export with.",
)
@click.option("--metadata", metavar="FILE.json", help="JSON file with facts to add to card.json: data, accuracy ...")
@click.option("--no-verify", is_flag=True, help="Do not verify the export.")
@force_option("Overwrite an existing export.")
def export_command(model, out, class_names, formats, temperature, samples, metadata, no_verify):
    """Export a network for deployment.

    FOLDER gets model.keras and saved_model/ for TensorFlow Serving, which takes image files as bytes and returns class
    names. Everything is loaded again in new processes and compared with `kerascnn predict`; the exit code is 1 if
    anything differs.
    """
    formats = check_formats(formats)
    check_export_folder(out)
    metadata = None if metadata is None else read_metadata(metadata)
    missing = next((path for path in samples if not os.path.exists(path)), None)
    if missing:
        raise BadFile(f"image not found: {missing}")
    network = model.open()
    options = {"formats": formats, "temperature": temperature, "samples": [*samples] or None, "metadata": metadata}
    written = write_export(
        network, out, class_names=class_names, verify=not no_verify, replace=is_flag_set("force"), **options
    )
    print_result("export", export_result(written, network), export_lines(written, network))
    if is_interactive():
        remark(dim(f"\nTo verify again, here or elsewhere: python -m kerascnn.exporting {out}"))


def check_formats(text):
    formats = tuple(filter(None, (word.strip() for word in text.split(","))))
    wrong = next((name for name in formats if name not in FORMATS), None)
    if wrong or not formats:
        raise Misuse(
            f"`--format` should be one or more of {', '.join(FORMATS)}. Received: {wrong or text!r}",
            "--format saved_model",
        )
    return formats


def check_export_folder(path):
    if not os.path.lexists(path):
        return
    if not is_flag_set("force"):
        raise Misuse(f"{path} already exists", "another name, or --force to overwrite an export")
    if not os.path.isfile(os.path.join(path, "card.json")):
        raise Misuse(f"{path} is not an export and will not be overwritten", "another name")


def write_export(model, out, **options):
    from kerascnn import export
    from kerascnn.exporting import ExportError

    try:
        with raise_as(BadFile, f"cannot export {model.name}: "), waiting("writing, and verifying in new processes ..."):
            return export(model, out, **options)
    except ExportError as error:
        for line in checks_table(error.checks):
            remark(line)
        raise Failure(error, f"the files are in {error.folder}") from error
    except FileExistsError as error:
        raise Misuse(error) from error


def export_result(written, model):
    """The result as plain data."""
    return {
        "model": model.name,
        "folder": str(written.folder),
        "files": dict(written.files),
        "checks": [vars(check) for check in written.checks],
    }


def checks_table(checks):
    rows = [(check.file, check.what, "yes" if check.passed else "NO", check.found) for check in checks]
    words = ("file", "check", "right", "found")
    return format_table(words, rows, words=words, room=terminal_width())


def export_lines(written, model):
    """The checks, the files, and how to serve them."""
    from kerascnn.exporting.card import python_example, serving_command, serving_request
    from kerascnn.inputs.classifier import image_input

    if written.checks:
        yield from [*checks_table(written.checks), ""]
    parts = {}
    for name, size in written.files.items():
        part = name.split("/")[0] + "/" * ("/" in name)
        parts[part] = parts.get(part, 0) + size
    yield bold(str(written.folder))
    yield from format_pairs({part: f"{format_count(size)}B" for part, size in parts.items()}, room=terminal_width())
    if "saved_model/" in parts:
        yield from ["", bold("serve"), f"  {serving_command(str(written.folder / 'saved_model'), model.name)}"]
        others = [tensor.name for tensor in model.inputs if tensor is not image_input(model)]
        yield from ["", bold("ask"), f"  {serving_request(model.name, others)}"]
        example = python_example(written.folder / "saved_model" / "1", others)
        yield from ["", bold("in Python"), *(f"  {line}" for line in example.splitlines())]
