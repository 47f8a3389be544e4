"""`predict`: preprocessing against torchvision's rule, and models of every kind."""

import dataclasses
import threading
from importlib import import_module
from types import ModuleType

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import kerascnn
from kerascnn.graph.ends import final_activation
from kerascnn.inputs import class_names, classifier, resize
from kerascnn.inputs.decode import ImageError, decode
from kerascnn.zoo import registry


def preprocessing(model, **options):
    return classifier.classifier(model, **options).preprocessing


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twelve smooth photos of different shapes, PNG and JPEG, in the order of their names."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for i in range(12):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
        size = (int(rng.integers(30, 400)), int(rng.integers(30, 400)))
        coarse.resize(size, Image.Resampling.BICUBIC).save(folder / f"{i:02}.{('png', 'jpg')[i % 2]}")
    return folder


def torchvision_preprocessing(image, resize, crop, interpolation):
    """Resize(resize) and CenterCrop(crop) of torchvision 0.2x on Pillow images, from their documented rules."""
    width, height = image.size
    if width <= height:
        new = (resize, int(resize * height / width))
    else:
        new = (int(resize * width / height), resize)
    image = image.resize(new, {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}[interpolation])
    left, top = int(round((new[0] - crop) / 2.0)), int(round((new[1] - crop) / 2.0))
    return np.asarray(image.crop((left, top, left + crop, top + crop)))


SOURCE = registry.WeightsSource(
    "tiny_vgg", "torchvision/v2", "", "", "", "bsd-3-clause", None, None, "torch", 37, 32, "bicubic"
)


def model_with_published_weights(monkeypatch, input_shape=(32, 32, 3), **changes):
    """A network as if published weights had been loaded."""
    source = dataclasses.replace(SOURCE, **changes)
    monkeypatch.setattr(classifier, "weights_sources", lambda: {"tiny_vgg": (source,)})
    model = kerascnn.build_model("tiny_squeezenet", input_shape=input_shape)
    model.name = "tiny_vgg"
    model.get_layer("scale").source = "torchvision/v2"
    return model


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("resize", "crop"), [(37, 32), (36, 31), (32, 32)])
def test_photos_are_preprocessed_as_published(monkeypatch, photos, interpolation, resize, crop):
    model = model_with_published_weights(
        monkeypatch, (crop, crop, 3), resize=resize, crop=crop, interpolation=interpolation
    )
    cut = preprocessing(model)
    for path in photos.iterdir():
        expected = torchvision_preprocessing(Image.open(path).convert("RGB"), resize, crop, interpolation)
        np.testing.assert_array_equal(cut(path), expected)


def test_real_photos_of_the_right_size_are_not_resampled(shared):
    path = min(shared("data", "imagenet_sample").glob("*.jpg"))  # 256x256
    model = keras.Sequential([keras.Input((224, 224, 3)), layers.GlobalAveragePooling2D(), layers.Softmax()])
    np.testing.assert_array_equal(
        preprocessing(model)(path), np.asarray(Image.open(path).convert("RGB"))[16:240, 16:240]
    )


RATIOS = [  # published resize and crop, size of the model -> resize of the model
    (256, 224, (224, 224), 256),
    (232, 224, (224, 224), 232),
    (342, 299, (299, 299), 342),
    (256, 224, (128, 128), 146),
    (256, 224, (448, 224), 256),
    (256, 224, (None, None), 256),
    (235, 224, (100, None), 105),
]


@pytest.mark.parametrize(("resize", "crop", "size", "expected"), RATIOS)
def test_resize_and_crop_keep_their_ratio_at_other_sizes(monkeypatch, resize, crop, size, expected):
    cut = preprocessing(model_with_published_weights(monkeypatch, (*size, 3), resize=resize, crop=crop))
    assert cut.resize == expected
    assert cut.size == (size[0] or crop, size[1] or size[0] or crop)
    assert cut.interpolation == "bicubic"


