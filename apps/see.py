"""`kerascnn see`: a picture of what a network sees in photos, by one of the methods."""

import os
import warnings
from functools import cache

import click

from .backend import load_keras
from .errors import BadFile, Misuse, one_line
from .findings import lines, records, rows, write
from .models import build_network as build
from .models import check_weights, complete_names_and_files, network_called
from .models import read_model as read
from .options import Command, check_new, keep
from .output import answer, bold, cut, dim, remark, verbosity, waiting, width
from .settings import variable_name
from .ways import check_options, chosen, look, more_options, spelled, ways

PICTURES = (".png", ".svg", ".pdf")
IN_FOLDERS = ("maximize", "facets", "dream", "unrecognisable")  # whose pictures are also files of their own
EVERY = 10  # seconds between lines of progress where there is no terminal
FILE, COUNT = click.Path(dir_okay=False), click.IntRange(1)


class Numbers(click.ParamType):
    """A word, a number, or several with commas: mean, 127.5, 255,0,0."""

    name = "numbers"

    def convert(self, value, option, context):
        if not isinstance(value, str):
            return value
        try:
            numbers = tuple(float(each) for each in value.split(","))
        except ValueError:
            return value
        return numbers if len(numbers) > 1 else numbers[0]


class See(Command):
    """A command with an option for each argument of an attribution method that is none already."""

    def get_params(self, context):
        return [*super().get_params(context), *self.derived()]

    def derived(self):
        """The options that nothing here names."""
        return [option_of(parameter) for parameter in more_options().values()]


@cache
def option_of(parameter):
    """The option that an argument is, by its default."""
    name, default = f"--{parameter.name.replace('_', '-')}", parameter.default
    given = {"help": one_line(parameter.help), "envvar": variable_name(("see",), parameter.name)}
    if default is False:
        return click.Option([name], is_flag=True, **given)
    kind = Numbers() if default is None else type(default)
    return click.Option([name], type=kind, metavar="W" if isinstance(default, str) else "X", **given)


