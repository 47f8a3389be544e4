"""How names and docstrings read, as far as a machine can tell.

`python tests/test_language.py ROOM` prints what is left in kerascnn/ROOM, in apps or, without a room, everywhere.
"""

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent / "support"), str(Path(__file__).parents[1])]

import pytest
from public_names import FUNCTION, ROOT, classes, functions, methods, tree_of

from kerascnn.visualize.registry import SHARED

SOURCES = sorted([*ROOT.glob("kerascnn/**/*.py"), *ROOT.glob("apps/**/*.py")])
LINE = 80  # characters of a docstring's first line, so that `kerascnn.help()` shows it whole


class Finding(NamedTuple):
    """Something that does not read as it should."""

    path: Path
    line: int
    what: str

    def __str__(self):
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.what}"


def of(public, what):
    """The finding about something public."""
    return Finding(public.path, public.node.lineno, f"{public.name}: {what}")


# ---------------------------------------------------------------------------------------------------------- names

MODULES = 2  # that may define a top-level function or class of the same name
PARTICIPLES = 20  # fewer functions than that may be named by one

IRREGULAR = {
    *("begun", "bent", "bought", "bound", "broken", "brought", "built", "caught", "chosen", "come", "dealt"),
    *("done", "drawn", "driven", "eaten", "fallen", "fed", "felt", "forgotten", "found", "frozen", "given"),
    *("gone", "grown", "had", "heard", "held", "hidden", "hung", "kept", "known", "laid", "lain", "led"),
    *("left", "lent", "lit", "lost", "made", "meant", "met", "paid", "proven", "risen", "said", "sat", "seen"),
    *("sent", "shaken", "shot", "shown", "slept", "sold", "sought", "spent", "spoken", "spun", "stood"),
    *("stuck", "sung", "sunk", "swept", "sworn", "taken", "taught", "thought", "thrown", "told", "torn"),
    *("understood", "undone", "unknown", "unseen", "woken", "won", "worn", "wound", "woven", "written"),
}
NO_PARTICIPLE = {  # words in -ed
    *("bed", "bleed", "breed", "creed", "deed", "embed", "exceed", "feed", "greed", "heed", "hundred", "indeed", "led"),
    *("need", "proceed", "red", "reed", "reseed", "seed", "shed", "shred", "sled", "speed", "succeed", "weed", "wed"),
}
FIELD = {  # names of the field, as papers and libraries write them
    *("guided_backprop", "guided_grad_cam", "integrated_gradients", "saved_model"),
    *("expected_calibration_error", "balanced_accuracy", "normalized_hsic", "unbiased_hsic", "_transposed_convolution"),
}
LOOKS_LIKE_ONE = re.compile(r"_*([a-z]+(?:ed|wn|ept|old|sked|ound|ade|aid))(?:_|$)")
ENGLISH = NO_PARTICIPLE | {  # nouns and verbs that end like a participle
    *("accept", "aid", "around", "background", "bold", "bound", "brown", "concept", "down", "except", "fade", "fold"),
    *("fourfold", "gold", "grade", "ground", "hold", "intercept", "kfold", "manifold", "own", "round"),
    *("scaffold", "shade", "sound", "spade", "threshold", "town", "trade", "unfold", "upgrade", "wade"),
}


def definitions():
    """(file, definition) of every function and method, at any depth."""
    for path in SOURCES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, FUNCTION):
                yield path, node


def is_participle(name):
    """Whether the first word of a function's name is a past participle."""
    word = re.match(r"_*([a-z]*)", name.lower())[1]
    return name not in FIELD and (word in IRREGULAR or (word.endswith("ed") and word not in NO_PARTICIPLE))


def looks_like_a_participle(name):
    """The same by the ending alone."""
    word = LOOKS_LIKE_ONE.match(name)
    return bool(word) and word[1] not in ENGLISH and name not in FIELD


