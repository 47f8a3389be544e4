"""Read class names and metadata from small text files."""

import os

from .errors import BadFile

SUFFIXES = (".txt", ".json", ".csv")  # text with such a suffix is a file name, even if the file is missing


def read_names(text):
    """Names separated by commas, or from a file: a JSON list, or one name per line."""
    if not os.path.isfile(text) and not text.endswith(SUFFIXES):
        return [name.strip() for name in text.split(",")]
    names = read_json(text) if text.endswith(".json") else [*filter(str.strip, read_text(text).splitlines())]
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise BadFile(f"{text} should be a list of names: one per line, or JSON")
    return [name.strip() for name in names]


def read_metadata(path):
    """The JSON object in a file."""
    facts = read_json(path)
    if not isinstance(facts, dict):
        raise BadFile(f'{path} should be a JSON object, such as {{"data": "CIFAR-10"}}')
    return facts


def read_json(path):
    import json

    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise BadFile(f"{path} should be a JSON file. Received: {error}") from error


def read_text(path):
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except OSError as error:
        raise BadFile(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadFile(f"{path} should be a text file in UTF-8. Received: {error}") from error
