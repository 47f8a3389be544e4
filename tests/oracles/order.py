"""Layers in the order of their connections, which two drawings of one network share whatever they call them."""


def by_connection(model):
    """Layers with weights, each after all that it reads, branches in the order in which they are joined."""
    found, seen = [], set()
    stack = [(model.outputs[0]._keras_history.operation, False)]
    while stack:
        layer, ready = stack.pop()
        if ready:
            found.append(layer)
        elif id(layer) not in seen:
            seen.add(id(layer))
            stack.append((layer, True))
            before = [parent.operation for node in layer._inbound_nodes for parent in node.parent_nodes]
            stack.extend((parent, False) for parent in reversed(before))
    return [layer for layer in found if getattr(layer, "weights", ())]
