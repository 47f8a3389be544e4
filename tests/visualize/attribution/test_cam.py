"""Class activation maps against tf-keras-vis called directly where it can be, and against their formulas in numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from kerascnn.visualize import grad_cam, logit, smoothgrad
from kerascnn.visualize.attribution.cam import grad_cam_pp, guided_grad_cam, layer_cam, rounding_error, score_cam

SIZE = (12, 14)
CAMS = [grad_cam_pp, layer_cam, score_cam]
WHOLE = {"penultimate_layer": "last", "seek_penultimate_conv_layer": False, "expand_cam": False, "normalize_cam": False}


def trunk(x, stride=2, **how):
    x = layers.Conv2D(6, 3, activation="relu", name="first", padding="same", **how)(x)
    return layers.Conv2D(8, 3, strides=stride, activation="relu", name="last", padding="same", **how)(x)


def flat(stride=2, classes=4):
    """A plain Functional model that ends with logits: what tf-keras-vis can take."""
    keras.utils.set_random_seed(0)
    image = keras.Input((*SIZE, 3), name="image")
    x = layers.GlobalAveragePooling2D(name="pool")(trunk(image, stride))
    return keras.Model(image, layers.Dense(classes, name="scores")(x))


def copied(model, plain):
    model.set_weights(plain.get_weights())
    return model


def nested(plain):
    image, x = keras.Input((*SIZE, 3)), keras.Input((*SIZE, 3))
    y = keras.Model(x, trunk(x), name="inner")(image)
    y = layers.Dense(4)(layers.GlobalAveragePooling2D()(y))
    return copied(keras.Model(image, layers.Softmax()(y)), plain)


def sequential(plain):
    x = keras.Input((*SIZE, 3))
    conv = keras.Model(x, trunk(x)).layers[1:]
    model = keras.Sequential([keras.Input((*SIZE, 3)), *conv, layers.GlobalAveragePooling2D(), layers.Dense(4)])
    return copied(model, plain)


def softmax_layer(plain):
    return keras.Model(plain.input, layers.Softmax()(plain.output))


@pytest.fixture(scope="module")
def plain():
    return flat()


@pytest.fixture
def pixels(rng):
    return rng.uniform(0, 2, (3, *SIZE, 3)).astype(np.float32)


def activations(model, pixels, classes):
    """(A, dS/dA, S) of the layer "last" by a tape."""
    cut = keras.Model(model.input, [model.get_layer("last").output, model.output])
    with tf.GradientTape() as tape:
        maps, scores = cut(tf.constant(pixels))
        tape.watch(maps)
        head = keras.Model(model.get_layer("last").output, model.output)
        score = tf.gather(head(maps), classes, batch_dims=1)
    return maps.numpy(), tape.gradient(score, maps).numpy(), score.numpy()


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def directly(name, model, pixels, classes):
    """What tf-keras-vis says of a model that it can take."""
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
    from tf_keras_vis.layercam import Layercam
    from tf_keras_vis.scorecam import Scorecam
    from tf_keras_vis.utils.scores import CategoricalScore

    method = {"grad_cam_pp": GradcamPlusPlus, "layer_cam": Layercam, "score_cam": Scorecam}[name]
    return np.asarray(method(model)(CategoricalScore(classes), tf.constant(pixels), **WHOLE))


@pytest.mark.parametrize("cam", CAMS)
def test_agrees_with_tf_keras_vis(cam, pixels, capsys):
    model = flat(stride=1)  # maps of the image's size: tf-keras-vis resizes masks by corners, not by middles
    found = cam(model, pixels, [0, 3, 2], layer="last")
    expected = directly(cam.__name__, model, pixels, [0, 3, 2])
    if cam is grad_cam_pp:
        expected = expected / np.exp(found.scores)[:, None, None]
    assert expected.max() > 0
    close(found.metadata["coarse"][..., 0], expected)


def test_score_cam_with_the_channels_of_largest_variance(pixels, capsys):
    from tf_keras_vis.scorecam import Scorecam
    from tf_keras_vis.utils.scores import CategoricalScore

    model = flat(stride=1)
    found = score_cam(model, pixels[:1], 3, channels=3)
    expected = Scorecam(model)(CategoricalScore(3), tf.constant(pixels[:1]), max_N=3, **WHOLE)
    close(found.metadata["coarse"][..., 0], expected)


@pytest.mark.parametrize("spelled", [nested, sequential, softmax_layer])
@pytest.mark.parametrize("cam", [layer_cam, score_cam])  # Grad-CAM++ goes the way of LayerCAM
def test_models_built_in_different_ways_agree(cam, spelled, plain, pixels):
    model = spelled(plain)
    before = [np.array(w) for w in model.get_weights()]
    found = cam(model, pixels, [1, 2, 0], layer="inner/last" if spelled is nested else "last")
    expected = cam(plain, pixels, [1, 2, 0], layer="last")
    close(found.values, expected.values)
    close(found.scores, expected.scores)
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("cam", [grad_cam_pp, score_cam])
def test_mixed_precision(cam, plain, pixels):
    image = keras.Input((*SIZE, 3), dtype="float32")
    x = layers.GlobalAveragePooling2D()(trunk(image, dtype="mixed_float16"))
    scores = layers.Dense(4, dtype="mixed_float16")(x)
    model = copied(keras.Model(image, layers.Softmax(dtype="float32")(scores)), plain)
    found, expected = cam(model, pixels, 1, layer="last"), cam(plain, pixels, 1, layer="last")
    assert found.values.dtype == np.float32
    np.testing.assert_allclose(found.values, expected.values, atol=0.02 * expected.values.max())


def test_a_global_policy_of_half_precision_changes_nothing(plain, pixels):
    expected = [cam(plain, pixels, 1).values for cam in CAMS]
    keras.config.set_dtype_policy("mixed_float16")
    try:
        found = [cam(plain, pixels, 1).values for cam in CAMS]
    finally:
        keras.config.set_dtype_policy("float32")
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_grad_cam_pp_by_hand(plain, pixels):
    classes = [0, 2, 3]
    maps, g, _ = activations(plain, pixels, classes)
    bottom = 2 * g**2 + maps.sum((1, 2), keepdims=True) * g**3
    alpha = g**2 / np.where(g == 0, 1, bottom)
    total = alpha.sum((1, 2), keepdims=True)
    alpha = alpha / np.where(total == 0, 1, total)
    weights = (alpha * np.maximum(g, 0)).sum((1, 2), keepdims=True)
    expected = np.maximum((weights * maps).sum(-1), 0)
    assert expected.max() > 0
    close(grad_cam_pp(plain, pixels, classes).metadata["coarse"][..., 0], expected)


def test_layer_cam_by_hand(pixels):
    keras.utils.set_random_seed(1)
    image = keras.Input((*SIZE, 3))
    x = layers.Flatten()(trunk(image))  # slopes that differ from place to place
    model = keras.Model(image, layers.Dense(4)(x))
    maps, g, scores = activations(model, pixels, [3, 1, 1])
    found = layer_cam(model, pixels, [3, 1, 1])
    close(found.metadata["coarse"][..., 0], np.maximum((np.maximum(g, 0) * maps).sum(-1), 0))
    close(found.scores, scores)


def test_score_cam_by_hand(plain, pixels):
    """Masks made one by one, each masked image shown to the network by itself."""
    maps, _, _ = activations(plain, pixels, [2, 2, 2])
    wide = tf.image.resize(maps, SIZE).numpy()
    low, high = wide.min((1, 2), keepdims=True), wide.max((1, 2), keepdims=True)
    masks = (wide - low) / (high - low + 1e-7)
    shown = [plain(pixels * masks[..., k, None]) for k in range(maps.shape[-1])]
    weights = np.stack([tf.nn.softmax(scores).numpy()[:, 2] for scores in shown], -1)
    expected = np.einsum("nhwc,nc->nhw", maps, weights)
    for batch in (None, 1, 3):
        close(score_cam(plain, pixels, 2, batch_size=batch).metadata["coarse"][..., 0], expected)
    close(score_cam(plain, pixels, 2).scores, plain(pixels)[:, 2])  # the score itself is asked as ever


@pytest.mark.parametrize("cam", CAMS)
def test_batches_agree_with_single_images(cam, plain, rng):
    pixels, heard = rng.uniform(0, 2, (19, *SIZE, 3)).astype(np.float32), []
    classes = rng.integers(0, 4, 19)
    found = cam(plain, pixels, classes, on_progress=lambda *done: heard.append(done))
    assert found.values.shape == (19, *SIZE, 1)
    assert heard == [(16, 19, "images"), (19, 19, "images")]
    for i in (0, 17):
        close(found.values[i], cam(plain, pixels[i], classes[i]).values[0])


@pytest.mark.parametrize("cam", [grad_cam_pp, layer_cam])
def test_class_without_positive_weights_has_an_empty_map(cam, pixels):
    model = flat()
    kernel, bias = model.get_layer("scores").get_weights()
    model.get_layer("scores").set_weights([kernel * [1, 0, 1, 1], bias])
    found = cam(model, pixels, [1, 1, 0])
    assert not found.values[:2].any()
    assert np.isfinite(found.values).all()


def test_dark_images_have_no_nan(plain):
    for cam in CAMS:
        assert np.isfinite(cam(plain, np.zeros((1, *SIZE, 3), np.float32), 0).values).all()


def test_a_score_of_200_does_not_overflow(plain, pixels):
    model = flat()
    kernel, bias = model.get_layer("scores").get_weights()
    model.get_layer("scores").set_weights([kernel, bias + 200])
    found = grad_cam_pp(model, pixels, 1)
    assert (found.scores > 190).all()
    close(found.values, grad_cam_pp(plain, pixels, 1).values)  # the slopes are the same
    assert not np.isfinite(directly("grad_cam_pp", model, pixels, [1, 1, 1])).all()  # else our way round could go


def test_cam_of_a_pooled_net_is_grad_cam(plain, pixels):
    """CAM, sum_k w_k A_k (Zhou et al. 2016), where means of maps are what the last layer reads."""
    maps, _, _ = activations(plain, pixels, [3, 3, 3])
    weights = plain.get_layer("scores").get_weights()[0][:, 3]
    cam = np.maximum(maps @ weights, 0)
    found = grad_cam(plain, pixels, 3, layer="last")
    assert np.corrcoef(found.metadata["coarse"].ravel(), cam.ravel())[0, 1] > 0.9999
    close(found.metadata["coarse"][..., 0], cam / (maps.shape[1] * maps.shape[2]))


def test_guided_grad_cam_is_a_product(plain, pixels):
    from kerascnn.visualize import guided_backprop

    found = guided_grad_cam(plain, pixels)
    cam, fine = grad_cam(plain, pixels), guided_backprop(plain, pixels)
    assert found.classes == cam.classes
    close(found.values, fine.values * cam.values)
    by_score = guided_grad_cam(plain, pixels, score=logit(np.array(cam.classes)))
    close(by_score.values, found.values)


def test_smoothgrad_and_other_scores(plain, pixels):
    close(smoothgrad(plain, pixels, 1, method=layer_cam, samples=2, noise=0).values, layer_cam(plain, pixels, 1).values)
    for cam in (grad_cam_pp, layer_cam):
        close(cam(plain, pixels, score=logit([1, 2, 1])).values, cam(plain, pixels, [1, 2, 1]).values)
    sums = lambda scores: ops.sum(scores, -1)  # noqa: E731
    assert score_cam(plain, pixels, score=sums).classes is None


def test_memory_of_score_cam_does_not_grow_with_channels(plain, pixels, monkeypatch):
    """No chunk has more masked images than `batch`, whatever the layer."""
    from kerascnn.visualize.attribution import cam as cams
    from kerascnn.visualize.engine import query

    sizes, draw = [], query.Query

    def question(*args, **kwargs):
        made = draw(*args, **kwargs)
        if made.draw:
            inner = made.draw
            object.__setattr__(made, "draw", lambda i, w: sizes.append(len(i) * len(w)) or inner(i, w))
        return made

    monkeypatch.setattr(cams, "Query", question)
    score_cam(plain, pixels, 0, batch_size=4)
    assert sizes
    assert max(sizes) <= 4


def test_invalid_arguments(plain, pixels):
    for cam in CAMS:
        with pytest.raises(ValueError, match="`layer` should have feature maps"):
            cam(plain, pixels, 0, layer="pool")
        with pytest.raises(ValueError, match="Did you mean last"):
            cam(plain, pixels, 0, layer="lost")
    with pytest.raises(ValueError, match="`channels` should be from 1 to 8"):
        score_cam(plain, pixels, 0, channels=9)


def plus_plus_of(maps, g):
    """Grad-CAM++ before its last ReLU, from maps and slopes, (n, h, w), in float64."""
    alpha = np.where(g == 0, 0, 1 / (2 + maps.sum((1, 2), keepdims=True) * g))
    weights = (alpha * np.maximum(g, 0)).sum((1, 2)) / alpha.sum((1, 2))
    return np.einsum("nhwc,nc->nhw", maps, weights)


def test_rounding_error_of_grad_cam_pp(rng):
    """At least as much as slopes that are a little off do, where that is little, and not a thousand times as much."""
    maps, g = rng.uniform(0, 1, (400, 3, 4, 2)), rng.normal(0, 1, (400, 3, 4, 2))
    g[:200] *= 0.1  # few denominators cancel
    limit, exact = rounding_error(maps, g), plus_plus_of(maps, g)
    most = np.zeros(len(maps))
    for _ in range(20):
        shaken = plus_plus_of(maps, g * (1 + 1e-6 * rng.choice([-1, 1], g.shape)))
        most = np.maximum(most, np.abs(shaken - exact).max((1, 2)) / np.abs(exact).max((1, 2)))
    small = limit < 0.01
    assert small.mean() > 0.9
    assert (most[small] <= 1.01 * limit[small]).all()
    assert np.median(limit / most) < 30


def slopes_of(*g):
    """A network whose map is the image, 2x2x1, with the slopes of class 0 that are given, and a class of none."""
    image = keras.Input((2, 2, 1))
    x = layers.Flatten()(layers.Identity(name="last")(image))
    model = keras.Model(image, layers.Dense(2, use_bias=False, name="scores")(x))
    model.get_layer("scores").set_weights([np.stack([g, np.zeros(4)], -1).astype(np.float32)])
    return model


@pytest.mark.parametrize(
    ("last", "part"), [(-0.5000001, "all"), (-0.5, "all"), (-0.49995, "2%")], ids=["almost", "exactly", "nearly"]
)
def test_grad_cam_pp_warns_of_canceling_denominators(last, part):
    """2 + sum(A) g = 2 + 4 g is nothing at the last place."""
    model, image = slopes_of(0.5, 0.25, 0.5, last), np.ones((1, 2, 2, 1), np.float32)
    with pytest.warns(UserWarning, match=f"grad_cam_pp is numerically unstable.*{part} of the map's largest"):
        found = grad_cam_pp(model, image, 0, layer="last")
    assert found.metadata["rounding"][0] > 0.01
    assert np.isfinite(layer_cam(model, image, 0, layer="last").values).all()


@pytest.mark.parametrize(
    "g", [(0.5, 0.25, 0.5, 0.1), (0.5, 0.25, 0.5, -0.3), (0, 0, 0, 0), (-0.45, -0.1, 0, -0.2)], ids=str
)
def test_grad_cam_pp_does_not_warn_of_negligible_denominators(g, recwarn):
    found = grad_cam_pp(slopes_of(*g), np.ones((1, 2, 2, 1), np.float32), 0, layer="last")
    assert np.isfinite(found.values).all()
    assert found.metadata["rounding"][0] < 1e-3
    assert not [each for each in recwarn if "grad_cam_pp" in str(each.message)]