@click.command("see", cls=See)
@click.argument("method", required=False)
@click.argument("model", metavar="NAME|FILE", required=False, shell_complete=complete_names_and_files)
@click.argument("images", metavar="IMAGE...", nargs=-1, type=click.Path())
@click.option("--list", "listing", is_flag=True, help="The methods by kind; of METHOD, what its options mean.")
@click.option("--weights", metavar="W", help="imagenet (the best there are), torchvision, keras, timm, or a file.")
@click.option("--other", metavar="NAME|FILE", help="The network beside which side_by_side puts the first.")
@click.option("--other-weights", metavar="W", help="Those of the other network, as --weights.")
@click.option("--of", metavar="METHOD", multiple=True, help="The method that is smoothed, judged or fools.")
@click.option("--class", "classes", metavar="K,..", help="A number or a name; the predicted class unless given.")
@click.option("--layer", metavar="L", help="A layer, as `kerascnn show --layers` names it; to invert, L,L,...")
@click.option("--unit", metavar="K", type=click.IntRange(0), multiple=True, help="A channel of the layer, or several.")
@click.option("--top", metavar="N", type=COUNT, help="The N strongest channels of each image, where no unit is given.")
@click.option("--samples", metavar="N", type=COUNT, help="Noisy images that a method averages.")
@click.option("--noise", metavar="X", type=click.FloatRange(0), help="Its share of the image's range.")
@click.option("--steps", metavar="N", type=COUNT, help="Steps of an integral, a curve, a climb; cuts of segment.")
@click.option("--baseline", metavar="V", type=Numbers(), help="Where an integral begins: a grey, or r,g,b. Black: 0.")
@click.option("--channels", metavar="N", type=COUNT, help="Those that vary most, where all would take long.")
@click.option("--patch", metavar="PX", type=COUNT, help="Side of what covers the image, in pixels.")
@click.option("--stride", metavar="PX", type=COUNT, help="Pixels from one place of the patch to the next.")
@click.option("--fill", metavar="V", type=Numbers(), help="What covers or replaces pixels: a grey, or r,g,b.")
@click.option(
    "--blur", metavar="PX", type=float, help="Sigma of a Gaussian: on the image of curves, the map of segment."
)
@click.option("--foreground", metavar="X", type=float, help="Quantile of the map above which the object's colours are.")
@click.option("--background", metavar="X", type=float, help="Quantile up to which the colours are the surroundings'.")
@click.option("--independent", is_flag=True, help="Random weights in one layer at a time.")
@click.option("--sort", metavar="BY", help="Filters: index, rms, orientation, hue; maps: index, max, mean, sparsity.")
@click.option("--scale", metavar="S", help="Of filters: filter (the form of each), common (their strengths).")
@click.option("--components", is_flag=True, help="The strongest spatial components of filters.")
@click.option("--scales", metavar="X,..", type=Numbers(), help="The short side of a slid over photo, in the model's.")
@click.option("--longest", metavar="PX", type=COUNT, help="The long side above which a slid over photo is reduced.")
@click.option("--target", metavar="K,..", help="The class that a network should be fooled to; any other if none.")
@click.option("--whole", is_flag=True, help="Change pixels by whole numbers, so that a file fools too.")
@click.option("--recipe", metavar="R", help="How images climb: lucid, brisk, yosinski_3, ...; see the README.")
@click.option("--copies", metavar="N", type=COUNT, help="Pictures of the same, from other noise.")
@click.option("--count", metavar="N", type=COUNT, help="Facets of a class or unit.")
@click.option("--size", metavar="PX", type=COUNT, help="Side of a picture, the longer one of a dream; or of a change.")
@click.option("--octaves", metavar="N", type=COUNT, help="Sizes in which a dream is dreamt.")
@click.option("--guide", metavar="IMAGE", type=FILE, help="An image of which a dream should remind.")
@click.option("--frames", metavar="N", type=COUNT, help="Of a flight into the dream, as PNG files in --folder.")
@click.option("--goal", metavar="P", type=click.FloatRange(0, 1), help="The probability that is good enough.")
@click.option("--encoding", metavar="E", help="What is evolved: cppn (patterns) or direct (pixels).")
@click.option("--generations", metavar="N", type=COUNT, help="Of images that are evolved.")
@click.option("--seed", metavar="N", type=click.IntRange(0), help="Of what is drawn at random.")
@click.option("--batch", metavar="N", type=COUNT, help="Images in the network at once; fewer need less memory.")
@click.option("--out", metavar="FILE.png", type=FILE, help="The picture; METHOD.png here unless given.")
@click.option("--folder", metavar="DIR", type=click.Path(file_okay=False), help="Each dreamt picture as a PNG in it.")
@click.option("--values", metavar="FILE.npz", type=FILE, help="Write the numbers behind the picture too.")
@click.option("--force", is_flag=True, help="Let --out and --values replace a file.")
def command(method, model, images, listing, weights, other_weights, frames, out, folder, values, force, **asked):
    """Draw what a network sees in photos.

    METHOD is one that `kerascnn see --list` names; `kerascnn see METHOD --list` says what its options mean. Segment,
    curves, choose and sanity are made of the maps of another one, that --of names, and take its options too. NAME is a
    network that `kerascnn list` names, with its published weights. FILE is any Keras model, .keras or .h5, that takes
    pixels 0..255. IMAGE is an image file, or a folder of them.
    """
    if listing:
        answer("see", *listed(method))
        return
    check_words(method, model, images)
    row = network_called(model)
    weights = check_weights(model, row, weights)
    other = asked["other"]
    if other_weights and not other:
        raise Misuse("--other-weights goes with --other")
    other_row = network_called(other) if other else None
    other_weights = check_weights(other, other_row, other_weights) if other else None
    out = out or f"{method}.png"
    check_new(out, f"--out {method}.png", PICTURES, force)
    check_new(values, f"--values {method}.npz", (".npz",), force)
    way = chosen(method)
    load_keras()
    options = check_options(way, images, asked)
    if frames and (way.name != "dream" or folder is None):
        raise Misuse("--frames needs a --folder" if way.name == "dream" else "--frames goes with dream")
    if folder and way.name not in IN_FOLDERS:
        raise Misuse(f"--folder goes with {', '.join(IN_FOLDERS)}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        network = build(row.name, weights) if row else read(model)
        if other:
            options["other"] = build(other_row.name, other_weights) if other_row else read(other)
        found = seen(way, network, [*images], options)
    keep(found, out)
    write(found, values)
    files = alone(found, folder, frames and (network, [*images], options, frames))
    told = [*dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, UserWarning))]
    result = {"method": method, "model": network.name, "score": getattr(found, "score", None), "images": rows(found)}
    result |= {"table": records(found), "picture": out, "values": values, "files": files}
    answer("see", result, [*lines(found, out, values), *([f"{len(files)} files: {folder}"] if files else [])], told)
    for line in told:
        remark(line)


