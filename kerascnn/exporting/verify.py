"""An export tried in fresh processes: `python -m kerascnn.exporting FOLDER`."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ALONE = ("saved_model", "model.tflite", "model.onnx")  # what runs without Keras


@dataclass(frozen=True)
class Check:
    """One thing tried: of which file, what, what came out, and whether that is right."""

    file: str
    what: str
    found: str
    passed: bool


class ExportError(RuntimeError):
    """An export that does not say what its model says; ``checks`` tells where."""

    def __init__(self, folder, checks):
        wrong = [f"{check.file}: {check.what}: {check.found}" for check in checks if not check.passed]
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        super().__init__(f"the export in {folder} does not say what its model says: {wrong[0]}{more}")
        self.folder, self.checks = folder, checks


def verify(folder, samples=None):
    """Load an export where nothing of this process is, and compare its answers with the model's: ``Check``s.

    The .keras file is loaded by Keras and kerascnn, everything else by TensorFlow alone, each in a process of its own.
    ``samples`` is a folder as ``samples.write`` makes it, the export's own by default. Raises ``ExportError``.
    """
    folder = Path(folder)
    samples = Path(samples or folder / "check")
    if not (folder / "card.json").is_file() or not (samples / "expected.npz").is_file():
        raise ValueError(f"`folder` should be what kerascnn.export wrote. Received: {os.fspath(folder)!r}")
    running = []
    if (folder / "model.keras").exists():
        running.append(("model.keras", started(["-m", "kerascnn.exporting.reload", folder, samples])))
    if any((folder / name).exists() for name in ALONE):
        running.append(("saved_model", started(["-P", HERE / "standalone.py", folder, samples])))
    checks = [*intact(folder)]
    try:
        for file, process in running:
            checks += finished(file, process)
    finally:
        for _, process in running:
            process.kill()  # where we were interrupted; nothing where it has ended
    if not all(check.passed for check in checks):
        raise ExportError(folder, tuple(checks))
    return tuple(checks)


def intact(folder):
    """Whether the files are those that the card lists."""
    listed = json.loads((folder / "card.json").read_text(encoding="utf-8"))["sha256"]
    there = digests(folder)
    changed = [name for name, digest in listed.items() if there.get(name) != digest]
    changed += sorted(there.keys() - listed.keys() - {"card.json"})
    yield Check("card.json", "sha256 of all files", ", ".join(changed) or "the same", not changed)


def files_of(folder):
    """{name: path} of all files below a folder."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def digests(folder):
    """{name: sha256} of all files below a folder."""
    found = {}
    for name, path in files_of(folder).items():
        with open(path, "rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def started(words):
    """A process that knows nothing of this one but where its packages are."""
    paths = [str(HERE.parents[1]), *filter(None, sys.path)]
    # on the processor: this process may hold all of an accelerator's memory
    state = {"CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment = os.environ | state | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(
        [sys.executable, *map(str, words)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(file, process):
    """What a process reported on its last line, or that it failed."""
    out, errors = process.communicate()
    try:
        return [Check(**row) for row in json.loads(out.splitlines()[-1])]
    except (IndexError, ValueError, TypeError):
        said = [line.strip() for line in errors.splitlines() if line.strip()]
        return [Check(file, "runs in a fresh process", said[-1] if said else f"exit {process.returncode}", False)]
