"""The ways to see as the command line has them: what each takes, and how it is asked."""

import inspect
from dataclasses import dataclass
from functools import partial

from .command import Misuse

OPTIONS = {  # option -> the parameters of functions that it is
    "classes": ("classes",),
    "of": ("method", "methods", "attribution"),
    "other": ("model_b",),
    "layer": ("layer", "layers"),
    "unit": ("unit", "units"),
    "top": ("top",),
    "samples": ("samples",),
    "noise": ("noise",),
    "steps": ("steps",),
    "baseline": ("baseline",),
    "channels": ("channels",),
    "patch": ("patch",),
    "stride": ("stride",),
    "fill": ("fill",),
    "blur": ("blur",),
    "foreground": ("foreground",),
    "background": ("background",),
    "independent": ("independent",),
    "sort": ("sort",),
    "scale": ("scale",),
    "components": ("components",),
    "scales": ("scales",),
    "longest": ("longest",),
    "target": ("target",),
    "whole": ("whole",),
    "recipe": ("recipe",),
    "copies": ("copies",),
    "count": ("count",),
    "size": ("size",),
    "octaves": ("octaves",),
    "guide": ("guide",),
    "goal": ("goal",),
    "encoding": ("encoding",),
    "generations": ("generations",),
    "seed": ("seed",),
    "batch": ("batch",),
}
PASSED_ON = ("batch", "labels", "tell")  # what a method with **options takes too
CHANGED = ("size", "steps", "whole", "seed", "batch", "labels", "tell")  # to an attack
CLIMBED = ("recipe", "copies", "size", "steps", "seed", "batch", "tell")  # what is passed on to a climb
SHARED = ("classes", "seed", "batch")  # what a judge and its methods both are told
USUAL = ("saliency", "gradient_x_input", "integrated", "grad_cam", "layer_cam", "occlusion")  # compared by `choose`
DEFAULT = "saliency"  # of which one, where nothing is said


@dataclass(frozen=True)
class Way:
    """A way of seeing: its function, the parameters that it takes, and whether it is made of the maps of methods."""

    name: str
    function: object
    takes: frozenset
    judges: bool

    @property
    def shows(self):
        """Whether images are "needed", "optional" or "none"."""
        images = inspect.signature(self.function).parameters.get("images")
        if images is None and not self.judges:
            return "none"
        return "needed" if self.judges or images.default is images.empty else "optional"

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
        return [spelled(name) for name in OPTIONS if self.parameter(name)]

    def parameter(self, option):
        """What the function calls an option; None where it does not take it."""
        return next((name for name in OPTIONS[option] if name in self.takes), None)

    def given(self, options):
        """Those of the options that the function takes, as it calls them."""
        found = {self.parameter(name): value for name, value in options.items()}
        layers = found.get("layers")
        several = {"layers": layers.split(",")} if layers else {}
        return {name: value for name, value in (found | several).items() if name is not None}


def spelled(option):
    """An option as it is typed."""
    return f"--{option.replace('classes', 'class')}"


def ways():
    """Every way by its name, from the package's own tables."""
    from kerascnn.visualize.methods import DREAMS, JUDGES, WAYS

    passed = dict.fromkeys(DREAMS, CLIMBED) | {"fool": CHANGED}
    return {name: Way(name, way, takes(way, passed.get(name, PASSED_ON)), name in JUDGES) for name, way in WAYS.items()}


def takes(function, passed=PASSED_ON):
    """The parameters of a function, with those that it passes on."""
    parameters = inspect.signature(function).parameters
    passes = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    return frozenset(parameters) | frozenset(passed if passes else ())


def chosen(method):
    """A way by its name."""
    from kerascnn.registry import unknown

    known = ways()
    if method not in known:
        raise Misuse(unknown("method", method, known), "kerascnn see --list")
    return known[method]


def check_options(way, images, asked):
    """The options that were given; refused where the way, and the methods that it judges, do not take them."""
    asked = {name: value for name, value in asked.items() if value not in (None, ()) and value is not False}
    made_of = judged(way, asked)
    wrong = [name for name in asked if not any(each.parameter(name) for each in (way, *made_of))]
    if wrong:
        own = ", ".join(way.options) or "none"
        more = f", and those of {', '.join(each.name for each in made_of)}" if made_of else ""
        raise Misuse(f"{way.name} does not take {spelled(wrong[0])}", f"its own options: {own}{more}")
    if way.shows not in ("optional", "needed" if images else "none"):
        said = "needs images" if way.shows == "needed" else "looks at the network alone"
        raise Misuse(f"{way.name} {said}. Received: {', '.join(images) or 'none'}")
    if "model_b" in way.takes and "other" not in asked:
        raise Misuse(f"{way.name} needs another network", f"kerascnn see {way.name} NAME|FILE --other NAME|FILE")
    if "layer" not in asked and ("unit" in asked or way.needs_layer):
        raise Misuse(f"{way.name} needs a --layer here", "kerascnn show --layers, which names them")
    return asked


def judged(way, asked):
    """The methods whose maps a way is made of."""
    from kerascnn.registry import unknown
    from kerascnn.visualize.attacks import ATTACKS, fool
    from kerascnn.visualize.methods import METHODS

    several = "methods" in way.takes
    known = ATTACKS if way.function is fool else METHODS
    names = asked.get("of") or (USUAL if several else (DEFAULT,)) * way.judges
    if len(names) > 1 and not several:
        raise Misuse(f"{way.name} takes one --of. Received: {', '.join(names)}")
    for name in names:
        if name not in known:
            raise Misuse(unknown("--of", name, known), "kerascnn see --list")
    return [Way(name, METHODS[name], takes(METHODS[name]), False) for name in names] if way.judges else []


def look(way, network, images, asked, also):
    """What a way finds; ``also`` are "labels" and "tell", for what takes them."""
    own = way.given(asked) | {name: value for name, value in also.items() if name in way.takes}
    if not way.judges:
        if "method" in own:
            (own["method"],) = own["method"]
        return way.function(network, **({"images": images} if images else {}), **own)
    apart = {name: value for name, value in asked.items() if name in SHARED or not way.parameter(name)}
    made_of = {}
    for each in judged(way, asked):
        given = each.given(apart) | {name: value for name, value in also.items() if name in each.takes}
        made_of[each.name] = partial(each.function, **given)
    own = {name: value for name, value in own.items() if name not in OPTIONS["of"]}
    if "methods" in way.takes:
        return way.function(network, images, methods=made_of, **own)
    (method,) = made_of.values()
    if "method" in way.takes:
        return way.function(network, images, method=method, **own)
    found = method(network, images)
    own.pop("classes", None)  # the map has them
    return way.function(*([network] if "model" in way.takes else []), found, **own)
