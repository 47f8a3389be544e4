"""Options from variables and files: which counts, what is wrong with them, where each came from."""

import click
import pytest

from kerascnn_apps.settings import collect_settings, nested_defaults

FAMILIES = {"flag": "vgg", "variable": "nin", "here": "lenet", "project": "squeezenet", "own": "densenet"}


@pytest.fixture
def place(monkeypatch, tmp_path):
    """A working folder, and beside it the person's own."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    return here


@pytest.fixture
def said(place, tmp_path, monkeypatch):
    """Say in one of the places which family to list; the words for the command line."""

    def say(where):
        table = f'family = "{FAMILIES[where]}"\n'
        if where == "flag":
            return ["--family", FAMILIES[where]]
        if where == "variable":
            monkeypatch.setenv("KERASCNN_LIST_FAMILY", FAMILIES[where])
        if where == "here":
            (place / "kerascnn.toml").write_text(f"[list]\n{table}")
        if where == "project":
            (place / "pyproject.toml").write_text(f'[project]\nname = "mine"\n[tool.kerascnn.list]\n{table}')
        if where == "own":
            (tmp_path / "own" / "kerascnn").mkdir(parents=True)
            (tmp_path / "own" / "kerascnn" / "config.toml").write_text(f"[list]\n{table}")
        return []

    return say


@pytest.mark.parametrize("winner", FAMILIES)
def test_what_counts_first(document, said, winner):
    """All from the winner on speak."""
    order = [*FAMILIES]
    words = [word for where in order[order.index(winner) :] for word in said(where)]
    assert {row["family"] for row in document("list", *words)["result"]} == {FAMILIES[winner]}


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_file_by_name(document, run, said, place, before):
    """In place of the folder's, wherever on the line it is named; options of all commands count too."""
    said("here")
    (place / "other.toml").write_text('quiet = true\n[list]\nmax_params = 1e6\nfamily = "squeezenet"')
    assert document("list", "--config", "other.toml")["result"] == []
    words = ["--config", "other.toml", "list"] if before else ["list", "--config", "other.toml"]
    assert run(*words, "--max-params", "9M").stderr == ""
    assert "squeezenet1_1" in run(*words, "--max-params", "9M").stdout
    assert run("list", "--family", "nin", "--year", "1990").stderr != ""


def test_values_of_all_kinds(document, place):
    """Numbers, lists, switches; dashes or not; groups of commands."""
    (place / "kerascnn.toml").write_text(
        "json = false\n[list]\nmax_params = 5_000_000\nyear = 2016\npretrained = true\n"
        '[see]\nunit = [1, 2]\nscales = [64, "96"]\n[diagnose.residual]\ndepths = [8, 14]\nwidths = 4\n'
    )
    found = document("list")["result"]
    assert found
    assert all(row["year"] == 2016 and row["params"] <= 5e6 and row["weights"] for row in found)
    rows = {(row["command"], row["option"]): row["value"] for row in document("config")["result"]["settings"]}
    assert rows["see", "--unit"] == [1, 2]
    assert rows["diagnose residual", "--depths"] == [8, 14]
    assert rows["list", "--pretrained"] is True


def test_switches_that_choose():
    """Several switches for one parameter: in a file, the one that is true."""
    switches = [click.Option([f"--{name}", "effort"], flag_value=name) for name in ("quick", "full")]
    group = click.Group("main", {"report": click.Command("report", params=switches)})
    found = {}
    collect_settings({"report": {"full": True}}, group, "kerascnn.toml", (), found)
    assert nested_defaults(found) == {"report": {"effort": "full"}}


WRONG = {
    "[train]\nepohcs = 5": (2, "kerascnn.toml: there is no 'epohcs' in [train]. Did you mean epochs?"),
    "[trian]\nepochs = 5": (2, "kerascnn.toml: there is no 'trian'. Did you mean train"),
    "[diagnose.unit]\nsave = 1": (2, "there is no 'unit' in [diagnose]. Did you mean units"),
    "jsn = true": (2, "Did you mean json?"),
    '[train]\nepochs = "many"': (2, "kerascnn.toml: epochs in [train]: 'many' is not a valid integer"),
    "[train]\nepochs = 0": (2, "epochs in [train]: 0 is not in the range"),
    "[train]\nepochs = true": (2, "epochs in [train]: should be a value. Received: True"),
    "[train]\nresume = 1": (2, "resume in [train]: should be true or false. Received: 1"),
    "[train]\nconfig = 'x.toml'": (2, "there is no 'config' in [train]"),
    "[train\n": (4, "kerascnn.toml is no TOML"),
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text.replace("\n", " "))
def test_what_is_wrong_is_named(fails, place, text):
    (place / "kerascnn.toml").write_text(text)
    code, words = WRONG[text]
    assert words in fails("list", code=code)


def test_files_that_are_not_there(fails, place):
    assert "--config: there is no file none.toml" in fails("list", "--config", "none.toml", code=4)
    assert "--config: there is no file none.toml" in fails("--config", "none.toml", "list", code=4)


def test_projects_of_others(run, place):
    """A pyproject.toml that says nothing of kerascnn is not even read as TOML."""
    (place / "pyproject.toml").write_text("[project\n")
    assert run("list", "lenet").exit_code == 0


def test_wrong_variables(fails, place, monkeypatch):
    monkeypatch.setenv("KERASCNN_LIST_YEAR", "old")
    assert "'old' is not a valid integer. (from KERASCNN_LIST_YEAR)" in fails("list", code=2)


def test_where_from(document, run, said, place):
    for where in ("variable", "here", "own"):
        said(where)
    (place / "kerascnn.toml").write_text('[list]\nfamily = "lenet"\nyear = 1998')
    found = document("config", "show")["result"]
    assert [(row["option"], row["value"], row["from"]) for row in found["settings"]] == [
        ("--family", "nin", "KERASCNN_LIST_FAMILY"),
        ("--year", 1998, "kerascnn.toml"),
    ]
    assert [each["there"] for each in found["files"]] == [True, True]
    rows = {row["option"]: row for row in document("config", "show", "train")["result"]["settings"]}
    assert rows["--seed"] == {"command": "train", "option": "--seed", "value": 0, "from": "default"}
    assert rows["--epochs"]["value"] is None
    text = run("config").stdout
    assert "KERASCNN_LIST_FAMILY" in text
    assert "kerascnn.toml" in text


def test_settings_of_no_command(fails, place):
    assert "train" in fails("config", "show", "trian", code=2)


def test_completion_reads_no_file(process, place):
    (place / "kerascnn.toml").write_text("[")
    done = process(_KERASCNN_COMPLETE="bash_complete", COMP_WORDS="kerascnn li", COMP_CWORD="1")
    assert "list" in done.stdout


def test_force_of_a_file_allows_what_the_line_asks(run, fails, place):
    """It counts before the option that it allows is looked at, wherever it is said."""
    (place / "net.svg").write_text("old")
    assert "is there already" in fails("show", "lenet5", "--diagram", "net.svg", code=2)
    (place / "kerascnn.toml").write_text("[show]\nforce = true")
    assert run("show", "lenet5", "--diagram", "net.svg").exit_code == 0
    assert (place / "net.svg").read_text().startswith("<svg")
