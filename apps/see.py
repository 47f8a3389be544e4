"""`kerascnn see`: a picture of what a network sees in photos, by one of the methods."""

import inspect
import os
import sys
import time
import warnings
from dataclasses import dataclass

import click

from .command import BadFile, Command, Misuse, check_new, given, keep
from .networks import complete_names_and_files, network_called
from .predict import build, check_weights
from .quiet import load_keras, waiting
from .show import read
from .writing import answer, bar, bold, cut, remark, table, width

PICTURES = (".png", ".svg", ".pdf")
OPTIONS = ("layer", "unit", "top", "samples", "steps", "patch", "stride", "batch")  # as their methods call them
PASSED_ON = ("batch", "labels", "tell")  # what a method with **options takes too
EVERY = 10  # seconds between lines of progress where there is no terminal
FILE, COUNT = click.Path(dir_okay=False), click.IntRange(1)


@dataclass(frozen=True)
class Way:
    """A method of seeing: its function, the parameters that it takes, and whether it is shown images."""

    name: str
    function: object
    takes: frozenset

    @property
    def shown_images(self):
        return "images" in self.takes

    @property
    def needs_layer(self):
        """Whether it has no layer to look at by itself."""
        layer = inspect.signature(self.function).parameters.get("layer")
        return layer is not None and layer.default is layer.empty

    @property
    def what(self):
        """The first line of its docstring."""
        return (inspect.getdoc(self.function) or "").split("\n")[0]

    @property
    def options(self):
        """Its own options on the command line."""
        known = ["class"] * ("classes" in self.takes) + [name for name in OPTIONS if name in self.takes]
        return [f"--{name}" for name in known]


@click.command("see", cls=Command)
@click.argument("method", required=False)
@click.argument("model", metavar="NAME|FILE", required=False, shell_complete=complete_names_and_files)
@click.argument("images", metavar="IMAGE...", nargs=-1, type=click.Path())
@click.option("--list", "listing", is_flag=True, help="The methods, what each does, and its options.")
@click.option("--weights", metavar="W", help="imagenet (the best there are), torchvision, keras, timm, or a file.")
@click.option("--class", "classes", metavar="K", help="A number or a name; the predicted class unless given.")
@click.option("--layer", metavar="L", help="A layer, as `kerascnn show --layers` names it.")
@click.option("--unit", metavar="K", type=click.IntRange(0), multiple=True, help="A channel of the layer, or several.")
@click.option("--top", metavar="N", type=COUNT, help="The N strongest channels of each image, where no unit is given.")
@click.option("--samples", metavar="N", type=COUNT, help="Noisy images that a method averages.")
@click.option("--steps", metavar="N", type=COUNT, help="Steps of an integral.")
@click.option("--patch", metavar="PX", type=COUNT, help="Side of what covers the image, in pixels.")
@click.option("--stride", metavar="PX", type=COUNT, help="Pixels from one place of the patch to the next.")
@click.option("--batch", metavar="N", type=COUNT, help="Images in the network at once; fewer need less memory.")
@click.option("--out", metavar="FILE.png", type=FILE, help="The picture; METHOD.png here unless given.")
@click.option("--values", metavar="FILE.npz", type=FILE, help="Write the numbers behind the picture too.")
@click.option("--force", is_flag=True, help="Let --out and --values replace a file.")
def command(method, model, images, listing, weights, out, values, force, **asked):
    """Draw what a network sees in photos.

    METHOD is one that `kerascnn see --list` names. NAME is a network that `kerascnn list` names, with its published
    weights. FILE is any Keras model, .keras or .h5, that takes pixels 0..255. IMAGE is an image file, or a folder of
    them.
    """
    if listing:
        load_keras()
        answer("see", [{"method": w.name, "what": w.what, "options": w.options} for w in ways().values()], listed())
        return
    check_words(method, model, images)
    row = network_called(model)
    weights = check_weights(model, row, weights)
    out = out or f"{method}.png"
    check_new(out, f"--out {method}.png", PICTURES, force)
    check_new(values, f"--values {method}.npz", (".npz",), force)
    load_keras()
    way = chosen(method)
    options = check_options(way, images, asked)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        network = build(row.name, weights) if row else read(model)
        found = look(way, network, [*images], options)
    keep(found, out)
    write(found, values)
    told = [*dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, UserWarning))]
    result = {"method": method, "model": network.name, "score": getattr(found, "score", None), "images": rows(found)}
    answer("see", result | {"picture": out, "values": values}, lines(found, out, values), told)
    for line in told:
        remark(line)


def check_words(method, model, images):
    """Refuse what lacks a word, or an image, before Keras is loaded."""
    missing = [word for word, said in (("METHOD", method), ("NAME|FILE", model)) if not said]
    if missing:
        raise Misuse(f"missing argument {missing[0]}", "kerascnn see METHOD NAME|FILE IMAGE..., kerascnn see --list")
    if images and not any(os.path.exists(path) for path in images):
        raise BadFile(f"there is no image {images[0]}")


def ways():
    """Every method by its name, from the package's own table."""
    from kerascnn.visualize.methods import WAYS

    return {name: Way(name, function, takes(function)) for name, function in WAYS.items()}


