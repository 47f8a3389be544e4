"""The style of figures: colors, font sizes, and axes."""

# Okabe & Ito's colors, which most color-blind people tell apart; the first five are easily told from gray
BLUE, ORANGE, GREEN, RED, PINK = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7"
SKY, YELLOW, BLACK = "#56b4e9", "#f0e442", "#000000"
CLASSES = (BLUE, ORANGE, GREEN, RED, PINK, SKY, YELLOW, BLACK)
LINES = (BLUE, RED, GREEN, PINK, ORANGE, SKY, BLACK)  # the first two are the easiest to tell apart
OTHER, MAT, BAD = "#c8c8c8", "0.85", "magenta"
GRAY, PALE, INK = "0.6", "0.75", "0.3"  # of marks, of what is behind them, of footnotes
SMALL, PLAIN, LARGE = 9, 11, 13  # points


def new_figure(width, height):
    """A figure of this size in inches, with a constrained layout."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def style_axis(axis, title="", *, fontsize=PLAIN, loc="center", **labels):
    """Set title and labels (as `axis.set` does), a grid, and no frame at the top and right."""
    axis.set_title(title, fontsize=fontsize, loc=loc)
    axis.set(**labels)
    axis.grid(alpha=0.25)
    axis.set_axisbelow(True)
    hide_frame(axis)


def hide_frame(axis):
    """Hide the frame at the top and right."""
    axis.spines[["top", "right"]].set_visible(False)


def hide_ticks(axis, title="", below="", *, fontsize=PLAIN):
    """Hide ticks, and set a title and a small label below."""
    axis.set_title(title, fontsize=fontsize)
    axis.set_xlabel(below, fontsize=SMALL, color=INK)
    axis.set_xticks([])
    axis.set_yticks([])


def integer_ticks(axis):
    """Put ticks of x at integers only."""
    axis.xaxis.get_major_locator().set_params(integer=True)


def label_rows(axis, names, *, fontsize=SMALL):
    """Label rows from top to bottom."""
    axis.set_yticks(range(len(names)), names, fontsize=fontsize)
    axis.set_ylim(len(names) - 0.4, -0.6)


def add_footnote(figure, *parts):
    """Add a footnote below the figure, of the parts that are not empty."""
    figure.supxlabel("; ".join(part for part in parts if part), fontsize=SMALL, color=INK)
