"""build_model, features, rehead: what they return, and how they answer wrong calls."""

import re
from dataclasses import replace

import keras
import numpy as np
import pytest
from networks import ALL, TINY

import kerascnn
from kerascnn import build_model, card, features, list_models, outline, pattern, rehead
from kerascnn.support.text import natural_key
from kerascnn.zoo import catalog
from kerascnn.zoo.registry import CARDS, PUBLISHERS, filter_networks, register, translate_timm_name

SMALL = {"input_shape": (32, 32, 3), "classes": 10}


def test_names_are_in_natural_order_without_tiny_networks():
    names = list_models("resnet*")
    assert names.index("resnet18") < names.index("resnet101")
    assert names == sorted(names, key=natural_key)
    assert not any(name.startswith("tiny") for name in ALL)
    assert all(name.startswith("tiny") for name in TINY)
    assert TINY


def test_filters_of_list_models():
    assert list_models("vgg1?") == ["vgg11", "vgg13", "vgg16", "vgg19"]
    assert list_models(family="dpn") == ["dpn92", "dpn98", "dpn131"]
    assert {card(name).year for name in list_models(year=2014)} == {2014}
    assert all(card(name).params < 1e6 for name in list_models(max_params=1e6))
    assert list_models("nothing*") == []


def test_networks_with_published_weights():
    with_weights = list_models(pretrained=True)
    assert with_weights == [name for name in ALL if card(name).weights]
    assert list_models(pretrained=False) == [name for name in ALL if not card(name).weights]
    assert list_models("vgg*", pretrained="keras") == ["vgg16", "vgg19"]  # all that Keras has of them
    by_publisher = {name for publisher in PUBLISHERS for name in list_models(pretrained=publisher)}
    assert by_publisher == set(with_weights)
    assert list_models("tiny*", pretrained=True) == []


def test_rows_of_the_catalog_are_filtered_like_cards():
    rows = catalog.read_catalog()
    for asked in (True, False, *PUBLISHERS):
        assert [row.name for row in filter_networks(rows, pretrained=asked)] == list_models(pretrained=asked)


def test_weights_of_a_registered_network_are_listed(monkeypatch):
    mine = replace(card("vgg16").weights[0], network="mine", name="timm/mine")
    monkeypatch.setitem(CARDS, "mine", replace(card("lenet5"), name="mine", weights=(mine,)))
    assert "mine" in list_models(pretrained="timm")
    assert "mine" not in list_models(pretrained="keras")


def test_networks_for_cifar10_have_short_names():
    assert card("resnet20") is card("resnet20_cifar10")
    assert outline("resnet20").name == "resnet20_cifar10"
    assert card("resnet50").name == "resnet50"


def test_features_are_the_maps_of_named_layers(rng):
    model = build_model("tiny_resnet")
    x = rng.uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    assert features(model, "stage1")(x).shape == (2, 32, 32, 16)
    both = features(model, ["stage2", "logits"])(x)
    assert both["stage2"].shape == (2, 16, 16, 32)
    np.testing.assert_allclose(keras.ops.softmax(both["logits"]), model(x), rtol=1e-5)


def test_a_new_head_shares_the_backbone():
    model = build_model("tiny_vgg")
    other = rehead(model, 3, dropout=0.5)
    assert other.output_shape == (None, 3)
    assert other.get_layer("stage1_conv1") is model.get_layer("stage1_conv1")
    assert model.output_shape == (None, 10)
    assert rehead(model, 4, at="stage2").output_shape == (None, 4)


def test_new_head_on_foreign_models():
    theirs = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="maps"), keras.layers.Flatten()])
    assert rehead(theirs, 5, at="maps").output_shape == (None, 5)


def test_auxiliary_classifiers_come_as_a_dictionary_or_not_at_all(rng):
    model = build_model("tiny_googlenet")
    assert set(model.output) == {"probs", "aux1"}
    assert set(build_model("tiny_googlenet", aux=False).output.shape) == {None, 10}
    losses = dict.fromkeys(("probs", "aux1"), "sparse_categorical_crossentropy")
    model.compile("sgd", loss=losses, loss_weights={"probs": 1.0, "aux1": 0.3}, jit_compile=False)
    x, y = rng.uniform(0, 255, (8, 32, 32, 3)).astype("float32"), rng.integers(0, 10, 8)
    assert model.fit(x, {"probs": y, "aux1": y}, verbose=0).history["loss"][0] > 0


def test_the_input_takes_pixels_of_any_type(rng):
    model = build_model("tiny_resnet")
    x = rng.integers(0, 256, (2, 32, 32, 3))
    np.testing.assert_array_equal(
        model.predict(x.astype("uint8"), verbose=0), model.predict(x.astype("float32"), verbose=0)
    )


def test_input_sizes_can_be_open(rng):
    model = build_model("tiny_squeezenet", input_shape=(None, None, 3))
    fixed = build_model("tiny_squeezenet", input_shape=(45, 38, 3))
    fixed.set_weights(model.get_weights())
    x = rng.uniform(0, 255, (1, 45, 38, 3)).astype("float32")
    np.testing.assert_allclose(model(x), fixed(x), rtol=1e-5)


