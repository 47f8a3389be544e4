"""What a model knows besides its weights, such as its class names: in memory, and in its .keras file."""

import json
import zipfile
from pathlib import Path
from weakref import WeakKeyDictionary

SUFFIX = ".json"  # of a member of the archive
KERAS_MEMBERS = {"config.json", "metadata.json"}
FACTS: WeakKeyDictionary = WeakKeyDictionary()  # {model: {name: plain data}}


def get_fact(model, name):
    """What a model knows by this name, as plain data; None if nothing."""
    return FACTS.get(model, {}).get(name)


def set_fact(model, name, data):
    """Let a model know something as long as it is in memory; None lets it forget."""
    facts = {**FACTS.get(model, {}), name: data}
    FACTS[model] = {key: value for key, value in facts.items() if value is not None}


def copy_facts(source, target):
    """Let a model know what another one knows."""
    FACTS[target] = {**FACTS.get(source, {})}


def write_model_file(model, path, **more):
    """Save a model as a .keras file with what it knows, and ``more`` of it by name.

    Keras ignores additional members of the archive: the file opens without kerascnn if the model does.
    """
    model.save(path)
    facts = {**FACTS.get(model, {}), **more}
    with zipfile.ZipFile(path, "a") as archive:
        for name, data in facts.items():
            if data is not None:
                archive.writestr(f"{name}{SUFFIX}", json.dumps(data))


def read_facts(path):
    """{name: plain data} of what a .keras file has besides the model; {} for any other file."""
    if not zipfile.is_zipfile(path):
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(SUFFIX) and "/" not in name]
            return {Path(name).stem: json.loads(archive.read(name)) for name in {*names} - KERAS_MEMBERS}
    except (OSError, ValueError, zipfile.BadZipFile):
        return {}