def takes(function):
    """The parameters of a method, with those that it passes on."""
    parameters = inspect.signature(function).parameters
    passes = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    return frozenset(parameters) | frozenset(PASSED_ON if passes else ())


def listed():
    """A line a method, and its options."""
    rows = [(way.name, way.what, " ".join(way.options)) for way in ways().values()]
    yield from table(("method", "what", "options"), rows, words=("method", "what", "options"), room=width())


def chosen(method):
    """A method by its name."""
    from kerascnn.registry import unknown

    known = ways()
    if method not in known:
        raise Misuse(unknown("method", method, known), "kerascnn see --list")
    return known[method]


def check_options(way, images, asked):
    """The options as the method takes them; refused where it does not."""
    asked = {name: value for name, value in asked.items() if value not in (None, ())}
    wrong = [name for name in asked if name not in way.takes]
    if wrong:
        word = f"--{wrong[0].replace('classes', 'class')}"
        raise Misuse(f"{way.name} does not take {word}", f"its own options: {', '.join(way.options) or 'none'}")
    if bool(images) != way.shown_images:
        said = "needs images" if way.shown_images else "looks at the network alone"
        raise Misuse(f"{way.name} {said}. Received: {', '.join(images) or 'none'}")
    if "layer" not in asked and ("unit" in asked or way.needs_layer):
        raise Misuse(f"{way.name} needs a --layer here", "kerascnn show --layers, which names them")
    return asked


def look(way, network, images, options):
    """What the method finds."""
    from kerascnn.data import ImageError
    from kerascnn.predictions import named
    from kerascnn.visualize import probe

    try:
        opened = probe(network)
    except ValueError as error:
        raise BadFile(f"{network.name} cannot be looked into: {error}") from error
    names = named(None, opened.output.shape[-1], network)
    try:
        if "layer" in options:
            opened.tap(options["layer"])
        if "classes" in options:
            options |= {"classes": number_of(options["classes"], names)}
        given_too = {"labels": names, "tell": telling()}
        options |= {name: value for name, value in given_too.items() if name in way.takes}
        with waiting("looking ..."):
            return way.function(network, images, **options) if images else way.function(network, **options)
    except ImageError as error:
        raise BadFile(error) from error
    except ValueError as error:
        raise Misuse(error, f"kerascnn see --list, kerascnn show --layers {network.name}") from error


def number_of(text, names):
    """The class with a number or a name."""
    from kerascnn.registry import unknown

    if text.isdigit():
        return int(text)
    if not names:
        raise ValueError(f"`--class` should be a number: the classes have no names here. Received: {text}")
    found = [number for number, name in enumerate(names) if name.lower() == text.lower().replace("_", " ")]
    if not found:
        raise ValueError(unknown("class", text, names))
    return found[0]


def telling():
    """What says how far it is: a bar on a terminal, elsewhere a line every few seconds."""
    if given("quiet") or sys.stderr is None:
        return None
    if sys.stderr.isatty():

        def tell(done, of):
            line = f"{bar(done, of, length=20).ljust(20, '.')} {done} of {of}".ljust(44)
            click.echo(f"\r{line}" + ("\r" + " " * 44 + "\r") * (done >= of), err=True, nl=False)

        return tell
    last = time.monotonic()

    def tell_now_and_then(done, of):
        nonlocal last
        if time.monotonic() - last >= EVERY and done < of:
            last = time.monotonic()
            click.echo(f"{done} of {of}", err=True)

    return tell_now_and_then


def write(found, path):
    """The numbers of a result: its arrays, and those among its facts."""
    if path is None:
        return
    import numpy as np

    held = {**vars(found), **getattr(found, "facts", {})}
    arrays = {name: value for name, value in held.items() if isinstance(value, np.ndarray)}
    more = {"map": getattr(found, "map", None), "names": held.get("names"), "classes": held.get("classes")}
    arrays |= {name: np.asarray(value) for name, value in more.items() if value is not None}
    try:
        np.savez_compressed(path, **arrays)
    except OSError as error:
        raise Misuse(f"{path} cannot be written: {error.strerror}") from error


def rows(found):
    """What is said of each image, as plain data; nothing where a method says nothing of images."""
    classes, labels = getattr(found, "classes", None), getattr(found, "labels", None)
    facts = {name: values for name, values in getattr(found, "facts", {}).items() if getattr(values, "ndim", 0) == 1}
    said = []
    for i, name in enumerate(found.names if hasattr(found, "title") else ()):
        row = {"image": name}
        if classes is not None:
            row |= {"class": int(classes[i]), "label": labels[classes[i]] if labels else None}
        row["score"] = plain(found.scores[i])
        said.append(row | {fact: plain(values[i]) for fact, values in facts.items()})
    return said


def plain(number):
    """A number as JSON takes it."""
    number = number.item()
    return number if isinstance(number, int) else float(f"{number:.6g}") if number == number else None


def lines(found, out, values):
    """Each image with its class and score, and where the picture is."""
    room = width()
    if not hasattr(found, "title"):
        yield str(found)
    for i, row in enumerate(rows(found)):
        yield bold(row["image"])
        facts = [f"{name} {value:.3g}" for name, value in row.items() if isinstance(value, float) and name != "score"]
        yield cut("  " + ", ".join([found.title(i), *facts]), room)
    yield f"drawn: {out}"
    if values:
        yield f"numbers: {values}"
