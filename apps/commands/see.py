"""`kerascnn see`: visualize what a network sees in photos."""

from functools import cache, partial

import click

from kerascnn.support.text import clip_line

from ..backend import load_keras
from ..errors import BadFile, Misuse, one_line, raise_as, writing
from ..models import complete_names_and_files, find_model, weights_option
from ..options import COUNT, PICTURES, POSITIVE, SEED, Command, check_image, check_output_file, save_result
from ..output import (
    bold,
    collect_warnings,
    dim,
    format_pairs,
    json_number,
    json_rows,
    json_value,
    print_result,
    terminal_width,
    verbosity,
    waiting,
)
from ..settings import variable_name

PARAMETERS = {  # option -> argument names, if they differ
    "method": ("method", "methods", "attribution"),
    "other": ("model_b",),
    "layer": ("layer", "layers"),
    "unit": ("unit", "units"),
}
PASSED_ON = {  # kind -> further arguments of functions with **options
    "faithfulness": ("batch_size", "class_names", "on_progress"),
    "attack": ("epsilon", "steps", "integer_pixels", "seed", "batch_size", "class_names", "on_progress"),
}
PYTHON_ONLY = ("model", "images", "score", "class_names", "on_progress", "windows")  # arguments without an option
EVALUATION_OPTIONS = ("classes", "seed", "batch_size")  # for an evaluation and for the methods that it evaluates
COMPARED = (
    "saliency",
    "gradient_x_input",
    "integrated_gradients",
    "grad_cam",
    "layer_cam",
    "occlusion",
)  # default of `choose`
DEFAULT = "saliency"  # default method of other evaluations
EVERY = 10  # seconds between lines of progress without a terminal
IN_FOLDERS = ("maximize", "facets", "dream", "unrecognizable")  # methods whose images can be saved one by one
FILE = click.Path(dir_okay=False)


class Values(click.ParamType):
    """One value, or several separated by commas, converted by ``kind``; words if ``words`` allows them."""

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
    """A command with an option for each remaining argument of the attribution methods."""

    def get_params(self, context):
        return [*super().get_params(context), *self.extra_options()]

    def extra_options(self):
        """Options of the arguments that have no explicit option."""
        return [option_of_parameter(parameter) for parameter in method_parameters().values()]


@cache
def option_of_parameter(parameter):
    """Make an option for an argument, with the type of its default."""
    name, default = f"--{parameter.name.replace('_', '-')}", parameter.default
    settings = {"help": one_line(parameter.help), "envvar": variable_name(("see",), parameter.name)}
    if default is False:
        return click.Option([name], is_flag=True, **settings)
    kind = NUMBERS if default is None else type(default)
    return click.Option([name], type=kind, metavar="W" if isinstance(default, str) else "X", **settings)


