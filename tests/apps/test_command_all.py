"""All commands: fast help, one JSON document, names of options, errors."""

import json
import os
from collections import defaultdict

import click
import pytest

from kerascnn_apps.main import main
from kerascnn_apps.settings import command_options, variable_name


def leaves(command=main, words=()):
    """{words: command} of every command without subcommands."""
    below = getattr(command, "commands", {})
    found = {} if below else {words: command}
    for name, each in below.items():
        found |= leaves(each, (*words, name))
    return found


ALL = leaves()
CHEAP = {  # command line -> exit code; none of these waits for a network to compute
    "": 0,
    "list": 0,
    "list vgg --year 1990": 1,
    "show lenet5": 0,
    "see --list": 0,
    "train --list": 0,
    "data check digits": 0,
    "diagnose": 0,
    "bench": 0,
    "doctor": 0,
    "cache": 0,
    "config": 0,
    "config show train": 0,
    "completion bash": 0,
}
HELPS = """
import sys, time
from kerascnn_apps.main import main
start = time.process_time()  # of this process since it began, all imports included
longest = 0
for words in sys.argv[1:]:
    began = time.process_time()
    main([*words.split(), "--help"], standalone_mode=False)
    longest = max(longest, time.process_time() - began)
heavy = [name for name in ("keras", "tensorflow", "numpy", "pandas", "PIL", "rich", "tomllib") if name in sys.modules]
print(start + longest, *heavy, file=sys.stderr)
"""


def test_help_is_fast_and_imports_nothing_heavy(process):
    """Half a second of CPU time at most, nothing heavy imported."""
    done = process(*map(" ".join, ALL), code=HELPS)
    assert done.stdout.count("Usage: kerascnn") == len(ALL), done.stderr
    seconds, *heavy = done.stderr.split()
    assert heavy == []
    assert float(seconds) < 0.5


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_unknown_options_get_near_names(fails, words):
    """One letter of each option is missing."""
    name = max(command_options(ALL[words]), key=len)
    assert f"--{name}" in fails(*words, f"--{name[:-2]}{name[-1]}x", code=2).splitlines()[0]


@pytest.mark.parametrize("line", CHEAP, ids=lambda line: line or "none")
def test_json_is_one_document(run, line, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASCNN_HOME", str(tmp_path))
    outcome = run(*line.split(), "--json")
    assert outcome.exit_code == CHEAP[line], outcome.stderr
    found = json.loads(outcome.stdout)
    name = line.split()[0] if line else "kerascnn"
    assert list(found) == ["schema", "command", "result", "warnings"]
    assert (found["schema"], found["command"]) == (f"kerascnn.{name}/1", name)
    assert isinstance(found["warnings"], list)


def test_every_option_has_a_variable_of_its_own():
    """Named as the option is typed, even if its parameter has another name."""
    owners = defaultdict(list)
    for words, command in {(): main, **ALL}.items():
        for name, option in command_options(command).items():
            assert option.envvar == variable_name(words, name)
            owners[option.envvar].append(words)
    assert {name for name, found in owners.items() if len(found) > 1} == {
        "KERASCNN_JSON",
        "KERASCNN_QUIET",
        "KERASCNN_VERBOSE",
        "KERASCNN_NO_COLOR",
    }
    assert {"KERASCNN_TRAIN_BATCH_SIZE", "KERASCNN_LIST_FROM", "KERASCNN_DIAGNOSE_RESIDUAL_WIDTHS"} <= set(owners)
    assert not set(owners) & {"KERASCNN_HOME", "KERASCNN_OFFLINE", "KERASCNN_SHARED"}


def kind(option):
    """Whether an option is a switch, or takes a number or words."""
    if option.is_flag:
        return "switch"
    return "number" if option.type.name.startswith(("integer", "float", "count")) else "words"


def test_options_of_the_same_name_have_the_same_type():
    """In all commands except `show` and `bench`."""
    kinds = defaultdict(set)
    for words, command in ALL.items():
        for name, option in command_options(command).items() if words[0] not in ("show", "bench") else ():
            kinds[name].add(kind(option))
    assert [name for name, found in kinds.items() if len(found) > 1] == []


def test_no_color_in_a_configuration_file(run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kerascnn.toml").write_text("no-color = true")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" not in run("show", "lenet5").output
    assert os.listdir() == ["kerascnn.toml"]
    assert isinstance(main, click.Group)
