"""Two images with one code: how near, how far, and who is who."""

import keras
import numpy as np
import pytest
from attacked import SIZE, small
from keras import layers

from kerascnn.visualize.attacks.twins import twin


@pytest.fixture
def pairs(rng):
    return rng.uniform(0, 255, (2, 4, *SIZE)).astype(np.float32)


def test_a_linear_code_is_met_within_the_box(pairs):
    """Few numbers of many pixels: the guide's code is among those of the images near the source."""
    image = keras.Input(SIZE)
    code = layers.Dense(3, name="code")(layers.Flatten()(layers.Rescaling(1 / 255)(image)))
    model = keras.Model(image, layers.Dense(2)(code))
    sources, guides = pairs
    found = twin(model, sources, 0.9 * sources + 0.1 * guides, layer="code", radius=30)
    assert found.distance.max() < 0.01
    tap = keras.Model(image, code)
    codes = [np.asarray(tap(each)) for each in (found.images, sources, 0.9 * sources + 0.1 * guides)]
    gaps = [np.linalg.norm(each - codes[2], axis=1) for each in codes[:2]]
    np.testing.assert_allclose(found.distance, gaps[0] / gaps[1], atol=1e-5)


def test_minimum_in_the_box_agrees_with_scipy(pairs):
    """A linear code that cannot be reached: bounded least squares."""
    from scipy.optimize import lsq_linear

    image = keras.Input(SIZE)
    dense = layers.Dense(40, name="code", use_bias=False)
    model = keras.Model(image, layers.Dense(2)(dense(layers.Flatten()(image))))
    sources, guides = pairs
    found = twin(model, sources, guides, layer="code", radius=25, steps=400)
    matrix = dense.get_weights()[0].T.astype(np.float64)
    for i in range(len(sources)):
        x, goal = sources[i].ravel().astype(np.float64), matrix @ guides[i].ravel().astype(np.float64)
        box = np.maximum(x - 25, 0) - 1e-9, np.minimum(x + 25, 255) + 1e-9
        best = np.linalg.norm(matrix @ lsq_linear(matrix, goal, box).x - goal)
        mine = found.distance[i] * np.linalg.norm(matrix @ x - goal)
        assert mine <= best * 1.01 + 1e-3


@pytest.mark.parametrize("radius", [0, 5.0, 40.0])
def test_no_pixel_leaves_the_box_nor_the_range(radius, pairs):
    found = twin(small(), *pairs, layer="conv", radius=radius, steps=40)
    assert found.linf.max() <= radius + 4e-5
    assert found.images.min() >= 0
    assert found.images.max() <= 255
    if radius == 0:
        np.testing.assert_array_equal(found.images, pairs[0])
        np.testing.assert_allclose(found.distance, 1, rtol=1e-5)


def test_larger_radius_gives_smaller_distance(pairs):
    near = [twin(small(), *pairs, layer="conv", radius=radius, steps=60).distance.mean() for radius in (2, 20, 255)]
    assert near == sorted(near, reverse=True)
    assert near[-1] < 0.05


def test_one_guide_for_all_and_any_batch_size(pairs):
    sources, guides = pairs
    one = twin(small(), sources, guides[:1], layer="scores", steps=20)
    two = twin(small(), sources, guides[[0, 0, 0, 0]], layer="scores", steps=20, batch_size=3)
    np.testing.assert_allclose(one.distance, two.distance, rtol=0.02, atol=1e-3)
    assert len(one.guide_names) == 4


def test_a_pair_does_not_depend_on_the_others(pairs):
    """In another order, and alone."""
    sources, guides = pairs
    found, order = twin(small(), sources, guides, layer="conv", steps=20).images, [2, 0, 3, 1]
    shuffled = twin(small(), sources[order], guides[order], layer="conv", steps=20).images
    np.testing.assert_allclose(shuffled, found[order], atol=0.05)
    alone = twin(small(), sources[1:2], guides[1:2], layer="conv", steps=20).images
    np.testing.assert_allclose(alone, found[1:2], atol=0.05)


def test_other_pixel_range_gives_the_same_result(pairs):
    plain = small()
    image = keras.Input(SIZE)
    foreign = keras.Model(image, plain(image * 255))
    one = twin(plain, *pairs, layer="conv", steps=20)
    two = twin(foreign, pairs[0] / 255, pairs[1] / 255, layer="conv", bounds=(0, 1), steps=20)
    np.testing.assert_allclose(one.distance, two.distance, rtol=0.05)


def test_results_are_tables_and_pictures(pairs, tmp_path):
    found = twin(small(), *pairs, layer="conv", steps=5)
    assert len(found.table) == 4
    assert found.save(tmp_path / "twins.png").stat().st_size > 10_000
    np.testing.assert_array_equal(found.class_guide, np.asarray(small()(pairs[1])).argmax(1))


def test_invalid_arguments(pairs):
    model = small()
    with pytest.raises(ValueError, match="layer"):
        twin(model, *pairs, layer="konv")
    with pytest.raises(ValueError, match="one a source, 4"):
        twin(model, pairs[0], pairs[1][:3])
    with pytest.raises(ValueError, match="radius"):
        twin(model, *pairs, radius=-1)


@pytest.mark.nightly
def test_photos_have_twins_of_another_class(squeezenet, shared):
    photos = sorted(shared("data", "imagenet_sample").glob("*.jpg"))
    found = twin(squeezenet, photos[:2], photos[100:102], layer="features", class_names=False, steps=60)
    assert found.distance.max() < 0.6  # of what parts the two photos
    assert (found.class_twin != found.class_source).all()
