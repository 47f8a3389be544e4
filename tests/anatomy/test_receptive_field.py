"""Receptive fields against hand results and against gradients of networks whose weights are all positive."""

import keras
import numpy as np
import pytest
from gradients import gradient_support, positive
from keras import layers

from kerascnn.anatomy import dissect, receptive_field, receptive_field_mask
from kerascnn.zoo.layers import weightless


def chain(*stack, shape=(64, 48, 3)):
    return keras.Sequential([keras.Input(shape), *stack])


@pytest.mark.parametrize(
    ("stack", "size", "stride"),
    [
        ([("conv", 3, 1)] * 3, (7, 7), (1, 1)),
        ([("conv", 3, 1)] * 5, (11, 11), (1, 1)),
        ([("conv", 11, 4), ("pool", 3, 2)], (19, 19), (8, 8)),
        ([("conv", 7, 2), ("pool", 3, 2), ("conv", 3, 1)], (19, 19), (4, 4)),
        ([("conv", (1, 7), 1), ("conv", (7, 1), 1)], (7, 7), (1, 1)),
    ],
    ids=["three 3x3 = 7x7", "five 3x3 = 11x11", "AlexNet pool1", "ResNet stem", "1x7 then 7x1"],
)
@pytest.mark.parametrize("known", [True, False], ids=["64x48", "open size"])
def test_sizes_by_hand(stack, size, stride, known):
    made = [
        layers.Conv2D(2, k, s, "same") if kind == "conv" else layers.MaxPooling2D(k, s, "same") for kind, k, s in stack
    ]
    model = chain(*made, shape=(64, 48, 3) if known else (None, None, 3))
    area = receptive_field(model, made[-1])
    assert (area.size, area.stride) == (size, stride)


def test_vgg16_last_pool_sees_212_pixels_with_stride_32():
    with weightless():
        model = keras.applications.VGG16(weights=None)
    area = receptive_field(model, "block5_pool")
    assert (area.size, area.stride, area.offset) == ((212, 212), (32, 32), (15.5, 15.5))
    assert area.box((0, 0)) == (-90, -90, 122, 122)
    assert area.clip((6, 6)) == (102, 102, 224, 224)
    assert receptive_field(model, "fc1").size == (224, 224)


def test_same_padding_puts_the_odd_pixel_after():
    """TensorFlow pads 3x3 stride 2 by (0, 1) on an even size and by (1, 1) on an odd one."""
    model = chain(layers.Conv2D(1, 3, 2, "same", name="conv"), shape=(8, 9, 1))
    assert receptive_field(model, "conv").offset == (1, 0)
    free = chain(layers.Conv2D(1, 3, 2, "same", name="conv"), shape=(None, None, 1))
    area = receptive_field(free, "conv")
    assert area.size == (3, 3)
    assert area.offset is None
    with pytest.raises(ValueError, match="input_shape"):
        area.box((0, 0))
    assert receptive_field(free, "conv", input_shape=(8, 9, 1)).offset == (1, 0)


def test_cross_of_two_bars():
    image = keras.Input((15, 15, 1))
    bars = [layers.Conv2D(1, size, padding="same")(image) for size in ((1, 7), (7, 1))]
    model = keras.Model(image, layers.Add(name="end")(bars))
    mask = receptive_field_mask(model, "end", (7, 7))
    expected = np.zeros((15, 15), bool)
    expected[7, 4:11] = expected[4:11, 7] = True
    np.testing.assert_array_equal(mask, expected)
    assert receptive_field(model, "end").size == (7, 7)


def test_dilation_leaves_holes():
    model = chain(layers.Conv2D(1, 3, dilation_rate=3, name="end"), shape=(9, 9, 1))
    mask = receptive_field_mask(model, "end", (0, 0))
    assert set(map(tuple, np.argwhere(mask))) == {(y, x) for y in (0, 3, 6) for x in (0, 3, 6)}
    assert receptive_field(model, "end").size == (7, 7)


def test_branches_of_different_stride_have_no_field_but_a_support():
    image = keras.Input((8, 8, 1))
    down = layers.Conv2D(1, 1, 2)(image)
    model = keras.Model(image, layers.Add(name="end")([down, layers.Conv2D(1, 5)(image)]))
    area = receptive_field(model, "end")
    assert area.size is None
    assert area.stride is None
    assert "strides 2 and 1" in area.reason
    np.testing.assert_array_equal(receptive_field_mask(model, "end", (3, 0)), gradient_support(positive(model), (3, 0)))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [(3, 1, 1), (3, 1, 2), (2, 2, 1), (3, 2, 1), (4, 2, 1), (2, 3, 1)]
)
def test_transposed_convolutions(kernel, stride, padding, dilation):
    layer = layers.Conv2DTranspose(1, kernel, stride, padding, dilation_rate=dilation, name="end")
    model = positive(chain(layer, shape=(5, 6, 1)))
    height, width = model.output_shape[1:3]
    for unit in [(0, 0), (3, 4), (4, 3), (height - 1, width - 1)]:
        np.testing.assert_array_equal(receptive_field_mask(model, "end", unit), gradient_support(model, unit))


def test_pooling_undoes_upsampling():
    model = chain(layers.Conv2D(1, 3), layers.UpSampling2D(2), layers.AveragePooling2D(2, name="end"))
    area = receptive_field(model, "end")
    assert (area.size, area.stride, area.offset) == ((3, 3), (1, 1), (1, 1))
    assert receptive_field(model, model.layers[1]).stride == (0.5, 0.5)


