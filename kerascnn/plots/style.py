"""How figures look: colors, font sizes, and the figures and axes that the rooms draw on."""

# Okabe & Ito's colors, which most color-blind people tell apart; the first five are easily told from gray
BLUE, ORANGE, GREEN, RED, PINK = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7"
SKY, YELLOW, BLACK = "#56b4e9", "#f0e442", "#000000"
CLASSES = (BLUE, ORANGE, GREEN, RED, PINK, SKY, YELLOW, BLACK)
LINES = (BLUE, RED, GREEN, PINK, ORANGE, SKY, BLACK)  # two lines are told apart best by the first two
OTHER, MAT, BAD = "#c8c8c8", "0.85", "magenta"
GRAY, PALE, INK = "0.6", "0.75", "0.3"  # of marks, of what stands behind them, of small print
SMALL, PLAIN, LARGE = 9, 11, 13  # points


def new_figure(width, height):
    """A figure of inches that arranges its axes by itself."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def tidy(axis, title="", *, fontsize=PLAIN, loc="center", **labels):
    """A grid behind the data, no frame at the top and to the right, a title, and whatever `axis.set` takes."""
    axis.set_title(title, fontsize=fontsize, loc=loc)
    axis.set(**labels)
    axis.grid(alpha=0.25)
    axis.set_axisbelow(True)
    unframe(axis)


def unframe(axis):
    """Only the lines that carry ticks."""
    axis.spines[["top", "right"]].set_visible(False)


def bare(axis, title="", below="", *, fontsize=PLAIN):
    """No ticks; a title, and small print below."""
    axis.set_title(title, fontsize=fontsize)
    axis.set_xlabel(below, fontsize=SMALL, color=INK)
    axis.set_xticks([])
    axis.set_yticks([])


def whole_ticks(axis):
    """Ticks of x at whole numbers only: epochs, layers."""
    axis.xaxis.get_major_locator().set_params(integer=True)


def top_down(axis, names, *, fontsize=SMALL):
    """A row for each name, the first one above."""
    axis.set_yticks(range(len(names)), names, fontsize=fontsize)
    axis.set_ylim(len(names) - 0.4, -0.6)


def small_print(figure, *parts):
    """Small print below everything; what is empty is left out."""
    figure.supxlabel("; ".join(part for part in parts if part), fontsize=SMALL, color=INK)
