"""Results: what public functions return says the same thing in the same way, and shows itself in one line.

They are found mechanically: the classes that public functions return, and those in a package's table of public names.
"""

import ast
import dataclasses
import inspect
import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from networks import known
from public_names import ROOT, functions, packages

import kerascnn
from kerascnn import anatomy, diagnose, evaluation, exporting, visualize, weights
from kerascnn import transfer_learning as transfer
from kerascnn.diagnose.variants import small_network
from kerascnn.reporting import Report, Subject
from kerascnn.training import History
from kerascnn.transfer_learning.finetune import FinetuneResult
from kerascnn.transfer_learning.trials import Candidate

NO_RESULTS = {  # class: what it is
    "Lens": "a model, with what was found out about it",
    "Score": "a function of activations, which users compose",
    "Recipe": "settings, which users write and pass on",
    "SynthesisRecipe": "settings, which users write and pass on",
    "Section": "a part of a page, which users write as a tuple",
    "Guess": "a tuple, which users unpack",
    "Interval": "a tuple, which users unpack",
    "TTest": "a tuple, which users unpack",
}
POSITIONAL = {  # class: why its arguments need no keywords
    "Batch": "users build one of their own images and labels, in this order"
}
SYNONYMS = {  # a name that no field or property of a result has: the one that it should have
    "right": "correct",
    "act": "activation",
    "std": "stddev",
    "eps": "epsilon",
    "probabilities": "probs",
    "truth": "labels",
    "true_classes": "labels",
    "categories": "class_names",
    "label": "class_name",
    "image_names": "names",
    "filenames": "names",
    "pixels": "images",
    "photos": "images",
    "facts": "metadata",
    "meta": "metadata",
    "info": "metadata",
    "frame": "table",
    "df": "table",
    "dataframe": "table",
    "data_frame": "table",
    "records": "table",
}
MEANINGS = {  # what a field or property of a name is, wherever a result has it
    "table": pd.DataFrame,
    "images": np.ndarray,
    "labels": np.ndarray | None,
    "names": tuple,
    "class_names": tuple | None,
    "metadata": Mapping,
}
METHODS_OF_THAT_NAME = {("Subject", "photos"), ("Batch", "pixels")}  # pixels for its sections; a method that decodes
LETTERS = 130  # of a repr


def class_names_in(annotation):
    """The names in a return annotation."""
    return [node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)]


@cache
def result_classes():
    """{name: class} of all results."""
    found = {}
    for public in functions():
        module = import_module(".".join(public.path.relative_to(ROOT).with_suffix("").parts))
        for name in class_names_in(public.node.returns):
            found[name] = getattr(module, name, None)
    for package in packages():
        for name in packages()[package]:
            public = getattr(import_module(package), name)
            each = type(public) if dataclasses.is_dataclass(public) and not isinstance(public, type) else public
            found[getattr(each, "__name__", name)] = each
    found = {
        name: each for name, each in found.items() if isinstance(each, type) and each.__module__.startswith("kerascnn.")
    }
    return {name: each for name, each in found.items() if not issubclass(each, Exception) and name not in NO_RESULTS}


RESULTS = sorted(result_classes())
every_result = pytest.mark.parametrize("name", RESULTS)


def attribute_docs(result):
    """The names under "Attributes:" in the docstrings of a class and its bases."""
    sections = [inspect.getdoc(base).partition("Attributes:\n")[2] for base in result.__mro__[:-1] if base.__doc__]
    return {name for section in sections for name in re.findall(r"^ {4}(\w+): \S", section, re.M)}


@every_result
def test_results_are_frozen_dataclasses_built_by_keyword(name):
    result = result_classes()[name]
    assert dataclasses.is_dataclass(result)
    assert result.__dataclass_params__.frozen
    positional = [field.name for field in dataclasses.fields(result) if field.init and not field.kw_only]
    assert not positional or name in POSITIONAL


@every_result
def test_every_field_is_documented(name):
    result = result_classes()[name]
    fields = [field.name for field in dataclasses.fields(result) if not field.name.startswith("_")]
    assert not set(fields) - attribute_docs(result)


