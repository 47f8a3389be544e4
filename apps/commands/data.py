"""`kerascnn data check`: find defects of a dataset before training."""

import click

from ..backend import load_keras
from ..errors import BadFile
from ..options import Command, new_file_option, save_result
from ..output import print_result, remark, verbosity


@click.command("data", cls=Command)
@click.argument("action", type=click.Choice(["check"]))
@click.argument("source", metavar="DIR|FILE|NAME", type=click.Path())
@new_file_option(
    "--save", "findings.csv", (".csv", ".json"), "Write the full list to a .csv or .json file.", metavar="FILE"
)
@click.option(
    "--paths",
    default=10,
    show_default=True,
    metavar="N",
    type=click.IntRange(0),
    help="Largest number of files to list.",
)
def data_command(action, source, save, paths):
    """Check a dataset: decode every image and report problems.

    DIR has one subfolder per class, optionally inside train, valid and test; FILE is a .zip of such a folder, a .csv
    with columns file, label[, split][, group], or an .npz; NAME is a known dataset: digits, shapes, cifar10 ... Reports
    unreadable files, duplicates within and across classes and splits, and small or imbalanced classes. Exit code 4 if
    more than 5 % of the images are bad.
    """
    findings = audit_source(source)
    save_result(findings, save)
    from kerascnn.data.audit import audit_document

    warnings = [findings.fatal] if findings.fatal else []
    print_result(
        "data", audit_document(findings) | {"saved": save}, findings.text(paths).splitlines(), warnings, printed=True
    )
    if save:
        remark(f"saved: {save}")
    return BadFile.exit_code if findings.fatal else 0


def audit_source(source):
    from kerascnn.data import DataError, audit
    from kerascnn.data.sources import DOWNLOADED

    if source in DOWNLOADED:
        load_keras()
    try:
        return audit(source, verbose=verbosity())
    except DataError as error:
        raise BadFile(error, "kerascnn data check DIR, where DIR has one subfolder per class") from error
