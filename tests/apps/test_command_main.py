"""The command as a whole: help, errors and their exit codes, colors, pipes, completion."""

import subprocess
import sys

import click
import pytest

import kerascnn
from kerascnn.weights import DownloadError
from kerascnn_apps.errors import BadFile, Failure
from kerascnn_apps.main import main

COMMANDS = [
    "list",
    "show",
    "predict",
    "see",
    "data",
    "train",
    "transfer",
    "diagnose",
    "evaluate",
    "report",
    "export",
    "bench",
    "demo",
    "doctor",
    "cache",
    "config",
    "completion",
]
HELPS = [[], ["-h"], ["--help"], *([name, "--help"] for name in COMMANDS)]


@pytest.mark.parametrize("words", HELPS, ids=" ".join)
def test_help(run, words):
    outcome = run(*words)
    assert outcome.exit_code == 0
    assert outcome.stdout.startswith("Usage: kerascnn")
    assert all(name in outcome.stdout for name in ("--json", "--quiet", "--verbose", "--no-color", "--config"))
    assert max(map(len, outcome.stdout.splitlines())) <= 100


@pytest.mark.parametrize("name", ["show", "predict", "completion"])
def test_common_options_have_their_own_section(run, name):
    """Also help; --force is an option of those commands that have it."""
    own, common = run(name, "--help").stdout.split("Common options:")
    assert all(option in common for option in ("--json", "--config", "--help"))
    assert "--force" not in common
    assert "--help" not in own.partition("Options:")[2]


def test_version(run):
    assert run("--version").stdout == f"kerascnn {kerascnn.__version__}\n"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["lst"], "list"),
        (["shwo"], "show"),
        (["list", "--familly", "resnet"], "--family"),
        (["--jsn"], "--json"),
        (["show", "--diagrm", "x.svg"], "--diagram"),
        (["diagnose", "unts"], "units"),
        (["bench", "batch"], "batches"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_misspelled_commands_get_near_names(fails, words, hint):
    assert f"Did you mean {hint}" in fails(*words, code=2).replace("'", "")


@pytest.fixture
def broken(monkeypatch):
    """A command of the group that raises an error."""

    def add(error):
        @click.command("broken")
        def command():
            raise error

        monkeypatch.setitem(main.commands, "broken", command)

    return add


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (Failure("first\nsecond"), 1, "error: first\n"),
        (BadFile("no model", "another file"), 4, "error: no model\ntry:   another file\n"),
        (DownloadError("no file", "bring it"), 1, "error: no file\ntry:   bring it\n"),
        (RuntimeError("all\nis lost"), 1, "error: RuntimeError: all\n"),
        (ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn"), 3, 'pip install "kerascnn[explore]"'),
        (ModuleNotFoundError("No module named 'keras'", name="keras"), 1, "kerascnn doctor"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.Abort(), 130, "interrupted"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_failures(run, broken, error, code, text):
    broken(error)
    outcome = run("broken")
    assert outcome.exit_code == code
    assert outcome.stdout == ""
    assert text in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_verbose_shows_the_traceback(run, broken):
    broken(RuntimeError("lost"))
    outcome = run("-v", "broken")
    assert outcome.exit_code == 1
    assert "Traceback" in outcome.stderr
    assert outcome.stderr.splitlines()[-2].startswith("error: RuntimeError: lost")


def test_common_options_before_or_after_the_subcommand(run):
    assert run("--json", "list", "lenet").stdout == run("list", "lenet", "--json").stdout


COLORED = {
    "none in a pipe": ([], {}, False),
    "forced": ([], {"FORCE_COLOR": "1"}, True),
    "NO_COLOR wins": ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    "--no-color wins": (["--no-color"], {"FORCE_COLOR": "1"}, False),
}


@pytest.mark.parametrize("case", COLORED)
@pytest.mark.parametrize("words", [["show", "lenet5"], ["show", "lenet6"]], ids=["result", "error"])
def test_colors(run, monkeypatch, case, words):
    options, environment, colored = COLORED[case]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in run(*words, *options).output) == colored


def test_closed_pipe(tmp_path):
    """A pipe that is closed early, as by head."""
    program = "from kerascnn_apps.main import main; main()"
    with open(tmp_path / "errors", "w+") as errors:
        words = [sys.executable, "-c", program, "list", "--json"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors) as child:
            child.stdout.close()
        errors.seek(0)
        assert errors.read() == ""
    assert child.returncode == 0


def test_characters_that_the_terminal_lacks(process):
    done = process("show", "vgg16", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "  ##" in done.stdout


def completed(process, line, shell="bash"):
    words = line.split(" ")
    environment = {"_KERASCNN_COMPLETE": f"{shell}_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    lines = process(**environment).stdout.splitlines()
    return [value for kind, value in (line.split(",", 1) for line in lines) if kind == "plain"]


def test_completion(process, rows):
    assert completed(process, "kerascnn ") == COMMANDS
    deepest = [row.name for row in rows if row.name.startswith("resnet15")]
    assert completed(process, "kerascnn show resnet15") == deepest
    assert completed(process, "kerascnn list --family re") == ["resnet", "resnext"]
    assert completed(process, "kerascnn list --from t") == ["timm", "torchvision"]
    assert "--max-params" in completed(process, "kerascnn list --")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(run, shell):
    outcome = run("completion", shell)
    assert outcome.exit_code == 0
    assert f"_KERASCNN_COMPLETE={shell}_complete" in outcome.stdout


def test_completion_of_another_shell(fails):
    assert "bash" in fails("completion", "tcsh", code=2)
