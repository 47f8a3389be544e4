"""The table of visualization methods: name, module, kind and title of each.

The public name, `METHODS`, `kerascnn see`, `kerascnn.help`, the README, the report and the parametrized tests follow
from the row. Options come from the function's signature, and what they mean from its docstring. Both are read from the
source, so that listing the methods imports neither Keras nor numpy.
"""

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from importlib.util import find_spec
from inspect import cleandoc, signature
from pathlib import Path
from typing import TypeVar

KINDS = {  # kind -> heading
    "attribution": "Attribution: which pixels support a class",
    "features": "Features: filters, activation maps, class maps",
    "faithfulness": "Faithfulness: which attribution can be trusted",
    "synthesis": "Synthesis: images that the network responds to",
    "attack": "Attacks: small changes that fool the network",
}
SHARED = {  # arguments of all attribution methods
    "model": "a Keras model, or a `Lens` on one.",
    "images": "an array (N, H, W, C) as the model takes it, or photos in any form that `predict` accepts.",
    "classes": "a class, or one for each image, as numbers or names; by default the predicted classes.",
    "score": "what to explain instead of classes: a `Score`, or a function of the logits (N, classes).",
    "class_names": "names of all classes, used to look up `classes` and in titles.",
    "batch_size": "batch size; by default as large as memory allows. It does not change the result.",
    "on_progress": "called as `on_progress(done, total, what)` during the work; may raise to stop it.",
}
Function = TypeVar("Function", bound=Callable)
ARGUMENT = re.compile(r"    (\w+(?:, \w+)*): (.*)")  # a line below "Args:"


@dataclass(frozen=True)
class Method:
    """A visualization method; ``module`` is relative to this package."""

    name: str
    module: str
    kind: str
    title: str

    @property
    def function(self):
        """The function; its module is imported."""
        return getattr(import_module(self.module, __package__), self.name)

    @property
    def what(self):
        """The first line of its docstring."""
        return _docstring(self._definition).split("\n")[0]

    @cached_property
    def parameters(self):
        """{name: `Parameter`} in the order of its signature, without ``**options``."""
        arguments = self._definition.args
        positional, helps = [*arguments.posonlyargs, *arguments.args], self._helps()
        defaults = [None] * (len(positional) - len(arguments.defaults)) + [*arguments.defaults, *arguments.kw_defaults]
        names = [argument.arg for argument in (*positional, *arguments.kwonlyargs)]
        return {
            name: Parameter(name, default is None, _literal(default), helps.get(name, ""))
            for name, default in zip(names, defaults, strict=True)
        }

    @property
    def passes_on(self):
        """Whether it hands ``**options`` to another function."""
        return self._definition.args.kwarg is not None

    def _helps(self):
        shared = SHARED if self.kind == "attribution" else {}
        return shared | argument_helps(_docstring(self._definition))

    @cached_property
    def _definition(self):
        return _functions(find_spec(self.module, __package__).origin)[self.name]


@dataclass(frozen=True)
class Parameter:
    """An argument of a method; its default is None where the source has no literal."""

    name: str
    required: bool
    default: object
    help: str