@click.command("see", cls=See)
@click.argument("name", metavar="[METHOD]", required=False)
@click.argument("model", metavar="NAME|FILE", required=False, shell_complete=complete_names_and_files)
@click.argument("images", metavar="IMAGE...", nargs=-1, type=click.Path())
@click.option("--list", "listing", is_flag=True, help="List all methods by kind; with METHOD, explain its options.")
@weights_option
@click.option(
    "--classes", metavar="K,..", type=CLASSES, help="Classes by number or name. [the predicted class of each image]"
)
@click.option(
    "--method",
    metavar="METHOD",
    multiple=True,
    help="Method to smooth, evaluate, or fool with; may be repeated for choose.",
)
@click.option("--other", metavar="NAME|FILE", help="Second network, for side_by_side.")
@click.option("--other-weights", metavar="W", help="Weights of the second network, as for --weights.")
@click.option(
    "--layer",
    metavar="L",
    help=("Layer name, as shown by `kerascnn show --layers`; for invert, several separated by commas."),
)
@click.option(
    "--unit", metavar="K", type=click.IntRange(0), multiple=True, help="Channel of the layer; may be repeated."
)
@click.option("--top", metavar="N", type=COUNT, help="Number of strongest channels per image, if no --unit is given.")
@click.option("--samples", metavar="N", type=COUNT, help="Number of noisy copies of each image to average.")
@click.option(
    "--noise",
    metavar="X",
    type=click.FloatRange(0),
    help="Standard deviation of the noise, as a fraction of the image's range.",
)
@click.option(
    "--steps",
    metavar="N",
    type=COUNT,
    help=("Number of steps of the integral, curve or optimization; iterations of GrabCut for segment."),
)
@click.option(
    "--baseline", metavar="V", type=NUMBERS, help="Image where the integral starts: a gray value or r,g,b; 0 is black."
)
@click.option("--channels", metavar="N", type=COUNT, help="Use only the N channels that vary most, to save time.")
@click.option("--patch", metavar="PX", type=COUNT, help="Side of the occluding patch in pixels.")
@click.option("--stride", metavar="PX", type=COUNT, help="Distance between patch positions in pixels.")
@click.option("--fill", metavar="V", type=NUMBERS, help="Value of covered or deleted pixels: a gray value or r,g,b.")
@click.option(
    "--blur",
    metavar="PX",
    type=float,
    help=("Sigma of the Gaussian blur, in pixels: of the image for curves, of the map for segment."),
)
@click.option(
    "--foreground", metavar="X", type=float, help="Pixels above this quantile of the map are taken as object."
)
@click.option(
    "--background", metavar="X", type=float, help="Pixels below this quantile of the map are taken as background."
)
@click.option("--independent", is_flag=True, help="Randomize one layer at a time instead of cumulatively.")
@click.option(
    "--sort", metavar="BY", help="Sort filters by index, rms, orientation or hue; maps by index, max, mean or sparsity."
)
@click.option(
    "--scale",
    metavar="S",
    help=("Scale each filter on its own (filter, shows shape) or all together (common, shows strength)."),
)
@click.option("--components", is_flag=True, help="Show the strongest spatial components of the filters.")
@click.option(
    "--scales",
    metavar="X,..",
    type=NUMBERS,
    help="Scales of the photo: its short side as a multiple of the model's input size.",
)
@click.option("--longest", metavar="PX", type=COUNT, help="Photos with a longer side than this are reduced, in pixels.")
@click.option("--target", metavar="K,..", type=CLASSES, help="Target class. [any other class]")
@click.option(
    "--integer-pixels",
    is_flag=True,
    help="Round the change to integer pixel values, so that a saved image still fools the network.",
)
@click.option("--recipe", metavar="R", help="Optimization recipe: lucid, brisk, yosinski_3, ...; see the README.")
@click.option("--copies", metavar="N", type=COUNT, help="Number of images, from different random starts.")
@click.option("--count", metavar="N", type=COUNT, help="Number of facets of a class or unit.")
@click.option("--size", metavar="PX", type=COUNT, help="Size of the image in pixels; for dream, of its longer side.")
@click.option("--epsilon", metavar="X", type=POSITIVE, help="Largest change of a pixel, 0..255.")
@click.option("--octaves", metavar="N", type=COUNT, help="Number of octaves (image sizes) of a dream.")
@click.option("--guide", metavar="IMAGE", type=FILE, help="Guide image, whose features the dream should resemble.")
@click.option(
    "--frames",
    metavar="N",
    type=COUNT,
    help="Number of frames of a zoom into the dream, saved as PNG files in --images-dir.",
)
@click.option("--goal", metavar="P", type=click.FloatRange(0, 1), help="Stop when the class reaches this probability.")
@click.option("--encoding", metavar="E", help="Encoding of evolved images: cppn (patterns) or direct (pixels).")
@click.option("--generations", metavar="N", type=COUNT, help="Number of generations.")
@click.option("--seed", metavar="N", type=SEED, help="Random seed.")
@click.option("--batch-size", metavar="N", type=COUNT, help="Batch size; smaller needs less memory.")
@click.option("--out", metavar="FILE.png", type=FILE, help="Output file. [METHOD.png]")
@click.option(
    "--images-dir",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Also save each synthesized image as a PNG file in this folder.",
)
@click.option("--values", metavar="FILE.npz", type=FILE, help="Also save the values behind the figure.")
@click.option("--force", is_flag=True, help="Overwrite existing files at --out and --values.")
def see_command(
    name, model, images, listing, weights, other_weights, frames, out, images_dir, values, force, **settings
):
    """Visualize what a network sees in photos.

    METHOD is one of `kerascnn see --list`; `kerascnn see METHOD --list` explains its options. The methods segment,
    curves, choose and sanity evaluate the maps of another method, named by --method, and accept its options too. NAME
    is a network listed by `kerascnn list`, used with its published weights. FILE is any Keras model, .keras or .h5,
    that takes pixels 0..255. IMAGE is an image file or a folder of them.
    """
    if listing:
        print_result("see", *list_methods(name))
        return
    missing = [word for word, value in (("METHOD", name), ("NAME|FILE", model)) if not value]
    if missing:
        raise Misuse(f"missing argument {missing[0]}", "kerascnn see METHOD NAME|FILE IMAGE..., kerascnn see --list")
    if images:
        check_image(images)
    source = find_model(model, weights)
    if other_weights and not settings["other"]:
        raise Misuse("--other-weights needs --other")
    other = find_model(settings["other"], other_weights) if settings["other"] else None
    out = out or f"{name}.png"
    check_output_file(out, f"--out {name}.png", PICTURES, force)
    check_output_file(values, f"--values {name}.npz", (".npz",), force)
    row = find_method(name)
    load_keras()
    options = {name: value for name, value in settings.items() if value not in (None, ()) and value is not False}
    check_options(row, images, options)
    check_images_dir(row.name, images_dir, frames)
    with collect_warnings() as warnings:
        network = source.open()
        if other:
            options["other"] = other.open()
        picture = run_method(row, network, [*images], options)
    save_result(picture, out)
    if values:
        with writing(values):
            write_values(picture, values)
    files = []
    if images_dir and frames:
        files = write_zoom_frames(network, images[0], images_dir, frames, options)
    elif images_dir:
        files = picture.save_images(images_dir)
    result = {
        "method": name,
        "model": network.name,
        "score": getattr(picture, "score", None),
        "images": image_facts(picture),
        "table": None if result_table(picture) is None else json_rows(result_table(picture)),
        "picture": out,
        "values": values,
        "files": [*map(str, files)],
    }
    print_result("see", result, picture_lines(picture, result, images_dir), warnings)


