"""Visualization methods on the command line: their options, the arguments that these set, and the call.

Everything but the call works on the registry, without TensorFlow, so that wrong options are refused at once.
"""

from functools import cache, partial

import click

from .errors import Misuse, one_line
from .options import COUNT, POSITIVE, SEED
from .settings import variable_name

PARAMETERS = {  # option -> argument names, if they differ
    "method": ("method", "methods", "attribution"),
    "other": ("model_b",),
    "layer": ("layer", "layers"),
    "unit": ("unit", "units"),
}
PASSED_ON = ("batch_size", "class_names", "on_progress")  # arguments that an evaluation hands to the methods
PYTHON_ONLY = ("model", "images", "score", "class_names", "on_progress", "windows", "bounds")  # without an option
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
SIGNALS, SCALES, NORMS = ("one", "activation"), ("filter", "common"), ("l2", "linf")
CHOICES = {  # (method, argument) -> the words that it takes
    ("guided_backprop", "signal"): SIGNALS,
    ("deconvnet", "signal"): SIGNALS,
    ("filter_images", "scale"): SCALES,
    ("side_by_side", "scale"): SCALES,
    ("filter_images", "sort"): ("index", "rms", "orientation", "hue"),
    ("activation_maps", "sort"): ("index", "max", "mean", "sparsity"),
    ("evolve", "encoding"): ("cppn", "direct"),
    ("minimal", "norm"): NORMS,
    ("pgd", "norm"): NORMS,
}
RECIPES = (
    "lucid",
    "brisk",
    "yosinski_1",
    "yosinski_2",
    "yosinski_3",
    "yosinski_4",
    "chollet",
    "simonyan",
    "erhan",
    "tf_keras_vis",
    "facet",
    "dream",
    "unrecognizable",
    "mahendran",
)
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
METHOD_OPTIONS = (
    click.Option(
        ["--classes", "--class", "classes"],
        metavar="K,..",
        type=CLASSES,
        help="Classes by number or name. [the predicted class of each image]",
    ),
    click.Option(
        ["--method"],
        metavar="METHOD",
        multiple=True,
        help="Method to smooth, evaluate, or fool with; may be repeated for choose.",
    ),
    click.Option(["--other"], metavar="NAME|FILE", help="Second network, for side_by_side."),
    click.Option(
        ["--layer"],
        metavar="L",
        help=("Layer name, as shown by `kerascnn show --layers`; for invert, several separated by commas."),
    ),
    click.Option(
        ["--unit"], metavar="K", type=click.IntRange(0), multiple=True, help="Channel of the layer; may be repeated."
    ),
    click.Option(
        ["--top"], metavar="N", type=COUNT, help="Number of strongest channels per image, if no --unit is given."
    ),
    click.Option(["--samples"], metavar="N", type=COUNT, help="Number of noisy copies of each image to average."),
    click.Option(
        ["--noise"],
        metavar="X",
        type=click.FloatRange(0),
        help="Standard deviation of the noise, as a fraction of the image's range.",
    ),
    click.Option(
        ["--steps"],
        metavar="N",
        type=COUNT,
        help=("Number of steps of the integral, curve or optimization; iterations of GrabCut for segment."),
    ),
    click.Option(
        ["--baseline"],
        metavar="V",
        type=NUMBERS,
        help="Image where the integral starts: a gray value or r,g,b; 0 is black.",
    ),
    click.Option(["--channels"], metavar="N", type=COUNT, help="Use only the N channels that vary most, to save time."),
    click.Option(["--patch"], metavar="PX", type=COUNT, help="Side of the occluding patch in pixels."),
    click.Option(["--stride"], metavar="PX", type=COUNT, help="Distance between patch positions in pixels."),
    click.Option(
        ["--fill"], metavar="V", type=NUMBERS, help="Value of covered or deleted pixels: a gray value or r,g,b."
    ),
    click.Option(
        ["--blur"],
        metavar="PX",
        type=float,
        help=("Sigma of the Gaussian blur, in pixels: of the image for curves, of the map for segment."),
    ),
    click.Option(
        ["--foreground"], metavar="X", type=float, help="Pixels above this quantile of the map are taken as object."
    ),
    click.Option(
        ["--background"], metavar="X", type=float, help="Pixels below this quantile of the map are taken as background."
    ),
    click.Option(
        ["--independent"], is_flag=True, default=None, help="Randomize one layer at a time instead of cumulatively."
    ),
    click.Option(
        ["--sort"],
        metavar="BY",
        help="Sort filters by index, rms, orientation or hue; maps by index, max, mean or sparsity.",
    ),
    click.Option(
        ["--scale"],
        metavar="S",
        help=("Scale each filter on its own (filter, shows shape) or all together (common, shows strength)."),
    ),
    click.Option(
        ["--components"], is_flag=True, default=None, help="Show the strongest spatial components of the filters."
    ),
    click.Option(
        ["--scales"],
        metavar="X,..",
        type=NUMBERS,
        help="Scales of the photo: its short side as a multiple of the model's input size.",
    ),
    click.Option(
        ["--longest"], metavar="PX", type=COUNT, help="Photos with a longer side than this are reduced, in pixels."
    ),
    click.Option(["--target"], metavar="K,..", type=CLASSES, help="Target class. [any other class]"),
    click.Option(
        ["--integer-pixels/--float-pixels"],
        default=None,
        help="Change pixels by integers, so that a saved image still fools the network; or by less. [integers]",
    ),
    click.Option(["--recipe"], metavar="R", help="Optimization recipe: lucid, brisk, yosinski_3, ...; see the README."),
    click.Option(["--copies"], metavar="N", type=COUNT, help="Number of images, from different random starts."),
    click.Option(["--count"], metavar="N", type=COUNT, help="Number of facets of a class or unit."),
    click.Option(
        ["--size"], metavar="PX", type=COUNT, help="Size of the image in pixels; for dream, of its longer side."
    ),
    click.Option(["--epsilon"], metavar="X", type=POSITIVE, help="Largest change of a pixel, 0..255."),
    click.Option(["--octaves"], metavar="N", type=COUNT, help="Number of octaves (image sizes) of a dream."),
    click.Option(
        ["--guide"], metavar="IMAGE", type=FILE, help="Guide image, whose features the dream should resemble."
    ),
    click.Option(
        ["--goal"], metavar="P", type=click.FloatRange(0, 1), help="Stop when the class reaches this probability."
    ),
    click.Option(["--encoding"], metavar="E", help="Encoding of evolved images: cppn (patterns) or direct (pixels)."),
    click.Option(["--generations"], metavar="N", type=COUNT, help="Number of generations."),
    click.Option(["--seed"], metavar="N", type=SEED, help="Random seed."),
    click.Option(["--batch-size"], metavar="N", type=COUNT, help="Batch size; smaller needs less memory."),
)
OPTIONS = {  # option -> argument names of functions
    option.name: PARAMETERS.get(option.name, (option.name,)) for option in METHOD_OPTIONS
}


