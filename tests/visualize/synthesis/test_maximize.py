"""What units like best, and what comes of it: pictures, tables, files."""

import keras
import numpy as np
import pytest
from keras import layers
from models import equal, snapshot
from PIL import Image
from synthesis_models import SIZE, known, linear, straight, weights

from kerascnn import build_model
from kerascnn.visualize import (
    choose,
    curves,
    evolve,
    facets,
    fool,
    grad_cam,
    heat_map,
    lens,
    maximize,
    occlusion,
    saliency,
    sanity,
    smoothgrad,
    synthesize,
    unrecognizable,
)
from kerascnn.visualize.engine.query import Query, run_query
from kerascnn.visualize.engine.scores import channel, energy, logit, neuron, peak
from kerascnn.visualize.synthesis.maximize import default_size
from kerascnn.visualize.synthesis.params import GRAY, Pixels

QUICK = straight("adam", 6, 4.0, params=Pixels(noise=10))


@pytest.fixture(scope="module")
def model():
    return known()


ASKED = {  # what maximize is asked -> the score that it climbs, and what its pictures are called
    "classes": ({"classes": [3, 0]}, logit([3, 0]), ("cat", "plane")),
    "units": ({"layer": "top", "units": [2, 0]}, channel("top", [2, 0]), ("top:2", "top:0")),
    "all units": ({"layer": "top"}, channel("top", [0, 1, 2]), ("top:0", "top:1", "top:2")),
    "neuron": ({"layer": "top", "units": 1, "kind": "neuron"}, neuron("top", 1), ("top:1",)),
    "peak": ({"layer": "top", "units": 1, "kind": "peak"}, peak("top", 1), ("top:1",)),
    "layer": ({"layer": "top", "units": "all"}, energy("top"), ("top, all channels",)),
    "score": ({"score": logit(1) - logit(2)}, logit(1) - logit(2), ("logit 1 - logit 2",)),
}


@pytest.mark.parametrize("case", ASKED)
def test_maximize_synthesizes_the_expected_score(case, model):
    asked, score, names = ASKED[case]
    labels = {"class_names": ["plane", "car", "bird", "cat", "deer"]} if case == "classes" else {}
    found, expected = (
        maximize(model, recipe=QUICK, **asked, **labels),
        synthesize(model, score, recipe=QUICK, size=SIZE[:2]),
    )
    np.testing.assert_allclose(found.images, expected.images, atol=0.02)
    assert found.names == names
    assert (found.scores > found.curves["score"][0]).all()


def test_copies_have_numbered_names(model):
    found = maximize(model, "top", [0, 2], copies=2, recipe=QUICK)
    assert found.names == ("top:0, 1", "top:0, 2", "top:2, 1", "top:2, 2")


def test_a_class_image_of_a_linear_network_is_its_weights():
    model = linear(4)
    found = maximize(model, classes=[1, 3], recipe=straight("unit", 1, 50.0)).images - GRAY
    for image, k in zip(found, (1, 3), strict=True):
        np.testing.assert_allclose(image / 50, weights(model, k) / np.linalg.norm(weights(model, k)), atol=1e-5)


WRONG = {
    "nothing": ({}, "one of `classes`, `layer` and `score`. Received: none"),
    "two": ({"classes": 1, "layer": "top"}, "one of `classes`, `layer` and `score`. Received: classes, layer"),
    "class": ({"classes": 5}, "integers from 0 to 4"),
    "name": ({"classes": ["dog"]}, "`classes` should be a number from 0 to 4: the class names are unknown"),
    "near name": (
        {"classes": ["plan"], "class_names": ["plane", "car", "bird", "cat", "deer"]},
        "`classes` should be a number from 0 to 4, or a class name. .* Did you mean plane",
    ),
    "fraction": ({"classes": [0.5]}, "`classes` should be integers from 0 to 4, or class names"),
    "unit": ({"layer": "top", "units": [3]}, "integers from 0 to 2, channels of top"),
    "layer": ({"layer": "tops"}, "top"),
    "kind": ({"layer": "top", "kind": "chanel"}, "channel"),
}


@pytest.mark.parametrize("case", WRONG)
def test_invalid_arguments_raise(case, model):
    how, said = WRONG[case]
    before = snapshot(model, np.zeros((1, *SIZE), np.float32))
    with pytest.raises(ValueError, match=said):
        maximize(model, recipe=QUICK, **how)
    equal(snapshot(model, np.zeros((1, *SIZE), np.float32)), before)


