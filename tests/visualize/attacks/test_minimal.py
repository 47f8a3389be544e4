"""Small changes: closed forms, other attacks, and other libraries' kind of bisection."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from attacked import SIZE, linear, margin_of, small
from keras import layers

import kerascnn

DUAL = {"l2": lambda w: np.sqrt((w**2).sum(1)), "linf": lambda w: np.abs(w).sum(1)}


def fool(model, images, target=None, **options):
    """Attack in floats, as the closed forms are, unless asked otherwise."""
    return kerascnn.visualize.fool(model, images, target, **({"integer_pixels": False} | options))


@pytest.mark.parametrize("aimed", [False, True], ids=["away", "targeted"])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_linear_model_has_the_distance_to_the_boundary(norm, aimed, pixels, rng):
    """|f| / |w|_2 in L2, |f| / |w|_1 in Linf."""
    model, weights = linear(rng)
    lead, slope = margin_of(model, weights, pixels)
    target = 1 - np.asarray(model(pixels)).argmax(1) if aimed else None
    found = fool(model, pixels, target, norm=norm)
    assert found.success.all()
    np.testing.assert_allclose(getattr(found, norm), lead / DUAL[norm](slope), rtol=1e-3)


def test_linear_classes_have_the_distance_to_the_nearest_boundary(pixels, rng):
    model, weights = linear(rng, 4)
    scores, weights = np.asarray(model(pixels), np.float64), weights.astype(np.float64)
    first = scores.argmax(1)
    gaps = scores[np.arange(5), first][:, None] - scores
    far = np.linalg.norm(weights[:, first].T[:, :, None] - weights[None], axis=1)
    nearest = np.where(gaps > 0, gaps / np.maximum(far, 1e-9), np.inf).min(1)
    np.testing.assert_allclose(fool(model, pixels).l2, nearest, rtol=0.01)


def test_nearest_point_within_the_pixel_range(rng):
    """Against the exact projection on half-space and box, by bisection of its multiplier."""
    model, weights = linear(rng, scale=0.03)
    images = rng.choice([0.0, 2.0, 253.0, 255.0], (6, *SIZE)).astype(np.float32)
    lead, slope = margin_of(model, weights, images)
    found = fool(model, images, steps=100)
    for i, (f, w) in enumerate(zip(lead, slope, strict=True)):
        x, low, high = images[i].ravel().astype(np.float64), 0.0, 1e6
        for _ in range(200):
            middle = (low + high) / 2
            d = np.clip(x - middle * w, 0, 255) - x
            low, high = (middle, high) if f + w @ d > 0 else (low, middle)
        np.testing.assert_allclose(found.l2[i], np.linalg.norm(d), rtol=0.01)


@pytest.mark.parametrize(("name", "within"), [("lbfgs", 1.05), ("minimal", 1.001)])
def test_minimal_attacks_find_the_boundary(name, within, pixels, rng):
    model, weights = linear(rng)
    lead, slope = margin_of(model, weights, pixels)
    found = fool(model, pixels, method=name)
    assert found.success.all()
    assert (found.l2 / (lead / DUAL["l2"](slope))).max() < within


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_change_is_no_larger_than_that_of_pgd(norm, pixels):
    """PGD's size by bisection, as one finds it with any library that has only attacks of a given size."""
    model = small()
    minimal = fool(model, pixels, norm=norm)
    for i in range(len(pixels)):
        low, high = 0.0, 400.0
        for _ in range(12):
            size = (low + high) / 2
            done = fool(model, pixels[i : i + 1], method="pgd", norm=norm, epsilon=size, start=False).success[0]
            low, high = (low, size) if done else (size, high)
        assert getattr(minimal, norm)[i] <= high * 1.02


def test_lead_of_the_wrong_class(pixels):
    model = small()
    for name in ("minimal", "lbfgs"):
        found = fool(model, pixels, method=name, lead=0.5)
        scores = np.asarray(model(found.images))
        own = scores[np.arange(5), found.before]
        gap = scores.max(1) - own
        assert (gap >= 0.5 - 1e-3).all()
        assert gap.max() < 0.7 or name == "lbfgs"


def test_images_are_independent(pixels):
    """An easy image beside hard ones keeps its own size."""
    together = fool(small(), pixels)
    alone = [fool(small(), image[None]).l2[0] for image in pixels]
    np.testing.assert_allclose(together.l2, alone, rtol=1e-3)


