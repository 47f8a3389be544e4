"""The calls of a model that matter: those a user names, and those that end in a nonlinearity."""

LINEAR = ("linear", "")
OWN = {  # layers and operations that are a nonlinearity by themselves
    *("relu", "relu6", "leakyrelu", "prelu", "elu", "selu", "celu", "softplus", "softmax", "sigmoid", "tanh"),
    *("silu", "gelu", "mish", "hardsigmoid", "hardsilu", "hardswish"),
}


def chosen(graph, layers, usual):
    """The nodes that ``layers`` names (one or several), or without them those that are ``usual``."""
    if layers is None:
        return [node for node in graph.nodes if usual(node)]
    given = layers if isinstance(layers, list | tuple) else [layers]
    return [graph.find(layer) for layer in given]


def act_of(node):
    """The name of the nonlinearity that ends a call: "relu", "tanh" ..; "" where there is none."""
    act = getattr(node.operation, "activation", None)
    name = node.kind.lower() if act is None else getattr(act, "__name__", type(act).__name__).lower()
    if act is not None:
        return "" if name in LINEAR else name
    return name if name in OWN else ""


def activations(graph):
    """The nonlinear calls but for the last softmax or sigmoid; all calls with weights where there are none."""
    found = [node for node in graph.nodes if act_of(node) and node not in graph.outputs]
    return found or [node for node in graph.nodes if getattr(node.operation, "weights", None)]