def test_preprocessing_without_published_weights(monkeypatch):
    model = model_with_published_weights(monkeypatch)
    model.get_layer("scale").source = ""
    assert (preprocessing(model).resize, preprocessing(model).interpolation) == (37, "bilinear")
    bicubic = preprocessing(model, resize=40, interpolation="bicubic")
    assert (preprocessing(model, resize=40).resize, bicubic.interpolation) == (40, "bicubic")


def test_models_with_an_open_input_size(monkeypatch):
    model = model_with_published_weights(monkeypatch, (None, None, 3))
    oblong = preprocessing(model, size=(60, 40))
    assert (oblong.size, oblong.resize) == ((60, 40), round(40 * 37 / 32))
    assert preprocessing(model, size=48).size == (48, 48)
    assert kerascnn.predict(model, np.zeros((90, 90, 3)), size=(60, 40), class_names=False).probs.shape == (1, 10)
    fixed = model_with_published_weights(monkeypatch)
    assert preprocessing(fixed, size=(32, 32)) == preprocessing(fixed)
    for wrong in ((32, 40), (32,), (0, 32)):
        with pytest.raises(ValueError, match="`size` should be"):
            preprocessing(fixed, size=wrong)


def test_inputs_that_are_not_square(monkeypatch):
    """A photo of 100x100 covers 40x80 with 256/224 to spare: resized to 91x91, then cropped."""
    model = keras.Sequential([keras.Input((40, 80, 3)), layers.GlobalAveragePooling2D()])
    photo = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    side = round(80 * 46 / 40)
    whole = np.asarray(Image.fromarray(photo).resize((side, side), Image.BILINEAR))
    np.testing.assert_array_equal(preprocessing(model)(photo), whole[26:66, 6:86])


def test_images_that_already_have_the_input_size(monkeypatch):
    """Arrays are not resized, photos only with published preprocessing, and both if ``resize`` is given."""
    array = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    photo, model = Image.fromarray(array), model_with_published_weights(monkeypatch)
    np.testing.assert_array_equal(preprocessing(model)(array), array)
    assert (preprocessing(model)(photo) != array).any()
    assert (preprocessing(model, resize=40)(array) != array).any()
    model.get_layer("scale").source = ""
    np.testing.assert_array_equal(preprocessing(model)(photo), array)


def mean_colors(channels=3, size=16, name="means"):
    """A classifier without weights, whose scores are the mean of each channel."""
    inputs = keras.Input((size, size, channels))
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(inputs), name=name)


def softmax(x):
    powers = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def uniform_images(*colors, size=16):
    return np.stack([np.full((size, size, len(color)), color, np.uint8) for color in colors])


def test_array_types_give_the_same_probabilities():
    batch = uniform_images((0, 1, 2), (3, 1, 2))
    expected = softmax(np.array([[0, 1, 2], [3, 1, 2.0]]))
    for images in (
        batch,
        batch.astype("float32"),
        batch.astype("int64"),
        list(batch),
        [Image.fromarray(a) for a in batch],
    ):
        np.testing.assert_allclose(kerascnn.predict(mean_colors(), images).probs, expected, rtol=1e-5)
    assert kerascnn.predict(mean_colors(), batch[0]).probs.shape == (1, 3)


def test_arrays_are_never_modified():
    batch = uniform_images((0, 1, 2)).astype("float32")

    def preprocess(x):
        x -= 100
        return x

    kerascnn.predict(mean_colors(), batch, preprocess=preprocess)
    assert batch.max() == 2


