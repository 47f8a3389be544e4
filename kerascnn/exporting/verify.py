"""Verification of an export in new processes: `python -m kerascnn.exporting FOLDER`."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen

from ..support.display import TextResult
from ..support.types import FilePath

HERE = Path(__file__).parent
ALONE = ("saved_model", "model.tflite", "model.onnx")  # what runs without Keras


@dataclass(frozen=True, kw_only=True, repr=False)
class Check(TextResult):
    """One check of an export.

    Attributes:
        file: name of the file.
        what: what was checked.
        found: the outcome in words.
        passed: whether the check passed.
    """

    file: str
    what: str
    found: str
    passed: bool

    def __str__(self):
        return f"{self.file}: {self.what}: {self.found}{'' if self.passed else ' (failed)'}"


class ExportError(RuntimeError):
    """An export does not reproduce the predictions of its model; see ``checks``."""

    def __init__(self, folder, checks):
        wrong = [f"{check.file}: {check.what}: {check.found}" for check in checks if not check.passed]
        others = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        super().__init__(f"the export in {folder} does not reproduce the predictions of the model: {wrong[0]}{others}")
        self.folder, self.checks = folder, checks


def verify(folder: FilePath, samples: FilePath | None = None) -> tuple[Check, ...]:
    """Load an export in new processes and compare its predictions.

    The .keras file is loaded by Keras and kerascnn, everything else by TensorFlow alone.

    Args:
        folder: an export written by `kerascnn.export`.
        samples: folder with samples and expected predictions; by default that of the export.

    Returns:
        The checks. Raises `ExportError` if one of them fails.
    """
    folder = Path(folder)
    samples = Path(samples or folder / "check")
    if not (folder / "card.json").is_file() or not (samples / "expected.npz").is_file():
        raise ValueError(f"`folder` should be an export written by kerascnn.export. Received: {os.fspath(folder)!r}")
    processes = []
    if (folder / "model.keras").exists():
        processes.append(("model.keras", start_process(["-m", "kerascnn.exporting.reload", folder, samples])))
    if any((folder / name).exists() for name in ALONE):
        processes.append(("saved_model", start_process(["-P", HERE / "standalone.py", folder, samples])))
    checks = [*check_hashes(folder)]
    try:
        for file, process in processes:
            checks += read_report(file, process)
    finally:
        for _, process in processes:
            process.kill()  # where we were interrupted; nothing where it has ended
    if not all(check.passed for check in checks):
        raise ExportError(folder, tuple(checks))
    return tuple(checks)


def check_hashes(folder):
    """Whether the files are those that the card lists."""
    expected = json.loads((folder / "card.json").read_text(encoding="utf-8"))["sha256"]
    actual = file_hashes(folder)
    changed = [name for name, digest in expected.items() if actual.get(name) != digest]
    changed += sorted(actual.keys() - expected.keys() - {"card.json"})
    yield Check(
        file="card.json", what="SHA-256 of all files", found=", ".join(changed) or "unchanged", passed=not changed
    )


def list_files(folder):
    """{name: path} of all files below a folder."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def file_hashes(folder):
    """{name: sha256} of all files below a folder."""
    hashes = {}
    for name, path in list_files(folder).items():
        with open(path, "rb") as file:
            hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def start_process(words):
    """A process that knows nothing of this one but where its packages are."""
    paths = [str(HERE.parents[1]), *filter(None, sys.path)]
    # on the processor: this process may hold all of an accelerator's memory
    state = {"CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment = os.environ | state | {"PYTHONPATH": os.pathsep.join(paths)}
    return Popen([sys.executable, *map(str, words)], env=environment, stdout=PIPE, stderr=PIPE, text=True)


def read_report(file, process):
    """What a process reported on its last line, or that it failed."""
    out, errors = process.communicate()
    try:
        return [Check(**row) for row in json.loads(out.splitlines()[-1])]
    except (IndexError, ValueError, TypeError):
        messages = [line.strip() for line in errors.splitlines() if line.strip()]
        return [
            Check(
                file=file,
                what="runs in a new process",
                found=messages[-1] if messages else f"exit code {process.returncode}",
                passed=False,
            )
        ]
