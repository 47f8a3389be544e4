"""What commands read from small files of text: names of classes, facts."""

import os

from .errors import BadFile

SUFFIXES = (".txt", ".json", ".csv")  # of what is meant as a file, also where there is none


def read_names(text):
    """Names with commas between them, or those in a file: a JSON list, or a line each."""
    if not os.path.isfile(text) and not text.endswith(SUFFIXES):
        return [name.strip() for name in text.split(",")]
    names = read_json(text) if text.endswith(".json") else [*filter(str.strip, read_text(text).splitlines())]
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise BadFile(f"{text} should be a list of names, a line each, or in JSON")
    return [name.strip() for name in names]


def read_facts(path):
    """What a file says, by name."""
    facts = read_json(path)
    if not isinstance(facts, dict):
        raise BadFile(f'{path} should be a JSON object, such as {{"data": "CIFAR-10"}}')
    return facts


def read_json(path):
    import json

    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise BadFile(f"{path} is no JSON: {error}") from error


def read_text(path):
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadFile(f"{path} is no text in UTF-8: {error}") from error