def names_of_many_modules():
    """Top-level functions and classes whose name more than two modules define."""
    places = defaultdict(list)
    for path in SOURCES:
        for node in tree_of(path).body:
            if isinstance(node, (*FUNCTION, ast.ClassDef)):
                places[node.name].append((path, node.lineno))
    for name, found in sorted(places.items()):
        modules = len({path for path, _ in found})
        if modules > MODULES:
            for path, line in found:
                yield Finding(path, line, f"{name} is defined in {modules} modules")


def participles():
    """Functions and methods named by a past participle."""
    for path, node in definitions():
        if is_participle(node.name):
            yield Finding(path, node.lineno, node.name)


def participle_endings():
    """Functions and methods whose name ends, or whose first word does, like a past participle."""
    for path, node in definitions():
        if looks_like_a_participle(node.name):
            yield Finding(path, node.lineno, node.name)


def public_participles():
    """Public functions named by a past participle."""
    for each in functions():
        if is_participle(each.node.name):
            yield of(each, "named by a participle")


# ------------------------------------------------------------------------------------------------------ docstrings

ARGUMENT = re.compile(r"    (\*{0,2}\w+(?:, \*{0,2}\w+)*): \S.*")
SECTION = re.compile(r"(\w+):")


def sections(doc):
    """{title: its lines} of a Google-style docstring."""
    found, lines = {}, None
    for line in doc.split("\n"):
        title = SECTION.fullmatch(line)
        if title:
            lines = found.setdefault(title[1], [])
        elif line and not line.startswith(" "):
            lines = None
        elif lines is not None:
            lines.append(line)
    return found


def documented(lines):
    """{name: text} of an "Args:" or "Attributes:" section."""
    found, names = {}, ()
    for line in lines:
        argument = ARGUMENT.fullmatch(line)
        if argument:
            names = argument[1].split(", ")
            found |= {name: line.partition(": ")[2] for name in names}
        elif line.startswith(" " * 8):
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def arguments_of(each):
    """{name: text} of a public function's "Args:", with what its decorator adds."""
    found = documented(sections(each.doc).get("Args", ()))
    shared = {name: text for name, text in SHARED.items() if name in each.parameters}
    return shared | found if each.is_attribution_method else found


