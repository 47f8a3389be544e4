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


def compact(number):
    """A number in few letters: 5,713, 0.32, 1.2e-05."""
    return f"{number:,.0f}" if 100 <= abs(number) < 1e6 else f"{number:.2g}"


def percent(share):
    """A share as 57.6 %."""
    return f"{100 * share:.1f} %"


def probability(share):
    """A probability in as many digits as tell it from 0 and 1."""
    return f"{share:.1%}" if 0.0005 <= share <= 0.9995 else "< 0.1%" if share < 0.5 else "> 99.9%"


def sides(shape):
    """(224, 224, 3) as 224x224x3, what is open as ?."""
    return "x".join("?" if side is None else str(side) for side in shape)


def count(number, what):
    """1 image, 2 images."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def cut(text, letters=24):
    """The beginning of a text that is too long, with a mark that something is missing."""
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "…"


def cut_line(text, room):
    """A line of text, or as much of it as there is room for; None is room for all."""
    return text if room is None or len(text) <= room else text[: max(room - 3, 1)].rstrip() + "..."


def tail(text, letters):
    """The end of a text that is too long: names of layers differ there."""
    return text if len(text) <= letters else "…" + text[1 - letters :]


def file_name(path, letters=None):
    """The end of a path, on any system, cut to so many letters."""
    name = str(path).replace("\\", "/").rsplit("/", 1)[-1]
    return name if letters is None else cut(name, letters)


def last_part(name, letters):
    """A name without the folders or models before it, as much of its end as there is room for."""
    return tail(str(name).rsplit("/", 1)[-1], letters)


def both_ends(text, letters):
    """Both ends of a text that is too long."""
    return text if len(text) <= letters else f"{text[: letters - 8]}…{text[-7:]}"


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
