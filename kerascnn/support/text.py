"""Format numbers and names as text, and suggest similar names."""

import re

UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def format_count(number, digits=3):
    """A count in few digits, to be followed by a unit: "25.6 M", "312 "."""
    number = float(f"{number:.{digits}g}")
    for size, letter in UNITS:
        if number >= size:
            return f"{number / size:#.{digits}g}".rstrip(".") + f" {letter}"
    return f"{number:g} "


def format_number(number):
    """A number in few digits: 5,713, 0.32, 1.2e-05."""
    return f"{number:,.0f}" if 100 <= abs(number) < 1e6 else f"{number:.2g}"


def format_percent(share):
    """A fraction as 57.6 %."""
    return f"{100 * share:.1f} %"


def format_probability(share):
    """A probability in percent, "< 0.1%" or "> 99.9%" close to 0 and 1."""
    return f"{share:.1%}" if 0.0005 <= share <= 0.9995 else "< 0.1%" if share < 0.5 else "> 99.9%"


def format_shape(shape):
    """(224, 224, 3) as 224x224x3, with ? for None."""
    return "x".join("?" if side is None else str(side) for side in shape)


def pluralize(number, noun):
    """1 image, 2 images."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def table_text(table):
    """A DataFrame as text, with four digits of each number and a dash for what is unknown."""
    return table.to_string(index=False, float_format="{:.4g}".format, na_rep="-")


def shorten_end(text, letters=24):
    """Shorten a text at its end, with an ellipsis."""
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "…"


def clip_line(text, room):
    """Shorten a line to ``room`` letters, with three dots; None keeps it."""
    return text if room is None or len(text) <= room else text[: max(room - 3, 1)].rstrip() + "..."


def shorten_start(text, letters):
    """Shorten a text at its start: names of layers differ at the end."""
    return text if len(text) <= letters else "…" + text[1 - letters :]


def file_name(path, letters=None):
    """The file name of a path of any system, shortened to ``letters``."""
    name = str(path).replace("\\", "/").rsplit("/", 1)[-1]
    return name if letters is None else shorten_end(name, letters)


def last_part(name, letters):
    """A name without the folders or models before it, shortened at its start."""
    return shorten_start(str(name).rsplit("/", 1)[-1], letters)


def shorten_middle(text, letters):
    """Shorten a text in the middle."""
    return text if len(text) <= letters else f"{text[: letters - 8]}…{text[-7:]}"


def natural_key(name):
    """Sort key by which resnet18 comes before resnet101."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def close_matches(name, known, limit=3):
    """The ``known`` names that are spelled similarly, the closest first."""
    from difflib import get_close_matches

    return get_close_matches(str(name), list(known), n=limit, cutoff=0.5)


def list_names(names, most=10):
    """Names of classes or files as text, at most so many of them."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def check_names(kind, names, known):
    """The names as a tuple, also if it is a single one; raises if one is not ``known``."""
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        if name not in known:
            raise ValueError(unknown_name(kind, name, known))
    return names


def unknown_name(kind, name, known, advice=""):
    """The message for a name that is not ``known``, with similar ones."""
    known = sorted(map(str, known), key=natural_key)
    similar_names = close_matches(name, known)
    if similar_names:
        hint = f" Did you mean {', '.join(similar_names)}?"
    else:
        hint = f" Available: {', '.join(known)}." if len(known) <= 30 else ""
    return f"Unknown {kind} {name!r}.{hint}" + (f" ({advice})" if advice else "")