COMMAND_ONLY = {
    "listing",
    "weights",
    "other_weights",
    "frames",
    "out",
    "images_dir",
    "name",
    "values",
    "force",
}  # options of the command, not of methods
OPTIONS = {  # option -> argument names of functions
    option.name: PARAMETERS.get(option.name, (option.name,))
    for option in see_command.params
    if isinstance(option, click.Option) and option.expose_value and option.name not in COMMAND_ONLY
}


def find_method(name):
    """The registry row of a method."""
    from kerascnn.support.text import unknown_name
    from kerascnn.visualize.registry import ROWS

    if name not in ROWS:
        raise Misuse(unknown_name("method", name, ROWS), "kerascnn see --list")
    return ROWS[name]


def method_parameters():
    """{name: parameter} of attribution methods that `OPTIONS` does not name."""
    from kerascnn.visualize.registry import of_kind

    known = {*PYTHON_ONLY}.union(*OPTIONS.values())
    parameters = {}
    for row in of_kind("attribution").values():
        parameters |= row.parameters
    return {name: each for name, each in parameters.items() if name not in known and each.default is not True}


def method_arguments(row):
    """The arguments of a method's function, including those that it passes on."""
    return {*row.parameters, *(PASSED_ON.get(row.kind, ()) if row.passes_on else ())}


def argument_name(row, option):
    """The argument of a method's function that an option sets; None if there is none."""
    arguments = method_arguments(row)
    return next((name for name in OPTIONS.get(option, (option,)) if name in arguments), None)


def is_evaluation(row):
    """Whether a method evaluates the maps of other methods."""
    return row.kind == "faithfulness"


def image_requirement(row):
    """Whether a method's images are "needed", "optional" or "none"."""
    images = row.parameters.get("images")
    if images is None and not is_evaluation(row):
        return "none"
    return "needed" if is_evaluation(row) or images.required else "optional"


def method_options(row):
    """{option: help} of a method's own options."""
    arguments = {option_flag(name): argument_name(row, name) for name in (*OPTIONS, *method_parameters())}
    helps = {name: parameter.help for name, parameter in row.parameters.items()}
    return {option: helps.get(name, "") for option, name in arguments.items() if name}


def option_flag(option):
    """The option as typed, with dashes."""
    return f"--{option.replace('_', '-')}"


