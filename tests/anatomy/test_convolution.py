"""Matrices against a plain loop and against Keras; shifts against what theory says about them."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerascnn.anatomy import EXAMPLE, equivariance, invariance, toeplitz


def correlate(image, kernel, stride, padding):
    """Cross-correlation of (H, W, I) with (h, w, I, O), as slow as it is plain."""
    image = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    h, w = kernel.shape[:2]
    rows, columns = (image.shape[0] - h) // stride + 1, (image.shape[1] - w) // stride + 1
    return np.array(
        [
            [np.einsum("hwi,hwio->o", image[r * stride :, c * stride :][:h, :w], kernel) for c in range(columns)]
            for r in range(rows)
        ]
    )


def test_the_worked_example():
    matrix = toeplitz(EXAMPLE.kernel, EXAMPLE.image.shape)
    assert matrix.shape == (4, 16)
    np.testing.assert_array_equal(matrix @ EXAMPLE.image.ravel(), [122, 148, 126, 134])
    np.testing.assert_array_equal(EXAMPLE.response, [[122, 148], [126, 134]])
    assert matrix[0].tolist() == [1, 4, 1, 0, 1, 4, 3, 0, 3, 3, 1, 0, 0, 0, 0, 0]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.tuples(*[st.integers(1, 3)] * 4),
    st.tuples(st.integers(3, 6), st.integers(3, 6)),
    st.integers(1, 3),
    st.integers(0, 2),
)
def test_the_matrix_is_the_convolution(kernel, size, stride, padding):
    rng = np.random.default_rng(0)
    kernel, image = rng.integers(-5, 5, kernel), rng.integers(-5, 5, (*size, kernel[2]))
    made = toeplitz(kernel, image.shape, stride, padding) @ image.ravel()
    np.testing.assert_array_equal(made, correlate(image, kernel, stride, padding).ravel())


def test_the_transposed_matrix_is_the_transposed_convolution():
    rng = np.random.default_rng(0)
    kernel, small = rng.normal(size=(3, 3, 2, 4)).astype("float32"), rng.normal(size=(1, 3, 3, 4)).astype("float32")
    expected = keras.ops.conv_transpose(small, kernel, strides=2, padding="valid")
    made = toeplitz(kernel, (7, 7, 2), stride=2).T @ small.ravel()
    np.testing.assert_allclose(made, np.ravel(expected), atol=1e-5)


def test_kernels_larger_than_the_image():
    with pytest.raises(ValueError, match="`kernel` should be .* Received: \\(3, 3, 2, 1\\)"):
        toeplitz(np.ones((3, 3, 2, 1)), (5, 5, 3))


def test_padding_as_tensorflow_pads():
    rng = np.random.default_rng(0)
    kernel, image = rng.normal(size=(3, 2, 1, 2)).astype("float32"), rng.normal(size=(5, 6, 1)).astype("float32")
    expected = keras.ops.conv(image[None], kernel, strides=2, padding="same")
    made = toeplitz(kernel, image.shape, stride=2, padding="same") @ image.ravel()
    np.testing.assert_allclose(made, np.ravel(expected), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2, 3], 5), "`input_shape` should be \\(H, W\\) or \\(H, W, in\\), .* Received: 5"),
        (([1, 2, 3], (5, 5)), "`kernel` should be \\(h, w\\) or .* Received: \\(3,\\)"),
        ((np.ones((3, 3)), (5, None)), "`input_shape` should be"),
        ((np.ones((3, 3)), (5, 5), 1.5), "`stride` should be an int or \\(y, x\\), .* Received"),
        ((np.ones((3, 3)), (5, 5), (1, 1, 1)), "`stride` should be an int or \\(y, x\\), .* Received"),
        ((np.ones((3, 3)), (5, 5), 1, "full"), "`padding` should be .* Received: 'full'"),
    ],
)
def test_toeplitz_rejects_invalid_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        toeplitz(*arguments)


def test_equivariance_rejects_invalid_shifts(image):
    with pytest.raises(ValueError, match="`shift` should be \\(dy, dx\\).* Received: 4"):
        equivariance(np.negative, image, 4)
    with pytest.raises(ValueError, match="`layer` should be a layer, a model or a function. Received: 'conv1'"):
        equivariance("conv1", image, (0, 1))
    with pytest.raises(ValueError, match="`margin` should be an integer of at least 0. Received: -1"):
        equivariance(np.negative, image, (0, 1), margin=-1)
    with pytest.raises(ValueError, match="`shifts` should be integers in pixels. Received: 4"):
        invariance(np.negative, image, shifts=4)
    with pytest.raises(ValueError, match="`pool` should be at most the size of the response, 24x32. Received: 25"):
        invariance(np.negative, image, pool=25)
    with pytest.raises(ValueError, match="`layer` should be a layer"):
        invariance(None, image)


@pytest.fixture
def image():
    rows, columns = np.mgrid[:24, :32]
    return np.exp(-((rows - 11) ** 2 + (columns - 13) ** 2) / 8).astype("float32")


def test_convolutions_are_equivariant_and_position_weights_are_not(image):
    layer = keras.layers.Conv2D(3, 3, padding="same")
    result = equivariance(layer, image, (3, -4))
    assert result.difference < 1e-6
    ramp = np.linspace(0, 1, 32, dtype="float32")[None, None, :, None]
    assert equivariance(lambda x: x * ramp, image, (3, -4)).difference > 0.05


def test_strided_layers_are_equivariant_to_multiples_of_the_stride(image):
    layer = keras.layers.Conv2D(2, 3, strides=2, padding="same")
    result = equivariance(layer, image, (4, 2))
    assert result.response_shift == (2, 1)
    assert result.difference < 1e-6
    with pytest.raises(ValueError, match="multiples of the layer's stride"):
        equivariance(layer, image, (0, 1))


def test_interior_excludes_border_effects(image):
    result = equivariance(keras.layers.Conv2D(1, 3, padding="same"), image + 1, (5, 0), margin=2)
    assert not result.interior[:7].any()
    assert result.interior[7:22, 2:30].all()
    assert result.difference < 1e-6


def test_pooling_reduces_the_effect_of_small_shifts():
    points = np.random.default_rng(0).random((24, 32)) > 0.97
    result = invariance(lambda x: x, points, pool=4)
    assert result.before[0] == result.pooled[0] == 0
    assert (result.pooled[1:3] < result.before[1:3]).all()


@pytest.mark.parametrize("make", [lambda i: equivariance(lambda x: x, i, (2, 2)), lambda i: invariance(lambda x: x, i)])
def test_figures_are_drawn(make, image, tmp_path):
    path = make(image).save(tmp_path / "figure.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 1


def test_images_and_responses_have_to_be_maps(image):
    with pytest.raises(ValueError, match="`image` should be"):
        equivariance(lambda x: x, image[0], (1, 1))
    with pytest.raises(ValueError, match="`layer` should return feature maps"):
        invariance(lambda x: x.mean((1, 2)), image)
