"""What an export answers, against answers computed by hand; what it holds; what it refuses."""

import base64
import hashlib
import io
import json
from importlib import import_module

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

import kerascnn
from kerascnn import export
from kerascnn.exporting import card

artifact = import_module("kerascnn.exporting.export")  # of that name the package has a function too

COLORS = np.array([(250, 30, 90), (10, 200, 60), (0, 0, 255)], np.float32)
NAMES = ("red", "grün", "blue")
LOGITS = COLORS / 100


def flat(color, size=(20, 26)):
    file = io.BytesIO()
    Image.new("RGB", size, tuple(map(int, color))).save(file, "PNG")
    return file.getvalue()


PHOTOS = [flat(color) for color in COLORS]


def softmax(x):
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def serve(folder, name="serving_default"):
    signatures = tf.saved_model.load(f"{folder}/saved_model/1").signatures
    given = next(iter(signatures[name].structured_input_signature[1]))
    return lambda data: {k: v.numpy() for k, v in signatures[name](**{given: tf.constant(data)}).items()}


SINGLE = layers.Dense(1, activation="sigmoid", kernel_initializer="ones")
ENDS = {  # layers after the logits -> probabilities at a temperature
    "logits": ((), lambda x, T: softmax(x / T)),
    "softmax": ((layers.Softmax(),), lambda x, T: softmax(x / T)),
    "sigmoids": ((layers.Activation("sigmoid"),), lambda x, T: sigmoid(x / T)),
    "one sigmoid": ((SINGLE,), lambda x, T: sigmoid(x.sum(-1, keepdims=True) / T * np.array([-1, 1]))),
}


@pytest.mark.parametrize("end", ENDS)
def test_probabilities_by_hand(means, here, tmp_path, end):
    """Bytes in, names out; pixels in, probabilities out; softened by the temperature; and so said by the checks."""
    more, expected = ENDS[end]
    expected = expected(LOGITS, 1.7)
    names = NAMES[: expected.shape[-1]]
    export(means(*more), tmp_path / "out", class_names=names, temperature=1.7, verify=False)
    here(tmp_path / "out")
    answer = serve(tmp_path / "out")(PHOTOS)
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-6)
    order = np.argsort(-expected, axis=-1)
    assert [[name.decode() for name in row] for row in answer["classes"]] == [[names[i] for i in row] for row in order]
    np.testing.assert_allclose(answer["scores"], np.take_along_axis(expected, order, -1), atol=1e-6)
    pixels = np.broadcast_to(COLORS[:, None, None], (3, 16, 16, 3))
    np.testing.assert_allclose(serve(tmp_path / "out", "images")(pixels)["probabilities"], expected, atol=1e-6)


def small(*first, name="small", size=(24, 24, 3)):
    """A plain Keras network with weights, its features called by no name."""
    conv = layers.Conv2D(6, 3, activation="relu")
    rest = [layers.Rescaling(1 / 255), conv, layers.GlobalAveragePooling2D(), layers.Dense(4, activation="softmax")]
    return keras.Sequential([keras.Input(size), *first, *rest], name=name)


def nested():
    backbone = keras.Sequential([keras.Input((24, 24, 3)), layers.Conv2D(6, 3), layers.GlobalMaxPooling2D()])
    inputs = keras.Input((24, 24, 3))
    return keras.Model(inputs, layers.Dense(4)(backbone(layers.Rescaling(1 / 255)(inputs))), name="nested")


def augmented():
    live = (layers.RandomFlip(), layers.RandomRotation(0.2), layers.RandomZoom(0.2), layers.RandomContrast(0.5))
    return small(*live, layers.GaussianNoise(0.5), layers.Dropout(0.5), name="augmented")


def fitted():
    model = small(name="fitted")
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(np.zeros((4, 24, 24, 3)), np.arange(4), verbose=0)
    return model


MODELS = {
    "Sequential": (small, {}),
    "nested": (nested, {}),
    "augmentation inside": (augmented, {}),
    "fitted": (fitted, {}),
    "two outputs": (lambda: kerascnn.build_model("tiny_googlenet"), {}),
    "gray": (lambda: small(size=(20, 20, 1)), {}),
    "rectangle": (lambda: small(size=(20, 30, 3)), {}),
    "open size": (lambda: small(size=(None, None, 3)), {"size": (30, 20)}),
    "16 bits": (lambda: kerascnn.build_model("tiny_vgg", dtype="mixed_float16"), {}),
    "preprocessing given": (lambda: small(), {"preprocess": layers.Rescaling(1 / 127.5, offset=-1)}),
}


@pytest.mark.parametrize("kind", MODELS)
def test_models_of_all_kinds(here, tmp_path, kind):
    """Not ours, nested, with augmentation: what is written answers as the model does, and the same twice."""
    build, options = MODELS[kind]
    model = build()
    before = [np.array(weight) for weight in model.weights]
    export(model, tmp_path / "out", verify=False, **options)
    rows = here(tmp_path / "out")
    assert {row["file"] for row in rows} == {"labels.json", "saved_model", "model.keras"}
    assert all((np.array(weight) == old).all() for weight, old in zip(model.weights, before, strict=True))