def test_default_size_is_two_receptive_fields():
    x = keras.Input((200, 150, 3))
    maps, fields = x, {}
    for i in range(3):  # fields of 9, 41 and 169 pixels
        maps = layers.Conv2D(2, 9, strides=4, padding="same", name=f"conv{i}")(maps)
        fields[f"conv{i}"] = 1 + 8 * sum(4**k for k in range(i + 1))
    model = keras.Model(x, layers.Dense(2, name="scores")(layers.Flatten()(maps)))
    for layer, field in fields.items():
        for side, own in zip(default_size(lens(model), layer), (200, 150), strict=True):
            assert side == own or side >= max(2 * field, 64)
            assert side <= own
            assert side == own or side < max(2 * field, 64) + 16
    assert default_size(lens(model), "conv0") == (64, 64)
    assert default_size(lens(model), "scores") == (200, 150)


def test_each_facet_starts_from_the_mean_of_its_cluster(rng):
    """Two kinds of images excite one unit: each facet stays with its kind."""
    x = keras.Input(SIZE)
    color = layers.Conv2D(2, 1, activation="relu", name="color")
    model = keras.Model(x, layers.Dense(2, name="scores")(layers.GlobalAveragePooling2D()(color(x))))
    color.kernel.assign(np.array([[1, -1], [0, 0], [-1, 1]], np.float32)[None, None])  # red, and blue
    model.layers[-1].kernel.assign([[1, 0], [1, 0]])
    images = rng.uniform(100, 140, (20, *SIZE)).astype(np.float32)
    images[:6, ..., 0] += 90
    images[6:10, ..., 2] += 60
    found = facets(model, images, classes=0, count=2, top=10)
    assert [set(each) for each in found.metadata["members"]] == [
        {f"image {i}" for i in range(6)},
        {f"image {i}" for i in range(6, 10)},
    ]
    np.testing.assert_allclose(found.metadata["began"], [images[:6].mean(0), images[6:10].mean(0)], rtol=1e-5)
    red, blue = (np.sign((image[..., 0] - image[..., 2]).mean()) for image in found.images)
    assert (red, blue) == (1, -1)


def test_facets_of_a_network_with_other_bounds(model, rng):
    """The images are pixels 0..255, whatever the network takes for black and white."""
    images = rng.uniform(0, 255, (6, *SIZE)).astype(np.float32)
    x = keras.Input(SIZE)
    scores = keras.Model(model.input, model.get_layer("top").output)(layers.Rescaling(127.5, 127.5)(x))
    foreign = keras.Model(x, layers.Lambda(lambda maps: maps, name="end")(scores))
    asked = {"unit": 1, "count": 2, "recipe": QUICK, "steps": 1}
    expected, found = facets(model, images, "top", **asked), facets(foreign, images, "end", bounds=(-1, 1), **asked)
    assert found.metadata["members"] == expected.metadata["members"]
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-3)


# what comes of it


@pytest.fixture(scope="module")
def found(model):
    return maximize(model, "top", [0, 1], copies=2, recipe=QUICK, keep=(0, 3, 6))


def test_history_and_table(found):
    history, table = found.history, found.table
    assert len(history) == 4 * 6
    for i, name in enumerate(found.names):
        mine = history[history["image"] == name]
        assert mine["step"].tolist() == [*range(6)]
        np.testing.assert_array_equal(mine["score"], found.curves["score"][:, i])
    assert table["image"].tolist() == [*found.names]
    np.testing.assert_array_equal(table["score"], found.scores)
    np.testing.assert_array_equal(table["initial_score"], found.curves["score"][0])
    assert not table[["redirected", "off"]].to_numpy().any()


def test_scores_are_without_transforms(found, model):
    inner = keras.Model(model.input, model.get_layer("top").output)
    maps = inner(found.images).numpy().mean((1, 2))
    np.testing.assert_allclose(found.scores, maps[np.arange(4), [0, 0, 1, 1]], rtol=1e-4)


def test_plot_steps_draws_snapshots_and_scores(found, model, tmp_path):
    assert found.snapshots.shape == (3, 4, *found.images.shape[1:])
    np.testing.assert_array_equal(found.snapshots[-1], found.images)
    figure = found.plot_steps()
    curves = [axis.lines[0].get_ydata() for axis in figure.axes if axis.lines]
    np.testing.assert_array_equal(curves, found.curves["score"].T)
    with pytest.raises(ValueError, match="`keep` should be passed"):
        maximize(model, "top", 0, recipe=QUICK).plot_steps()


def test_save_figure_and_images(found, tmp_path):
    found.save(tmp_path / "sheet.png")
    assert Image.open(tmp_path / "sheet.png").size[0] > 200
    paths = found.save_images(tmp_path / "each")
    for path, image in zip(paths, found.images, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), np.rint(image).astype(np.uint8))


def test_saved_pixels_are_clipped(tmp_path):
    found = maximize(linear(2), classes=0, recipe=straight("unit", 1, 5000.0))
    assert found.images.min() < 0
    (path,) = found.save_images(tmp_path)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), np.rint(found.images[0].clip(0, 255)))


