"""How a signal passes a ReLU on its way back: the one step in which guided backpropagation and deconvnet differ.

gradient    1[z > 0] R
deconvnet   max(R, 0)             Zeiler & Fergus 2014
guided      1[z > 0] max(R, 0)    Springenberg et al. 2015
redirected  max(R, 0) where z <= 0, if no unit of this image would let R pass; else the gradient

The last is no way to look but a way to begin: a unit that is off has no gradient to climb (Olah et al. 2017).
TensorFlow is told so for the operations that one call of a layer makes, so that every way to write a ReLU is met, and a
sigmoid that gates or a layer of another kind that happens to compute with one is not. No layer is changed.
"""

import tensorflow as tf

from ...graph.run import act_of

RELUS = ("Relu", "Relu6", "LeakyRelu")
SMOOTH = {"Elu", "Selu", "Softplus", "Softsign", "Tanh", "Erf", "Erfc"}
CLOSED = {"PartitionedCall", "StatefulPartitionedCall", "While", "StatelessWhile", "If", "StatelessIf"}
NO_RELU = {"prelu", "hardsigmoid", "hardsilu", "hardswish"}  # made of some


@tf.RegisterGradient("kerascnn_guided")
def _guided(op, signal):
    signal, z = tf.nn.relu(signal), op.inputs[0]
    if op.type == "Relu6":
        return tf.raw_ops.Relu6Grad(gradients=signal, features=z)
    if op.type == "LeakyRelu":
        return tf.raw_ops.LeakyReluGrad(gradients=signal, features=z, alpha=op.get_attr("alpha"))
    return tf.raw_ops.ReluGrad(gradients=signal, features=op.outputs[0])


@tf.RegisterGradient("kerascnn_deconvnet")
def _deconvnet(op, signal):
    return tf.nn.relu(signal)


@tf.RegisterGradient("kerascnn_redirected")
def _redirected(op, signal):
    z = op.inputs[0]
    passed = tf.where(z > 0, signal, tf.zeros_like(signal))
    through = tf.where((z > 0) | (signal > 0), signal, tf.zeros_like(signal))
    dead = tf.reduce_all(tf.equal(passed, 0), axis=tuple(range(1, len(z.shape))), keepdims=True)
    return tf.where(dead, through, passed)


@tf.RegisterGradient("kerascnn_open")
def _open(op, signal):
    """A limit that the signal does not see: the upper one of ReLU(max_value=...)."""
    return signal, None


@tf.RegisterGradient("kerascnn_switch")
def _switch(op, signal):
    """To the first of the largest values, as max pooling does; TensorFlow's own divides among equal ones."""
    x = op.inputs[0]
    rows, places, channels = tf.shape(x)[0], tf.reduce_prod(tf.shape(x)[1:3]), tf.shape(x)[3]
    first = tf.argmax(tf.reshape(x, (rows, places, channels)), axis=1)
    hot = tf.transpose(tf.one_hot(first, places, dtype=signal.dtype), (0, 2, 1))
    return tf.reshape(hot * tf.reshape(signal, (rows, 1, channels)), tf.shape(x)), None


@tf.RegisterGradient("kerascnn_refused")
def _refused(op, signal):
    """A sigmoid that a signal reaches is none that gates."""
    raise ValueError(refusal(op.name))


def overridden(node, rule, output):
    """A context in which the operations of a call are made with the gradients of a rule."""
    names = {} if made_of_relus(node) else dict.fromkeys(RELUS, f"kerascnn_{rule}")
    if rule == "redirected":
        return tf.compat.v1.get_default_graph().gradient_override_map({"Relu": names["Relu"]} if names else {})
    if node.name != output:
        names["Sigmoid"] = "kerascnn_refused"
    if node.kind == "ReLU" and rule == "deconvnet":
        names |= {"Minimum": "kerascnn_open", "Maximum": "kerascnn_open"}
    if node.kind == "GlobalMaxPooling2D":
        names["Max"] = "kerascnn_switch"
    return tf.compat.v1.get_default_graph().gradient_override_map(names)


def check(node, operations, rule):
    """Refuse a call through which a rule is not defined."""
    if rule == "redirected":
        return
    types = {op.type for op in operations}
    smooth = types & SMOOTH or {"Sigmoid", "Mul"} <= types or getattr(node.operation, "threshold", 0)
    if smooth or made_of_relus(node):
        raise ValueError(refusal(f"{node.name}, {act_of(node) or node.kind}"))
    if types & CLOSED and "Conv" not in node.kind:  # Keras compiles grouped convolutions apart
        raise ValueError(f"`model` should be made of layers that can be looked into for {rule}. Received: {node.name}")


def made_of_relus(node):
    """Whether a nonlinearity that is no ReLU computes with some."""
    return act_of(node).replace("_", "") in NO_RELU


def refusal(received):
    return (
        "`model` should have no nonlinearity but ReLU (also ReLU6 and leaky): guided_backprop and deconvnet are not "
        f"defined for others. Received: {received}"
    )


def routed(node, tensors, rule):
    """What a call is given under a rule: gates are constants, so that the signal takes the way of what they gate."""
    if node.kind != "Multiply" or rule == "redirected":
        return tensors
    gates = [len(tensor.shape) == 4 and tuple(tensor.shape[1:3]) == (1, 1) for tensor in tensors]
    if all(gates):
        return tensors
    return [tf.stop_gradient(tensor) if is_gate else tensor for tensor, is_gate in zip(tensors, gates, strict=True)]


def skipped(node, tensors, outputs, rule):
    """Local response normalisation, which deconvnet leaves out on its way back."""
    if rule != "deconvnet" or "ResponseNorm" not in node.kind:
        return outputs
    return [tensors[0] + tf.stop_gradient(outputs[0] - tensors[0]), *outputs[1:]]