def check_options(row, images, options):
    """Refuse options that the method does not take, and missing ones that it needs."""
    evaluated = methods_to_evaluate(row, options)
    wrong = [name for name in options if not any(argument_name(each, name) for each in (row, *evaluated))]
    if wrong:
        own = ", ".join(method_options(row)) or "none"
        more = f", and those of {', '.join(each.name for each in evaluated)}" if evaluated else ""
        raise Misuse(f"{row.name} does not take {option_flag(wrong[0])}", f"options of {row.name}: {own}{more}")
    if image_requirement(row) not in ("optional", "needed" if images else "none"):
        reason = "needs images" if image_requirement(row) == "needed" else "takes no images"
        raise Misuse(f"{row.name} {reason}. Received: {', '.join(images) or 'none'}")
    if argument_name(row, "other") and "other" not in options:
        raise Misuse(f"{row.name} needs another network", f"kerascnn see {row.name} NAME|FILE --other NAME|FILE")
    layer = row.parameters.get("layer")
    if "layer" not in options and ("unit" in options or (layer and layer.required)):
        raise Misuse(f"{row.name} needs --layer", "kerascnn show --layers lists the layers")


def check_images_dir(method, images_dir, frames):
    """Refuse --images-dir and --frames if the method has no images or frames to write."""
    if frames and (method != "dream" or images_dir is None):
        raise Misuse("--frames needs --images-dir" if method == "dream" else "--frames is only for dream")
    if images_dir and method not in IN_FOLDERS:
        raise Misuse(f"--images-dir is only for {', '.join(IN_FOLDERS)}")


def methods_to_evaluate(row, options):
    """The rows of the methods that --method names, checked."""
    from kerascnn import visualize
    from kerascnn.support.text import unknown_name

    several, known = "methods" in row.parameters, visualize.ATTACKS if row.name == "fool" else visualize.METHODS
    names = options.get("method") or ()
    if is_evaluation(row):
        names = names or (COMPARED if several else (DEFAULT,))
    if len(names) > 1 and not several:
        raise Misuse(f"`--method` should be one method for {row.name}. Received: {', '.join(names)}")
    for name in names:
        if name not in known:
            raise Misuse(unknown_name("--method", name, known), "kerascnn see --list")
    return [find_method(name) for name in names] if is_evaluation(row) else []


def run_method(row, network, images, options):
    """Open the network and run a method on it."""
    from kerascnn.inputs.classifier import resolve_class_names
    from kerascnn.support.progress import progress
    from kerascnn.visualize import lens

    with raise_as(BadFile, f"cannot visualize {network.name}: "):
        opened = lens(network)
    names = resolve_class_names(None, opened.output.shape[-1], network)
    advice = f"kerascnn see --list, kerascnn show --layers {network.name}"
    with raise_as(Misuse, advice=advice), waiting("computing ..."), progress(verbosity(), every=EVERY) as shown:
        for layer in options["layer"].split(",") if "layer" in options else ():
            opened.tap(layer)
        return call_method(row, network, images, options, {"class_names": names, "on_progress": count_only(shown)})


def count_only(shown):
    """A progress hook that drops the messages."""
    return lambda done, total, what: shown(done, total)


def call_method(row, network, images, options, also):
    """Call a method's function; ``also`` has "class_names" and "on_progress" for functions that take them."""
    own = keyword_arguments(row, options, also)
    if not is_evaluation(row):
        if "method" in own:
            (own["method"],) = own["method"]
        return row.function(network, **({"images": images} if images else {}), **own)
    apart = {
        name: value for name, value in options.items() if name in EVALUATION_OPTIONS or not argument_name(row, name)
    }
    evaluated = {
        each.name: partial(each.function, **keyword_arguments(each, apart, also))
        for each in methods_to_evaluate(row, options)
    }
    own = {name: value for name, value in own.items() if name not in OPTIONS["method"]}
    if "methods" in row.parameters:
        return row.function(network, images, methods=evaluated, **own)
    (method,) = evaluated.values()
    if "method" in row.parameters:
        return row.function(network, images, method=method, **own)
    attribution = method(network, images)
    own.pop("classes", None)  # stored in the map
    return row.function(*([network] if "model" in row.parameters else []), attribution, **own)


def keyword_arguments(row, options, also):
    """The options, and entries of ``also``, that a method's function takes, by argument name."""
    named = {argument_name(row, name): value for name, value in options.items()}
    if "layers" in named:
        named["layers"] = named["layers"].split(",")
    named |= {name: value for name, value in also.items() if name in method_arguments(row)}
    return {name: value for name, value in named.items() if name is not None}