def own_nodes(node):
    """The nodes of a function's body without those of functions and classes inside it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (*FUNCTION, ast.Lambda, ast.ClassDef)):
            yield child
            yield from own_nodes(child)


def returns_something(node):
    """Whether a function has `return value`, or yields."""
    return any(
        isinstance(child, ast.Yield | ast.YieldFrom) or (isinstance(child, ast.Return) and child.value is not None)
        for child in own_nodes(node)
    )


def first_lines():
    """First lines of public functions, classes and methods: there, short, and for functions a sentence."""
    for each in (*functions(), *classes(), *methods()):
        line = each.doc.split("\n")[0]
        if not line:
            yield of(each, "has no docstring")
        elif len(line) > LINE:
            yield of(each, f"the first line has {len(line)} characters: {line}")
        elif not line.endswith((".", "?")) and isinstance(each.node, FUNCTION):
            yield of(each, f"the first line is no sentence: {line}")


def argument_sections():
    """Public functions whose "Args:" are not their parameters."""
    for each in functions():
        have, want = {*arguments_of(each)}, {*each.parameters}
        if want - have:
            yield of(each, f"Args: lacks {', '.join(name for name in each.parameters if name not in have)}")
        if have - want:
            yield of(each, f"Args: has {', '.join(sorted(have - want))}, which it does not take")


def returns_sections():
    """Public functions that return something and have no "Returns:"."""
    for each in functions():
        written = {"Returns", "Yields"} & {*sections(each.doc)} or each.is_attribution_method
        if returns_something(each.node) and not written:
            yield of(each, "has no Returns:")


def keyword_arguments():
    """Public functions with `**name` of which nobody knows what it may hold: two keys in backticks at least."""
    for each in functions():
        for name in each.parameters:
            if name.startswith("**") and len(re.findall(r"`[^`]+`", arguments_of(each).get(name, ""))) < 2:
                yield of(each, f"{name} should be spelled out, or Args: say which `keys` it takes")


def is_frozen(node):
    """Whether a class is a frozen dataclass."""
    return any(re.search(r"dataclass\(.*frozen=True", ast.unparse(each)) for each in node.decorator_list)


def fields():
    """Fields of public frozen dataclasses that no "Attributes:" or "Args:" names."""
    for each in classes():
        if is_frozen(each.node):
            found = sections(each.doc)
            known = documented([*found.get("Attributes", ()), *found.get("Args", ())])
            names = [
                node.target.id
                for node in each.node.body
                if isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.unparse(node.annotation)
            ]
            missing = [name for name in names if name not in known and not name.startswith("_")]
            if missing:
                yield of(each, f"Attributes: lacks {', '.join(missing)}")


# ------------------------------------------------------------------------------------------------------ vocabulary

OLD = {  # a parameter's name -> the word in its place
    "batch": "`batch_size`",
    "rate": "`learning_rate`",
    "tell": "`on_progress`",
    "quiet": "`verbose`",
    "pixels": "`images`",
    "items": "`images`",
    "of": "`layer`",
    "number": "`unit`, or `classes`",
    "folder": "`out` of a run, or `path`",
    "whole": "what it turns on: `integer_pixels` ...",
    "asked": "`query`",
}
ALLOWED = {  # (function, parameter)
    ("reporting.picture", "pixels"): "an image as such: no network sees it",
    ("exporting.verify", "folder"): "what is read, not written",
}
CLASS_NAMES = {"predict"}  # as all methods of visualize do
TRUE_LABELS = {"visualize.fool_linear"}  # which takes labels all the same


def old_parameters():
    """Parameters of public functions under a name of the old vocabulary."""
    for each in functions():
        names = [name.lstrip("*") for name in each.parameters]
        room = each.path.relative_to(ROOT / "kerascnn").parts
        for name in names:
            if name in OLD and (each.name, name) not in ALLOWED:
                yield of(each, f"`{name}` should be {OLD[name]}")
        if "attacks" in room or "lectures" in room:
            for name, better in (("step", "step_size"), ("size", "epsilon")):
                if name in names and each.name != "visualize.hog_twin":
                    yield of(each, f"`{name}` should be `{better}`")
        if (room[0] == "visualize" or each.name in CLASS_NAMES) and each.name not in TRUE_LABELS:
            if "labels" in names:
                yield of(each, "`labels` should be `class_names`")
            if "names" in names:
                yield of(each, "`names` should be `class_names` or `titles`")


# -------------------------------------------------------------------------------------------------------- spelling

STEMS = (
    "author|binar|capital|categor|central|character|custom|digit|discret|emphas|equal|factor|final|general|harmon|ideal"
    "|initial|itemi|linear|local|maxim|memor|minim|modern|normal|optim|organ|parallel|parametr|penal|priorit|quant|random"
    "|real|recogn|regular|serial|special|stabil|standard|summar|symbol|synchron|synthes|token|util|vector|visual"
)
BRITISH = re.compile(
    r"colour|grey(?!hound)|centre|centring|labell|modell|behaviour|neighbour|favour|honour|flavour|labour|rumour|vapour|rigour"
    r"|licence|catalogue|analogue|travell|cancell(?:ed|ing)|signall|totall(?:ed|ing)|channell|levell|fuell|judgement"
    r"|acknowledgement|programme(?![rd])|defence|offence|pretence|practis|sceptic|artefact|whilst|amongst|towards|mould"
    r"|plough|learnt|spelt|dreamt|burnt|fulfil(?!l)|(?<![a-z])(?:kilo|centi|milli)?metres?(?![a-z])|aluminium"
    r"|(?:anal|catal|paral)ys(?:e|ed|er|ing)(?![a-z])"
    rf"|(?:{STEMS})is(?:e|ed|es|ing|er|ers|ation|ations|able)(?![a-z])",
    re.IGNORECASE,
)
IMPOSED = {  # files -> the words that may be in them, and why
    "saved_models/resnet20_cifar10/card.json": ("check/colour.jpg check/grey.png", "files of an export, by their hash")
}
READ = {".py", ".md", ".json", ".csv", ".toml", ".css", ".jinja", ".js", ".html", ".svg", ".yml", ".ipynb"}
FOLDERS = ("kerascnn", "apps", "docs", "tests", "saved_models", ".")
KEPT = ROOT / "tests" / "kept"  # files as an earlier layout wrote them


def texts(folder):
    """The files of ours in a folder; of "." those that lie beside the folders."""
    for path in sorted((ROOT / folder).glob("*" if folder == "." else "**/*")):
        if path.suffix in READ and path.is_file() and KEPT not in path.parents and path != Path(__file__).resolve():
            yield path


def british(folder):
    """Words in British spelling, in code and text."""
    for path in texts(folder):
        allowed = IMPOSED.get(path.relative_to(ROOT).as_posix(), ("",))[0].split()
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            for name in allowed:
                line = line.replace(name, "")
            for word in BRITISH.findall(line):
                yield Finding(path, number, f"{word!r} is British: {line.strip()[:100]}")


# ----------------------------------------------------------------------------------------------------------- tests

NONE = {  # check -> what should give nothing
    "name in more than two modules": names_of_many_modules,
    "public function named by a participle": public_participles,
    "first line": first_lines,
    "Args": argument_sections,
    "Returns": returns_sections,
    "fields of frozen dataclasses": fields,
    "**keyword arguments": keyword_arguments,
    "old vocabulary": old_parameters,
}
FEW = {"participle": participles, "ends like a participle": participle_endings}


def lines(findings):
    return "\n".join(map(str, findings))


@pytest.mark.parametrize("check", NONE)
def test_language_rules_hold(check):
    found = [*NONE[check]()]
    assert not found, f"{len(found)}:\n{lines(found)}"


@pytest.mark.parametrize("check", FEW)
def test_few_functions_are_named_by_participles(check):
    found = [*FEW[check]()]
    assert len(found) < PARTICIPLES, f"{len(found)}:\n{lines(found)}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_spelling_is_american(folder):
    found = [*british(folder)]
    assert not found, f"{len(found)}:\n{lines(found)}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, True) for name in ("drawn", "_told_twice", "__judged", "learned", "made", "kept_maps", "LAID_out")),
        *(
            (name, False)
            for name in ("seed", "embed_images", "_speed", "draw", "background", "red", "is_drawn", "read")
        ),
    ],
)
def test_participles_are_recognized(name, expected):
    assert is_participle(name) == expected


@pytest.mark.parametrize("name", ["background", "_threshold", "fold", "hold_out", "grade", "grid", "seed", "embed"])
def test_nouns_are_not_taken_for_participles(name):
    assert not looks_like_a_participle(name)


def test_sections_of_a_docstring_are_read():
    doc = (
        "Do it.\n\nArgs:\n    a: one\n        more.\n    *b, **c: `x` or `y`.\n\nReturns:\n    Nothing.\n\nThe end: no."
    )
    assert documented(sections(doc)["Args"]) == {"a": "one more.", "*b": "`x` or `y`.", "**c": "`x` or `y`."}
    assert [*sections(doc)] == ["Args", "Returns"]


def test_british_spellings_are_found():
    words = "colours Greyish recentre labelled unrecognisable normalisation licence analysed metre"
    assert all(BRITISH.search(word) for word in words.split())
    words = "colors gray noise raise otherwise depthwise supervised precise parameter geometre analyses license realist"
    assert not any(BRITISH.search(word) for word in words.split())


def main(room=""):
    """Print what is left in a room, by check."""
    top = ROOT / room if room.split("/")[0] in FOLDERS else ROOT / "kerascnn" / room
    where = ROOT if not room else top if top.exists() else top.with_suffix(".py")
    if not where.exists():
        sys.exit(f"ROOM should be a folder or module of kerascnn, or apps. Received: {room!r}")
    spelling = {"spelling": lambda: (found for folder in FOLDERS for found in british(folder))}
    for check, findings in (NONE | FEW | spelling).items():
        found = [each for each in findings() if each.path == where or where in each.path.parents]
        if found:
            print(f"\n{check} ({len(found)})\n{lines(found)}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
