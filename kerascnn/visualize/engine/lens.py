"""A lens on a model: activations by name, scores of images, and gradients by the rules of several papers.

Any Functional or Sequential model, nested or shared, is run call by call inside one compiled function, so that each
call can be read and its ReLUs given another gradient. The user's model is not cloned, changed or called from outside.

A rule says how a signal passes a ReLU on its way back, the one step in which guided backpropagation and deconvnet
differ:

gradient    1[z > 0] R
deconvnet   max(R, 0)             Zeiler & Fergus 2014
guided      1[z > 0] max(R, 0)    Springenberg et al. 2015
redirected  max(R, 0) where z <= 0, if no unit of this image would let R pass; else the gradient

The last is not an attribution but a way to start: a unit that is off has no gradient to follow (Olah et al. 2017).
TensorFlow is told so for the operations that one call of a layer makes, so that every way to write a ReLU is met, and a
sigmoid that gates or a layer of another kind that happens to compute with one is not. No layer is changed.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cached_property

import keras
import tensorflow as tf

from ...graph.ends import check_channels_last, nodes_from_last_weights
from ...graph.run import activation_name, build_graph_for, call_node, run_graph, subgraph
from ...support.types import Model
from .scores import ALIASES, INPUT, LOGITS, PROBS

PASS_THROUGH = ("Identity", "Reshape", "Squeeze", "Cast", "Transpose", "StopGradient")
OUTPUT_ACTIVATIONS = ("Softmax", "LogSoftmax", "Sigmoid")
LOSS_SCALE = 128.0  # of scores in half precision, whose small gradients would vanish
SMALL = 1e-30  # the least probability whose logarithm is taken
RELUS = ("Relu", "Relu6", "LeakyRelu")
SMOOTH = {"Elu", "Selu", "Softplus", "Softsign", "Tanh", "Erf", "Erfc"}
CONTROL_FLOW = {"PartitionedCall", "StatefulPartitionedCall", "While", "StatelessWhile", "If", "StatelessIf"}
MADE_OF_RELUS = {"prelu", "hardsigmoid", "hardsilu", "hardswish"}  # made of some
_LENSES: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


class Lens:
    """A model with its preprocessing, its image input and the output to explain.

    ``preprocess`` converts pixels (N, H, W, C), 0..255, to what the model expects, in keras.ops; networks of kerascnn
    do that themselves. ``input`` and ``output`` are names, needed where there are several. Compiled functions stay with
    the lens, so that the next call of the same kind does not trace again.
    """

    def __init__(self, model, *, preprocess=None, input=None, output=None):
        check_channels_last(model)
        self._model = weakref.ref(model)
        self.settings = {"preprocess": preprocess, "input": input, "output": output}
        self.name = model.name
        self.has_preprocessing = preprocess is not None
        self.preprocess = preprocess or (lambda pixels: pixels)
        self.graph = build_graph_for(model)
        self.inputs = tuple(node.name for node in self.graph.inputs)
        self.input = self._input(input)
        self.output = self._output(model, output)
        self.programs, self.limits = {}, {}
        self.kept_model = None
        self.layer_identities = layer_identities(self.graph)

    @property
    def model(self):
        """The model."""
        return self._model()

    def _input(self, name):
        images = [node.name for node in self.graph.inputs if len(node.shape) == 3]
        if name is None and len(images) == 1:
            return images[0]
        if name not in self.inputs:
            problem = "several inputs" if images else "no input of images (N, H, W, C)"
            description = f"{self.name} has {problem}: {', '.join(self.inputs)}"
            raise ValueError(f"`input` should be the name of the image input; {description}. Received: {name!r}")
        return name

    def _output(self, model, name):
        """The call whose first tensor is the output that counts."""
        outputs = model.outputs if isinstance(model, keras.Sequential) else model.output
        tensors = [*outputs.values()] if isinstance(outputs, dict) else outputs  # flattened, a dict would be sorted
        ends = dict(zip(map(id, model.outputs), self.graph.ends, strict=True))
        nodes = [ends[id(tensor)] for tensor in keras.tree.flatten(tensors)]
        keys = [*outputs] if isinstance(outputs, dict) else [node.name for node in nodes]
        keys = keys if len(keys) == len(nodes) else [node.name for node in nodes]
        if name is None and (len(nodes) == 1 or "probs" in keys):
            return nodes[keys.index("probs") if "probs" in keys else 0]
        if isinstance(name, int) and -len(nodes) <= name < len(nodes):
            return nodes[name]
        if name not in keys:
            raise ValueError(
                f"`output` should be one of the outputs of {self.name}: {', '.join(keys)}. Received: {name!r}"
            )
        return nodes[keys.index(name)]

    def tap(self, layer):
        """The name of a call by which its activations are read, as `Run` knows it.

        A layer called "input", "logits" or "probs" comes before what is read of every network by that name.
        """
        if layer in ALIASES.values():
            return layer
        if layer in ALIASES and not any(node.name.rsplit("/", 1)[-1] == layer for node in self.graph.nodes):
            return ALIASES[layer]
        return self.graph.find(layer).name

    def subgraph(self, layers=()):
        """The graph of what ``layers`` depend on; all of it where none are named."""
        taps = {self.tap(layer) for layer in layers} - {INPUT}
        nodes = [self.output if tap in ALIASES.values() else self.graph.find(tap) for tap in taps]
        return subgraph(self.graph, nodes) if nodes else self.graph

    @cached_property
    def shape(self):
        """(height, width, channels) of the images; None where open."""
        return next(node.shape for node in self.graph.inputs if node.name == self.input)

    @cached_property
    def uses_float16(self):
        """Whether something in it is computed in float16."""
        return any(getattr(node.operation, "compute_dtype", "") == "float16" for node in self.graph.nodes)

    def feature_map_layer(self, layer=None):
        """The name of a layer that has places and channels, by default `features`."""
        node = self.graph.find(self.last_feature_maps() if layer is None else layer)
        if len(node.shape) != 3:
            raise ValueError(f"`layer` should have feature maps (h, w, C). Received: {node.name} of shape {node.shape}")
        return node.name

    def last_feature_maps(self, otherwise=None):
        """The last feature maps before the layer of the logits."""
        calls = [node for node in subgraph(self.graph, [self.output]).nodes if not node.is_input]
        maps = [node for node in calls if len(node.shape) == 3 and node.shape[:2] != (1, 1)]
        ends = nodes_from_last_weights(self.output)
        hidden = [node for node in maps if node not in ends] or maps
        if not hidden and otherwise is None:
            raise ValueError(
                f"`layer` should be given, because no layer of {self.name} has feature maps. Received: None"
            )
        return hidden[-1].name if hidden else otherwise


def lens(
    model: Model | Lens,
    *,
    preprocess: Callable | None = None,
    input: str | None = None,
    output: str | int | None = None,
) -> Lens:
    """A `Lens` on a model that needs preprocessing or has several inputs.

    Without options the lens of a model is created once and reused.

    Args:
        model: a Functional or built Sequential Keras model, or a `Lens`, which is returned as it is.
        preprocess: function in keras.ops from pixels (N, H, W, C), 0..255, to what the model expects. Networks of
            kerascnn need none.
        input: name of the image input, where there are several.
        output: name or number of the output to explain, where there are several.

    Returns:
        `Lens`.
    """
    if isinstance(model, Lens):
        return model
    is_default = preprocess is None and input is None and output is None
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` should be a Functional or built Sequential Keras model. Received: {model!r}")
    cached = _LENSES.get(model) if is_default else None
    # a layer may have got another activation since
    if cached is None or cached.layer_identities != layer_identities(cached.graph):
        cached = Lens(model, preprocess=preprocess, input=input, output=output)
        if is_default:
            _LENSES[model] = cached
        else:
            cached.kept_model = model  # the model lives as long as the lens that the user holds
    return cached


def layer_identities(graph):
    """What of a model is compiled in, besides its graph."""
    return tuple((id(getattr(node.operation, "activation", None)), id(node.operation)) for node in graph.nodes)


class Run:
    """One batch on its way through a network, while a function is compiled: activations, score, signals back."""

    def __init__(self, lens, pixels, other_inputs, rule=None, layers=()):
        """With ``layers``, only what they depend on is run, so that it takes images of any size that fits."""
        self.lens, self.pixels = lens, pixels
        inputs = {**other_inputs, lens.input: lens.preprocess(pixels)}
        self.rule = rule
        graph = lens.subgraph(layers)
        with keras.StatelessScope():  # no variable changes, no loss is kept
            values = run_graph(graph, [inputs[node.name] for node in graph.inputs], perform=self._perform)
        ends = logits_and_probs(values[lens.output.name]) if lens.output.name in values else {}
        self.values = values | ends | {INPUT: pixels}

    def _perform(self, node, tensors):
        if self.rule is None:
            return call_node(node, tensors)
        graph = tf.compat.v1.get_default_graph()
        before = len(graph.get_operations())
        with override_gradients(node, self.rule, self.lens.output.name):
            outputs = call_node(node, stop_gate_gradients(node, tensors, self.rule))
        if node.name != self.lens.output.name:
            check_rule(node, graph.get_operations()[before:], self.rule)
        return skip_normalization(node, tensors, outputs, self.rule)

    def __getitem__(self, layer):
        """The activations of a layer, in float32."""
        return tf.cast(self.values[self.lens.tap(layer)], tf.float32)

    def score(self, score, feeds):
        """A `Score` of each image, (N,)."""
        value = tf.cast(score.of({layer: self[layer] for layer in score.layers}, *feeds), tf.float32)
        if len(value.shape) != 1:
            raise ValueError(f"`score` should return one number per image, shape (N,). Received: {tuple(value.shape)}")
        return value

    def gradient(self, score, layer=INPUT, start=None):
        """d score / d activations of each image, or what the rule makes of it; ``start`` in place of 1.

        ``layer`` may also be a tensor that the pixels were made from.
        """
        target = layer if tf.is_tensor(layer) else self.values[self.lens.tap(layer)]
        scale = LOSS_SCALE if self.lens.uses_float16 else 1.0
        start = tf.ones_like(score) if start is None else start
        gradient = tf.gradients(score, target, grad_ys=scale * start)[0]
        if gradient is None:
            return tf.zeros_like(tf.cast(target, tf.float32))
        return tf.cast(tf.convert_to_tensor(gradient), tf.float32) / scale


def logits_and_probs(output):
    """{LOGITS, PROBS}: the scores before a last softmax or sigmoid, found in the graph of operations, and after."""
    tensor = output
    while tensor.op.type in PASS_THROUGH:
        tensor = tensor.op.inputs[0]
    output = tf.cast(output, tf.float32)
    if tensor.op.type in OUTPUT_ACTIVATIONS:
        logits = tf.ensure_shape(tf.reshape(tensor.op.inputs[0], tf.shape(output)), output.shape)
        probs = tf.exp(output) if tensor.op.type == "LogSoftmax" else output
    elif is_handwritten_softmax(tensor):
        logits, probs = tf.math.log(tf.maximum(output, SMALL)), output
    else:
        logits = tf.identity(output)
        probs = tf.sigmoid(logits) if output.shape[-1] == 1 else tf.nn.softmax(logits)
    return {LOGITS: tf.cast(logits, tf.float32), PROBS: probs}


def is_handwritten_softmax(tensor):
    """Whether a tensor is exp(x) / sum: a softmax that someone wrote out."""
    numerator = tensor.op.inputs[0] if tensor.op.type in ("RealDiv", "Div") else tensor
    while numerator.op.type in PASS_THROUGH:
        numerator = numerator.op.inputs[0]
    return numerator is not tensor and numerator.op.type == "Exp"


@tf.RegisterGradient("kerascnn_guided")
def _gradient_guided(op, signal):
    signal, z = tf.nn.relu(signal), op.inputs[0]
    if op.type == "Relu6":
        return tf.raw_ops.Relu6Grad(gradients=signal, features=z)
    if op.type == "LeakyRelu":
        return tf.raw_ops.LeakyReluGrad(gradients=signal, features=z, alpha=op.get_attr("alpha"))
    return tf.raw_ops.ReluGrad(gradients=signal, features=op.outputs[0])


@tf.RegisterGradient("kerascnn_deconvnet")
def _gradient_deconvnet(op, signal):
    return tf.nn.relu(signal)


@tf.RegisterGradient("kerascnn_redirected")
def _gradient_redirected(op, signal):
    z = op.inputs[0]
    rectified = tf.where(z > 0, signal, tf.zeros_like(signal))
    through = tf.where((z > 0) | (signal > 0), signal, tf.zeros_like(signal))
    dead = tf.reduce_all(tf.equal(rectified, 0), axis=tuple(range(1, len(z.shape))), keepdims=True)
    return tf.where(dead, through, rectified)


@tf.RegisterGradient("kerascnn_open")
def _gradient_unlimited(op, signal):
    """A limit that the signal does not see: the upper one of ReLU(max_value=...)."""
    return signal, None


@tf.RegisterGradient("kerascnn_switch")
def _gradient_to_first_maximum(op, signal):
    """To the first of the largest values, as max pooling does; TensorFlow's own divides among equal ones."""
    x = op.inputs[0]
    rows, positions, channels = tf.shape(x)[0], tf.reduce_prod(tf.shape(x)[1:3]), tf.shape(x)[3]
    first = tf.argmax(tf.reshape(x, (rows, positions, channels)), axis=1)
    hot = tf.transpose(tf.one_hot(first, positions, dtype=signal.dtype), (0, 2, 1))
    return tf.reshape(hot * tf.reshape(signal, (rows, 1, channels)), tf.shape(x)), None