def test_gray_and_color():
    one, three = mean_colors(1), mean_colors(3)
    one = keras.Model(one.input, layers.Concatenate()([one.output, 0 * one.output]))  # two scores
    color = uniform_images((200, 100, 50))
    luma = np.asarray(Image.fromarray(color[0]).convert("L"))[0, 0]
    gray = np.full((16, 16), luma, np.uint8)
    top = [kerascnn.predict(one, x, preprocess=lambda x: x / 100).probs for x in (color, gray, Image.fromarray(gray))]
    for found in top:
        np.testing.assert_allclose(found, softmax(np.array([[luma / 100, 0]])), rtol=1e-5)
    assert kerascnn.predict(three, gray).probs == pytest.approx(1 / 3)
    near = kerascnn.predict(one, color.astype("float32"), preprocess=lambda x: x / 100).probs
    np.testing.assert_allclose(near, top[0], atol=2e-3)


def test_inputs_with_other_channels_take_arrays_only(photos):
    five = mean_colors(5)
    assert kerascnn.predict(five, uniform_images((0, 0, 0, 9, 0))).top(1)[0][0].class_number == 3
    with pytest.raises(ValueError, match="arrays with 5 channels for means. Received: image files"):
        kerascnn.predict(five, photos)
    with pytest.raises(ImageError, match="have 3 channels, .* Received: 4 channels"):
        kerascnn.predict(mean_colors(), uniform_images((0, 0, 0, 0)))


def wrapped(*ending):
    """Scores 0, 1, 2 through some layers."""
    model = mean_colors()
    x = model.output
    for layer in ending:
        x = layer(x)
    return keras.Model(model.input, x)


ENDINGS = {
    "linear": lambda: wrapped(),
    "softmax layer": lambda: wrapped(layers.Softmax()),
    "activation": lambda: wrapped(layers.Activation("softmax")),
    "activation, then nothing": lambda: wrapped(
        layers.Activation("softmax"), layers.Activation("linear"), layers.Reshape((3,))
    ),
    "dense": lambda: wrapped(layers.Dense(3, "softmax", kernel_initializer="identity")),
    "dense without": lambda: wrapped(layers.Dense(3, kernel_initializer="identity")),
    "operation": lambda: wrapped(keras.ops.softmax),
    "log": lambda: wrapped(layers.Activation("log_softmax")),
    "unknown layer": lambda: wrapped(layers.Lambda(lambda x: keras.ops.softmax(x))),
    "unknown layer without": lambda: wrapped(layers.Lambda(lambda x: x + 1)),
    "nested": lambda: wrapped(wrapped_dense("softmax")),
    "nested without": lambda: wrapped(wrapped_dense(None)),
    "dictionary": lambda: several(),
    "sequential": lambda: keras.Sequential(
        [keras.Input((16, 16, 3)), layers.GlobalAveragePooling2D(), layers.Softmax()]
    ),
}


def wrapped_dense(activation):
    inputs = keras.Input((3,))
    return keras.Model(inputs, layers.Dense(3, activation, kernel_initializer="identity")(inputs))


def several():
    model = mean_colors()
    scores = model.output
    return keras.Model(model.input, {"aux1": layers.Softmax()(-scores), "probs": layers.Softmax()(scores)})


@pytest.mark.parametrize("ending", ENDINGS)
def test_probabilities_for_any_model_output(ending):
    found = kerascnn.predict(ENDINGS[ending](), uniform_images((0, 1, 2), (2, 1, 0))).probs
    np.testing.assert_allclose(found, softmax(np.array([[0, 1, 2.0], [2, 1, 0]])), rtol=1e-5)


def test_sigmoids_are_probabilities():
    dense = {"kernel_initializer": keras.initializers.Constant(0.5), "activation": "sigmoid"}
    one = kerascnn.predict(wrapped(layers.Dense(1, **dense)), uniform_images((1, 1, 0))).probs
    p = 1 / (1 + np.exp(-1))
    np.testing.assert_allclose(one, [[1 - p, p]], rtol=1e-5)
    many = kerascnn.predict(wrapped(layers.Dense(3, **dense)), uniform_images((1, 1, 0))).probs
    np.testing.assert_allclose(many, [[p, p, p]], rtol=1e-5)