def test_images_of_the_target_class_are_unchanged(pixels):
    model = small()
    found = fool(model, pixels, np.asarray(model(pixels)).argmax(1))
    np.testing.assert_allclose(found.l2, 0, atol=1e-6)
    assert found.success.all()


def test_constant_model_cannot_be_fooled(rng):
    """A network that does not look at the image."""
    image = keras.Input(SIZE)
    dense = layers.Dense(2, kernel_initializer="zeros")
    model = keras.Model(image, dense(layers.Flatten()(image)))
    dense.set_weights([np.zeros((np.prod(SIZE), 2), np.float32), np.array([1, 0], np.float32)])
    found = fool(model, rng.uniform(0, 255, (2, *SIZE)).astype(np.float32))
    assert not found.success.any()
    assert np.isfinite(found.images).all()
    assert found.save is not None


def deepfool(model, image, steps=50, overshoot=0.02):
    """The L2 change of DeepFool (Moosavi-Dezfooli et al. 2016, algorithm 2); infinite if it does not fool."""
    scores = lambda x: np.asarray(model(x[None].astype(np.float32)))[0].astype(np.float64)  # noqa: E731
    before = scores(image).argsort()[::-1][:10]
    change = np.zeros(image.shape)
    for _ in range(steps):
        x = np.clip(image + (1 + overshoot) * change, 0, 255)
        now = scores(x)
        if now.argmax() != before[0]:
            return np.linalg.norm(x - image)
        tensor = tf.constant(np.repeat(x[None], len(before), 0).astype(np.float32))
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            chosen = tf.gather(model(tensor), before, axis=1, batch_dims=1)
        slopes = tape.gradient(chosen, tensor).numpy().astype(np.float64)
        slopes, gaps = slopes[1:] - slopes[0], now[before[0]] - now[before[1:]]
        far = np.linalg.norm(slopes.reshape(len(slopes), -1), axis=1)
        nearest = (gaps / far).argmin()
        change += (gaps[nearest] + 1e-4) / far[nearest] ** 2 * slopes[nearest]
    return np.inf


def test_no_longer_than_deepfool(rng):
    images = rng.uniform(0, 255, (24, *SIZE)).astype(np.float32)
    found, theirs = fool(small(), images), [deepfool(small(), image) for image in images]
    assert found.success.all()
    assert (found.l2 <= np.array(theirs) * 1.001).all()


def test_more_starts_are_never_longer_and_a_seed_repeats_them(rng):
    images = rng.uniform(0, 255, (8, *SIZE)).astype(np.float32)
    sizes = [fool(small(), images, starts=starts, steps=20, seed=1).l2 for starts in (1, 2, 4, 4)]
    assert (sizes[1] <= sizes[0] * 1.001).all()
    assert (sizes[2] <= sizes[1] * 1.001).all()
    np.testing.assert_array_equal(sizes[2], sizes[3])
    with pytest.raises(ValueError, match="`starts` should be an integer of at least 1"):
        fool(small(), images, starts=0)


@pytest.mark.nightly
def test_photos_are_fooled_no_longer_than_by_deepfool(squeezenet, shared):
    """And the network says so itself, one by one, also of photos that are on the border by a hair."""
    photos = sorted(shared("data", "imagenet_sample").glob("*.jpg"))[4:8]
    found = fool(squeezenet, photos, class_names=False)
    assert found.success.all()
    for image, before, after in zip(found.images, found.before, found.after, strict=True):
        probs = kerascnn.predict(squeezenet, image, class_names=False).probs[0]
        assert probs.argmax() == after != before
    logits = keras.Model(squeezenet.input, squeezenet.get_layer("logits").output)
    theirs = [deepfool(logits, image) for image in found.originals]
    assert (found.l2 <= np.array(theirs) * 1.001).all()


@pytest.mark.nightly
def test_photos_become_any_class(squeezenet, shared, rng):
    photos = sorted(shared("data", "imagenet_sample").glob("*.jpg"))[:2]
    target = rng.integers(0, 1000, 2)
    found = fool(squeezenet, photos, target, class_names=False, steps=30)
    assert found.success.all()
    assert np.median(found.l2) < 200
    assert found.ssim.min() > 0.98
    whole = fool(squeezenet, photos, target, class_names=False, integer_pixels=True, steps=20)
    assert whole.survives.mean() >= 0.75
    assert (whole.l2 >= found.l2)[whole.survives].all()
