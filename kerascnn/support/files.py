"""Files that are there as a whole or not at all; names and numbers that any of them can hold."""

import json
import os
from contextlib import contextmanager
from pathlib import Path


def displayable(value):
    """A file's name, or plain data with names in it, as text that can be written.

    A name that is not UTF-8 comes from the system with a surrogate for each byte that is no letter; the byte E9 is
    written as \\udce9, as Python shows it.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {displayable(key): displayable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [displayable(each) for each in value]
    return value


def is_web_page(start):
    """Whether a file that begins with these bytes is HTML or XML, as servers send it in place of a file."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--"))


def plain(value):
    """Plain data for JSON: floats of six digits, None for what is not a number."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    value = value.tolist() if hasattr(value, "tolist") else value  # numpy's arrays and numbers
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if abs(value) < float("inf") else None
    return value if isinstance(value, str | int | None) else str(value)


@contextmanager
def replacing(path):
    """A name beside ``path`` with the same suffix, which becomes it when the body is done."""
    path = Path(path)
    draft = path.with_name(f".draft-{path.name}")  # always the same: what a killed process leaves is replaced
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path, text, *, make_folders=True):
    """Write a text file as a whole."""
    path = Path(path)
    if make_folders:
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_text(displayable(text), encoding="utf-8", newline="")
    return path


def write_json(path, facts, *, make_folders=True):
    """Write plain data as a JSON file."""
    return write_text(path, json.dumps(displayable(facts), indent=2) + "\n", make_folders=make_folders)


def records(table):
    """A DataFrame's rows as JSON takes them."""
    return [plain(row) for row in table.to_dict("records")]


def save_figure(figure, path):
    """Draw a figure of matplotlib into a file; the suffix says which kind. Folders are made."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        figure.savefig(draft, dpi=150)
    return Path(path)


def save_text(text, path):
    """Write text, which ends with a newline then, as UTF-8. Folders are made."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
    return Path(path)


def save_image(pixels, path):
    """Write pixels 0..255 (H, W, 1 or 3) as an image file; the suffix says which kind. Folders are made."""
    import numpy as np
    from PIL import Image

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    whole = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    with replacing(path) as draft:
        Image.fromarray(whole[..., 0] if whole.shape[-1] == 1 else whole).save(draft)
    return Path(path)