_METHODS = (  # in the order in which they are listed
    Method("saliency", ".attribution.gradients", "attribution", "Saliency"),
    Method("gradient_x_input", ".attribution.gradients", "attribution", "Gradient × input"),
    Method("smoothgrad", ".attribution.gradients", "attribution", "SmoothGrad"),
    Method("integrated_gradients", ".attribution.gradients", "attribution", "Integrated gradients"),
    Method("guided_backprop", ".attribution.gradients", "attribution", "Guided backpropagation"),
    Method("deconvnet", ".attribution.gradients", "attribution", "Deconvnet"),
    Method("grad_cam", ".attribution.gradients", "attribution", "Grad-CAM"),
    Method("grad_cam_pp", ".attribution.cam", "attribution", "Grad-CAM++"),
    Method("layer_cam", ".attribution.cam", "attribution", "LayerCAM"),
    Method("score_cam", ".attribution.cam", "attribution", "Score-CAM"),
    Method("guided_grad_cam", ".attribution.cam", "attribution", "Guided Grad-CAM"),
    Method("occlusion", ".attribution.occlusion", "attribution", "Occlusion"),
    Method("filter_images", ".features.filters", "features", "Filters as images"),
    Method("activation_maps", ".features.activations", "features", "Activation maps"),
    Method("heat_map", ".features.heat_map", "features", "Sliding classifier"),
    Method("side_by_side", ".features.side_by_side", "features", "Two networks side by side"),
    Method("segment", ".attribution.segmentation", "faithfulness", "Segmentation by GrabCut"),
    Method("curves", ".attribution.faithfulness", "faithfulness", "Deletion and insertion curves"),
    Method("choose", ".attribution.faithfulness", "faithfulness", "The most faithful method"),
    Method("sanity", ".attribution.sanity", "faithfulness", "Sanity check with random weights"),
    Method("maximize", ".synthesis.maximize", "synthesis", "Activation maximization"),
    Method("facets", ".synthesis.maximize", "synthesis", "Facets of a class or unit"),
    Method("invert", ".synthesis.invert", "synthesis", "Inversion of activations"),
    Method("dream", ".synthesis.dream", "synthesis", "Deep dream"),
    Method("unrecognizable", ".synthesis.maximize", "synthesis", "Unrecognizable images by gradients"),
    Method("evolve", ".synthesis.evolve", "synthesis", "Unrecognizable images by evolution"),
    Method("fool", ".attacks.fool", "attack", "Adversarial images"),
)
ROWS = {method.name: method for method in _METHODS}
ATTACK_ROWS = {  # the methods of `fool`
    name: Method(name, module, "attack", title)
    for name, module, title in (
        ("fgsm", ".attacks.pgd", "Fast gradient sign method"),
        ("bim", ".attacks.pgd", "Basic iterative method"),
        ("pgd", ".attacks.pgd", "Projected gradient descent"),
        ("minimal", ".attacks.minimal", "Smallest change"),
        ("lbfgs", ".attacks.lbfgs", "L-BFGS"),
    )
}


class Functions(Mapping):
    """{name: function} of the methods of a kind; a function is imported when it is asked for."""

    def __init__(self, kind):
        self.kind = kind

    def __getitem__(self, name):
        return of_kind(self.kind)[name].function

    def __contains__(self, name):  # which imports nothing
        return name in of_kind(self.kind)

    def __iter__(self):
        return iter(of_kind(self.kind))

    def __len__(self):
        return len(of_kind(self.kind))

    def __repr__(self):
        return f"{{{', '.join(self)}}}"


METHODS = Functions("attribution")


def of_kind(kind):
    """{name: `Method`} of a kind."""
    return {name: method for name, method in ROWS.items() if method.kind == kind}


def argument_helps(docstring):
    """{argument: its description} from a docstring's "Args:"."""
    _, _, section = docstring.partition("\nArgs:\n")
    helps, names = {}, ()
    for line in section.split("\n"):
        match = ARGUMENT.fullmatch(line)
        if match:
            names = match[1].split(", ")
            helps |= dict.fromkeys(names, match[2])
        elif line.startswith(" " * 8):
            helps |= {name: f"{helps[name]} {line.strip()}" for name in names}
        else:
            break
    return helps


def attribution_method(function: Function) -> Function:
    """Add the shared arguments of attribution methods to a docstring's "Args:".

    Arguments stay spelled out in each signature, where Python, editors and help() look for them.
    """
    if not function.__doc__:  # as python -OO leaves it
        return function
    docstring = cleandoc(function.__doc__)
    helps = SHARED | argument_helps(docstring)
    arguments = []
    for name in signature(function).parameters:
        if name not in helps:
            raise ValueError(f'{function.__name__} should document {name!r} under "Args:" in its docstring')
        arguments.append(f"    {name}: {helps[name]}")
    formula = docstring.partition("\nArgs:\n")[0].partition("\nReturns:\n")[0].rstrip()
    returns = docstring.partition("\nReturns:\n")[2] or "    An `Attribution`."
    function.__doc__ = "\n".join([formula, "", "Args:", *arguments, "", "Returns:", returns])
    return function


def _docstring(definition):
    return ast.get_docstring(definition) or ""


def _literal(default):
    try:
        return None if default is None else ast.literal_eval(default)
    except ValueError:
        return None


@cache
def _functions(path):
    """{name: its definition} of the functions in a file."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