def test_our_networks_end_in_softmax():
    for name in ("tiny_googlenet", "tiny_resnet"):
        assert final_activation(kerascnn.build_model(name)) == "softmax"
    found = kerascnn.predict(kerascnn.build_model("tiny_googlenet", aux=True), np.zeros((32, 32, 3), np.uint8))
    assert found.probs.sum() == pytest.approx(1)


def photo_and_position(structure):
    """A network of a photo and two numbers, whose logits are those numbers and a hundredth of the mean red."""
    photo, position = keras.Input((16, 16, 3), name="photo"), keras.Input((2,), name="position")
    red = layers.GlobalAveragePooling2D()(layers.Rescaling(0.01)(photo))[:, :1]
    inputs = [position, photo] if structure == "list" else {"photo": photo, "position": position}
    return keras.Model(inputs, layers.Concatenate()([position, red]), name="located")


POSITIONS = np.array([[0.5, -1], [2, 1], [-1, 3]], np.float32)


@pytest.mark.parametrize("structure", ["list", "dict"])
def test_several_inputs(structure, photos):
    model = photo_and_position(structure)
    colors = uniform_images((0, 0, 0), (100, 0, 0), (250, 0, 0))
    logits = np.concatenate([POSITIONS, [[0], [1], [2.5]]], axis=1)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    by_name = kerascnn.predict(model, {"photo": colors, "position": POSITIONS}, batch_size=2)
    np.testing.assert_allclose(by_name.probs, expected, rtol=1e-5)
    order = (POSITIONS, colors) if structure == "list" else (colors, POSITIONS)
    np.testing.assert_array_equal(kerascnn.predict(model, order).probs, by_name.probs)

    found = kerascnn.evaluate(model, {"photo": colors, "position": POSITIONS}, [0, 0, 2], verbose=0)
    np.testing.assert_array_equal(found.probs, by_name.probs)
    assert found.correct.tolist() == (expected.argmax(1) == [0, 0, 2]).tolist()
    one_position = kerascnn.predict(model, {"photo": photos, "position": POSITIONS[:1]})  # a row stands for all
    assert one_position.probs.shape == (12, 3)


def test_several_inputs_of_a_dataset():
    """The photos come from a split of a dataset, and an unreadable photo leaves out its row of the other input."""
    model = photo_and_position("list")
    x, y = uniform_images((0, 0, 0), (100, 0, 0), (250, 0, 0), (30, 0, 0)), np.array([0, 1, 2, 0])
    batch = kerascnn.load((x, y), valid=0, test=0).train
    positions = np.concatenate([POSITIONS, POSITIONS[:1]])
    found = kerascnn.evaluate(model, {"photo": batch, "position": positions}, verbose=0)
    expected = kerascnn.evaluate(model, (positions, x), y, verbose=0)
    np.testing.assert_array_equal(found.probs, expected.probs)
    damaged = kerascnn.predict(model, {"photo": [x[0], b"no image", x[2]], "position": POSITIONS})
    np.testing.assert_allclose(damaged.probs, expected.probs[[0, 2]], rtol=1e-6)


@pytest.mark.parametrize(
    ("images", "text"),
    [
        (
            np.zeros((3, 16, 16, 3), np.uint8),
            "a dict of the inputs of located: position, photo. Received: no 'position'",
        ),
        ({"photo": np.zeros((3, 16, 16, 3), np.uint8)}, "Received: no 'position'"),
        ({"position": POSITIONS}, "should have the images as 'photo'"),
        ({"photo": np.zeros((3, 16, 16, 3), np.uint8), "positon": POSITIONS}, "Did you mean position?"),
        ({"photo": np.zeros((2, 16, 16, 3), np.uint8), "position": POSITIONS}, "for each of the 2 images"),
    ],
    ids=["images alone", "an input missing", "no images", "misspelled input", "too many rows"],
)
def test_wrong_inputs_of_several(images, text):
    with pytest.raises(ValueError, match=text):
        kerascnn.predict(photo_and_position("list"), images)


