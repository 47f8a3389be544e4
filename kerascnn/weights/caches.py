"""Weights files that other libraries have downloaded: torch's hub folder, Keras' folder, the Hugging Face hub's."""

import os
import re
from pathlib import Path

from .hashes import file_hash

HUB_FILE = "model.safetensors"  # the name of the weights in each repository of timm
HUB_ADDRESS = re.compile(r"/([\w.-]+/[\w.-]+)/resolve/([\w.-]+)/([\w.-]+)$")


def folder_of_variable(variable, *default):
    """The folder that an environment variable names, or a subfolder of the home folder."""
    return Path(os.path.expanduser(os.environ.get(variable) or os.path.join("~", *default)))


def torch_folder():
    """The folder of `torch.hub.load_state_dict_from_url`."""
    cache = folder_of_variable("XDG_CACHE_HOME", ".cache")
    return folder_of_variable("TORCH_HOME", str(cache / "torch")) / "hub" / "checkpoints"


def keras_folder():
    """The folder of `keras.applications`."""
    return folder_of_variable("KERAS_HOME", ".keras") / "models"


def hub_folder():
    """The folder of huggingface_hub."""
    cache = folder_of_variable("XDG_CACHE_HOME", ".cache")
    home = folder_of_variable("HF_HOME", str(cache / "huggingface"))
    return folder_of_variable("HF_HUB_CACHE", str(home / "hub"))


def parse_hub_address(address):
    """(repository, revision, file) of an address on the Hugging Face hub; None for other addresses."""
    match = HUB_ADDRESS.search(address)
    return match.groups() if match else None


def hub_repository(path):
    """The repository "timm/vgg11.tv_in1k" of a path in the Hugging Face hub's folder; "" for other paths."""
    names = [part for part in Path(os.path.abspath(path)).parts if part.startswith("models--")]
    return "/".join(names[-1].split("--")[1:]) if names else ""


def other_copies(address, file):
    """Files of other libraries that should be the published file.

    Args:
        address: Where the file is published.
        file: Its name in kerascnn's own cache.

    Returns:
        [(path, hash)]: the hash is "sha256:" and the digits that the Hugging Face hub's folder states, or "".
    """
    copies = [(folder / file, "") for folder in (torch_folder(), keras_folder())]
    parts = parse_hub_address(address)
    if parts:
        copies += [(path, blob_hash(path)) for path in hub_snapshots(*parts)]
    return [(path, hash) for path, hash in copies if os.path.isfile(path)]


def hub_snapshots(repository, revision, file):
    """Paths of a file in the snapshots of a repository: that of the revision if it is known, otherwise all."""
    folder = hub_folder() / f"models--{repository.replace('/', '--')}"
    try:
        commits = sorted(os.listdir(folder / "snapshots"))
    except OSError:
        return []

    if re.fullmatch("[0-9a-f]{40}", revision):
        commits = [commit for commit in commits if commit == revision]
    else:
        current = current_commit(folder, revision)
        commits.sort(key=lambda commit: commit != current)
    return [folder / "snapshots" / commit / file for commit in commits]


def current_commit(folder, branch):
    """The commit of a branch, as huggingface_hub noted it; "" if it did not."""
    try:
        return (folder / "refs" / branch).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def blob_hash(path):
    """The hash that names the file behind a link in a snapshot: "sha256:" and the digits, or ""."""
    name = os.path.basename(os.path.realpath(path))
    return f"sha256:{name}" if re.fullmatch("[0-9a-f]{64}", name) else ""


def find_flaw_of_copy(path, hashes):
    """Why another library's file cannot be used; None if it can."""
    if not hashes:
        return "no hash is published that it could be compared with"
    for hash in hashes:
        try:
            received = file_hash(path, hash.partition(":")[0])
        except OSError as error:
            return f"it cannot be read ({error.strerror or error})"
        if not received.startswith(hash):
            return f"it should have the hash {hash}. Received: {received}"
    return None
