"""`kerascnn see`: a picture of what a network sees in photos, by one of the methods."""

from functools import cache, partial

import click

from kerascnn.support.text import cut_line

from ..backend import load_keras
from ..errors import BadFile, Misuse, failing_as, one_line, writing
from ..models import complete_names_and_files, find_model, weights_option
from ..options import COUNT, PICTURES, SEED, Command, check_image, check_new, keep
from ..output import (
    answer,
    bold,
    collected_warnings,
    dim,
    json_number,
    json_rows,
    json_value,
    pairs,
    verbosity,
    waiting,
    width,
)
from ..settings import variable_name

RENAMED = {  # option -> what functions call it, where that is something else
    "of": ("method", "methods", "attribution"),
    "other": ("model_b",),
    "layer": ("layer", "layers"),
    "unit": ("unit", "units"),
}
PASSED_ON = {  # kind -> what a function with **options takes too
    "faithfulness": ("batch", "labels", "on_progress"),
    "attack": ("size", "steps", "whole", "seed", "batch", "labels", "on_progress"),
}
PYTHON_ONLY = ("model", "images", "score", "labels", "on_progress", "windows")  # arguments that are no options
SHARED = ("classes", "seed", "batch")  # what a judge and its methods both are told
COMPARED = ("saliency", "gradient_x_input", "integrated_gradients", "grad_cam", "layer_cam", "occlusion")  # by `choose`
DEFAULT = "saliency"  # of which one, where nothing is said
EVERY = 10  # seconds between lines of progress where there is no terminal
IN_FOLDERS = ("maximize", "facets", "dream", "unrecognizable")  # whose pictures are also files of their own
FILE = click.Path(dir_okay=False)


class Values(click.ParamType):
    """One value, or several with commas: what ``kind`` makes of each, or a word where it makes nothing."""

    def __init__(self, name, kind, words):
        self.name, self.kind, self.words = name, kind, words

    def convert(self, value, option, context):
        if not isinstance(value, str):
            return value
        parts = [part.strip() for part in value.split(",")]
        if not self.words and not all(map(self.is_kind, parts)):
            return value
        values = [self.kind(part) if self.is_kind(part) else part for part in parts]
        return tuple(values) if len(values) > 1 else values[0]

    def is_kind(self, text):
        try:
            return self.kind(text) is not None
        except ValueError:
            return False


NUMBERS = Values("numbers", float, words=False)  # mean, 127.5, 255,0,0
CLASSES = Values("classes", int, words=True)  # 3, frog, frog,3


class See(Command):
    """A command with an option for each argument of an attribution method that is none already."""

    def get_params(self, context):
        return [*super().get_params(context), *self.derived()]

    def derived(self):
        """The options that nothing here names."""
        return [derived_option(parameter) for parameter in more_parameters().values()]


@cache
def derived_option(parameter):
    """The option that an argument is, by its default."""
    name, default = f"--{parameter.name.replace('_', '-')}", parameter.default
    given = {"help": one_line(parameter.help), "envvar": variable_name(("see",), parameter.name)}
    if default is False:
        return click.Option([name], is_flag=True, **given)
    kind = NUMBERS if default is None else type(default)
    return click.Option([name], type=kind, metavar="W" if isinstance(default, str) else "X", **given)


