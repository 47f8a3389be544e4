"""Windowed occlusion against whole passes over occluded images, made by hand in numpy."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from networks import CUSTOM, outline, rows, vary

from kerascnn import build_model, visualize
from kerascnn.graph.walk import build_graph
from kerascnn.visualize.attribution import windows as locality
from kerascnn.visualize.engine.lens import logits_and_probs
from kerascnn.visualize.engine.scores import LOGITS
from kerascnn.zoo.layers import InfinityPadding2D, PadChannels

CORNERS = [(-4, -3), (0, 0), (29, 30), (13, 9), (-7, 40), (31, -5), (8, 16)]  # overhanging, outside, in the middle
FILL = (127.0, 10.0, 250.0)


def occlude(image, corners, patch, fill):
    """(N, H, W, C): copies of an image, each with its patch."""
    images = np.repeat(image[None], len(corners), 0)
    for copy, (top, left) in zip(images, corners, strict=True):
        copy[max(top, 0) : max(top + patch[0], 0), max(left, 0) : max(left + patch[1], 0)] = fill
    return images


def close(found, wanted):
    """Within 1e-5 of the largest number."""
    assert np.isfinite(wanted).all(), "an oracle that says nothing"
    assert np.std(wanted) > 0, "an oracle that says nothing"
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def compare(model, names, patch, corners, image, chunk=4):
    """Every named map by windows and by whole passes."""
    planned = locality.plan_windows(model, patch, corners, least=0)
    found = locality.compile_occlusion(planned, names)(image, corners, FILL, chunk=chunk)
    graph = build_graph(model)
    whole = keras.Model(model.input, {name: graph.find(name).operation.output for name in names})
    wanted = whole(occlude(image, corners, patch, FILL), training=False)
    for name in names:
        close(found[name], ops.convert_to_numpy(wanted[name]))
    return planned


@pytest.mark.parametrize("name", rows({"tiny_vgg", "tiny_inception"}, ["tiny_vgg", "tiny_inception", *CUSTOM]))
def test_scores_and_maps_equal_full_forward_passes(name, rng):
    model = build_model(name)
    vary(model, rng)
    planned = compare(model, ["logits", "stage1"], (7, 6), CORNERS, rng.uniform(0, 255, (32, 32, 3)))
    assert len(planned.local) > 5


def drawn(rng, depth=7):
    """A random stack of every kind of call that has a window, and of joins."""
    pick = lambda *values: values[rng.integers(len(values))]  # noqa: E731
    side = lambda most: tuple(int(k) for k in rng.integers(1, most + 1, 2))  # noqa: E731

    def margin(x):
        return pick("same", "valid") if min(x.shape[1:3]) > 11 else "same"

    def slid(x):
        dilation = side(3)
        stride = 1 if max(dilation) > 1 else pick(1, 1, 2, 3)
        options = {"strides": stride, "padding": margin(x), "dilation_rate": dilation}
        kind = pick(layers.Conv2D, layers.Conv2D, layers.SeparableConv2D, layers.DepthwiseConv2D)
        filters = {} if kind is layers.DepthwiseConv2D else {"filters": 4}
        return kind(kernel_size=side(4), activation=pick("tanh", None), **filters, **options)(x)

    def pooled(x):
        kind = pick(layers.MaxPooling2D, layers.AveragePooling2D)
        return kind(side(3), pick(1, 2, (2, 1)), padding=margin(x))(x)

    def padded(x):
        return pick(layers.ZeroPadding2D, InfinityPadding2D)(((1, 2), (0, 3)))(x)

    def normed(x):
        return layers.Dropout(0.5)(layers.ReLU(negative_slope=0.1)(layers.BatchNormalization()(x)))

    def residual(x):
        return x + layers.Conv2D(x.shape[-1], side(3), padding="same")(x) * 0.5

    def forked(x):
        ways = [layers.Conv2D(2, size, padding="same")(x) for size in ((1, 1), (5, 3))]
        return layers.Concatenate()([*ways, layers.AveragePooling2D(3, 1, padding="same")(x)])

    def widened(x):
        return PadChannels(x.shape[-1] + 1)(x)

    x = image = keras.Input((41, 34, 3))
    x = layers.Conv2D(4, 3)(layers.Rescaling(1 / 127.5, -1)(x))
    for _ in range(depth):
        x = pick(slid, slid, pooled, padded, normed, residual, forked, widened)(x)
        if isinstance(x._keras_history.operation, InfinityPadding2D):  # infinity is for a maximum only
            x = layers.MaxPooling2D((3, 4), 2)(x)
    return keras.Model(image, x)


SEEDS = (0, 1, 2, 3, 4, 5, 11)  # between them every kind of call with every margin, stride and dilation


@pytest.mark.parametrize("seed", [pytest.param(s, marks=() if s < 2 else (pytest.mark.nightly,)) for s in SEEDS])
def test_random_stacks(seed, monkeypatch):
    monkeypatch.setattr(locality, "MOST", 1.0)  # windows to the very end
    rng = np.random.default_rng(seed)
    model = drawn(rng)
    vary(model, rng)
    patch = tuple(int(side) for side in rng.integers(1, 12, 2))
    corners = np.stack([rng.integers(-12, 44, 9), rng.integers(-12, 36, 9)], -1)
    planned = compare(model, [model.layers[-1].name], patch, corners, rng.uniform(0, 255, (41, 34, 3)))
    assert len(planned.local) == len(planned.graph.nodes), "each of these calls is local"


def network(*calls):
    """Calls after a convolution, in a row."""
    x = image = keras.Input((24, 24, 3))
    for call in (layers.Conv2D(4, 3, padding="same"), *calls):
        x = call(x)
    return keras.Model(image, x)


def gated(x):
    gates = layers.Dense(4, "sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return layers.Multiply()([x, gates])


FIXED = np.random.default_rng(1).normal(size=(24, 24, 4)).astype("float32")
WHOLE = {  # what must not run on windows
    "its weights have places": lambda x: layers.PReLU("random_normal")(x),
    "its shape is written down": lambda x: layers.Reshape((24, 24, 4))(x),
    "gates of the whole map": gated,
    "transposed": lambda x: layers.Conv2DTranspose(3, 3, 2)(x),
    "a fixed map is added": lambda x: ops.add(x, FIXED),
}


@pytest.mark.parametrize("last", WHOLE.values(), ids=WHOLE)
def test_position_dependent_layers_run_on_whole_maps(last, rng):
    model = network(last)
    end = build_graph(model).nodes[-1].name
    planned = compare(model, [end], (5, 5), [(3, 4), (20, -2)], rng.uniform(0, 1, (24, 24, 3)))
    assert planned.stops == (planned.graph.nodes[1].name,)


def test_windows_of_vgg16_by_hand():
    """3x3 convolutions add a pixel on each side, pools halve: 32 + 2 + 2 = 36, 18 + 4 = 22, 11 or 12 .."""
    corners = [(row, 8 * column) for row in range(0, 193, 8) for column in range(25)]
    planned = locality.plan_windows(outline("vgg16"), (32, 32), corners)
    sides = {
        name: locality.span_sizes(planned.local[planned.graph.find(name)].window) for name in ("stage1_conv2", "stage2")
    }
    assert sides == {"stage1_conv2": [36, 36], "stage2": [12, 12]}
    assert planned.stops == ("stage5_conv1_relu",)
    assert planned.gain > 4


@pytest.mark.parametrize(
    ("model", "patch"),
    [
        pytest.param(lambda: outline("vgg16"), (200, 200), id="patch as large as the image"),
        pytest.param(
            lambda: keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2)]), (2, 2), id="dense"
        ),
        pytest.param(lambda: keras.Sequential([keras.Input((8,)), layers.Dense(2)]), (2, 2), id="no image"),
    ],
)
def test_no_plan_without_a_gain(model, patch):
    assert locality.plan_windows(model(), patch, [(0, 0), (4, 4)]) is None


@pytest.mark.parametrize("empty", [0.0, -np.inf], ids=str)
def test_read_lays_windows_over_the_clean_map_bit_by_bit(empty, rng):
    clean, dirty = (rng.normal(size=size).astype("float32") for size in ((9, 7, 2), (5, 4, 3, 2)))
    at, start = rng.integers(-3, 8, (5, 2)).astype("int32"), rng.integers(-4, 6, (5, 2)).astype("int32")
    wide = np.full((5, 40, 40, 2), empty, "float32")
    wide[:, 10:19, 10:17] = clean
    for each, values, (top, left) in zip(wide, dirty, at + 10, strict=True):
        each[top : top + 4, left : left + 3] = values
    wanted = [each[top : top + 6, left : left + 8] for each, (top, left) in zip(wide, start + 10, strict=True)]
    np.testing.assert_array_equal(locality.gather_regions(clean, dirty, at, start, (6, 8), empty), wanted)


def test_outside_the_windows_maps_equal_the_clean_image(rng):
    model = build_model("tiny_vgg")
    corners = [(0, 0), (24, 26), (13, 5), (40, 40)]  # the last one misses the image
    planned = locality.plan_windows(model, (5, 5), corners, least=0)
    maps = locality.compile_occlusion(planned, ["stage1"])(rng.uniform(0, 255, (32, 32, 3)), corners, FILL)["stage1"]
    outside = np.ones((3, 16, 16), bool)
    for mask, (top, left) in zip(outside, corners, strict=False):
        mask[max(top - 4, 0) // 2 : (top + 10) // 2, max(left - 4, 0) // 2 : (left + 10) // 2] = False
    touched = np.zeros((16, 16), bool)
    touched[11:, 11:] = True  # the window of the one that misses runs again, somewhere at the edge
    for one, mask in zip(maps, outside, strict=False):
        np.testing.assert_array_equal(one[mask & ~touched], maps[3][mask & ~touched])


def test_any_chunk_gives_the_same_rows_and_answers_are_computed_in_the_graph(rng):
    model, image = build_model("tiny_nin"), rng.uniform(0, 255, (32, 32, 3))
    corners = [(row, column) for row in range(0, 32, 8) for column in range(-4, 32, 8)]
    planned = locality.plan_windows(model, (6, 6), corners, least=0)
    run = locality.compile_occlusion(planned, ["logits", "stage1"], lambda maps: ops.max(maps["logits"], -1))
    whole = model.get_layer("logits").output
    wanted = ops.max(keras.Model(model.input, whole)(occlude(image, corners, (6, 6), FILL)), -1)
    for chunk in (1, 3, 100):
        close(run(image, corners, FILL, chunk=chunk), wanted)


def test_scores_before_a_softmax_within_a_layer(rng):
    model = network(layers.GlobalMaxPooling2D(), layers.Dense(3, "softmax", name="probs"))
    corners, image = [(2, 2), (9, 15)], rng.uniform(0, 1, (24, 24, 3)).astype("float32")
    planned = locality.plan_windows(model, (6, 6), corners, least=0)
    scores = locality.compile_occlusion(planned, ["probs"], lambda values: logits_and_probs(values["probs"]))(
        image, corners, (1, 1, 1)
    )
    close(ops.softmax(scores[LOGITS]), ops.convert_to_numpy(model(occlude(image, corners, (6, 6), 1))))
    assert not np.allclose(scores[LOGITS].sum(-1), 1)


def test_sizes_may_be_open_and_colors_any(rng):
    model = build_model("tiny_nin", input_shape=(None, None, 3))
    image, corners = rng.uniform(0, 255, (24, 40, 3)), [(1, 3), (20, 36)]
    planned = locality.plan_windows(model, (3, 9), corners, (24, 40, 3), least=0)
    found = locality.compile_occlusion(planned, ["logits"])(image, corners, (0, 99, 255))["logits"]
    whole = keras.Model(model.input, model.get_layer("logits").output)
    close(found, ops.convert_to_numpy(whole(occlude(image, corners, (3, 9), (0, 99, 255)))))
    with pytest.raises(ValueError, match="`shape` should be given if the input size is open"):
        locality.plan_windows(model, (3, 9), corners)


def test_model_is_unchanged(rng):
    model, image = build_model("tiny_vgg"), rng.uniform(0, 255, (32, 32, 3)).astype("float32")
    before = model.get_config(), [weight.numpy() for weight in model.weights], model(image[None])
    planned = locality.plan_windows(model, (4, 4), [(3, 3)], least=0)
    locality.compile_occlusion(planned, ["logits"])(image, [(3, 3)], FILL)
    with pytest.raises(ZeroDivisionError):
        locality.compile_occlusion(planned, ["logits"], lambda maps: 1 / 0)(image, [(3, 3)], FILL)
    assert model.get_config() == before[0]
    assert all((old == new.numpy()).all() for old, new in zip(before[1], model.weights, strict=True))
    np.testing.assert_array_equal(model(image[None]), before[2])


def test_arguments_are_checked():
    model = build_model("tiny_vgg")
    with pytest.raises(ValueError, match="`patch` should be"):
        locality.plan_windows(model, (0, 3), [(0, 0)])
    planned = locality.plan_windows(model, (4, 4), [(0, 0), (8, 8)], least=0)
    run = locality.compile_occlusion(planned, ["logits"])
    with pytest.raises(ValueError, match=r"`corners` should be .* Received: \[3, 8\]"):
        run(np.zeros((32, 32, 3)), [(0, 8), (3, 8)], FILL)
    with pytest.raises(ValueError, match="`layer` should be a layer of"):
        locality.compile_occlusion(planned, ["logit"])


@pytest.mark.parametrize("name", ["tiny_vgg", "tiny_nin"])
def test_occlusion_has_the_same_numbers_with_and_without(name, rng):
    model = build_model(name)
    vary(model, rng)
    pixels = rng.uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    least, maps = 1e-3, ("score_maps", "probability", "strongest", "values")
    found = visualize.occlusion(model, pixels, [1, 4], patch=4, stride=3)
    kinds = [key[0] for key in visualize.lens(model).programs]
    assert "windows" in kinds
    assert "occlusion" not in kinds
    whole = visualize.occlusion(model, pixels, [1, 4], patch=4, stride=3, windows=False)
    for each in maps:
        assert np.ptp(getattr(whole, each)) > least
        np.testing.assert_allclose(getattr(found, each), getattr(whole, each), rtol=1e-5, atol=1e-5)
