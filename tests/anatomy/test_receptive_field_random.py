"""Receptive fields of random stacks of layers against gradients and against changed pixels."""

import keras
import numpy as np
import pytest
from gradients import gradient_support, positive
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers

from kerascnn.anatomy import receptive_field, receptive_field_mask

SETTINGS = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def bounds(mask):
    """(top, left, bottom, right) of what is True."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
KINDS = ("conv", "depthwise", "separable", "max", "average", "pad", "crop", "up", "resize", "transposed")
KINDS += ("norm", "add", "concat", "se")
steps = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(KINDS),
        "kernel": pairs,
        "stride": pairs,
        "dilation": pairs,
        "padding": st.sampled_from(["same", "valid"]),
        "amount": st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2),
        "way": st.sampled_from(["nearest", "bilinear"]),
    }
)


def apply(x, step, average):
    """One random layer, or x itself where it would not fit."""
    kernel, stride, padding = step["kernel"], step["stride"], step["padding"]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, step["dilation"], strict=True)]
    kind = step["kind"]
    if padding == "valid" and any(span > size for span, size in zip(spans, x.shape[1:3], strict=True)):
        padding = "same"
    if kind == "conv":
        dilated = stride == (1, 1)
        return layers.Conv2D(2, kernel, stride, padding, dilation_rate=step["dilation"] if dilated else 1, groups=1)(x)
    if kind in ("depthwise", "separable"):
        even = stride[0] if stride[0] == stride[1] else 1
        if kind == "depthwise":
            return layers.DepthwiseConv2D(kernel, even, padding)(x)
        return layers.SeparableConv2D(2, kernel, even, padding)(x)
    if kind in ("max", "average"):
        pool = layers.AveragePooling2D if average or kind == "average" else layers.MaxPooling2D
        return pool(kernel, stride, padding)(x)
    if kind == "pad":
        return layers.ZeroPadding2D(step["amount"])(x)
    if kind == "crop" and min(x.shape[1:3]) > 5:
        return layers.Cropping2D(step["amount"])(x)
    if kind == "up" and max(x.shape[1:3]) < 20:
        return layers.UpSampling2D(kernel, interpolation=step["way"])(x)
    if kind == "resize":
        # powers of 2, to which positions are exact in TensorFlow's float32; others are tried below
        return layers.Resizing(8, 2 ** (1 + kernel[0]), interpolation=step["way"])(x)
    if kind == "transposed" and max(x.shape[1:3]) < 20:
        return layers.Conv2DTranspose(2, kernel, stride, padding)(x)
    if kind == "norm":
        return layers.LayerNormalization()(x) if not average else layers.Rescaling(2.0)(x)
    if kind in ("add", "concat"):
        join = layers.Add() if kind == "add" else layers.Concatenate()
        first = layers.Conv2D(2, (kernel[0] * 2 + 1, 1), padding="same")(x)
        return join([first, layers.Conv2D(2, (1, kernel[1] * 2 + 1), padding="same", dilation_rate=2)(x)])
    if kind == "se" and x.shape[-1]:
        gate = layers.Dense(x.shape[-1])(layers.GlobalAveragePooling2D(keepdims=True)(x))
        return layers.Multiply()([x, gate])
    return x


def random_model(stack, average):
    image = keras.Input((17, 14, 2))
    x = image
    for step in stack:
        x = apply(x, step, average)
    return keras.Model(image, layers.Activation("linear", name="end")(x))


@SETTINGS
@given(st.lists(steps, min_size=1, max_size=4), st.integers(0, 10**6))
def test_support_is_the_support_of_the_gradient(stack, pick):
    model = positive(random_model(stack, average=True))
    unit = np.unravel_index(pick % np.prod(model.output_shape[1:3]), model.output_shape[1:3])
    np.testing.assert_array_equal(receptive_field_mask(model, "end", unit), gradient_support(model, unit))


@SETTINGS
@given(st.lists(steps, min_size=1, max_size=4), st.integers(0, 10**6))
def test_pixels_outside_the_support_change_nothing(stack, pick):
    model = random_model(stack, average=False)
    unit = np.unravel_index(pick % np.prod(model.output_shape[1:3]), model.output_shape[1:3])
    mask = receptive_field_mask(model, "end", unit)
    rng = np.random.default_rng(pick)
    image = rng.normal(size=(1, *model.input_shape[1:])).astype("float32")
    other = np.where(mask[None, :, :, None], image, rng.normal(size=image.shape).astype("float32"))
    before, after = (np.asarray(model(x))[0][unit] for x in (image, other))
    np.testing.assert_array_equal(before, after)


@SETTINGS
@given(st.lists(steps, min_size=1, max_size=4), st.integers(0, 10**6))
def test_boxes_bound_the_support(stack, pick):
    """Clipped at the border, exactly the bounding box for a unit whose box lies inside the image."""
    model = random_model(stack, average=True)
    units = np.unravel_index(pick % np.prod(model.output_shape[1:3]), model.output_shape[1:3])
    area = receptive_field(model, "end")
    if not area.is_known:
        assert "strides" in area.reason
        return
    mask = receptive_field_mask(model, "end", units)
    if not mask.any():
        return
    top, left, bottom, right = area.box(units)
    seen = bounds(mask)
    clipped = area.clip(units)
    assert clipped[0] <= seen[0]
    assert clipped[1] <= seen[1]
    assert clipped[2] >= seen[2]
    assert clipped[3] >= seen[3]
    plain = all(step["kind"] in ("conv", "depthwise", "separable", "max", "average", "norm", "add") for step in stack)
    alike = len({"same" if step["kind"] == "add" else step["padding"] for step in stack}) == 1
    if plain and alike and top >= 0 and left >= 0 and bottom <= 17 and right <= 14:
        assert (top, left, bottom, right) == seen
        assert area.size == (bottom - top, right - left)


@pytest.mark.parametrize("way", ["nearest", "bilinear"])
@pytest.mark.parametrize("side", [3, 10, 17, 31])
def test_resized_units_see_pixels_with_nonzero_weight(side, way):
    """From 31 rows to 7 TensorFlow gives 1e-6 to a pixel whose weight is 0: it rounds positions to float32."""
    image = keras.Input((side, 1, side))  # a channel for each row
    model = keras.Model(image, layers.Resizing(7, 1, interpolation=way, name="end")(image))
    weights = np.asarray(model(np.eye(side, dtype="float32")[None, :, None]))[0, :, 0]
    for row in range(7):
        np.testing.assert_array_equal(receptive_field_mask(model, "end", (row, 0))[:, 0], weights[row] > 1e-5)