@click.command("see", cls=See)
@click.argument("method", required=False)
@click.argument("model", metavar="NAME|FILE", required=False, shell_complete=complete_names_and_files)
@click.argument("images", metavar="IMAGE...", nargs=-1, type=click.Path())
@click.option("--list", "listing", is_flag=True, help="The methods by kind; of METHOD, what its options mean.")
@weights_option
@click.option(
    "--class", "classes", metavar="K,..", type=CLASSES, help="By number or name; those predicted unless given."
)
@click.option("--of", metavar="METHOD", multiple=True, help="The method that is smoothed, judged or fools.")
@click.option("--other", metavar="NAME|FILE", help="The network beside which side_by_side puts the first.")
@click.option("--other-weights", metavar="W", help="Those of the other network, as --weights.")
@click.option("--layer", metavar="L", help="A layer, as `kerascnn show --layers` names it; to invert, L,L,...")
@click.option("--unit", metavar="K", type=click.IntRange(0), multiple=True, help="A channel of the layer, or several.")
@click.option("--top", metavar="N", type=COUNT, help="The N strongest channels of each image, where no unit is given.")
@click.option("--samples", metavar="N", type=COUNT, help="Noisy images that a method averages.")
@click.option("--noise", metavar="X", type=click.FloatRange(0), help="Its share of the image's range.")
@click.option("--steps", metavar="N", type=COUNT, help="Steps of an integral, a curve, a climb; cuts of segment.")
@click.option("--baseline", metavar="V", type=NUMBERS, help="Where an integral begins: a gray, or r,g,b. Black: 0.")
@click.option("--channels", metavar="N", type=COUNT, help="Those that vary most, where all would take long.")
@click.option("--patch", metavar="PX", type=COUNT, help="Side of what covers the image, in pixels.")
@click.option("--stride", metavar="PX", type=COUNT, help="Pixels from one place of the patch to the next.")
@click.option("--fill", metavar="V", type=NUMBERS, help="What covers or replaces pixels: a gray, or r,g,b.")
@click.option(
    "--blur", metavar="PX", type=float, help="Sigma of a Gaussian: on the image of curves, the map of segment."
)
@click.option("--foreground", metavar="X", type=float, help="Quantile of the map above which the object's colors are.")
@click.option("--background", metavar="X", type=float, help="Quantile up to which the colors are the surroundings'.")
@click.option("--independent", is_flag=True, help="Random weights in one layer at a time.")
@click.option("--sort", metavar="BY", help="Filters: index, rms, orientation, hue; maps: index, max, mean, sparsity.")
@click.option("--scale", metavar="S", help="Of filters: filter (the form of each), common (their strengths).")
@click.option("--components", is_flag=True, help="The strongest spatial components of filters.")
@click.option("--scales", metavar="X,..", type=NUMBERS, help="The short side of a slid over photo, in the model's.")
@click.option("--longest", metavar="PX", type=COUNT, help="The long side above which a slid over photo is reduced.")
@click.option("--target", metavar="K,..", type=CLASSES, help="The class to fool a network to; any other if none.")
@click.option("--whole", is_flag=True, help="Change pixels by whole numbers, so that a file fools too.")
@click.option("--recipe", metavar="R", help="How images climb: lucid, brisk, yosinski_3, ...; see the README.")
@click.option("--copies", metavar="N", type=COUNT, help="Pictures of the same, from other noise.")
@click.option("--count", metavar="N", type=COUNT, help="Facets of a class or unit.")
@click.option("--size", metavar="PX", type=COUNT, help="Side of a picture, the longer one of a dream; or of a change.")
@click.option("--octaves", metavar="N", type=COUNT, help="Sizes in which a dream is dreamed.")
@click.option("--guide", metavar="IMAGE", type=FILE, help="An image of which a dream should remind.")
@click.option("--frames", metavar="N", type=COUNT, help="Of a flight into the dream, as PNG files in --folder.")
@click.option("--goal", metavar="P", type=click.FloatRange(0, 1), help="The probability that is good enough.")
@click.option("--encoding", metavar="E", help="What is evolved: cppn (patterns) or direct (pixels).")
@click.option("--generations", metavar="N", type=COUNT, help="Of images that are evolved.")
@click.option("--seed", metavar="N", type=SEED, help="Of what is drawn at random.")
@click.option("--batch", metavar="N", type=COUNT, help="Images in the network at once; fewer need less memory.")
@click.option("--out", metavar="FILE.png", type=FILE, help="The picture; METHOD.png here unless given.")
@click.option("--folder", metavar="DIR", type=click.Path(file_okay=False), help="Each dreamed picture as a PNG in it.")
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
        answer("see", *list_methods(method))
        return
    missing = [word for word, said in (("METHOD", method), ("NAME|FILE", model)) if not said]
    if missing:
        raise Misuse(f"missing argument {missing[0]}", "kerascnn see METHOD NAME|FILE IMAGE..., kerascnn see --list")
    if images:
        check_image(images)
    source = find_model(model, weights)
    if other_weights and not asked["other"]:
        raise Misuse("--other-weights goes with --other")
    other = find_model(asked["other"], other_weights) if asked["other"] else None
    out = out or f"{method}.png"
    check_new(out, f"--out {method}.png", PICTURES, force)
    check_new(values, f"--values {method}.npz", (".npz",), force)
    row = find_method(method)
    load_keras()
    options = {name: value for name, value in asked.items() if value not in (None, ()) and value is not False}
    check_options(row, images, options)
    check_folder(row.name, folder, frames)
    with collected_warnings() as warnings:
        network = source.open()
        if other:
            options["other"] = other.open()
        found = look(row, network, [*images], options)
    keep(found, out)
    if values:
        with writing(values):
            write_numbers(found, values)
    files = []
    if folder:
        files = fly(network, images[0], folder, frames, options) if frames else found.save_images(folder)
    result = {
        "method": method,
        "model": network.name,
        "score": getattr(found, "score", None),
        "images": image_rows(found),
        "table": None if table_of(found) is None else json_rows(table_of(found)),
        "picture": out,
        "values": values,
        "files": [*map(str, files)],
    }
    answer("see", result, result_lines(found, result, folder), warnings)