@cache
def option_of_parameter(parameter):
    """Make an option for an argument, with the type of its default."""
    name, default = option_flag(parameter.name), parameter.default
    settings = {"help": one_line(parameter.help), "envvar": variable_name(("see",), parameter.name)}
    if default is False:
        return click.Option([name], is_flag=True, default=None, **settings)
    kind = NUMBERS if default is None else type(default)
    return click.Option([name], type=kind, metavar="W" if isinstance(default, str) else "X", **settings)


def method_parameters():
    """{name: parameter} of attribution methods and attacks that `OPTIONS` does not name."""
    from kerascnn.visualize.registry import ATTACK_ROWS, of_kind

    known = {*PYTHON_ONLY}.union(*OPTIONS.values())
    parameters = {}
    for row in (*of_kind("attribution").values(), *ATTACK_ROWS.values()):
        parameters = row.parameters | parameters
    return {
        name: parameter for name, parameter in parameters.items() if name not in known and parameter.default is not True
    }


def find_method(name):
    """The registry row of a method."""
    from kerascnn.support.text import unknown_name
    from kerascnn.visualize.registry import ROWS

    if name not in ROWS:
        raise Misuse(unknown_name("method", name, ROWS), "kerascnn see --list")
    return ROWS[name]


def is_evaluation(row):
    """Whether a method evaluates the maps of other methods."""
    return row.kind == "faithfulness"


def is_attack(row):
    """Whether a method runs one of the attacks."""
    return row.kind == "attack" and row.passes_on


def image_requirement(row):
    """Whether a method's images are "needed", "optional" or "none"."""
    images = row.parameters.get("images")
    if images is None and not is_evaluation(row):
        return "none"
    return "needed" if is_evaluation(row) or images.required else "optional"


def option_flag(option):
    """The option as typed, with dashes."""
    return f"--{option.replace('_', '-')}"


def argument_name(row, option):
    """The argument of a method's function that an option sets; None if there is none."""
    arguments = {*row.parameters, *(PASSED_ON if is_evaluation(row) and row.passes_on else ())}
    return next((name for name in OPTIONS.get(option, (option,)) if name in arguments), None)