@pytest.mark.parametrize("structure", ["list", "dict"])
def test_several_inputs(here, tmp_path, structure):
    """Every file takes the other inputs by name, and the card says so."""
    photo, month = keras.Input((16, 16, 3), name="photo"), keras.Input((), dtype="int32", name="month")
    place = keras.Input((2,), name="place")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 255)(photo)))
    x = layers.Concatenate()([x, layers.Embedding(12, 3)(month), place])
    inputs = {"month": month, "photo": photo, "place": place}
    inputs = [*inputs.values()] if structure == "list" else inputs
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(x), name="located")
    samples = {"photo": PHOTOS, "month": np.array([0, 5, 11]), "place": np.eye(3, 2)}

    export(model, tmp_path / "out", formats=("keras", "saved_model", "tflite"), samples=samples, verify=False)
    assert {row["file"] for row in here(tmp_path / "out")} >= {"saved_model", "model.keras", "model.tflite"}
    about = json.loads((tmp_path / "out" / "card.json").read_text())
    assert about["other_inputs"] == {"month": ["int32", ["N"]], "place": ["float32", ["N", 2]]}
    assert "month=month, place=place" in about["call"]["python"]

    signature = tf.saved_model.load(f"{tmp_path}/out/saved_model/1").signatures["serving_default"]
    month, place = tf.constant([3, 3, 3]), tf.constant(np.eye(3, 2), tf.float32)
    found = signature(image_bytes=tf.constant(PHOTOS), month=month, place=place)["probabilities"]
    expected = kerascnn.predict(model, {"photo": PHOTOS, "month": month, "place": place}).probs
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_features_are_what_the_classifier_sees(tmp_path):
    model = small()
    export(model, tmp_path / "out", formats="saved_model", verify=False)
    pixels = np.random.default_rng(0).uniform(0, 255, (5, 24, 24, 3)).astype(np.float32)
    seen = serve(tmp_path / "out", "features")(pixels)["features"]
    kernel, bias = model.layers[-1].get_weights()
    np.testing.assert_allclose(softmax(seen @ kernel + bias), model(pixels), atol=1e-6)


def test_tensorflow_serving(means, tmp_path):
    """What TensorFlow Serving looks for, and a request as its REST interface sends it."""
    export(means(), tmp_path / "out", class_names=NAMES, verify=False)
    versions = [path.name for path in (tmp_path / "out" / "saved_model").iterdir()]
    assert versions == ["1"]
    stored = saved_model_pb2.SavedModel()
    stored.ParseFromString((tmp_path / "out" / "saved_model" / "1" / "saved_model.pb").read_bytes())
    (graph,) = stored.meta_graphs
    assert [*graph.meta_info_def.tags] == ["serve"]
    assert {"serving_default", "images", "features"} <= {*graph.signature_def}
    asked = graph.signature_def["serving_default"]
    assert asked.method_name == "tensorflow/serving/predict"
    (name,) = asked.inputs  # one input, so that instances need no name; "_bytes" asks for base64
    assert name.endswith("_bytes")
    assert asked.inputs[name].dtype == tf.string.as_datatype_enum
    assert [dim.size for dim in asked.inputs[name].tensor_shape.dim] == [-1]
    assert all(output.tensor_shape.dim[0].size == -1 for output in asked.outputs.values())
    request = json.dumps({"instances": [{"b64": base64.b64encode(photo).decode()} for photo in PHOTOS]})
    instances = [base64.b64decode(each["b64"]) for each in json.loads(request)["instances"]]
    assert [row[0].decode() for row in serve(tmp_path / "out")(instances)["classes"]] == ["red", "grün", "blue"]


def test_the_card(means, tmp_path):
    facts = {"data": "CIFAR-10", "accuracy": {"top1": np.float32(0.5), "interval": np.array([0.25, 0.75])}}
    written = export(means(), tmp_path / "out", class_names=NAMES, metadata=facts, verify=False)
    card = json.loads((tmp_path / "out" / "card.json").read_text("utf-8"))
    assert card["data"] == "CIFAR-10"
    assert card["accuracy"] == {"top1": 0.5, "interval": [0.25, 0.75]}
    assert card["classes"] == json.loads((tmp_path / "out" / "labels.json").read_text("utf-8")) == [*NAMES]
    assert (card["network"], card["parameters"], card["temperature"]) == ("means", 0, 1.0)
    assert (card["photos"]["crop"], card["photos"]["resize"]) == ([16, 16], 18)
    assert card["needs"] == {"model.keras": []}
    for name, digest in card["sha256"].items():
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest
    assert {*written.files} == {*card["sha256"], "card.json"}
    assert written.files["labels.json"] == (tmp_path / "out" / "labels.json").stat().st_size
    assert list(written.table.columns) == ["file", "what", "found", "passed"]