OWN = {"listing", "weights", "other_weights", "frames", "out", "folder", "values", "force"}  # which no function takes
OPTIONS = {  # option -> the parameters of functions that it is
    option.name: RENAMED.get(option.name, (option.name,))
    for option in command.params
    if isinstance(option, click.Option) and option.expose_value and option.name not in OWN
}


def find_method(name):
    """The row of a method."""
    from kerascnn.support.text import unknown
    from kerascnn.visualize.registry import ROWS

    if name not in ROWS:
        raise Misuse(unknown("method", name, ROWS), "kerascnn see --list")
    return ROWS[name]


def more_parameters():
    """{name: parameter} of attribution methods that `OPTIONS` does not name."""
    from kerascnn.visualize.registry import of_kind

    known = {*PYTHON_ONLY}.union(*OPTIONS.values())
    parameters = {}
    for row in of_kind("attribution").values():
        parameters |= row.parameters
    return {name: each for name, each in parameters.items() if name not in known and each.default is not True}


def arguments_of(row):
    """The arguments that a method's function takes, with those that it passes on."""
    return {*row.parameters, *(PASSED_ON.get(row.kind, ()) if row.passes_on else ())}


def argument_of(row, option):
    """What a method's function calls an option; None where it does not take it."""
    arguments = arguments_of(row)
    return next((name for name in OPTIONS.get(option, (option,)) if name in arguments), None)


def is_judge(row):
    """Whether a method is made of the maps of other methods."""
    return row.kind == "faithfulness"


def images_of(row):
    """Whether a method's images are "needed", "optional" or "none"."""
    images = row.parameters.get("images")
    if images is None and not is_judge(row):
        return "none"
    return "needed" if is_judge(row) or images.required else "optional"


def own_options(row):
    """{a method's own option as typed: what its docstring says of it}."""
    arguments = {spelled(name): argument_of(row, name) for name in (*OPTIONS, *more_parameters())}
    helps = {name: parameter.help for name, parameter in row.parameters.items()}
    return {option: helps.get(name, "") for option, name in arguments.items() if name}


def spelled(option):
    """An option as it is typed."""
    return f"--{option.replace('classes', 'class')}"


def check_options(row, images, options):
    """Refuse options that neither the method nor those that it judges take, and what it cannot do without."""
    made_of = methods_judged(row, options)
    wrong = [name for name in options if not any(argument_of(each, name) for each in (row, *made_of))]
    if wrong:
        own = ", ".join(own_options(row)) or "none"
        more = f", and those of {', '.join(each.name for each in made_of)}" if made_of else ""
        raise Misuse(f"{row.name} does not take {spelled(wrong[0])}", f"its own options: {own}{more}")
    if images_of(row) not in ("optional", "needed" if images else "none"):
        said = "needs images" if images_of(row) == "needed" else "looks at the network alone"
        raise Misuse(f"{row.name} {said}. Received: {', '.join(images) or 'none'}")
    if argument_of(row, "other") and "other" not in options:
        raise Misuse(f"{row.name} needs another network", f"kerascnn see {row.name} NAME|FILE --other NAME|FILE")
    layer = row.parameters.get("layer")
    if "layer" not in options and ("unit" in options or (layer and layer.required)):
        raise Misuse(f"{row.name} needs a --layer here", "kerascnn show --layers, which names them")


