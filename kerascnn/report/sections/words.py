"""Numbers in words."""

UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def short(number, digits=3):
    """A count in few digits, to be followed by a unit: "25.6 M", "312 "."""
    number = float(f"{number:.{digits}g}")
    for size, letter in UNITS:
        if number >= size:
            return f"{number / size:#.{digits}g}".rstrip(".") + f" {letter}"
    return f"{number:g} "


def percent(share):
    """A share as 57.6 %."""
    return f"{100 * share:.1f} %"


def sides(shape):
    """(224, 224, 3) as 224x224x3, what is open as ?."""
    return "x".join("?" if side is None else str(side) for side in shape)


def count(number, what):
    """1 image, 2 images."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