def check_words(method, model, images):
    """Refuse what lacks a word, or an image, before Keras is loaded."""
    missing = [word for word, said in (("METHOD", method), ("NAME|FILE", model)) if not said]
    if missing:
        raise Misuse(f"missing argument {missing[0]}", "kerascnn see METHOD NAME|FILE IMAGE..., kerascnn see --list")
    if images and not any(os.path.exists(path) for path in images):
        raise BadFile(f"there is no image {images[0]}")


def listed(method=None):
    """(data, lines) of all ways, or of one with what its options mean."""
    known = {method: chosen(method)} if method else ways()
    rows = [
        {"method": name, "kind": way.row.kind, "title": way.row.title, "what": way.row.what, "options": [*way.options]}
        for name, way in known.items()
    ]
    if not method:
        return rows, all_lines(known)
    rows[0]["help"] = known[method].options
    return rows, lines_of(known[method])


def all_lines(known):
    """What each way does, kind by kind, and below it its options."""
    from kerascnn.visualize.registry import KINDS

    room, wide = width(), max(map(len, known)) + 2
    for kind, heading in KINDS.items():
        yield cut(bold(f"{heading} ({kind})"), room)
        for name, way in known.items():
            if way.row.kind != kind:
                continue
            yield cut(f"  {bold(name)}{' ' * (wide - len(name))}{way.row.title}", room)
            words = " ".join([*way.options, *(["and those of its method"] if way.judges else [])])
            for text in (way.row.what, words):
                yield from map(dim, indented(text, wide + 2, room))


def lines_of(way):
    """What a way does, and what each of its options means."""
    room, wide = width(), max(map(len, way.options)) + 4
    yield cut(f"{bold(way.name)}  {way.row.title}", room)
    yield from indented(way.row.what, 0, room)
    general = {spelled(option.name): option.help for option in command.params if isinstance(option, click.Option)}
    for option, says in way.options.items():
        first, *rest = indented(says or general.get(option, ""), wide, room) or [""]
        yield f"  {option}".ljust(wide) + first.lstrip()
        yield from rest


def indented(text, indent, room):
    """Lines of a text, as wide as there is room."""
    from textwrap import wrap

    lines = wrap(text, max((room or 120) - indent, 20), break_on_hyphens=False)
    return [" " * indent + line for line in lines]


def seen(way, network, images, options):
    """What the way finds."""
    from kerascnn.inputs.class_names import resolve_class_names
    from kerascnn.inputs.decode import ImageError
    from kerascnn.support.progress import progress
    from kerascnn.visualize import probe

    try:
        opened = probe(network)
    except ValueError as error:
        raise BadFile(f"{network.name} cannot be looked into: {error}") from error
    names = resolve_class_names(None, opened.output.shape[-1], network)
    try:
        for layer in options.get("layer", "").split(",") if "layer" in options else ():
            opened.tap(layer)
        if "classes" in options:
            options |= {"classes": number_of(options["classes"], names)}
        if "target" in options:
            options |= {"target": number_of(options["target"], names)}
        with waiting("looking ..."), progress(verbosity(), every=EVERY) as shown:
            return look(way, network, images, options, {"labels": names, "tell": shown})
    except ImageError as error:
        raise BadFile(error) from error
    except ValueError as error:
        raise Misuse(error, f"kerascnn see --list, kerascnn show --layers {network.name}") from error


def number_of(text, names):
    """The class with a number or a name."""
    from kerascnn.support.text import unknown

    if "," in text and text.lower() not in (name.lower() for name in names or ()):
        return [number_of(each.strip(), names) for each in text.split(",")]
    if text.isdigit():
        return int(text)
    if not names:
        raise ValueError(f"`--class` should be a number: the classes have no names here. Received: {text}")
    found = [number for number, name in enumerate(names) if name.lower() == text.lower().replace("_", " ")]
    if not found:
        raise ValueError(unknown("class", text, names))
    return found[0]


def alone(found, folder, flight):
    """The pictures of a dream each in a file of its own, and the frames of a flight into it: their paths."""
    if folder is None:
        return []
    if not flight:
        return [str(path) for path in found.save_images(folder)]
    from kerascnn.support.progress import progress
    from kerascnn.visualize import dream_on

    network, images, options, frames = flight
    names = {
        "layer": "layer",
        "unit": "units",
        "size": "size",
        "guide": "guide",
        "octaves": "octaves",
        "steps": "steps",
    }
    given = {names[name]: value for name, value in options.items() if name in names and value not in (None, ())}
    with progress(verbosity(), every=EVERY) as shown:
        return dream_on(network, images[0], folder, frames, tell=shown, **given)
