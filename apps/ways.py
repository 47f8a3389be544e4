"""The ways to see as the command line has them: what each takes, and how it is asked."""

from dataclasses import dataclass
from functools import partial
from itertools import chain

from .errors import Misuse

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
PASSED_ON = {  # kind -> what a function with **options takes too
    "faithfulness": ("batch", "labels", "tell"),
    "attack": ("size", "steps", "whole", "seed", "batch", "labels", "tell"),
}
PYTHON_ONLY = ("model", "images", "score", "labels", "tell", "windows")  # arguments that are no options
SHARED = ("classes", "seed", "batch")  # what a judge and its methods both are told
USUAL = (  # compared by `choose`
    "saliency",
    "gradient_x_input",
    "integrated_gradients",
    "grad_cam",
    "layer_cam",
    "occlusion",
)
DEFAULT = "saliency"  # of which one, where nothing is said


@dataclass(frozen=True)
class Way:
    """A way of seeing as the command line has it; ``row`` is that of the registry."""

    row: object

    @property
    def name(self):
        """What it is called."""
        return self.row.name

    @property
    def function(self):
        """Its function; that imports Keras."""
        return self.row.function

    @property
    def takes(self):
        """The arguments that its function takes, with those that it passes on."""
        passed = PASSED_ON.get(self.row.kind, ()) if self.row.passes_on else ()
        return frozenset((*self.row.parameters, *passed))

    @property
    def judges(self):
        """Whether it is made of the maps of other methods."""
        return self.row.kind == "faithfulness"

    @property
    def shows(self):
        """Whether images are "needed", "optional" or "none"."""
        images = self.row.parameters.get("images")
        if images is None and not self.judges:
            return "none"
        return "needed" if self.judges or images.required else "optional"

    @property
    def needs_layer(self):
        """Whether it has no layer to look at by itself."""
        layer = self.row.parameters.get("layer")
        return layer is not None and layer.required

    @property
    def options(self):
        """{its own option as typed: what its docstring says of it}."""
        parameters = {name: self.parameter(name) for name in (*OPTIONS, *more_options())}
        helps = {name: each.help for name, each in self.row.parameters.items()}
        return {spelled(name): helps.get(each, "") for name, each in parameters.items() if each}

    def parameter(self, option):
        """What the function calls an option; None where it does not take it."""
        return next((name for name in OPTIONS.get(option, (option,)) if name in self.takes), None)

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
    """{name: `Way`} of every way to see; nothing heavy is imported for it."""
    from kerascnn.visualize.registry import ROWS

    return {name: Way(row) for name, row in ROWS.items()}


def more_options():
    """{name: parameter} of attribution methods that `OPTIONS` does not name."""
    from kerascnn.visualize.registry import of_kind

    known = {*PYTHON_ONLY, *chain.from_iterable(OPTIONS.values())}
    parameters = {}
    for row in of_kind("attribution").values():
        parameters |= row.parameters
    return {name: each for name, each in parameters.items() if name not in known and each.default is not True}


def chosen(method):
    """A way by its name."""
    from kerascnn.support.text import unknown

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
    from kerascnn.support.text import unknown
    from kerascnn.visualize.registry import METHODS

    several, known = "methods" in way.takes, attacks() if way.name == "fool" else METHODS
    names = asked.get("of") or (USUAL if several else (DEFAULT,)) * way.judges
    if len(names) > 1 and not several:
        raise Misuse(f"{way.name} takes one --of. Received: {', '.join(names)}")
    for name in names:
        if name not in known:
            raise Misuse(unknown("--of", name, known), "kerascnn see --list")
    known_ways = ways()
    return [known_ways[name] for name in names] if way.judges else []


def attacks():
    """The attacks by name."""
    from kerascnn.visualize.attacks.fool import ATTACKS

    return ATTACKS


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