def check_folder(method, folder, frames):
    """Refuse --folder and --frames where they do not go."""
    if frames and (method != "dream" or folder is None):
        raise Misuse("--frames needs a --folder" if method == "dream" else "--frames goes with dream")
    if folder and method not in IN_FOLDERS:
        raise Misuse(f"--folder goes with {', '.join(IN_FOLDERS)}")


def methods_judged(row, options):
    """The rows of the methods whose maps a method is made of; what --of names is checked."""
    from kerascnn import visualize
    from kerascnn.support.text import unknown

    several, known = "methods" in row.parameters, visualize.ATTACKS if row.name == "fool" else visualize.METHODS
    names = options.get("of") or ()
    if is_judge(row):
        names = names or (COMPARED if several else (DEFAULT,))
    if len(names) > 1 and not several:
        raise Misuse(f"{row.name} takes one --of. Received: {', '.join(names)}")
    for name in names:
        if name not in known:
            raise Misuse(unknown("--of", name, known), "kerascnn see --list")
    return [find_method(name) for name in names] if is_judge(row) else []


def look(row, network, images, options):
    """What a method finds."""
    from kerascnn.inputs.classifier import resolve_class_names
    from kerascnn.support.progress import progress
    from kerascnn.visualize import probe

    with failing_as(BadFile, f"{network.name} cannot be looked into: "):
        opened = probe(network)
    names = resolve_class_names(None, opened.output.shape[-1], network)
    advice = f"kerascnn see --list, kerascnn show --layers {network.name}"
    with failing_as(Misuse, advice=advice), waiting("looking ..."), progress(verbosity(), every=EVERY) as shown:
        for layer in options["layer"].split(",") if "layer" in options else ():
            opened.tap(layer)
        return call_method(row, network, images, options, {"labels": names, "on_progress": count_only(shown)})


def count_only(shown):
    """A hook that shows numbers alone."""
    return lambda done, total, what: shown(done, total)


def call_method(row, network, images, options, also):
    """What a method finds; ``also`` are "labels" and "on_progress", for what takes them."""
    own = named_arguments(row, options, also)
    if not is_judge(row):
        if "method" in own:
            (own["method"],) = own["method"]
        return row.function(network, **({"images": images} if images else {}), **own)
    apart = {name: value for name, value in options.items() if name in SHARED or not argument_of(row, name)}
    made_of = {
        each.name: partial(each.function, **named_arguments(each, apart, also)) for each in methods_judged(row, options)
    }
    own = {name: value for name, value in own.items() if name not in OPTIONS["of"]}
    if "methods" in row.parameters:
        return row.function(network, images, methods=made_of, **own)
    (method,) = made_of.values()
    if "method" in row.parameters:
        return row.function(network, images, method=method, **own)
    found = method(network, images)
    own.pop("classes", None)  # the map has them
    return row.function(*([network] if "model" in row.parameters else []), found, **own)


def named_arguments(row, options, also):
    """Those of the options, and of ``also``, that a method's function takes, as it calls them."""
    named = {argument_of(row, name): value for name, value in options.items()}
    if "layers" in named:
        named["layers"] = named["layers"].split(",")
    named |= {name: value for name, value in also.items() if name in arguments_of(row)}
    return {name: value for name, value in named.items() if name is not None}


def fly(network, image, folder, frames, options):
    """The files of the frames of a flight into a dream."""
    from kerascnn.support.progress import progress
    from kerascnn.visualize import dream_on
    from kerascnn.visualize.registry import ROWS

    named = named_arguments(ROWS["dream"], options, {})
    named = {name: named[name] for name in ("layer", "units", "size", "guide", "octaves", "steps") if name in named}
    with progress(verbosity(), every=EVERY) as shown:
        return dream_on(network, image, folder, frames, on_progress=count_only(shown), **named)


