"""Options from variables and files: precedence, errors, sources."""

import click
import pytest

from kerascnn_apps.settings import build_default_map, collect_settings

FAMILIES = {"flag": "vgg", "variable": "nin", "here": "lenet", "project": "squeezenet", "own": "densenet"}


@pytest.fixture
def place(monkeypatch, tmp_path):
    """A working folder and a user folder."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    return here


@pytest.fixture
def said(place, tmp_path, monkeypatch):
    """Set the family in one of the places; return the command line."""

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
def test_precedence(document, said, winner):
    """The winner and all weaker places set a value."""
    order = [*FAMILIES]
    words = [word for where in order[order.index(winner) :] for word in said(where)]
    assert {row["family"] for row in document("list", *words)["result"]} == {FAMILIES[winner]}


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_config_option(document, run, said, place, before):
    """It replaces the folder's file, anywhere on the command line; also for options of all commands."""
    said("here")
    (place / "other.toml").write_text('quiet = true\n[list]\nmax_params = 1e6\nfamily = "squeezenet"')
    assert document("list", "--config", "other.toml", code=1)["result"] == []
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


def test_several_flags_for_one_parameter():
    """Several switches for one parameter: in a file, the one that is true."""
    switches = [click.Option([f"--{name}", "effort"], flag_value=name) for name in ("quick", "full")]
    group = click.Group("main", {"report": click.Command("report", params=switches)})
    found = {}
    collect_settings({"report": {"full": True}}, group, "kerascnn.toml", (), found)
    assert build_default_map(found) == {"report": {"effort": "full"}}


WRONG = {
    "[train]\nepohcs = 5": (2, "kerascnn.toml: unknown option 'epohcs' in [train]. Did you mean epochs?"),
    "[trian]\nepochs = 5": (2, "kerascnn.toml: unknown option 'trian'. Did you mean train"),
    "[diagnose.unit]\nsave = 1": (2, "unknown option 'unit' in [diagnose]. Did you mean units"),
    "jsn = true": (2, "Did you mean json?"),
    '[train]\nepochs = "many"': (2, "kerascnn.toml: epochs in [train]: 'many' is not a valid integer"),
    "[train]\nepochs = 0": (2, "epochs in [train]: 0 is not in the range"),
    "[train]\nepochs = true": (2, "epochs in [train]: should be a value. Received: True"),
    "[train]\nresume = 1": (2, "resume in [train]: should be true or false. Received: 1"),
    "[train]\nconfig = 'x.toml'": (2, "unknown option 'config' in [train]"),
    "[train\n": (4, "kerascnn.toml should be a TOML file"),
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text.replace("\n", " "))
def test_errors_in_files(fails, place, text):
    (place / "kerascnn.toml").write_text(text)
    code, words = WRONG[text]
    assert words in fails("list", code=code)


def test_missing_files(fails, place):
    assert "--config: file not found: none.toml" in fails("list", "--config", "none.toml", code=4)
    assert "--config: file not found: none.toml" in fails("--config", "none.toml", "list", code=4)


def test_pyproject_without_kerascnn(run, place):
    """A pyproject.toml that does not mention kerascnn is not parsed."""
    (place / "pyproject.toml").write_text("[project\n")
    assert run("list", "lenet").exit_code == 0


def test_invalid_environment_variables(fails, place, monkeypatch):
    monkeypatch.setenv("KERASCNN_LIST_YEAR", "old")
    assert "'old' is not a valid integer. (from KERASCNN_LIST_YEAR)" in fails("list", code=2)


def test_config_shows_the_source_of_each_value(document, run, said, place):
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


def test_config_of_an_unknown_command(fails, place):
    assert "train" in fails("config", "show", "trian", code=2)


def test_completion_reads_no_file(process, place):
    (place / "kerascnn.toml").write_text("[")
    done = process(_KERASCNN_COMPLETE="bash_complete", COMP_WORDS="kerascnn li", COMP_CWORD="1")
    assert "list" in done.stdout


def test_force_set_by_a_file(run, fails, place):
    """It is read before the option that it affects."""
    (place / "net.svg").write_text("old")
    assert "already exists" in fails("show", "lenet5", "--diagram", "net.svg", code=2)
    (place / "kerascnn.toml").write_text("[show]\nforce = true")
    assert run("show", "lenet5", "--diagram", "net.svg").exit_code == 0
    assert (place / "net.svg").read_text().startswith("<svg")
