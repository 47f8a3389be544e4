"""What `kerascnn see` says of a result, and the files that it writes of it beside the picture."""

from .errors import Misuse
from .output import bold, cut, width


def write(found, path):
    """The numbers of a result: its arrays, and those among its facts."""
    if path is None:
        return
    import numpy as np

    held = {**vars(found), **getattr(found, "facts", {})}
    arrays = {name: value for name, value in held.items() if isinstance(value, np.ndarray)}
    more = {"map": getattr(found, "map", None), "names": held.get("names"), "classes": held.get("classes")}
    arrays |= {name: np.asarray(value) for name, value in more.items() if value is not None}
    table = table_of(found)
    if table is not None:
        numbers = table.select_dtypes(("number", "bool"))
        arrays |= {f"table_{name}": column.to_numpy() for name, column in numbers.items()}
    try:
        np.savez_compressed(path, **arrays)
    except OSError as error:
        raise Misuse(f"{path} cannot be written: {error.strerror}") from error


def rows(found):
    """What is said of each image, as plain data; nothing where a method says nothing of images."""
    classes, labels = getattr(found, "classes", None), getattr(found, "labels", None)
    facts = {name: values for name, values in getattr(found, "facts", {}).items() if getattr(values, "ndim", 0) == 1}
    said = []
    for i, name in enumerate(found.names if hasattr(found, "title") else ()):
        row = {"image": name}
        if classes is not None:
            row |= {"class": int(classes[i]), "label": labels[classes[i]] if labels else None}
        row["score"] = plain(found.scores[i])
        said.append(row | {fact: plain(values[i]) for fact, values in facts.items()})
    return said


def records(found):
    """The table of a result as plain data, a row each; None where there is none."""
    rows = table_of(found)
    if rows is None:
        return None
    return [{name: plain(cell) for name, cell in row.items()} for row in rows.to_dict("records")]


def table_of(found):
    """The DataFrame of a result, measures with their names as a column."""
    table = getattr(found, "table", None)
    return table if table is None or table.index.name is None else table.reset_index()


def plain(number):
    """A number, or a word, as JSON takes it."""
    number = number.item() if hasattr(number, "item") else number
    if isinstance(number, str | bool):
        return number
    return number if isinstance(number, int) else float(f"{number:.6g}") if number == number else None


def lines(found, out, values):
    """Each image with its class and score, and where the picture is."""
    room = width()
    if not hasattr(found, "title"):
        yield str(found)
    for i, row in enumerate(rows(found)):
        title = found.title(i)
        if not title.startswith(row["image"]):
            yield bold(row["image"])
            title = f"  {title}"
        facts = [f"{name} {value:.3g}" for name, value in row.items() if isinstance(value, float) and name != "score"]
        yield cut(", ".join([title, *facts]), room)
    yield f"drawn: {out}"
    if values:
        yield f"numbers: {values}"
