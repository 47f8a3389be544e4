"""Write files atomically, and convert names and numbers to what they can contain."""

import json
import os
from contextlib import contextmanager
from pathlib import Path


def escape_surrogates(value):
    """Escape surrogates in file names, or in plain data with file names.

    Python represents bytes of a name that are not UTF-8 by surrogates, which cannot be written; the byte E9 becomes
    \\udce9.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {escape_surrogates(key): escape_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [escape_surrogates(item) for item in value]
    return value


def is_web_page(start):
    """Whether a file that starts with these bytes is HTML or XML, which servers return instead of a file."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--"))


def to_json_data(value):
    """Convert to plain data for JSON: floats of six digits, None for NaN and infinity."""
    if isinstance(value, dict):
        return {str(key): to_json_data(item) for key, item in value.items()}
    value = value.tolist() if hasattr(value, "tolist") else value  # numpy's arrays and numbers
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json_data(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if abs(value) < float("inf") else None
    return value if isinstance(value, str | int | None) else str(value)


@contextmanager
def write_atomically(path):
    """Yield a draft path with the same suffix, which replaces ``path`` when the body is done."""
    path = Path(path)
    draft = path.with_name(f".draft-{path.name}")  # always the same name: leftovers of a killed process are replaced
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path, text, *, make_folders=True):
    """Write a text file atomically and return its path."""
    path = Path(path)
    if make_folders:
        path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as draft:
        draft.write_text(escape_surrogates(text), encoding="utf-8", newline="")
    return path


def write_json(path, data, *, make_folders=True):
    """Write plain data as a JSON file and return its path."""
    return write_text(path, json.dumps(escape_surrogates(data), indent=2) + "\n", make_folders=make_folders)


def table_records(table):
    """The rows of a DataFrame as plain data for JSON."""
    return [to_json_data(row) for row in table.to_dict("records")]


def save_figure(figure, path):
    """Save a Matplotlib figure in the format of the suffix; folders are created."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as draft:
        figure.savefig(draft, dpi=150)
    return Path(path)


def save_text(text, path):
    """Write text as UTF-8 with a newline at the end; folders are created."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as draft:
        draft.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
    return Path(path)


def save_image(pixels, path):
    """Save pixels 0..255 (H, W, 1 or 3) in the format of the suffix; folders are created."""
    import numpy as np
    from PIL import Image

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    integer_pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    with write_atomically(path) as draft:
        Image.fromarray(integer_pixels[..., 0] if integer_pixels.shape[-1] == 1 else integer_pixels).save(draft)
    return Path(path)