def test_models_that_do_not_classify_images():
    vector = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    model = mean_colors()
    first = keras.Model(model.input, [model.output, 2 * model.output])
    maps = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(3, 1)])
    broken = wrapped(layers.Lambda(lambda x: x / 0))
    for wrong, text in [
        (vector, "one image input"),
        ("resnet50", "Keras model"),
        (keras.Sequential([layers.Dense(2)]), "built"),
        (first, "one output"),
        (maps, "scores of shape .N, classes."),
        (wrapped(layers.Dense(1)), "scores of shape .N, classes."),
        (broken, "finite scores"),
        (keras.Sequential([keras.Input((3, 32, 32)), layers.Flatten()]), "channels_last"),
    ]:
        with pytest.raises(ValueError, match=f"`model` should .*{text}.* Received:|`model` should .*{text}"):
            kerascnn.predict(wrong, uniform_images((0, 1, 2)))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"top": 0}, "`top` should be an integer of at least 1. Received: 0"),
        ({"batch_size": 1.5}, "`batch_size` should be"),
        ({"resize": 8}, "`resize` should be at least the crop size, 16 pixels"),
        ({"interpolation": "bicubicc"}, "Did you mean bicubic"),
        ({"class_names": ["a", "b"]}, "one name for each of the 3 classes. Received: 2"),
        ({"class_names": "abc"}, "Received: 'abc'"),
    ],
    ids=str,
)
def test_invalid_arguments(options, text):
    with pytest.raises(ValueError, match=text):
        kerascnn.predict(mean_colors(), uniform_images((0, 1, 2)), **options)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 12, 100])
def test_order_is_kept_in_batches_of_any_size(photos, batch_size, monkeypatch):
    """Decoding finishes in another order than it started: the first photo is the slowest."""
    later = threading.Event()

    def slow(path):
        if str(path).endswith("00.png"):
            later.wait(0.2)
        elif str(path).endswith("03.jpg"):
            later.set()
        return decode(path)

    monkeypatch.setattr(resize, "decode", slow)
    model = mean_colors()
    found = kerascnn.predict(model, photos, batch_size=batch_size, preprocess=lambda x: x / 50)
    paths = sorted(photos.iterdir())
    assert list(found.names) == list(map(str, paths))
    expected = softmax(np.array([preprocessing(model)(path).mean((0, 1)) / 50 for path in paths]))
    np.testing.assert_allclose(found.probs, expected, rtol=1e-4)


def test_bad_images_among_good_ones(photos, tmp_path):
    good = sorted(photos.iterdir())[:2]
    (tmp_path / "page.jpg").write_text("<html>")
    paths = [good[0], tmp_path / "none.jpg", good[1], tmp_path / "page.jpg"]
    found = kerascnn.predict(mean_colors(), paths, batch_size=2)
    assert list(found.names) == [str(path) for path in good]
    assert list(found.failed) == [str(tmp_path / "none.jpg"), str(tmp_path / "page.jpg")]
    assert found.failed[str(tmp_path / "page.jpg")].startswith("an HTML page")
    assert "page.jpg: not an image, an HTML page" in str(found)
    with pytest.raises(ImageError, match="page.jpg should be a readable image. Received: an HTML page"):
        kerascnn.predict(mean_colors(), tmp_path / "page.jpg")
    with pytest.raises(
        ImageError, match="Received: 2 unreadable images; the first is .*none.jpg: a path that does not exist"
    ):
        kerascnn.predict(mean_colors(), paths[1::2])


def test_an_error_stops_the_decoding_threads(photos):
    def preprocess(batch):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        kerascnn.predict(mean_colors(), photos, batch_size=2, preprocess=preprocess)
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith("ThreadPool") and thread.is_alive()
    ]


