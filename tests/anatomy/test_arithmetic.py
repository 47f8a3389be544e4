"""The numbers that the course works out by hand, and Keras itself as the oracle for sizes."""

import keras
import pytest

from kerascnn import anatomy


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "expected"),
    [
        (7, 3, 1, 0, 5),
        (7, 3, 2, 0, 3),
        (7, 3, 1, 1, 7),
        (32, 5, 1, 2, 32),
        (227, 11, 4, 0, 55),
        (224, 7, 2, 3, 112),
        (224, 7, 2, (2, 3), 112),
        (55, 3, 2, "valid", 27),
        (55, 3, 2, "same", 28),
    ],
)
def test_sizes_by_hand(size, kernel, stride, padding, expected):
    assert anatomy.output_size(size, kernel, stride, padding) == expected


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (3, 1), (1, 2)])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_sizes_agree_with_keras(kernel, stride, dilation, padding):
    layer = keras.layers.Conv1D(1, kernel, stride, padding, dilation_rate=dilation)
    for size in range(9, 16):
        made = anatomy.output_size(size, kernel, stride, padding, dilation)
        assert made == layer.compute_output_shape((1, size, 1))[1]


def test_a_stride_that_does_not_fit():
    assert anatomy.output_size(7, 3, 3) == 2
    with pytest.raises(ValueError, match="`stride` should divide .* = 4 without remainder. Received: 3"):
        anatomy.output_size(7, 3, 3, exact=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, 3), "`kernel` should fit into the 2 padded pixels"),
        ((5, 3, 0), "`stride` should be an integer of at least 1. Received: 0"),
        ((5, 3, 1, "full"), "`padding` should be .* Received: 'full'"),
        ((5, 3, 1, -1), "`padding` should be .* Received: -1"),
        ((5, 3, 1, 0, 3), "dilation 3, which spans 7"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        anatomy.output_size(*arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: anatomy.kernel_stack("3"), "`kernel` should be an integer of at least 1. Received: '3'"),
        (lambda: anatomy.kernel_stack(3, 0), "`depth` should be an integer of at least 1. Received: 0"),
        (lambda: anatomy.single_kernel(7, None), "`channels` should be an integer of at least 1. Received: None"),
        (lambda: anatomy.connectivity(7, 3, "3"), "`reach` should be an integer of at least 1. Received: '3'"),
        (lambda: anatomy.dense_weights(256), "`shape` should be the shape .* Received: 256"),
        (lambda: anatomy.dense_weights((256, 256), 0), "`outputs` should be an integer of at least 1. Received: 0"),
        (lambda: anatomy.inception_cost(28), "`shape` should be \\(height, width, channels\\), .* Received: 28"),
        (
            lambda: anatomy.naive_inception_cost(filters_1x1=None),
            "`filters_1x1` should be an integer of at least 1. Received: None",
        ),
        (lambda: anatomy.inception_cost(reduce_5x5=2.5), "`reduce_5x5` should be an integer .* Received: 2.5"),
    ],
)
def test_worked_examples_reject_invalid_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_three_3x3_convolutions_against_one_7x7():
    threes, seven = anatomy.kernel_stack(3, 3, channels=10), anatomy.single_kernel(7, channels=10)
    assert threes.receptive_field == seven.receptive_field == 7
    assert (threes.weights, seven.weights) == (27 * 100, 49 * 100)
    assert threes.macs(5, 4) == 20 * 2700


def test_five_3x3_convolutions_see_11_pixels():
    assert anatomy.equivalent_3x3_depth(11) == 5
    assert anatomy.kernel_stack(3, 5).receptive_field == 11
    with pytest.raises(ValueError, match="odd"):
        anatomy.equivalent_3x3_depth(4)


def test_locality_and_sharing():
    found = anatomy.connectivity(7, 3, 3)
    assert (found.dense, found.local, found.shared) == (21, 9, 3)


def test_a_dense_layer_on_an_image():
    found = anatomy.dense_weights((256, 256, 3))
    assert found.weights == 38_654_705_664
    assert found.gib == 144
    assert anatomy.dense_weights((32, 32, 3), 10).weights == 30_720


def test_inception_module():
    naive, reduced = anatomy.naive_inception_cost(), anatomy.inception_cost()
    assert (naive.macs, naive.shape) == (854_196_224, (28, 28, 672))
    assert (reduced.macs, reduced.shape) == (271_351_808, (28, 28, 480))
    assert reduced.macs + reduced.branches["3x3"] == pytest.approx(358e6, rel=1e-3), "how slides get 358 M"


def test_inception_module_agrees_with_the_table():
    image = keras.Input((28, 28, 256))

    def conv(x, filters, kernel=1):
        return keras.layers.Conv2D(filters, kernel, padding="same")(x)

    pool = keras.layers.MaxPooling2D(3, 1, "same")(image)
    branches = [conv(image, 128), conv(conv(image, 64), 192, 3), conv(conv(image, 64), 96, 5), conv(pool, 64)]
    found = anatomy.dissect(keras.Model(image, keras.layers.Concatenate()(branches)))
    assert found.macs == anatomy.inception_cost().macs
    assert found.rows[-1].shape == anatomy.inception_cost().shape