def write_zoom_frames(network, image, images_dir, frames, options):
    """Write the frames of a zoom into a dream, and return their paths."""
    from kerascnn.support.progress import progress
    from kerascnn.visualize import dream_frames
    from kerascnn.visualize.registry import ROWS

    named = keyword_arguments(ROWS["dream"], options, {})
    named = {name: named[name] for name in ("layer", "units", "size", "guide", "octaves", "steps") if name in named}
    with progress(verbosity(), every=EVERY) as shown:
        return dream_frames(network, image, images_dir, frames, on_progress=count_only(shown), **named)


def write_values(picture, path):
    """Write the values of a result: its arrays, array metadata and table columns."""
    import numpy as np

    held = vars(picture) | getattr(picture, "metadata", {})
    arrays = {name: value for name, value in held.items() if isinstance(value, np.ndarray)}
    more = {"map": getattr(picture, "map", None), "names": held.get("names"), "classes": held.get("classes")}
    arrays |= {name: np.asarray(value) for name, value in more.items() if value is not None}
    table = result_table(picture)
    if table is not None:
        numbers = table.select_dtypes(("number", "bool"))
        arrays |= {f"table_{name}": column.to_numpy() for name, column in numbers.items()}
    np.savez_compressed(path, **arrays)


def result_table(picture):
    """The DataFrame of a result, with a named index as a column."""
    table = getattr(picture, "table", None)
    return table if table is None or table.index.name is None else table.reset_index()


def image_facts(picture):
    """One row of plain data per image; none if a result is not about single images."""
    classes, class_names = getattr(picture, "classes", None), getattr(picture, "class_names", None)
    facts = {
        name: values for name, values in getattr(picture, "metadata", {}).items() if getattr(values, "ndim", 0) == 1
    }
    rows = []
    for i, name in enumerate(picture.names if hasattr(picture, "title") else ()):
        row = {"image": name}
        if classes is not None:
            row |= {"class": int(classes[i]), "label": class_names[classes[i]] if class_names else None}
        row["score"] = json_number(picture.scores[i])
        rows.append(row | {fact: json_value(values[i]) for fact, values in facts.items()})
    return rows


def picture_lines(picture, result, images_dir):
    """Each image with its class and score, and the path of the figure."""
    room = terminal_width()
    if not hasattr(picture, "title"):
        yield str(picture)
    for i, row in enumerate(result["images"]):
        title = picture.title(i)
        if not title.startswith(row["image"]):
            yield bold(row["image"])
            title = f"  {title}"
        facts = [f"{name} {value:.3g}" for name, value in row.items() if isinstance(value, float) and name != "score"]
        yield clip_line(", ".join([title, *facts]), room)
    yield f"figure: {result['picture']}"
    if result["values"]:
        yield f"values: {result['values']}"
    if result["files"]:
        yield f"{len(result['files'])} files: {images_dir}"


def list_methods(name=None):
    """(data, lines) of all methods, or of one with the help of its options."""
    from kerascnn.visualize.registry import ROWS

    known = [find_method(name)] if name else [*ROWS.values()]
    data = [
        {"method": row.name, "kind": row.kind, "title": row.title, "what": row.what, "options": [*method_options(row)]}
        for row in known
    ]
    if not name:
        return data, method_list_lines(known)
    data[0]["help"] = method_options(known[0])
    return data, method_help_lines(known[0])


def method_list_lines(rows):
    """All methods by kind, with their options."""
    from kerascnn.visualize.registry import KINDS

    room = terminal_width()
    wide = max(len(row.name) for row in rows) + 2
    for kind, heading in KINDS.items():
        yield clip_line(bold(f"{heading} ({kind})"), room)
        for row in rows:
            if row.kind != kind:
                continue
            yield clip_line(f"  {bold(row.name)}{' ' * (wide - len(row.name))}{row.title}", room)
            words = " ".join([*method_options(row), *(["and those of its method"] if is_evaluation(row) else [])])
            for text in (row.what, words):
                yield from map(dim, wrap_indented(text, wide + 2, room))


def method_help_lines(row):
    """One method and the help of its options."""
    room = terminal_width()
    yield clip_line(f"{bold(row.name)}  {row.title}", room)
    yield from wrap_indented(row.what, 0, room)
    general = {
        option_flag(option.name): option.help for option in see_command.params if isinstance(option, click.Option)
    }
    yield from format_pairs(
        {option: says or general.get(option, "") for option, says in method_options(row).items()}, room=room
    )


def wrap_indented(text, indent, room):
    """Lines of a text, wrapped to the terminal."""
    from textwrap import wrap

    return [" " * indent + line for line in wrap(text, max((room or 120) - indent, 20), break_on_hyphens=False)]