@tf.RegisterGradient("kerascnn_refused")
def _gradient_error(op, signal):
    """A sigmoid that a signal reaches is none that gates."""
    raise ValueError(nonlinearity_message(op.name))


def override_gradients(node, rule, output):
    """A context in which the operations of a call are made with the gradients of a rule."""
    names = {} if is_made_of_relus(node) else dict.fromkeys(RELUS, f"kerascnn_{rule}")
    if rule == "redirected":
        return tf.compat.v1.get_default_graph().gradient_override_map({"Relu": names["Relu"]} if names else {})
    if node.name != output:
        names["Sigmoid"] = "kerascnn_refused"
    if node.kind == "ReLU" and rule == "deconvnet":
        names |= {"Minimum": "kerascnn_open", "Maximum": "kerascnn_open"}
    if node.kind == "GlobalMaxPooling2D":
        names["Max"] = "kerascnn_switch"
    return tf.compat.v1.get_default_graph().gradient_override_map(names)


def check_rule(node, operations, rule):
    """Refuse a call through which a rule is not defined."""
    if rule == "redirected":
        return
    types = {op.type for op in operations}
    smooth = types & SMOOTH or {"Sigmoid", "Mul"} <= types or getattr(node.operation, "threshold", 0)
    if smooth or is_made_of_relus(node):
        raise ValueError(nonlinearity_message(f"{node.name}, {activation_name(node) or node.kind}"))
    if types & CONTROL_FLOW and "Conv" not in node.kind:  # Keras compiles grouped convolutions apart
        raise ValueError(f"`model` should consist of layers that {rule} supports. Received: {node.name}")


