"""Keys and shapes of the layers that published checkpoints are made of."""

CLASSES = 1000
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def conv(name, inputs, filters, size=1, groups=1, bias=False):
    height, width = size if isinstance(size, tuple) else (size, size)
    yield f"{name}.weight", (filters, inputs // groups, height, width)
    if bias:
        yield f"{name}.bias", (filters,)


def norm(name, channels):
    for part in NORM:
        yield f"{name}.{part}", () if part == "num_batches_tracked" else (channels,)


def dense(name, inputs, units=CLASSES):
    yield f"{name}.weight", (units, inputs)
    yield f"{name}.bias", (units,)


def unit(name, inputs, filters, size=1):
    """A convolution and its batch norm."""
    yield from conv(f"{name}.conv", inputs, filters, size)
    yield from norm(f"{name}.bn", filters)


def branches(name, inputs, table):
    """Chains of (filters, size) by name; the layers of a chain of several are numbered."""
    for branch, chain in table.items():
        channels = inputs
        for i, (filters, size) in enumerate(chain):
            yield from unit(f"{name}.{branch}" + (f".{i}" if len(chain) > 1 else ""), channels, filters, size)
            channels = filters
