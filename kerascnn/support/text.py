"""Numbers and names as text, and the hint at a near name."""

import re

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


def natural(name):
    """Sort key under which resnet18 stands before resnet101."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def nearest(name, known, most=3):
    """The names of those ``known`` that are spelled like another one, the nearest first."""
    from difflib import get_close_matches

    return get_close_matches(str(name), list(known), n=most, cutoff=0.5)


def check_names(what, names, known):
    """The names as a tuple, also where it is a single one; each of them should be ``known``."""
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        if name not in known:
            raise ValueError(unknown(what, name, known))
    return names


def unknown(what, name, known, advice=""):
    """Error text for a name that is not ``known``, with the nearest ones."""
    known = sorted(map(str, known), key=natural)
    near = nearest(name, known)
    if near:
        hint = f" Did you mean {', '.join(near)}?"
    else:
        hint = f" Known: {', '.join(known)}." if len(known) <= 30 else ""
    return f"Unknown {what} {name!r}.{hint}" + (f" ({advice})" if advice else "")
