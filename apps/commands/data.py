"""`kerascnn data check`: what is wrong with a folder of images, before a network is trained on it."""

import click

from ..backend import load_keras
from ..errors import BadFile
from ..options import Command, keep, new_file_option
from ..output import answer, remark, verbosity


@click.command("data", cls=Command)
@click.argument("action", type=click.Choice(["check"]))
@click.argument("source", metavar="DIR|FILE|NAME", type=click.Path())
@new_file_option("--save", "findings.csv", (".csv", ".json"), "Write all of it: .csv or .json.", metavar="FILE")
@click.option("--paths", default=10, show_default=True, metavar="N", type=click.IntRange(0), help="Files to name.")
def command(action, source, save, paths):
    """Check a dataset: decode every image once and say what is odd.

    DIR has a subfolder for each class, perhaps below train, valid and test; FILE is a .zip of one, a .csv with columns
    file, label[, split][, group], or an .npz; NAME is a known dataset: digits, shapes, cifar10 ... Found are
    files that cannot be read, duplicates within and across classes and parts, classes that are small or uneven. Exit
    code 4 where more than 5 % of the images are bad.
    """
    found = audit_source(source)
    keep(found, save)
    from kerascnn.data.audit import document

    told = [found.fatal] if found.fatal else []
    answer("data", document(found) | {"saved": save}, found.text(paths).splitlines(), told, told=True)
    if save:
        remark(f"saved: {save}")
    return BadFile.exit_code if found.fatal else 0


def audit_source(source):
    from kerascnn.data import DataError, audit
    from kerascnn.data.sources import DOWNLOADED

    if source in DOWNLOADED:
        load_keras()
    try:
        return audit(source, verbose=verbosity())
    except DataError as error:
        raise BadFile(error, "kerascnn data check DIR, with a subfolder for each class") from error
