"""`kerascnn doctor`: versions and problems."""

from importlib import metadata

import pytest

from kerascnn_apps.commands import doctor
from kerascnn_apps.commands.doctor import extra_of_module, is_older, parse_requirement


def test_healthy(run, document):
    found = document("doctor")["result"]
    assert found["healthy"]
    assert found["problems"] == []
    packages = {row["name"]: row for row in found["packages"]}
    assert packages["keras"]["version"] == metadata.version("keras")
    assert {"tensorflow", "keras", "numpy", "click"} <= set(packages)
    assert {row["name"] for row in found["extras"]} >= {"explore", "ray", "onnx"}
    assert found["keras"]["backend"]
    assert any("CPU" in name.upper() for name in found["keras"]["devices"])
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["writable"]
    assert found["machine"]["room"] > 0
    assert found["machine"]["font"] == "DejaVu Sans"
    page = run("doctor")
    assert page.exit_code == 0
    assert metadata.version("keras") in page.stdout
    assert "No problems found" in page.stdout


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        (None, 'numpy is missing: pip install "numpy>=1.26"'),
        ("1.9.3", 'numpy 1.9.3 is too old: pip install "numpy>=1.26"'),
    ],
)
def test_unhealthy(run, document, monkeypatch, version, problem):
    monkeypatch.setattr(doctor, "package_versions", lambda: [{"name": "numpy", "version": version, "needs": "1.26"}])
    assert document("doctor", code=1)["result"]["problems"] == [problem]
    assert problem in run("doctor").stdout


def test_cache_is_not_a_folder(document, run, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERASCNN_HOME", str(tmp_path / "file"))
    (problem,) = document("doctor", code=1)["result"]["problems"]
    assert "is not writable: set KERASCNN_HOME" in problem
    assert "read-only" in run("doctor").stdout


def test_no_font(document, monkeypatch):
    monkeypatch.setattr(doctor, "font_name", lambda: None)
    assert "no font" in document("doctor", code=1)["result"]["problems"][0]


def test_missing_extras_say_how_to_get_them(run, monkeypatch):
    parts = {"ray": None}
    missing = {"name": "ray", "present": False, "packages": parts, "install": 'pip install "kerascnn[ray]"'}
    monkeypatch.setattr(doctor, "optional_extras", lambda: [missing])
    outcome = run("doctor")
    assert outcome.exit_code == 0
    assert 'not installed: pip install "kerascnn[ray]"' in outcome.stdout


def test_keras_import_error(process):
    done = process("doctor", KERAS_BACKEND="abacus")
    assert done.returncode == 1
    assert "problem: Keras cannot be imported" in done.stdout
    assert "Traceback" not in done.stderr


def test_requirements():
    assert parse_requirement('starlette>=0.46; extra == "explore"') == ("starlette", "0.46", "explore")
    assert parse_requirement('numpy>=1.26; python_version >= "3"') == ("numpy", "1.26", None)
    assert parse_requirement("numpy>=1.26") == ("numpy", "1.26", None)
    assert extra_of_module("uvicorn") == "explore"
    assert extra_of_module("keras") is None


@pytest.mark.parametrize(
    ("version", "least", "expected"),
    [
        ("2.9.1", "2.20", True),
        ("2.20.0", "2.20", False),
        ("3.0.0rc1", "2.20", False),
        ("2.19.1", "2.20", True),
        ("2.20.0rc1", "2.20", True),
        ("1", None, False),
    ],
)
def test_is_older(version, least, expected):
    assert is_older(version, least) == expected
