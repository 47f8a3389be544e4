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
def test_a_row_is_what_the_function_says_of_itself(name):
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
def test_an_attribution_method_spells_out_and_explains_every_argument(name):
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
def test_a_misspelled_argument_is_pythons_own_error(name):
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


def test_an_argument_without_a_word_of_help_is_refused():
    def toy(model, power=2):
        """Toy."""

    with pytest.raises(ValueError, match="toy should document 'power'"):
        attribution_method(toy)


def test_own_help_of_a_shared_argument_counts():
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


def test_a_source_is_read_without_running_it(tmp_path, monkeypatch):
    (tmp_path / "unrun_toy.py").write_text('def toy(model, *, power=2.0, **more):\n    """A toy."""\n\n\n1 / 0\n')
    monkeypatch.syspath_prepend(tmp_path)
    row = Method("toy", "unrun_toy", "features", "Toy")
    assert (row.what, row.passes_on) == ("A toy.", True)
    assert {name: each.default for name, each in row.parameters.items()} == {"model": None, "power": 2.0}
    with pytest.raises(ZeroDivisionError):
        _ = row.function
