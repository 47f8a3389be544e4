"""`kerascnn cache`: list and remove cached files."""

import pytest

from kerascnn.support.store import file_lock, raise_busy


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache with two files and a half."""
    monkeypatch.setenv("KERASCNN_HOME", str(tmp_path))
    found = tmp_path / "weights"
    found.mkdir()
    for name, size in {"resnet18.pth": 1500, "resnet18.pth.sha256": 9, "vgg16.h5": 500, "nin.pth.part": 20}.items():
        (found / name).write_bytes(bytes(size))
    return found


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("words", [[], ["list"]], ids=["short", "list"])
def test_list(run, folder, words):
    outcome = run("cache", *words)
    assert outcome.exit_code == 0
    where, _, *rows, last = outcome.stdout.splitlines()
    assert where == str(folder)
    assert [row.split() for row in rows] == [
        ["nin.pth", "20", "B", "unfinished"],
        ["resnet18.pth", "1.50", "kB", "complete"],
        ["vgg16.h5", "500", "B", "complete"],
    ]
    assert last == "3 files, 2.02 kB"


def test_list_as_json(document, folder):
    found = document("cache", "list", "*.h5")["result"]
    row = {"file": "vgg16.h5", "size": 500, "complete": True}
    assert found == {"folder": str(folder), "files": [row], "total": 500}


@pytest.mark.parametrize("words", [[], ["clear", "--yes"]], ids=["list", "clear"])
def test_no_cache_yet(run, tmp_path, monkeypatch, words):
    monkeypatch.setenv("KERASCNN_HOME", str(tmp_path / "none"))
    outcome = run("cache", *words)
    assert outcome.exit_code == 0
    assert "no files" in outcome.stdout
    assert not (tmp_path / "none").exists()


def test_clear_some(document, folder):
    found = document("cache", "clear", "resnet*", "--yes")["result"]
    assert [row["file"] for row in found["removed"]] == ["resnet18.pth"]
    assert found["total"] == 1500
    assert names(folder) == ["nin.pth.part", "vgg16.h5"]


def test_clear_all(run, folder):
    outcome = run("cache", "clear", "--yes")
    assert outcome.stdout == f"removed 3 files, 2.02 kB from {folder}\n"
    assert names(folder) == []


def test_clear_needs_yes_without_a_terminal(fails, folder, monkeypatch):
    assert "--yes" in fails("cache", "clear", code=2)
    assert len(names(folder)) == 4


@pytest.mark.parametrize(("said", "left"), [("y", 0), ("n", 4)])
def test_confirmation(run, folder, monkeypatch, said, left):
    from kerascnn_apps.commands import cache

    monkeypatch.setattr(cache, "sys", type("Terminal", (), {"stdin": type("", (), {"isatty": lambda: True})}))
    monkeypatch.setattr(cache.click, "confirm", confirm(said == "y"))
    outcome = run("cache", "clear")
    assert outcome.exit_code == (0 if said == "y" else 130)
    assert len(names(folder)) == left


def confirm(agreed):
    import click

    def ask(question, abort, err):
        assert question.startswith("Remove 3 files, 2.02 kB from ")
        if not agreed:
            raise click.Abort

    return ask


@pytest.mark.parametrize("action", ["list", "clear"])
def test_no_match(fails, folder, action):
    assert f"no file in {folder} matches 'alexnet*'" in fails("cache", action, "alexnet*", "--yes", code=2)


def test_file_in_use_stays(run, folder):
    with file_lock(folder / "nin.pth", raise_busy):
        outcome = run("cache", "clear", "--yes")
    assert outcome.exit_code == 0
    assert "kept nin.pth: it is still being downloaded" in outcome.stderr
    assert names(folder) == ["nin.pth.part"]


def test_doctor_names_the_same_folder(document, folder):
    assert document("doctor")["result"]["machine"]["cache"] == str(folder.parent)


def test_no_heavy_import(process, folder):
    program = (
        "import sys\nfrom kerascnn_apps.main import main\ntry:\n    main()\nfinally:\n"
        "    print([name for name in ('keras', 'numpy', 'h5py', 'rich', 'urllib.request') if name in sys.modules])"
    )
    done = process("cache", code=program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_features_of_images_are_listed_and_removed(document, run, folder):
    for name, size in {"resnet20": 300, "vgg16": 40}.items():
        place = folder.parent / "features" / name / "stage1-identity-0"
        place.mkdir(parents=True)
        (place / "0.npz").write_bytes(bytes(size))
    row = {"file": "../features/resnet20", "size": 300, "complete": True}
    assert row in document("cache", "list", "resnet*")["result"]["files"]
    removed = document("cache", "clear", "resnet*", "--yes")["result"]["removed"]
    assert [each["file"] for each in removed] == ["resnet18.pth", "../features/resnet20"]
    assert names(folder.parent / "features") == ["vgg16"]


def test_remembered_splits_are_listed_and_removed_only_by_name(run, document, folder):
    for name in ("photos-1", "birds-2"):
        (folder.parent / "splits" / name).mkdir(parents=True)
        (folder.parent / "splits" / name / "seed0-test0.1.csv").write_bytes(bytes(30))
    rows = document("cache")["result"]["files"]
    assert {row["file"] for row in rows if "splits" in row["file"]} == {"../splits/photos-1", "../splits/birds-2"}
    outcome = run("cache", "clear", "--yes")
    assert "kept 2 remembered splits; to forget one: kerascnn cache clear birds-2" in outcome.stderr
    assert "removed 3 files" in outcome.stdout
    assert names(folder.parent / "splits") == ["birds-2", "photos-1"]
    removed = document("cache", "clear", "photos-*", "--yes")["result"]["removed"]
    assert [row["file"] for row in removed] == ["../splits/photos-1"]
    assert names(folder.parent / "splits") == ["birds-2"]