def test_predictions_as_guesses_table_and_text():
    found = kerascnn.predict(
        mean_colors(), uniform_images((0, 1, 2), (5, 5, 1)), class_names=["red", "green", "blue"], top=2
    )
    assert [guess.class_name for guess in found.top()[0]] == ["blue", "green"]
    assert [guess.class_number for guess in found.top(3)[1]] == [
        0,
        1,
        2,
    ]  # of equal probabilities, the first class comes first
    table = found.table
    assert list(table.columns) == ["image", "rank", "class", "label", "probability"]
    assert table["class"].tolist() == [2, 1, 0, 1]
    assert table["rank"].tolist() == [1, 2, 1, 2]
    assert table["probability"][0] == pytest.approx(softmax(np.array([0, 1, 2]))[2], rel=1e-5)
    assert str(found).splitlines()[:2] == ["image 0", "   66.52%  blue"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.top_k = 3


def test_default_class_names(monkeypatch):
    names = tuple(f"name {i}" for i in range(1000))
    monkeypatch.setattr(
        class_names, "imagenet_class_names", lambda: {f"n{i:08d}": name for i, name in enumerate(names)}
    )
    assert kerascnn.predict(mean_colors(1000), uniform_images([1] * 1000)).class_names == names
    assert (
        kerascnn.predict(mean_colors(10, name="resnet20_cifar10"), uniform_images([1] * 10)).class_names
        == class_names.CIFAR10
    )
    assert kerascnn.predict(mean_colors(10, name="lenet5"), uniform_images([1] * 10)).class_names is None
    assert kerascnn.predict(mean_colors(1000), uniform_images([1] * 1000), class_names=False).class_names is None


def test_predict_stays_a_function():
    """A module of the same name would take its place in its package once it is imported; and so for all others."""
    for name, module in kerascnn.PUBLIC.items():
        import_module(f"kerascnn.{module}")
        found = getattr(kerascnn, name)
        assert callable(found), name
        assert not isinstance(found, ModuleType), name
    assert {"predict", "evaluate", "fit", "export", "transfer", "report"} <= {*kerascnn.__all__}


@pytest.mark.parametrize("room", kerascnn.PACKAGES)
def test_names_of_a_room_are_not_those_of_its_modules(room):
    package = import_module(f"kerascnn.{room}")
    for name, module in getattr(package, "PUBLIC", {}).items():
        import_module(f".{module}", package.__name__)
        assert not isinstance(getattr(package, name), ModuleType), name


def test_squeezenet_on_real_photos(shared):
    """Weights rounded to 16 bits; torchvision's own modules get 64.8 % of the 500 right at this cut."""
    arrays = kerascnn.weights.read_weights(shared("weights", "squeezenet1_1_torchvision.safetensors"))
    model = kerascnn.build_model("squeezenet1_1")
    known = {layer.name: layer for layer in model.layers if layer.weights}
    start = {3: (2, 1), 4: (2, 2), 6: (3, 1), 7: (3, 2), 9: (4, 1), 10: (4, 2), 11: (4, 3), 12: (4, 4)}
    twins = {"features.0": "stage1_conv1", "classifier.1": [*known][-1]}
    for i, (stage, fire) in start.items():
        for theirs, ours in {"squeeze": "squeeze", "expand1x1": "expand1", "expand3x3": "expand3"}.items():
            twins[f"features.{i}.{theirs}"] = f"stage{stage}_fire{fire}_{ours}"
    for theirs, ours in twins.items():
        kernel, bias = arrays[f"{theirs}.weight"], arrays[f"{theirs}.bias"]
        known[ours].set_weights([kernel.transpose(2, 3, 1, 0), bias])
    paths = sorted(shared("data", "imagenet_sample").glob("*.jpg"))[::10]
    found = kerascnn.predict(model, paths)
    correct = [
        int(path.name[:4]) in {guess.class_number for guess in guesses}
        for path, guesses in zip(paths, found.top(), strict=True)
    ]
    assert np.mean(correct) >= 0.75  # 84.4 % of all