def method_options(row):
    """{option: help} of a method's own options."""
    arguments = {option: argument_name(row, option) for option in (*OPTIONS, *method_parameters())}
    return {
        option_flag(option): row.parameters[name].help if name in row.parameters else ""
        for option, name in arguments.items()
        if name
    }


def general_help():
    """{option: help} of the options of all methods."""
    return {option_flag(option.name): option.help for option in METHOD_OPTIONS}


def methods_of_option(option):
    """The names of the methods, or attacks, that take an option."""
    from kerascnn.visualize.registry import ATTACK_ROWS, ROWS

    rows = [row for row in ROWS.values() if not is_attack(row)]
    return [row.name for row in (*rows, *ATTACK_ROWS.values()) if argument_name(row, option)]


def methods_called(row, options):
    """The rows of the methods that a method calls: those that it evaluates, or the attack; checked."""
    from kerascnn.support.text import unknown_name
    from kerascnn.visualize.registry import ATTACK_ROWS, of_kind

    several = "methods" in row.parameters
    known = ATTACK_ROWS if is_attack(row) else of_kind("attribution")
    names = options.get("method") or ()
    if not names and is_evaluation(row):
        names = COMPARED if several else (DEFAULT,)
    if not names and is_attack(row):
        names = (row.parameters["method"].default,)
    if len(names) > 1 and not several:
        raise Misuse(f"`--method` should be one method for {row.name}. Received: {', '.join(names)}")
    for name in names:
        if name not in known:
            raise Misuse(unknown_name("--method", name, known), "kerascnn see --list")
    return [known[name] for name in names] if is_evaluation(row) or is_attack(row) else []


def check_options(row, images, options):
    """Refuse options and words that the method does not take, and missing ones that it needs."""
    called = methods_called(row, options)
    for option in options:
        if not any(argument_name(taker, option) for taker in (row, *called)):
            raise not_taken(row, called, option)
    if image_requirement(row) not in ("optional", "needed" if images else "none"):
        reason = "needs images" if image_requirement(row) == "needed" else "takes no images"
        raise Misuse(f"{row.name} {reason}. Received: {', '.join(images) or 'none'}")
    if argument_name(row, "other") and "other" not in options:
        raise Misuse(f"{row.name} needs another network", f"kerascnn see {row.name} NAME|FILE --other NAME|FILE")
    layer = row.parameters.get("layer")
    if "layer" not in options and ("unit" in options or (layer and layer.required)):
        raise Misuse(f"{row.name} needs --layer", "kerascnn show --layers lists the layers")
    for taker in (row, *called):
        check_words(taker, options)
    if is_attack(row) and options.get("epsilon", 1) < 1 and options.get("integer_pixels", True):
        raise Misuse(f"--epsilon should be at least 1. Received: {options['epsilon']:g}", "--float-pixels")


def not_taken(row, called, option):
    """The error for an option of other methods."""
    own = ", ".join(method_options(row)) or "none"
    names = ", ".join(method.name for method in called)
    more = f", and those of {names}" if called else ""
    who = f"{row.name} by {names}" if is_attack(row) else row.name
    others = ", ".join(methods_of_option(option))
    text = f"{who} does not take {option_flag(option)}, an option of {others}"
    return Misuse(text, f"options of {row.name}: {own}{more}")


def check_words(row, options):
    """Refuse words that an option of a method does not know."""
    from kerascnn.support.text import unknown_name

    for option, value in options.items():
        name = argument_name(row, option)
        known = RECIPES if name == "recipe" else CHOICES.get((row.name, name))
        if known and value not in known:
            raise Misuse(unknown_name(option_flag(option), value, known), f"kerascnn see {row.name} --help")


def call_method(row, network, images, options, also):
    """Call a method's function; ``also`` has "class_names" and "on_progress" for functions that take them."""
    own, called = keyword_arguments(row, options, also), methods_called(row, options)
    if not is_evaluation(row):
        if "method" in own:
            (own["method"],) = own["method"]
        for attack in called:
            own |= keyword_arguments(attack, options, also)
        return row.function(network, **({"images": images} if images else {}), **own)
    apart = {
        name: value for name, value in options.items() if name in EVALUATION_OPTIONS or not argument_name(row, name)
    }
    evaluated = {method.name: partial(method.function, **keyword_arguments(method, apart, also)) for method in called}
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
    named = {argument_name(row, name): value for name, value in (options | also).items()}
    if "layers" in named:
        named["layers"] = named["layers"].split(",")
    return {name: value for name, value in named.items() if name is not None}
