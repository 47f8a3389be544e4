"""What the figures of sections share: colours that all eyes tell apart, one frame, one size of type."""

BLUE, RED, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "0.75"


def spaced(count, most):
    """At most ``most`` positions of ``count``, evenly spaced, with the first and the last."""
    import numpy as np

    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))


def tail(name, length=22):
    """A layer's name, or as much of its end as there is room for."""
    return name if len(name) <= length else "…" + name[1 - length :]


def new_figure(width, height):
    """A matplotlib figure of inches that arranges itself."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def plain(axis, title="", **labels):
    """A title, names of axes, no frame."""
    axis.set_title(title, fontsize=12, loc="left")
    axis.set(**labels)
    axis.grid(alpha=0.25)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