def test_the_python_of_the_card_runs(means, tmp_path, monkeypatch, capsys):
    export(means(), tmp_path / "out", class_names=NAMES, verify=False)
    card = json.loads((tmp_path / "out" / "card.json").read_text("utf-8"))
    monkeypatch.chdir(tmp_path / "out")
    (tmp_path / "out" / "photo.jpg").write_bytes(PHOTOS[2])
    exec(compile(card["call"]["python"], "card.json", "exec"), {})
    assert capsys.readouterr().out.startswith("blue ")


def test_required_packages_are_named():
    assert card.package_requirements(kerascnn.build_model("tiny_fractalnet")) == {"model.keras": ["kerascnn"]}


def test_optimizer_is_not_exported(tmp_path):
    """Adam's two moments would make the file three times as large."""
    model = fitted()
    export(model, tmp_path / "out", formats="keras", verify=False)
    again = keras.saving.load_model(tmp_path / "out" / "model.keras")
    assert getattr(again, "optimizer", None) is None
    assert model.optimizer is not None
    for mine, its in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.nightly
def test_resnet20_export_is_small(here, tmp_path):
    """As it is shipped: the weights twice, in 4 bytes each, and little else."""
    model = kerascnn.build_model("resnet20_cifar10")
    written = export(model, tmp_path / "out", verify=False)
    here(tmp_path / "out")
    assert 2 * 4 * model.count_params() < sum(written.files.values()) < 3.5e6


def test_litert(means, here, tmp_path):
    export(means(), tmp_path / "out", formats=("tflite",), class_names=NAMES, temperature=2, verify=False)
    rows = here(tmp_path / "out")
    assert {row["file"] for row in rows} == {"labels.json", "model.tflite"}
    network = tf.lite.Interpreter(str(tmp_path / "out" / "model.tflite"))
    network.allocate_tensors()
    network.set_tensor(network.get_input_details()[0]["index"], np.full((1, 16, 16, 3), COLORS[0]))
    network.invoke()
    found = network.get_tensor(network.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, softmax(LOGITS[:1] / 2), atol=1e-6)


def test_onnx(here, tmp_path):
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    export(small(), tmp_path / "out", formats=["onnx"], temperature=2, verify=False)
    assert {row["file"] for row in here(tmp_path / "out")} == {"labels.json", "model.onnx"}


def test_missing_extra(means, tmp_path, monkeypatch):
    monkeypatch.setattr(artifact, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"'onnx', which needs tf2onnx: pip install \"kerascnn\[onnx\]\""):
        export(means(), tmp_path / "out", formats=["onnx"])
    assert not [*tmp_path.iterdir()]


WRONG = {
    "format": ({"formats": "keras2"}, "Did you mean keras?"),
    "no format": ({"formats": ()}, "at least one of keras, saved_model, tflite, onnx"),
    "too few names": ({"class_names": ["a", "b"]}, "each of the 3 classes. Received: 2"),
    "one text": ({"class_names": "abc"}, "should be a list of class names. Received: 'abc'"),
    "the same name twice": ({"class_names": ["a", "b", "a"]}, "Received: 'a' twice"),
    "temperature": ({"temperature": 0}, "`temperature` should be positive. Received: 0"),
    "size": ({"size": (8, 8)}, "`size` should be"),
    "preprocess": ({"preprocess": abs}, "should be a Keras layer, so that it can be saved"),
    "facts of other kinds": ({"metadata": {"data": {1, 2}}}, "`metadata` should be JSON serializable"),
    "facts that are no numbers": ({"metadata": {"loss": float("nan")}}, "`metadata` should be JSON serializable"),
    "facts that the card knows": ({"metadata": {"classes": 3}}, "the card already has. Received: classes"),
    "facts without names": ({"metadata": ["data"]}, "`metadata` should be a dictionary"),
    "no photos": ({"samples": []}, "at least one image"),
}


@pytest.mark.parametrize("case", WRONG)
def test_invalid_arguments(means, tmp_path, case):
    options, text = WRONG[case]
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the text is compared below)
        export(means(), tmp_path / "out", **options)
    assert text in str(caught.value)
    assert not [*tmp_path.iterdir()]


def test_models_without_photo_input(means, tmp_path):
    with pytest.raises(ValueError, match="should take images with 1 or 3 channels. Received: means with 5"):
        export(means(channels=5), tmp_path / "out")
    with pytest.raises(ValueError, match="should compute in float32 for tflite and onnx"):
        export(kerascnn.build_model("tiny_vgg", dtype="mixed_float16"), tmp_path / "out", formats="tflite")


@pytest.mark.parametrize("replace", [False, True])
def test_existing_folders_are_not_overwritten(means, tmp_path, replace):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="`path` should (not exist|be a new folder)"):
        export(means(), tmp_path / "out", replace=replace)
    assert [path.name for path in tmp_path.rglob("*.*")] == ["thesis.txt"]