class Mystery(layers.Layer):
    def call(self, x):
        return keras.ops.roll(x, 1, axis=1)

    def compute_output_shape(self, input_shape):
        return input_shape


class Declared(Mystery):
    reach = "whole"


class Ceil(layers.Layer):
    """A pool that keeps the last, incomplete window, and says that it is a window."""

    reach, pool_size, strides, padding = "window", (2, 2), (2, 2), "valid"

    def call(self, x):
        return keras.ops.max_pool(x, 2, 2, "same")


def test_unknown_layers_have_no_field():
    model = chain(layers.Conv2D(2, 3), Mystery(name="mystery"), layers.Conv2D(2, 3, name="end"))
    area = receptive_field(model, "end")
    assert area.size is None
    assert "mystery (Mystery)" in area.reason
    assert "unknown" in str(area)
    with pytest.raises(ValueError, match="mystery"):
        receptive_field_mask(model, "end", (0, 0))
    assert dissect(model).row("end").receptive_field is None


def test_layers_may_declare_their_reach():
    model = chain(layers.Conv2D(2, 3), Declared(name="end"))
    assert receptive_field(model, "end").whole
    model = chain(Ceil(name="end"), shape=(5, 5, 1))
    assert receptive_field(model, "end").size == (2, 2)
    assert receptive_field_mask(model, "end", (2, 2)).sum() == 1


class Clock(layers.Layer):
    """Looks at how many images there are, and at no pixel."""

    reach = "none"

    def call(self, x):
        return keras.ops.zeros((keras.ops.shape(x)[0], 1, 1, 1))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 1, 1, 1)


def test_a_layer_that_ignores_the_pixels_adds_nothing():
    image = keras.Input((9, 9, 1))
    model = keras.Model(image, layers.Add(name="end")([layers.Conv2D(1, 3)(image), Clock()(image)]))
    assert receptive_field(model, "end").size == (3, 3)
    assert receptive_field_mask(model, "end", (0, 0)).sum() == 9


def test_normalization_over_the_map_sees_the_whole_map():
    model = chain(
        layers.Conv2D(2, 3), layers.LayerNormalization(name="channels"), layers.GroupNormalization(1, name="map")
    )
    assert receptive_field(model, "channels").size == (3, 3)
    assert receptive_field(model, "map").size == (64, 48)


def test_squeeze_and_excite_keeps_the_grid():
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 3, 2, "same")(image)
    gate = layers.Reshape((1, 1, 4))(layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))
    x = layers.Conv2D(4, 3, 2, "same", name="end")(layers.Multiply()([x, gate]))
    area = receptive_field(keras.Model(image, x), "end")
    assert (area.size, area.stride) == ((32, 32), (4, 4))


def test_channel_shuffle_and_slices_are_pointwise():
    image = keras.Input((8, 8, 4))
    x = layers.Conv2D(4, 3, padding="same")(image)
    x = layers.Permute((1, 2, 4, 3))(layers.Reshape((8, 8, 2, 2))(x))
    x = layers.Reshape((8, 8, 4))(x)[..., :2]
    model = positive(keras.Model(image, layers.Activation("linear", name="end")(x[:, 1:, ::2])))
    assert receptive_field(model, "end").size == (3, 3)
    np.testing.assert_array_equal(receptive_field_mask(model, "end", (2, 1)), gradient_support(model, (2, 1)))


def test_two_inputs_have_separate_fields():
    left, right = keras.Input((8, 8, 1), name="left"), keras.Input((8, 8, 1), name="right")
    shared = layers.Conv2D(1, 3, padding="same", name="shared")
    both = layers.Add(name="end")([shared(left), shared(shared(right))])
    model = keras.Model([left, right], both)
    assert receptive_field(model, "end", "left").size == (3, 3)
    assert receptive_field(model, "end", "right").size == (5, 5)
    with pytest.raises(ValueError, match="left, right"):
        receptive_field(model, "end")
    with pytest.raises(ValueError, match="shared#2"):
        receptive_field(model, shared)


def test_residual_net_of_open_size():
    """Identity and strided shortcuts of a same-padded net agree whatever the image's size."""

    def net(shape):
        image = x = keras.Input(shape)
        for stride in (2, 1, 2):
            y = layers.Conv2D(4, 3, 1, "same")(layers.Conv2D(4, 3, stride, "same")(x))
            x = layers.Add()([y, layers.Conv2D(4, 1, stride)(x)])
        return keras.Model(image, layers.Activation("relu", name="end")(x))

    area = receptive_field(net((None, None, 3)), "end")
    assert area.size == receptive_field(net((64, 61, 3)), "end").size == (27, 27)


def test_one_dimension():
    model = chain(layers.Conv1D(2, 3, padding="causal", name="end"), shape=(10, 2))
    area = receptive_field(model, "end")
    assert (area.size, area.offset, area.box((0,))) == ((3,), (-1,), (-2, 1))


def test_misspelled_layers_get_a_hint():
    model = chain(layers.Conv2D(2, 3, name="stage1_conv"))
    with pytest.raises(ValueError, match=r"Received: 'stage1_conf'. Did you mean stage1_conv\?"):
        receptive_field(model, "stage1_conf")


def test_a_repr_is_one_line():
    model = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(4, 3, strides=2, name="conv")], name="small")
    found = receptive_field(model, "conv")
    assert repr(found) == f"<ReceptiveField: {found}>"
    assert repr(found).startswith("<ReceptiveField: conv: receptive field 3x3 pixels of ")
    assert "\n" not in repr(found)