# real weights


@pytest.mark.nightly
def test_synthesized_images_score_higher_than_the_best_of_500_photos(squeezenet, shared):
    """In at least 95 % of units (here all of a few); photos and pictures at the network's own size."""
    from kerascnn.visualize.engine.query import pictures

    asked, units = lens(squeezenet), [3, 60, 111, 200]
    layer = "stage3"
    shown = pictures(asked, sorted(shared("data", "imagenet_sample").glob("*.jpg"))[::5])
    answer = lambda run, score: {"mean": run[layer]}  # noqa: E731
    maps = run_query(asked, Query(("means",), answer, backward=False), shown.pixels)["mean"]
    best = maps.mean((1, 2))[:, units].max(0)
    found = maximize(asked, layer, units, recipe="brisk", size=asked.shape[:2], steps=24)
    assert (found.scores > best).all()


@pytest.mark.nightly
def test_a_class_image_is_classified_as_its_class():
    """By a small network with real weights, that is shipped."""
    model = build_model("resnet20", weights="cifar10")
    found = maximize(model, classes=range(10), recipe="brisk", steps=16)
    probs = np.asarray(model(found.images))
    assert (probs.argmax(1) == np.arange(10)).all()
    assert not found.metadata["off"].any()


def test_classes_by_name(model, rng):
    """By the names that are given, by those that are known of a network, in every way that takes classes."""
    names = ["plane", "car", "bird", "cat", "deer"]
    one, other = (maximize(model, classes=asked, class_names=names, recipe=QUICK) for asked in (["cat", "car"], [3, 1]))
    np.testing.assert_array_equal(one.images, other.images)
    assert one.names == other.names == ("cat", "car")
    one, other = (unrecognizable(model, asked, class_names=names, steps=2) for asked in ("bird", 2))
    np.testing.assert_array_equal(one.images, other.images)
    images = rng.uniform(0, 255, (4, *SIZE)).astype(np.float32)
    faces = [facets(model, images, classes=k, class_names=names, count=2, recipe=QUICK) for k in ("deer", 4)]
    np.testing.assert_array_equal(faces[0].images, faces[1].images)
    with pytest.raises(ValueError, match="`classes` should be one class"):
        facets(model, images, classes=["deer", "cat"], class_names=names, count=2)


def test_class_names_of_the_model_are_used(rng):
    network = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(10, 3), keras.layers.GlobalAveragePooling2D()], name="a_cifar10"
    )
    images = rng.uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    found = [maximize(network, classes=[k], recipe=QUICK).images for k in ("dog", 5)]
    np.testing.assert_array_equal(*found)
    with pytest.raises(ValueError, match="`classes` should be a number from 0 to 9, or a class name.*Did you mean dog"):
        maximize(network, classes=["dgo"])
    heat = saliency(network, images, classes=5)
    assert curves(network, heat, classes="dog", steps=2).classes == (5, 5)
    assert choose(network, images, ["cat", "dog"], methods={"one": saliency}, steps=2).image_count == 2
    judged = [sanity(network, images, k, method=saliency).maps for k in ("dog", 5)]
    np.testing.assert_array_equal(*judged)
    with pytest.raises(ValueError, match="Did you mean dog"):
        sanity(network, images, "dgo", method=saliency)
    with pytest.raises(ValueError, match="`target` should be a number from 0 to 9, or a class name.*Did you mean dog"):
        fool(network, images, "dgo")


@pytest.mark.parametrize("name", ["dog", "Dog"])
def test_class_names_are_accepted_wherever_classes_are(rng, name):
    network = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(10, 3), keras.layers.GlobalAveragePooling2D()], name="a_cifar10"
    )
    images = rng.uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    assert saliency(network, images, name).classes == (5, 5)
    assert saliency(network, images, ["cat", name]).classes == (3, 5)
    assert occlusion(network, images, name, patch=4).classes == (5, 5)
    assert smoothgrad(network, images, [name, 3], samples=2, method=grad_cam).classes == (5, 3)
    assert evolve(network, [name, "cat"], encoding="direct", population=4, generations=1).classes == (5, 3)
    assert heat_map(network, images, name).maps[0].classes == (5,)
    with pytest.raises(ValueError, match="`classes` should be a number .*Did you mean dog"):
        saliency(network, images, "dgo")


def test_class_names_match_with_spaces_for_underscores(rng):
    network = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    images = rng.uniform(0, 255, (1, 4, 4, 3)).astype(np.float32)
    assert saliency(network, images, "night heron", class_names=("egret", "night_heron", "ibis")).classes == (1,)
    with pytest.raises(ValueError, match="are unknown"):
        saliency(network, images, "ibis")