def imported_from_others(tree):
    """The names that a file imports from other libraries, which have an Occlusion too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and not node.module.startswith("kerascnn"):
            yield from (alias.asname or alias.name for alias in node.names)


def test_results_are_built_by_keyword_everywhere():
    """A splatted tuple, too, fits one order of fields only."""
    keyword_only = set(RESULTS) - set(POSITIONAL)
    found = []
    for path in sorted(path for top in ("kerascnn", "apps", "tests", "docs") for path in (ROOT / top).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        ours = keyword_only - set(imported_from_others(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ours and node.args:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.func.id}")
    assert not found, "\n".join(found)


@every_result
def test_the_same_thing_has_the_same_name(name):
    said = {each for each in dir(result_classes()[name]) if not each.startswith("_")}
    said |= {field.name for field in dataclasses.fields(result_classes()[name])}
    wrong = {word for word in said & set(SYNONYMS) if (name, word) not in METHODS_OF_THAT_NAME}
    assert not wrong, {word: SYNONYMS[word] for word in wrong}


# ---------------------------------------------------------------------------------------------------- small instances


@cache
def images(count=24, side=16):
    """Images and labels of three colors under noise."""
    labels = np.arange(count) % 3
    colors = 60 + 120 * np.eye(3)[labels][:, None, None]
    noise = np.random.default_rng(0).normal(0, 30, (count, side, side, 3))
    return (colors + noise).clip(0, 255).astype(np.float32), labels


@cache
def model():
    keras.utils.set_random_seed(0)
    return small_network((16, 16, 3), 3, convs=(4, 4), units=6)


@cache
def batch(count=24):
    pixels, labels = images(count, 32)
    return kerascnn.data.Batch(pixels.astype(np.uint8), labels, ("red", "green", "blue"))


@cache
def data():
    return kerascnn.load((batch().items, batch().labels))


@cache
def attribution():
    return visualize.saliency(model(), images()[0][:2])


@cache
def checked_evaluation():
    probs = np.random.default_rng(0).dirichlet(np.ones(3), 24)
    return evaluation.from_probabilities(probs, images()[1], ["red", "green", "blue"])


@cache
def features():
    return transfer.taps(known(), batch(), cache=False, verbose=0)


@cache
def probes():
    return transfer.train_probes(features(), heads=("ridge",), folds=2, fractions=(0.5, 1.0), concatenate=(), verbose=0)


@cache
def candidate():
    logits = np.eye(3)[images()[1]]
    return Candidate(
        backbone="tiny",
        stage="stage1",
        macs=10**6,
        logits=logits,
        labels=images()[1],
        held_out=np.arange(24),
        head="ridge",
    )


def study():
    chosen = dataclasses.replace(candidate(), backbone=probes().model, stage=probes().stages[-1])
    return transfer.Study(
        data=data(),
        probes=(probes(),),
        best_probes=probes(),
        advice=transfer.advise(probes()),
        candidates=(chosen,),
        trial_results=(),
        chosen=chosen,
        baseline=chosen,
        model=model(),
        metadata={"strategy": "linear", "budget": 60.0, "spent": 12.0, "ended": "linear classifiers only"},
    )


def finetune_result():
    return FinetuneResult(
        accuracy=0.5, loss=1.0, epoch=1, logits=np.zeros((4, 3)), history=[{}, {}], cached=True, seconds=1.0
    )


@cache
def weights_file():
    """A file with the weights of a network; it is deleted with the folder of the tests."""
    return kerascnn.save_weights(known(), FOLDER / f"{known().name}.safetensors")


def answers():
    path = FOLDER / "answers.csv"
    rows = [f"{name},{label}" for name, label in zip(checked_evaluation().names, images()[1], strict=True)]
    path.write_text("\n".join(["image,answer", *rows]))
    return evaluation.human_against_network(checked_evaluation(), path)


def history():
    row = {"epoch": 1, "loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
    return History(table=pd.DataFrame([row | {"learning_rate": 0.1, "seconds": 1.0}]))


def compared_training():
    return diagnose.compare_training({"small": model()}, (images()[0], images()[1]), epochs=1)


def exported():
    return exporting.Exported(folder=Path("photos"), files={"model.keras": 10}, checks=(check(),))


def check():
    return exporting.Check(file="model.keras", what="loads", found="yes", passed=True)


def kernel_model():
    return keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(2, 3, padding="same")])


def photo():
    return images()[0][:1].astype(np.uint8)


FOLDER = Path()  # set by the fixture below
MADE = {  # class: a small result
    "Ablation": lambda: evaluation.ablate(model(), ["conv2"], batch_of_small(), verbose=0),
    "Activity": lambda: diagnose.activity(model(), images()[0]),
    "ActivationMaps": lambda: visualize.activation_maps(model(), images()[0][:2], "conv1"),
    "Advice": lambda: transfer.advise(probes()),
    "Anatomy": lambda: kerascnn.dissect(model()),
    "Attribution": attribution,
    "Audit": lambda: data().audit,
    "Batch": batch,
    "Calibration": lambda: checked_evaluation().calibration,
    "Card": lambda: kerascnn.card("resnet18"),
    "Check": check,
    "Choice": lambda: visualize.choose(model(), images()[0][:2], methods={"saliency": visualize.saliency}, steps=2),
    "Comparison": lambda: evaluation.compare(checked_evaluation(), checked_evaluation()),
    "Connectivity": anatomy.connectivity,
    "Curves": lambda: visualize.curves(model(), attribution(), steps=2),
    "Data": data,
    "DenseWeights": lambda: anatomy.dense_weights((8, 8, 3)),
    "Diagram": lambda: kerascnn.diagram(model()),
    "Ensemble": lambda: evaluation.ensemble([checked_evaluation(), checked_evaluation()]),
    "Equivariance": lambda: anatomy.equivariance(kernel_model(), images()[0][0], (1, 0)),
    "Evaluation": checked_evaluation,
    "Example": lambda: anatomy.EXAMPLE,
    "Evolution": lambda: visualize.evolve(model(), [0], population=4, generations=2),
    "Exported": exported,
    "FilterImages": lambda: visualize.filter_images(model()),
    "Filters": lambda: diagnose.filters(model(), draws=2),
    "FinetuneResult": finetune_result,
    "Fooled": lambda: visualize.fgsm(model(), images()[0][:2]),
    "GradientCheck": lambda: diagnose.gradient_check(model(), images()[0][:2], images()[1][:2], samples=1),
    "Head": lambda: transfer.fit_head(features(), probes()),
    "HeatMap": lambda: visualize.heat_map(known(), [batch().items[0]]),
    "History": history,
    "HogTwin": lambda: visualize.hog_twin(images()[0][0], size=(32, 32), steps=2),
    "HumanAgainstNetwork": answers,
    "Initialization": lambda: diagnose.initialization((20, 20)),
    "Invariance": lambda: anatomy.invariance(kernel_model(), images()[0][0]),
    "Inversion": lambda: visualize.invert(model(), images()[0][:1], ["conv1"], steps=2),
    "KernelStack": anatomy.kernel_stack,
    "LayerRow": lambda: kerascnn.dissect(model()).rows[1],
    "LinearFooling": visualize.fool_linear,
    "LoadReport": lambda: kerascnn.load_weights(known(), weights_file()),
    "ModuleCost": anatomy.inception_cost,
    "Occlusion": lambda: visualize.occlusion(model(), images()[0][:2], patch=8, stride=8),
    "Predictions": lambda: kerascnn.predict(model(), photo()),
    "ProbeTable": probes,
    "ReceptiveField": lambda: kerascnn.receptive_field(model(), "conv2"),
    "Report": lambda: Report(title="small", lead="A report.", parts=(), metadata={}),
    "Sanity": lambda: visualize.sanity(model(), images()[0][:1], method=visualize.saliency, layers=["conv2"]),
    "Segmentation": lambda: visualize.segment(attribution()),
    "SideBySide": lambda: visualize.side_by_side(model(), model(), images()[0][:4]),
    "Study": study,
    "Subject": lambda: Subject(model=model(), name="small", lens=None),
    "Synthesis": lambda: visualize.maximize(model(), "conv1", 0, steps=2),
    "Taps": features,
    "Temperature": lambda: evaluation.temperature(np.random.default_rng(0).normal(size=(24, 3)), images()[1]),
    "TenNumbers": visualize.ten_numbers,
    "TrainingComparison": compared_training,
    "TrainingVerdict": lambda: diagnose.training_verdict(diagnose.activity(model(), images()[0])),
    "Twins": lambda: visualize.twin(model(), images()[0][:1], images()[0][1:2], steps=2),
    "WeightsFile": lambda: weights.open_weights(known().name, weights_file()),
}


def batch_of_small():
    return kerascnn.data.Batch(images()[0].astype(np.uint8), images()[1], ("red", "green", "blue"))


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    global FOLDER
    FOLDER = tmp_path_factory.mktemp("results")


@cache
def instance(name):
    return MADE[name]()


def test_there_is_an_instance_of_every_result():
    assert not set(RESULTS) - set(MADE)
    assert not set(MADE) - set(RESULTS)


@every_result
def test_the_repr_is_one_short_line(name):
    said = repr(instance(name))
    assert re.match(rf"<{name}: .+>$|{name}\(.+\)$", said), said
    assert len(said) <= LETTERS, said
    assert not said.endswith("...>"), "it is cut off"
    assert not re.search(r"array\(|DataFrame", said)


@every_result
def test_print_gives_text(name):
    said = str(instance(name))
    assert said.strip()
    assert said != repr(instance(name))
    assert not re.search(r"array\(| object at 0x", said)
    assert max(map(len, said.split("\n"))) <= 300


@every_result
def test_notebooks_show_it(name):
    result = instance(name)
    assert result._repr_mimebundle_()["text/plain"].strip()
    if hasattr(result, "plot"):
        assert hasattr(result, "_repr_png_")
    if hasattr(result, "_repr_html_"):
        assert "<" in result._repr_html_()


@every_result
def test_a_name_means_the_same_everywhere(name):
    result = instance(name)
    for word, kind in MEANINGS.items():
        value = getattr(result, word, None)
        if value is not None and not inspect.ismethod(value):
            assert isinstance(value, kind), f"{word}: {type(value).__name__}"