def write_numbers(found, path):
    """The numbers of a result: its arrays, those among its facts, and the columns of its table."""
    import numpy as np

    held = vars(found) | getattr(found, "facts", {})
    arrays = {name: value for name, value in held.items() if isinstance(value, np.ndarray)}
    more = {"map": getattr(found, "map", None), "names": held.get("names"), "classes": held.get("classes")}
    arrays |= {name: np.asarray(value) for name, value in more.items() if value is not None}
    table = table_of(found)
    if table is not None:
        numbers = table.select_dtypes(("number", "bool"))
        arrays |= {f"table_{name}": column.to_numpy() for name, column in numbers.items()}
    np.savez_compressed(path, **arrays)


def table_of(found):
    """The DataFrame of a result, measures with their names as a column."""
    table = getattr(found, "table", None)
    return table if table is None or table.index.name is None else table.reset_index()


def image_rows(found):
    """What is said of each image, as plain data; nothing where a method says nothing of images."""
    classes, labels = getattr(found, "classes", None), getattr(found, "labels", None)
    facts = {name: values for name, values in getattr(found, "facts", {}).items() if getattr(values, "ndim", 0) == 1}
    rows = []
    for i, name in enumerate(found.names if hasattr(found, "title") else ()):
        row = {"image": name}
        if classes is not None:
            row |= {"class": int(classes[i]), "label": labels[classes[i]] if labels else None}
        row["score"] = json_number(found.scores[i])
        rows.append(row | {fact: json_value(values[i]) for fact, values in facts.items()})
    return rows


def result_lines(found, result, folder):
    """Each image with its class and score, and where the picture is."""
    room = width()
    if not hasattr(found, "title"):
        yield str(found)
    for i, row in enumerate(result["images"]):
        title = found.title(i)
        if not title.startswith(row["image"]):
            yield bold(row["image"])
            title = f"  {title}"
        facts = [f"{name} {value:.3g}" for name, value in row.items() if isinstance(value, float) and name != "score"]
        yield cut_line(", ".join([title, *facts]), room)
    yield f"drawn: {result['picture']}"
    if result["values"]:
        yield f"numbers: {result['values']}"
    if result["files"]:
        yield f"{len(result['files'])} files: {folder}"


def list_methods(name=None):
    """(data, lines) of all methods, or of one with what its options mean."""
    from kerascnn.visualize.registry import ROWS

    known = [find_method(name)] if name else [*ROWS.values()]
    data = [
        {"method": row.name, "kind": row.kind, "title": row.title, "what": row.what, "options": [*own_options(row)]}
        for row in known
    ]
    if not name:
        return data, all_lines(known)
    data[0]["help"] = own_options(known[0])
    return data, help_lines(known[0])


def all_lines(rows):
    """What each method does, kind by kind, and below it its options."""
    from kerascnn.visualize.registry import KINDS

    room = width()
    wide = max(len(row.name) for row in rows) + 2
    for kind, heading in KINDS.items():
        yield cut_line(bold(f"{heading} ({kind})"), room)
        for row in rows:
            if row.kind != kind:
                continue
            yield cut_line(f"  {bold(row.name)}{' ' * (wide - len(row.name))}{row.title}", room)
            words = " ".join([*own_options(row), *(["and those of its method"] if is_judge(row) else [])])
            for text in (row.what, words):
                yield from map(dim, indented(text, wide + 2, room))


def help_lines(row):
    """What a method does, and what each of its options means."""
    room = width()
    yield cut_line(f"{bold(row.name)}  {row.title}", room)
    yield from indented(row.what, 0, room)
    general = {spelled(option.name): option.help for option in command.params if isinstance(option, click.Option)}
    yield from pairs({option: says or general.get(option, "") for option, says in own_options(row).items()}, room=room)


def indented(text, indent, room):
    """Lines of a text, as wide as there is room."""
    from textwrap import wrap

    return [" " * indent + line for line in wrap(text, max((room or 120) - indent, 20), break_on_hyphens=False)]