def is_made_of_relus(node):
    """Whether a nonlinearity that is no ReLU computes with some."""
    return activation_name(node).replace("_", "") in MADE_OF_RELUS


def nonlinearity_message(received):
    return (
        "`model` should have no nonlinearities other than ReLU (also ReLU6 and leaky ReLU), because "
        "guided_backprop and "
        f"deconvnet are not defined for others. Received: {received}"
    )


def stop_gate_gradients(node, tensors, rule):
    """What a call is given under a rule: gates are constants, so that the signal takes the way of what they gate."""
    if node.kind != "Multiply" or rule == "redirected":
        return tensors
    gates = [len(tensor.shape) == 4 and tuple(tensor.shape[1:3]) == (1, 1) for tensor in tensors]
    if all(gates):
        return tensors
    return [tf.stop_gradient(tensor) if is_gate else tensor for tensor, is_gate in zip(tensors, gates, strict=True)]


def skip_normalization(node, tensors, outputs, rule):
    """Local response normalization, which deconvnet leaves out on its way back."""
    if rule != "deconvnet" or "ResponseNorm" not in node.kind:
        return outputs
    return [tensors[0] + tf.stop_gradient(outputs[0] - tensors[0]), *outputs[1:]]


def with_gradient(function):
    """``function(x, *constants)``, in keras.ops and with one number as its value, compiled: (value, its gradient by x).

    Args:
        function: takes tensors; it is compiled once for each combination of shapes and types.

    Returns:
        A function of arrays or tensors, whose precision is kept.
    """

    def both_of(x, *constants):
        value = function(x, *constants)
        return value, tf.gradients(value, x)[0]

    return tf.function(both_of, autograph=False)
