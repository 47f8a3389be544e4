"""Models, which the command line names as a network of the zoo or a file: completed, checked, and opened.

What can be refused is refused before Keras is loaded: the catalog of networks is one JSON file.
"""

import os
import re
from dataclasses import dataclass
from functools import wraps

import click

from .backend import load_keras
from .errors import BadFile, Failure, Misuse
from .output import waiting

SUFFIXES = (".keras", ".h5", ".hdf5")
HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = b"PK\x03\x04"


def networks():
    """Every network of the catalog."""
    from kerascnn.zoo import catalog

    try:
        return catalog.read()
    except OSError as error:
        raise Failure(f"no catalog of networks: {error}", "python -m kerascnn.zoo.catalog") from error


def network_called(name):
    """The row of a network, named in letters of any size; None where there is none."""
    from kerascnn.zoo.registry import called

    return called(name.lower(), {row.name: row for row in networks()})


@dataclass(frozen=True)
class Source:
    """Where a model comes from: the ``row`` of a network of the zoo and its weights, or a file of that name."""

    name: str
    row: object = None
    weights: str | None = None

    def open(self, size=None):
        """The model; a network of the zoo for images of this ``size``, its own unless given."""
        load_keras()
        if self.row is None:
            return read_model(self.name)
        shape = (size, size, self.row.input_shape[-1]) if size else None
        return build_network(self.row.name, self.weights, shape)


def find_model(name, weights=None):
    """The `Source` of a model; refused where it is neither a network with such weights nor a file of a model."""
    row = network_called(name)
    return Source(name, row, check_weights(name, row, weights))


def find_network(name):
    """The row of a network of the zoo, with or without weights; None for a model file, which is checked."""
    row = network_called(name)
    if row is None:
        check_file(name)
    return row


def weights_option(command):
    help = "imagenet (the best there are), torchvision, keras, timm, or a file."
    return click.option("--weights", metavar="W", help=help)(command)


def model_argument(command):
    """NAME|FILE and --weights; the command gets the `Source` of the model."""

    @click.argument("model", metavar="NAME|FILE", shell_complete=complete_names_and_files)
    @wraps(command)
    def found(*, model, weights, **named):
        return command(model=find_model(model, weights), **named)

    return weights_option(found)


def complete_families(context, option, incomplete):
    return sorted({row.family for row in networks() if row.family.startswith(incomplete)})


def complete_publishers(context, option, incomplete):
    from kerascnn.zoo.registry import PUBLISHERS

    return sorted(name for name in PUBLISHERS if name.startswith(incomplete))


def complete_names(context, option, incomplete):
    """Networks, the tiny ones only when asked for."""
    from kerascnn.support.text import natural

    names = [row.name for row in networks() if row.name.startswith(incomplete)]
    tiny = incomplete.startswith("tiny")
    return sorted((name for name in names if tiny or not name.startswith("tiny")), key=natural)


def complete_names_and_files(context, option, incomplete):
    from click.shell_completion import CompletionItem

    return [*map(CompletionItem, complete_names(context, option, incomplete)), CompletionItem(incomplete, type="file")]


def best_top1(sources):
    """The best published top-1 on ImageNet of those that are free for every use; None where there is none."""
    found = (source.top1 for source in sources if source.free and not source.shipped)
    return max((top1 for top1 in found if top1 is not None), default=None)


def check_weights(model, row, weights):
    """The weights to load into a network of the zoo, refused before Keras is loaded where there are none."""
    if row is None:
        check_file(model)
        if weights:
            raise Misuse(f"--weights goes with the name of a network; {model} has its own")
        return None
    from kerascnn.zoo.registry import BEST, PUBLISHERS, sources

    known = sources().get(row.name, ())
    ours = any(source.answers(weights) for source in known)
    if weights and not ours and weights.split("/")[0] not in (BEST, *PUBLISHERS):
        if not os.path.isfile(weights):
            raise BadFile(f"there is no file {weights}", f"--weights imagenet, {', '.join(PUBLISHERS)}, or a file")
        return weights
    if not known:
        others = ", ".join([name for name in sources() if not name.startswith("tiny")][:8])
        advice = f"--weights with a file{f', or a network that has some: {others}' if others else ''}"
        raise Misuse(f"nobody's weights for {row.name} are known here", advice)
    if weights and not ours and weights.split("/")[0] not in {source.publisher for source in known}:
        there = ", ".join(dict.fromkeys(source.publisher for source in known))
        raise Misuse(f"{weights.split('/')[0]} has no weights for {row.name}", f"--weights {there}")
    return weights or (known[0].name if known[0].shipped else BEST)


def check_file(path):
    """Refuse, before Keras is loaded, what is no model file by its name and its first bytes."""
    if not os.path.exists(path):
        raise unknown_model(path)
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


def unknown_model(name):
    """The error for what is neither a network nor a file."""
    if name.lower().endswith(SUFFIXES) or os.sep in name:
        return BadFile(f"there is no file {name}")
    from kerascnn.zoo.registry import unknown_network

    start = re.match(r"[a-z]*", name.lower())[0]
    known = [row.name for row in networks()]
    relatives = start and any(start in other for other in known)
    return Misuse(unknown_network(name, known), f"kerascnn list {start}" if relatives else "kerascnn list")


def build_network(name, weights, input_shape=None):
    """The network with its weights, for images of its own shape or another."""
    import kerascnn

    try:
        with waiting(f"building {name} ..."):
            return kerascnn.build_model(name, weights=weights, input_shape=input_shape)
    except ValueError as error:
        raise BadFile(f"{weights} cannot be loaded into {name}: {error}") from error
    except OSError as error:
        raise Failure(error, "a connection, or --weights with a file that is here") from error


def read_model(path):
    """The model in a file."""
    from kerascnn.inputs.classifier import open_model

    try:
        return open_model(path)
    except Exception as error:
        advice = f"kerascnn show -v {path}"
        raise BadFile(f"{path} is no model that Keras can read: {error}", advice) from error
