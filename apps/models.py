"""Models on the command line, a network of the zoo or a file: complete, check and open them.

Wrong names are refused before Keras is loaded: the catalog of networks is one JSON file.
"""

import os
import re
from dataclasses import dataclass
from functools import partial, wraps

import click

from .backend import load_keras
from .errors import BadFile, Failure, Misuse, raise_as
from .output import waiting

SUFFIXES = (".keras", ".h5", ".hdf5")
HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = b"PK\x03\x04"


def catalog_rows():
    """All networks of the catalog."""
    from kerascnn.zoo import catalog

    try:
        return catalog.read_catalog()
    except OSError as error:
        raise Failure(
            f"the catalog of networks is missing or damaged: {error}", "python -m kerascnn.zoo.catalog"
        ) from error


def network_row(name):
    """The row of a network, in any letter case; None if there is none."""
    from kerascnn.zoo.registry import find_by_name

    return find_by_name(name.lower(), {row.name: row for row in catalog_rows()})


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from: the ``row`` and weights of a network, or a file."""

    name: str
    row: object = None
    weights: str | None = None

    def open(self, size=None):
        """Open the model; a network of the zoo for images of this ``size``, by default that of its weights."""
        load_keras()
        import kerascnn
        from kerascnn.inputs.classifier import open_model

        name, row, weights = self.name, self.row, self.weights
        if row is None:
            unreadable = f"{name} should be a model that Keras can load: "
            with raise_as(BadFile, unreadable, f"kerascnn show -v {name}", kinds=Exception):
                return open_model(name)
        shape = (size, size, row.input_shape[-1]) if size else None
        with (
            waiting(f"building {row.name} ..."),
            raise_as(Failure, "", partial(download_advice, row.name, weights), kinds=OSError),
            raise_as(BadFile, f"cannot load {weights} into {row.name}: "),
        ):
            return kerascnn.build_model(row.name, weights=weights, input_shape=shape)


def download_advice(name, weights, error):
    """What to do if published weights cannot be downloaded: a setting to change, or how to use a copy of the file."""
    if getattr(error, "retry", False):
        return error.advice
    from kerascnn.weights.load import find_source

    source = find_source(name, weights)
    if source is None or source.is_shipped:
        return None
    return f"download {source.address} on another computer, then write {name}=FILE in place of {name}"


def find_model(name, weights=None):
    """The `ModelSource` of a network with such weights or of a model file; anything else is refused.

    NAME=W is short for NAME with --weights W.
    """
    if "=" in name and not os.path.exists(name):
        network, _, after = name.partition("=")
        if network_row(network) is None:
            raise model_not_found(network)
        if weights:
            raise Misuse(f"the weights of {network} are given twice: {after} and --weights {weights}")
        if not after:
            raise Misuse(f"{name} should name weights behind the equals sign", f"{network}=FILE, {network}=imagenet")
        name, weights = network, after
    row = network_row(name)
    return ModelSource(name, row, check_weights(name, row, weights))


def find_network(name):
    """The row of a network; None for a model file, which is checked."""
    row = network_row(name)
    if row is None:
        check_file(name)
    return row


def weights_option(command):
    help = "Weights: imagenet (best published), torchvision, keras, timm, or a file; NAME=W is short for it."
    return click.option("--weights", metavar="W", help=help)(command)


def model_argument(command):
    """Add NAME|FILE and --weights; the command gets a `ModelSource`."""

    @click.argument("model", metavar="NAME|FILE", shell_complete=complete_names_and_files)
    @wraps(command)
    def wrapper(*, model, weights, **options):
        return command(model=find_model(model, weights), **options)

    return weights_option(wrapper)


def complete_families(context, option, incomplete):
    return sorted({row.family for row in catalog_rows() if row.family.startswith(incomplete)})


def complete_publishers(context, option, incomplete):
    from kerascnn.zoo.registry import PUBLISHERS

    return sorted(name for name in PUBLISHERS if name.startswith(incomplete))


def complete_names(context, option, incomplete):
    """Names of networks; tiny ones only if asked for."""
    from kerascnn.support.text import natural_key

    names = [row.name for row in catalog_rows() if row.name.startswith(incomplete)]
    tiny = incomplete.startswith("tiny")
    return sorted((name for name in names if tiny or not name.startswith("tiny")), key=natural_key)


def complete_names_and_files(context, option, incomplete):
    from click.shell_completion import CompletionItem

    return [*map(CompletionItem, complete_names(context, option, incomplete)), CompletionItem(incomplete, type="file")]


def check_weights(model, row, weights):
    """The weights for a network of the zoo; unknown ones are refused before Keras is loaded."""
    if row is None:
        check_file(model)
        if weights:
            raise Misuse(f"--weights needs the name of a network; the file {model} has its own weights")
        return None
    from kerascnn.zoo.registry import BEST, PUBLISHERS, default_weights, weights_sources

    known = weights_sources().get(row.name, ())
    ours = any(source.answers_to(weights) for source in known)
    if weights and not ours and weights.split("/")[0] not in (BEST, *PUBLISHERS):
        if not os.path.isfile(weights):
            raise BadFile(
                f"weights file not found: {weights}", f"imagenet, {', '.join(PUBLISHERS)}, or the path of a file"
            )
        return weights
    if not known:
        others = ", ".join([name for name in weights_sources() if not name.startswith("tiny")][:8])
        advice = f"{row.name}=FILE with a weights file{f', or a network that has some: {others}' if others else ''}"
        raise Misuse(f"no published weights for {row.name}", advice)
    if weights and not ours and weights.split("/")[0] not in {source.publisher for source in known}:
        there = ", ".join(dict.fromkeys(source.publisher for source in known))
        raise Misuse(f"no weights for {row.name} from {weights.split('/')[0]}", f"weights of {there}, or a file")
    return weights or default_weights(row.name)


def check_file(path):
    """Refuse what is not a model file, by its name and first bytes, before Keras is loaded."""
    if not os.path.exists(path):
        raise model_not_found(path)
    if os.path.isdir(path):
        raise BadFile(f"{path} is a folder; a Keras model is one file, .keras or .h5")
    try:
        with open(path, "rb") as file:
            start = file.read(len(HDF5))
    except OSError as error:
        raise BadFile(f"cannot read {path}: {error.strerror}") from error
    if not start:
        raise BadFile(f"{path} is empty")
    if path.endswith(".weights.h5") and start == HDF5:
        raise BadFile(f"{path} contains weights but no model", "kerascnn.build_model(name, weights=...)")
    kind = ".keras" if start.startswith(ZIP) else ".h5" if start == HDF5 else None
    if kind is None:
        raise BadFile(f"{path} is not a Keras model file: it is neither a .keras archive nor HDF5")
    if not path.endswith(SUFFIXES) or path.endswith(".keras") != (kind == ".keras"):
        raise BadFile(f"{path} should end in {kind}, which matches its content")


def model_not_found(name):
    """The error for a name that is neither a network nor a file."""
    if name.lower().endswith(SUFFIXES) or os.sep in name:
        return BadFile(f"file not found: {name}")
    from kerascnn.zoo.registry import message_for_unknown_network

    start = re.match(r"[a-z]*", name.lower())[0]
    known = [row.name for row in catalog_rows()]
    relatives = start and any(start in other for other in known)
    return Misuse(message_for_unknown_network(name, known), f"kerascnn list {start}" if relatives else "kerascnn list")