def test_a_dtype_holds_for_one_model_only():
    before = keras.config.dtype_policy().name
    model = build_model("tiny_resnet", dtype="mixed_float16")
    assert model.get_layer("stem_conv").compute_dtype == "float16"
    assert model.get_layer("probs").compute_dtype == "float32"
    assert keras.config.dtype_policy().name == before
    with pytest.raises(ValueError, match="at least"):
        build_model("tiny_alexnet", dtype="mixed_float16", input_shape=(4, 4, 3))
    assert keras.config.dtype_policy().name == before, "also when the network could not be built"


def test_weights_come_from_a_file(tmp_path, rng):
    model = build_model("tiny_resnet")
    model.save_weights(tmp_path / "tiny.weights.h5")
    again = build_model("tiny_resnet", weights=tmp_path / "tiny.weights.h5")
    x = rng.uniform(0, 255, (1, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(model(x), again(x))


def test_an_outline_has_shapes_but_no_weights():
    model = outline("vgg16")
    assert model.count_params() == 138_357_544
    build_model("tiny_resnet")  # upon which Keras allocates whatever still waits for memory
    assert model.get_layer("fc1").kernel._value is None


def test_public_names_exist():
    for name in kerascnn.__all__:
        assert callable(getattr(kerascnn, name))
    with pytest.raises(AttributeError, match="no attribute 'build_modle'"):
        kerascnn.build_modle  # noqa: B018


def tiny(name="tiny_resnet", **options):
    return lambda: build_model(name, **options)


def text(pattern_text, **options):
    return lambda: pattern(pattern_text, **options)


WRONG = [  # a call, and what its answer has to name
    (lambda: build_model("resnet5O"), ["network 'resnet5O'", "resnet50"]),
    (lambda: build_model("Resnet50"), ["'Resnet50'", "resnet50"]),
    (lambda: build_model("efficientnet_b0"), ["'efficientnet_b0'", "list_models"]),
    (lambda: build_model(50), ["network 50"]),
    (lambda: build_model(None), ["network None"]),
    (lambda: card("vgg-16"), ["'vgg-16'", "vgg16"]),
    (lambda: list_models(family="resnets"), ["family 'resnets'", "resnet"]),
    (lambda: list_models(year="2015"), ["`year`", "2015"]),
    (lambda: list_models(max_params="5M"), ["`max_params`", "'5M'"]),
    (lambda: list_models(pretrained="tim"), ["publisher of weights 'tim'", "timm"]),
    (lambda: list_models(pretrained="anybody"), ["'anybody'", *PUBLISHERS]),
    (lambda: list_models(pretrained=1), ["`pretrained`", "True", "1"]),
    (tiny(input_shape=(2, 2)), ["`input_shape`", "(height, width, channels)", "(2, 2)"]),
    (tiny(input_shape=32), ["`input_shape`", "32"]),
    (tiny(input_shape="32x32"), ["`input_shape`", "'32x32'"]),
    (tiny(input_shape=(3, 224, 224)), ["`input_shape`", "channels-first"]),
    (tiny(input_shape=(32, 32, 0)), ["`input_shape`", "(32, 32, 0)"]),
    (tiny(input_shape=(32, 32, None)), ["`input_shape`", "None"]),
    (tiny(input_shape=(32, -1, 3)), ["`input_shape`", "-1"]),
    (tiny(input_shape=(32.0, 32.0, 3)), ["`input_shape`", "32.0"]),
    (tiny(input_shape=(1, 32, 32, 3)), ["`input_shape`", "(1, 32, 32, 3)"]),
    (lambda: build_model("vgg16", input_shape=(16, 16, 3)), ["at least 32x32", "(16, 16, 3)"]),
    (lambda: build_model("inception_v3_keras", input_shape=(64, 80, 3)), ["at least 75x75", "(64, 80, 3)"]),
    (lambda: build_model("lenet5", input_shape=(28, 28, 1)), ["at least 32x32", "(28, 28, 1)"]),
    (lambda: build_model("googlenet_aux", input_shape=(64, 64, 3)), ["at least 79x79", "aux=False"]),
    (lambda: build_model("alexnet", input_shape=(None, None, 3)), ["fixed sizes", "dense layers"]),
    (tiny(classes=1), ["`classes`", "at least 2", "1"]),
    (tiny(classes=0), ["`classes`", "0"]),
    (tiny(classes=-3), ["`classes`", "-3"]),
    (tiny(classes=10.0), ["`classes`", "10.0"]),
    (tiny(classes="10"), ["`classes`", "'10'"]),
    (tiny(classes=True), ["`classes`", "True"]),
    (tiny(classes=["cat", "dog"]), ["`classes`", "['cat', 'dog']"]),
    (tiny(dtype="float61"), ["dtype 'float61'", "float16"]),
    (tiny(dtype="int8"), ["dtype 'int8'"]),
    (tiny(dtype=16), ["dtype 16"]),
    (tiny(scale="imagenet"), ["scale 'imagenet'"]),
    (tiny(scale="coffee"), ["scale 'coffee'", "caffe"]),
    (tiny(aux=True), ["`aux`", "tiny_resnet", "True"]),
    (tiny(aux="yes"), ["`aux`", "'yes'"]),
    (tiny(weights="imagenet"), ["`weights`", "'imagenet'"]),
    (tiny(depth=(1, 1)), ["argument of tiny_resnet 'depth'", "depths"]),
    (tiny(class_count=3), ["'class_count'"]),
    (tiny(depths=3), ["`depths`", "(1, 2)", "3"]),
    (tiny(depths=(1, 1, 1)), ["`depths`", "`widths`", "(1, 1, 1)"]),
    (tiny(dropout="half"), ["`dropout`", "'half'"]),
    (tiny(dropout=1.5), ["dropout=1.5"]),
    (tiny(drop_path=2.0), ["drop_path=2.0", "between 0 and 1"]),
    (tiny(branch="bottleneck"), ["`branch`", "'bottleneck'"]),
    (lambda: build_model("tiny_vgg", units=(32, "wide")), ["units=(32, 'wide')"]),
    (lambda: features(build_model("tiny_resnet"), "stage9"), ["'stage9'", "stage2"]),
    (lambda: features(build_model("tiny_resnet"), ["stage1", "feature"]), ["'feature'", "features"]),
    (lambda: features(build_model("tiny_resnet"), 3), ["`layers`", "3"]),
    (lambda: features("resnet50", "stage1"), ["`model`", "'resnet50'"]),
    (lambda: rehead(build_model("tiny_resnet"), 1), ["`classes`", "1"]),
    (lambda: rehead(build_model("tiny_resnet"), 3, at="pool"), ["'pool'"]),
    (text("[CONV-RELU-POOOL]*2-FC"), ["position 11", "POOL"]),
    (text("[CONV-RELU"), ["position 10", "']'"]),
    (text("CONV-RELU"), ["end with FC", "the end"]),
    (text("[CONV]*N-FC"), ["position 7", "letter"]),
    (text("[CONV]*N-FC", N=1.5), ["position 7", "integer value"]),
    (text("FC-CONV-FC"), ["no CONV after an FC"]),
    (text("CONV RELU-FC"), ["position 5"]),
    (text(""), ["the end"]),
    (text(3), ["`text`", "3"]),
    (text("[CONV-POOL]*2-FC", filters=(8,)), ["`filters`", "(8,)"]),
    (text("CONV-FC", filter=8), ["'filter'", "filters"]),
    (text("[CONV-POOL]*9-FC", filters=8), ["input"]),
    (
        lambda: register("resnet50", trunk=None, head=None, family="", year=0, paper="", fidelity=""),
        ["`name`", "resnet50"],
    ),
]


@pytest.mark.parametrize(("call", "named"), WRONG, ids=[f"{i}-{named[0]}" for i, (_, named) in enumerate(WRONG)])
def test_invalid_calls_say_what_was_expected_and_received(call, named):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call()
    message = str(caught.value)
    assert [part for part in named if part not in message] == [], message
    assert "Traceback" not in message
    assert len(message) < 500, message


def test_there_are_fifty_invalid_calls():
    assert len(WRONG) >= 50
    assert "resnet50" in CARDS


@pytest.mark.parametrize(
    ("theirs", "advice"),
    [
        ("resnetv2_50", "build_model('resnet50v2')"),
        ("resnetv2_152", "build_model('resnet152v2')"),
        ("resnetv2_50.a1h_in1k", "build_model('resnet50v2', weights='timm/a1h_in1k')"),
        ("timm/resnet50.a1_in1k", "build_model('resnet50', weights='timm/a1_in1k')"),
        ("hf_hub:timm/vgg16_bn.tv_in1k", "build_model('vgg16_bn', weights='timm/tv_in1k')"),
        ("resnet50.unheard_of", "build_model('resnet50')"),
    ],
)
def test_timm_names_are_translated(theirs, advice):
    for find in (build_model, card):
        with pytest.raises(ValueError, match=f"timm's name for .*: {re.escape(advice)}"):
            find(theirs)


def test_every_timm_name_leads_to_its_network():
    rows = [row for name in list_models() for row in card(name).weights if row.publisher == "timm"]
    assert len(rows) > 80
    for row in rows:
        theirs = row.file.removesuffix(".safetensors")
        assert translate_timm_name(theirs) == (row.network, row.name)


@pytest.mark.parametrize("name", ["resnetv2_51", "resnetv2_50x1_bit", "mobilenet.a1_in1k"])
def test_unknown_timm_names(name):
    with pytest.raises(ValueError, match=f"Unknown network '{name}'") as caught:
        build_model(name)
    assert "timm" not in str(caught.value)
