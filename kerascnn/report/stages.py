"""Which layers stand for a network: the last of each size of its maps."""

from ..anatomy.running import part

MOST = 6
ARRANGING = ("ZeroPadding2D", "Cropping2D", "Dropout", "SpatialDropout2D", "Pad", "Identity")


def stage_layers(probe):
    """One layer a stage: the last with maps of each size that a convolution writes, up to the features."""
    last = probe.features(otherwise="")
    if not last:
        return ()
    found, convolved = {}, set()
    for node in part(probe.graph, [probe.graph.find(last)]).nodes:
        if node.is_input or len(node.shape) != 3 or node.kind in ARRANGING:
            continue
        size = node.shape[:2] if None not in node.shape[:2] else None  # of open sizes: all one stage
        if len(getattr(node.operation, "kernel_size", ())) == 2:
            convolved.add(size)
        found.pop(size, None)
        found[size] = node.name
    names = [name for size, name in found.items() if size in convolved] or [*found.values()]
    step = max(1, -(-len(names) // MOST))
    return tuple(names[::-1][::step][::-1])
