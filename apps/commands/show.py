"""`kerascnn show`: one network of the zoo, or a model file, on a page."""

import os
import re

import click

from ..models import complete_names_and_files, network_called, networks
from ..options import BadFile, Command, Misuse, check_new
from ..output import answer
from ..quiet import load_keras
from .pages import file_page, layers_page, network_page
from .sources import described, weights_page

SUFFIXES = (".keras", ".h5", ".hdf5")
HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = b"PK\x03\x04"


@click.command("show", cls=Command)
@click.argument("network", metavar="NAME|FILE", shell_complete=complete_names_and_files)
@click.option("--layers", is_flag=True, help="Layer by layer: shapes, counts, memory, receptive fields.")
@click.option("--weights", is_flag=True, help="All its published weights: accuracy, licence, address, file, hash.")
@click.option("--diagram", metavar="FILE.svg", type=click.Path(dir_okay=False), help="Draw it as blocks.")
@click.option("--force", is_flag=True, help="Let --diagram replace a file.")
def command(network, layers, weights, diagram, force):
    """Show a network: what it is, how large, stage by stage.

    NAME is a network that `kerascnn list` names. FILE is any Keras model, .keras or .h5.
    """
    check_new(diagram, "--diagram network.svg", (".svg",), force)
    row = network_called(network)
    if row is None:
        check_file(network)
    if row is None and weights:
        raise Misuse(f"--weights is about a network of the zoo. Received: {network}", f"kerascnn show {network}")
    model = None
    if row is None or layers or diagram:
        load_keras()
        model = read(network) if row is None else outline(row.name)
    anatomy = taken_apart(model, network) if row is None or layers else None
    published = described(row.name) if row else None
    result = vars(row) | {"weights": published} if row else summary(model, network, anatomy)
    if layers:
        result |= layers_of(anatomy)
    if diagram:
        result |= {"diagram": draw(model, diagram)}
    answer("show", result, page(row, network, anatomy, published, layers, weights, diagram))


def page(row, network, anatomy, published, layers, weights, diagram):
    """The text of the answer."""
    if layers:
        yield from layers_page(anatomy)
    elif row is None:
        yield from file_page(anatomy, network)
    if weights:
        yield from weights_page(row, published)
    elif row and not layers and not diagram:
        yield from network_page(row, published)
    if diagram:
        yield f"drawn: {diagram} (a browser shows it)"


def summary(model, path, anatomy):
    return {"name": model.name, "file": path, "totals": anatomy.totals}


def layers_of(anatomy):
    import json

    stated = json.loads(anatomy.to_json())
    return {"totals": stated["totals"], "layers": stated["rows"]}


def outline(name):
    """The network without memory for its weights."""
    import kerascnn

    return kerascnn.outline(name)


def read(path):
    """The model in a file."""
    import keras

    import kerascnn  # noqa: F401  (makes its layers known to Keras)

    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:
        advice = f"kerascnn show -v {path}"
        raise BadFile(f"{path} is no model that Keras can read: {error}", advice) from error


def taken_apart(model, path):
    """The model's anatomy."""
    from kerascnn import dissect

    try:
        return dissect(model)
    except ValueError as error:
        raise BadFile(f"{path} cannot be taken apart: {error}") from error


def draw(model, path):
    """Write the block diagram, and return where it is."""
    from kerascnn import diagram

    try:
        return str(diagram(model).save(path))
    except OSError as error:
        raise Misuse(f"{path} cannot be written: {error.strerror}") from error


def check_file(path):
    """Refuse, before Keras is loaded, what is no model file by its name and its first bytes."""
    if not os.path.exists(path):
        raise missing(path)
    if os.path.isdir(path):
        raise BadFile(f"{path} is a folder; a Keras model is one file, .keras or .h5")
    try:
        with open(path, "rb") as file:
            start = file.read(len(HDF5))
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror}") from error
    if not start:
        raise BadFile(f"{path} is empty")
    if path.endswith(".weights.h5") and start == HDF5:
        raise BadFile(f"{path} holds weights without a network", "kerascnn.build_model(name, weights=...)")
    kind = ".keras" if start.startswith(ZIP) else ".h5" if start == HDF5 else None
    if kind is None:
        raise BadFile(f"{path} is not a Keras model file: it is neither a .keras archive nor HDF5")
    if not path.endswith(SUFFIXES) or path.endswith(".keras") != (kind == ".keras"):
        raise BadFile(f"{path} should end in {kind}, as which Keras would read it")


def missing(name):
    """The error for what is neither a network nor a file."""
    if name.lower().endswith(SUFFIXES) or os.sep in name:
        return BadFile(f"there is no file {name}")
    from kerascnn.registry import unknown_network

    start = re.match(r"[a-z]*", name.lower())[0]
    known = [row.name for row in networks()]
    relatives = start and any(start in other for other in known)
    return Misuse(unknown_network(name, known), f"kerascnn list {start}" if relatives else "kerascnn list")
