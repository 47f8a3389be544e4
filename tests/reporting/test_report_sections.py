"""Every section of a report on small networks: made of images, and made or left out without them, never failed."""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

import kerascnn
from kerascnn import build_model, card, list_models, outline
from kerascnn.exporting.card import weights_source
from kerascnn.inputs import classifier
from kerascnn.inputs.class_names import published_class_names
from kerascnn.reporting import SECTIONS
from kerascnn.reporting.sections import cards, filters
from kerascnn.zoo.registry import WeightsSource

ALONE = ("cards", "anatomy", "filters", "appendix")  # need no image
LIGHT = (*ALONE, "health")
TINY = list_models("tiny*")


@pytest.fixture(scope="module", params=["photos", "nothing"])
def made(request, model, data):
    """A report of all that is quick, with labeled images and without."""
    given = data if request.param == "photos" else None
    return kerascnn.report(model, given, effort="quick", only=LIGHT), given


@pytest.mark.parametrize("name", LIGHT)
def test_skipped_sections_name_what_they_need(made, name):
    report, given = made
    assert report.sections_in("failed") == {}
    (part,) = (part for part in report.parts if part.name == name)
    if name == "health" and given is None:
        assert "--data" in part.reason
        return
    assert part.state == "finished", part.reason
    assert part.section.blocks
    assert json.loads(json.dumps(report.results[name]))


def test_all_sections_on_images(model, data):
    report = kerascnn.report(model, data, effort="quick", skip=["transfer"])
    assert report.sections_in("failed") == {}
    assert report.sections_in("finished").keys() == SECTIONS.keys() - {"transfer"}
    assert len(report.to_html()) < 20e6


@pytest.mark.nightly
def test_all_sections_without_images(model):
    report = kerascnn.report(model, effort="quick")
    assert report.sections_in("failed") == {}
    assert {*ALONE} <= report.sections_in("finished").keys()


