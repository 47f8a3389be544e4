"""The network that transfer learning is measured on, as the options of a benchmark name it."""


def opened(network, weights=None, size=None):
    """A network of the zoo for images of a ``size``, with a file of weights, "none", or the best that are published."""
    from kerascnn import build_model, card
    from kerascnn.transfer_learning.sources import named

    if weights is None:
        return named(network, size)
    shape = {"input_shape": (size, size, card(network).input_shape[-1])} if size else {}
    return build_model(network, weights=None if weights == "none" else weights, **shape)
