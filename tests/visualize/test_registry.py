"""The registry of ways to see against the functions themselves: signatures, docstrings, public names."""

import inspect

import pytest

from kerascnn import visualize
from kerascnn.visualize.registry import (
    KINDS,
    METHODS,
    ROWS,
    SHARED,
    Method,
    argument_helps,
    attribution_method,
    of_kind,
)

EMPTY = inspect.Parameter.empty


@pytest.mark.parametrize("name", ROWS)
def test_registry_rows_come_from_docstrings(name):
    row, function = ROWS[name], ROWS[name].function
    parameters = inspect.signature(function).parameters.values()
    named = [each for each in parameters if each.kind is not each.VAR_KEYWORD]
    assert [*row.parameters] == [each.name for each in named]
    for each, read in zip(named, row.parameters.values(), strict=True):
        assert read.required == (each.default is EMPTY), each
        assert read.required or read.default == each.default, each
    assert row.passes_on == (len(named) < len(parameters))
    assert row.what == inspect.getdoc(function).split("\n")[0]
    assert row.kind in KINDS
    assert row.title
    assert getattr(visualize, name) is function
    assert name in visualize.__all__


@pytest.mark.parametrize("name", METHODS)
def test_every_argument_of_attribution_methods_is_documented(name):
    function, docstring = METHODS[name], inspect.getdoc(METHODS[name])
    parameters = inspect.signature(function).parameters
    assert not [each for each in parameters.values() if each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]
    assert {*SHARED} <= {*parameters}
    helps = argument_helps(docstring)
    assert [*helps] == [*parameters]
    assert all(helps.values())
    assert helps == {each.name: each.help for each in ROWS[name].parameters.values()}
    assert "\nReturns:\n" in docstring
    assert len(docstring.split("\n")[0]) <= 80


@pytest.mark.parametrize("name", METHODS)
def test_misspelled_argument_is_a_type_error(name):
    with pytest.raises(TypeError, match=rf"^{name}\(\) got an unexpected keyword argument 'bach'"):
        METHODS[name](None, None, bach=1)


def test_methods_are_those_of_attribution():
    assert [*METHODS] == [*of_kind("attribution")]
    assert len(METHODS) == len(of_kind("attribution"))
    assert "saliency" in METHODS
    assert "fool" not in METHODS
    with pytest.raises(KeyError):
        METHODS["fool"]


def test_every_kind_has_methods():
    assert {row.kind for row in ROWS.values()} == KINDS.keys()


def test_undocumented_arguments_are_rejected():
    def toy(model, power=2):
        """Toy."""

    with pytest.raises(ValueError, match="toy should document 'power'"):
        attribution_method(toy)


def test_own_help_overrides_shared_help():
    @attribution_method
    def toy(model, images, *, score=None):
        """Toy.

        A formula.

        Args:
            score: something else,
                in two lines.

        Returns:
            A toy.
        """

    helps = argument_helps(toy.__doc__)
    assert helps == {"model": SHARED["model"], "images": SHARED["images"], "score": "something else, in two lines."}
    assert toy.__doc__.startswith("Toy.\n\nA formula.\n\nArgs:\n    model: ")
    assert toy.__doc__.rstrip().endswith("Returns:\n    A toy.")


def test_docstrings_are_read_without_importing(tmp_path, monkeypatch):
    (tmp_path / "unrun_toy.py").write_text('def toy(model, *, power=2.0, **more):\n    """A toy."""\n\n\n1 / 0\n')
    monkeypatch.syspath_prepend(tmp_path)
    row = Method("toy", "unrun_toy", "features", "Toy")
    assert (row.what, row.passes_on) == ("A toy.", True)
    assert {name: each.default for name, each in row.parameters.items()} == {"model": None, "power": 2.0}
    with pytest.raises(ZeroDivisionError):
        _ = row.function
