import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from kerascnn.zoo import catalog
from kerascnn_apps.main import main


@pytest.fixture(scope="session")
def rows():
    return catalog.read_catalog()


@pytest.fixture(autouse=True)
def nobody(monkeypatch):
    """Ignore the settings of the user who runs the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", os.devnull)


@pytest.fixture
def run(monkeypatch):
    """Run a command line in this process: exit_code, stdout, stderr."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def document(run):
    """The result of a command that prints exactly one JSON document."""

    def read(*words, code=0):
        outcome = run(*words, "--json")
        assert outcome.exit_code == code, outcome.stderr
        found = json.loads(outcome.stdout)
        assert list(found) == ["schema", "command", "result", "warnings"]
        assert found["command"] == words[0]
        assert found["schema"] == f"kerascnn.{words[0]}/1"
        return found

    return read


@pytest.fixture
def fails(run):
    """Run a command line that fails; return its error."""

    def read(*words, code):
        outcome = run(*words)
        assert outcome.exit_code == code, outcome.output
        assert outcome.stdout == ""
        first, *others = outcome.stderr.splitlines()
        assert first.startswith("error: ")
        assert len(others) <= 1
        assert all(line.startswith("try:   ") for line in others)
        return outcome.stderr

    return read


@pytest.fixture(scope="session")
def process():
    """Run a command line in a process of its own."""

    def start(*words, code="from kerascnn_apps.main import main; main()", **environment):
        clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
        return subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, env=clean | environment, timeout=120
        )

    return start


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A file of a model whose scores are the photo's mean red, green and blue over 255."""
    import keras
    from keras import layers

    inputs = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(inputs))
    path = tmp_path_factory.mktemp("models") / "colors.keras"
    keras.Model(inputs, layers.Softmax()(x), name="colors").save(path)
    return path