@pytest.mark.nightly
@pytest.mark.parametrize("name", TINY[:: max(1, len(TINY) // 2)])
def test_tiny_networks_of_the_zoo(name):
    tiny = build_model(name)
    pixels = np.random.default_rng(0).integers(0, 256, (6, *tiny.input_shape[1:])).astype(np.uint8)
    report = kerascnn.report(tiny, images=pixels, effort="quick", only=LIGHT)
    assert report.sections_in("failed") == {}
    assert report.sections_in("finished").keys() == {*LIGHT}


def test_architecture_has_diagram_and_table(made):
    text = made[0].to_html()
    assert 'class="kc-diagram"' in text
    assert all(f">{layer}</th>" in text for layer in ("conv1", "pool1", "conv2", "probs"))


def test_a_page_has_one_count_of_layers(made, model):
    text = made[0].to_html()
    count = len(kerascnn.dissect(model).rows)
    assert f"{count} layers in execution order, the input included" in text
    assert f"All {count} layers" in text


def test_the_verdict_on_filters_agrees_with_its_counts(made):
    report, text = made[0], made[0].to_html()
    found = report.results["filters"]
    assert f"Of {found['shape'][-1]} filters: " in text
    for name, count in found["counts"].items():
        assert f"{count} {name}" in text  # the caption of the picture, from the table
    assert sum(found["counts"].values()) >= found["shape"][-1]


def test_filter_norms_agree_with_numpy(model):
    table = filters.filter_norms(model).set_index("layer")
    for name in ("conv1", "conv2"):
        norm = np.linalg.norm(model.get_layer(name).get_weights()[0].reshape(-1, table.filters[name]), axis=0)
        assert table["median norm"][name] == pytest.approx(np.median(norm))
        assert table["most"][name] == pytest.approx(norm.max() / np.median(norm))


def test_zero_filters_are_counted():
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, layers.Conv2D(6, 3, name="conv")(x))
    kernel = model.get_layer("conv").kernel
    kernel.assign(kernel.numpy() * np.array([1, 1, 0, 1, 1, 1]))
    assert filters.filter_norms(model).weak.tolist() == [1]


def test_dead_units_are_found_and_named(model, data):
    dead = keras.models.clone_model(model)
    dead.set_weights(model.get_weights())
    dead.get_layer("conv2").bias.assign([-1e4, 0, 0, -1e4, 0, 0])
    report = kerascnn.report(dead, data, effort="quick", only=["cards", "health"])
    found = {row["layer"]: row["dead"] for row in report.results["health"]["layers"]}
    assert found["conv2"] == 2
    assert report.results["cards"]["dead_units"] == sum(found.values())
    assert "0, 3" in report.to_html()


@pytest.mark.parametrize(
    "odd",
    [
        lambda: keras.Sequential([keras.Input((12,)), layers.Dense(3)]),
        lambda: keras.Sequential([keras.Input((9, 9, 1)), layers.Conv2D(3, 3), layers.Flatten(), layers.Dense(1)]),
        lambda: keras.Sequential(
            [keras.Input((None, None, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(5)]
        ),
        lambda: keras.Sequential([keras.Input((8, 8, 5)), layers.DepthwiseConv2D(3), layers.Flatten()]),
    ],
    ids=["no images", "gray, one score", "any size", "five channels, no classes"],
)
def test_networks_of_all_kinds_have_a_page(odd):
    report = kerascnn.report(odd(), only=LIGHT)
    assert report.sections_in("failed") == {}
    assert {"cards", "anatomy", "appendix"} <= report.sections_in("finished").keys()


def test_a_gray_network_takes_photos():
    gray = keras.Sequential([keras.Input((9, 12, 1)), layers.Conv2D(3, 3, activation="relu"), layers.Flatten()])
    gray.add(layers.Dense(3))
    color = np.random.default_rng(0).integers(0, 256, (5, 30, 20, 3)).astype(np.uint8)
    report = kerascnn.report(gray, images=color, only=LIGHT, effort="quick")
    assert report.sections_in("failed") == {}
    assert report.results["health"]["images"] == 5


SOURCE = WeightsSource(
    "tiny_vgg",
    "torchvision/v2",
    "https://example.com/v2",
    "v2.pth",
    "",
    "BSD-3-Clause",
    71.5,
    90.2,
    "torch",
    37,
    32,
    "bicubic",
)


@pytest.mark.parametrize(
    ("side", "told"), [(32, "published: 71.5 %"), (40, "published: 71.5 % at 32x32, not at the 40x40 of this model")]
)
def test_published_accuracy_says_for_which_size_it_is(side, told, monkeypatch):
    monkeypatch.setattr(classifier, "weights_sources", lambda: {"tiny_vgg": (SOURCE,)})
    tiny = build_model("tiny_vgg", input_shape=(side, side, 3))
    tiny.get_layer("scale").source = SOURCE.name
    evaluation = kerascnn.evaluate(tiny, np.zeros((10, side, side, 3), np.uint8), np.arange(10), verbose=0)
    subject = SimpleNamespace(model=tiny, given_class_names=published_class_names(10))
    *_, note = cards.accuracy_card(evaluation, subject, {})
    assert note.endswith(told)


@pytest.mark.parametrize("side", [224, 288])
def test_published_multiply_adds_say_for_which_size_they_are(side):
    row = card("squeezenet1_1")
    anatomy = kerascnn.dissect(outline("squeezenet1_1", input_shape=(side, side, 3)))
    _, _, status, note = cards.cost_card(anatomy, row, {})
    assert (status == "as published") == (side == 224)
    assert note.endswith(", at 224x224") == (side == 288)


@pytest.mark.parametrize("size", [(32, 32), (40, 40), (32, 40)])
def test_an_export_says_for_which_size_the_accuracy_is(size):
    accuracy = weights_source(SOURCE, size)["accuracy"]
    assert accuracy["at"] == [32, 32]
    assert accuracy["is_at_input_size"] == (size == (32, 32))
