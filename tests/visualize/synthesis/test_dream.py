"""Dreams: the bookkeeping of octaves and frames, and that a layer sees more of what it sees."""

from dataclasses import replace

import numpy as np
import pytest
from models import equal, snapshot
from PIL import Image
from scipy import ndimage
from synthesis_models import SIZE, cosine, known

from kerascnn.support.files import save_image
from kerascnn.visualize import RECIPES, dream, dream_frames, energy, synthesize
from kerascnn.visualize.engine.lens import lens
from kerascnn.visualize.engine.query import Pictures, read_activations
from kerascnn.visualize.synthesis import dream as dreaming
from kerascnn.visualize.synthesis.dream import pyramid, resize_images, zoom_in

STILL = replace(RECIPES["dream"], transforms=())
LARGE = (24, 20, 3)


@pytest.fixture(scope="module")
def model():
    return known()


@pytest.fixture
def images(rng):
    return rng.integers(60, 196, (2, *LARGE)).astype(np.float32)


@pytest.fixture
def octaves(monkeypatch):
    """What each octave came to."""
    found = []

    def heard(*given, **how):
        found.append(synthesize(*given, **how))
        return found[-1]

    monkeypatch.setattr(dreaming, "synthesize", heard)
    return found


@pytest.mark.parametrize("how", [{}, {"units": [0, 2]}, {"guide": True}], ids=str)
def test_the_score_rises_within_each_octave(model, images, octaves, how, rng):
    if "guide" in how:
        how = {"guide": rng.uniform(0, 255, SIZE).astype(np.float32)}
    found = dream(model, images, "top", recipe=STILL, octaves=2, **how)
    assert [each.images.shape[1:3] for each in octaves] == [(17, 14), (24, 20)]
    for each in octaves:
        assert (each.scores > each.curves["score"][0]).all()
    assert found.images.shape == images.shape
    np.testing.assert_array_equal(found.metadata["began"], images)


@pytest.mark.parametrize("count", [1, 4])
def test_zero_learning_rate_keeps_the_image_through_all_octaves(model, images, count):
    found = dream(model, images, "top", recipe=replace(RECIPES["dream"], learning_rate=0.0), octaves=count)
    np.testing.assert_allclose(found.images, images, atol=1e-4)


def test_one_octave_is_one_synthesize(model, images):
    found = dream(model, images, "conv", recipe=STILL, octaves=1)
    expected = synthesize(model, energy("conv"), recipe=STILL, start=images)
    np.testing.assert_array_equal(found.images, expected.images)


def test_detail_is_passed_to_the_next_octave(model, images, octaves):
    """Each octave begins with the image of its size and what was added to the smaller one."""
    dream(model, images, "top", recipe=STILL, octaves=2)
    small, large = octaves
    half = resize_images(images, (17, 14))
    again = synthesize(model, energy("top"), recipe=STILL, start=images + resize_images(small.images - half, LARGE[:2]))
    np.testing.assert_allclose(large.images, again.images, atol=1e-2)


def test_the_first_step_changes_pixels_by_the_learning_rate_on_average(model, images):
    found = dream(model, images, "top", recipe=replace(STILL, steps=1), octaves=1)
    np.testing.assert_allclose(np.abs(found.images - images).mean((1, 2, 3)), 1.5, rtol=1e-3)


def test_a_dream_approaches_its_guide(model, images):
    guide = np.full(SIZE, 20.0, np.float32)
    guide[:, 3:] = 230
    code = read_activations(lens(model), Pictures(guide[None], ("guide",)), ["top"])["top"]
    rates = {"recipe": replace(STILL, steps=30), "octaves": 1}
    found = dream(model, images[:1], "top", guide=guide, **rates)
    conv, top = (model.get_layer(name) for name in ("conv", "top"))
    maps = [top(conv(each / 64 - 2)).numpy().reshape(-1, 3) for each in (images[:1], found.images)]
    best = [np.mean((each @ code.reshape(-1, 3).T).max(1)) for each in maps]
    assert best[1] > best[0]
    assert found.scores[0] == pytest.approx(best[1], rel=1e-4)


def test_a_photo_may_be_of_any_size(model, tmp_path, rng):
    for i in range(2):
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    paths = sorted(tmp_path.glob("*.png"))
    found = dream(model, paths, "top", size=30, octaves=2, recipe=STILL, steps=2)
    assert found.images.shape == (2, 20, 30, 3)
    assert dream(model, paths[0], "top", octaves=1, recipe=STILL, steps=2).images.shape == (1, *SIZE)
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "2.png")
    with pytest.raises(ValueError, match="`images` should have the same shape"):
        dream(model, sorted(tmp_path.glob("*.png")), "top", size=30)


def test_pyramid_ends_with_the_image_itself(images):
    sizes = [each.shape[1:3] for each in pyramid(images, 3, 2.0)]
    assert sizes == [(6, 5), (12, 10), (24, 20)]
    np.testing.assert_array_equal(pyramid(images, 3, 2.0)[-1], images)
    np.testing.assert_allclose(pyramid(images, 2, 2.0)[0], images.reshape(2, 12, 2, 10, 2, 3).mean((2, 4)), rtol=1e-5)


def test_zoom_in_is_about_the_center(rng):
    image = ndimage.gaussian_filter(rng.uniform(0, 255, (40, 33, 3)), (3, 3, 0)).astype(np.float32)
    found, middle = zoom_in(image[None], 1.25)[0], (np.array(image.shape[:2]) - 1) / 2
    for plane, own in zip(np.moveaxis(found, 2, 0), np.moveaxis(image, 2, 0), strict=True):
        expected = ndimage.affine_transform(own, np.eye(2) / 1.25, middle * (1 - 1 / 1.25), order=1)
        np.testing.assert_allclose(plane, expected, atol=0.5)


def test_dream_frames_continue_from_the_last_existing_frame(model, images, tmp_path):
    how = {"layer": "top", "octaves": 2, "recipe": STILL, "steps": 2, "zoom": 1.1}
    told = []
    paths = dream_frames(
        model, images[0], tmp_path / "all", 4, on_progress=lambda done, total, what: told.append((done, total)), **how
    )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    for i in range(2):
        save_image(np.asarray(Image.open(paths[i])), tmp_path / "part" / f"frame_{i:04d}.png")
    stamps = [path.stat().st_mtime_ns for path in sorted((tmp_path / "part").iterdir())]
    resumed = dream_frames(
        model, images[0], tmp_path / "part", 4, on_progress=lambda done, total, what: told.append((done, total)), **how
    )
    assert told[4:] == [(3, 4), (4, 4)]
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "part").iterdir())][:2] == stamps
    for whole, part in zip(paths, resumed, strict=True):
        first, second = (np.asarray(Image.open(path), float) for path in (whole, part))
        assert first.shape == LARGE
        assert np.abs(first - second).mean() < 3  # frames on disk are rounded
        assert cosine(first - first.mean(), second - second.mean()) > 0.98
    assert dream_frames(model, images[0], tmp_path / "part", 4, **how) == resumed


def test_the_model_is_unchanged(model, images):
    before = snapshot(model, np.zeros((1, *SIZE), np.float32))

    def stop(done, total, what):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dream(model, images, "top", on_progress=stop)
    with pytest.raises(ValueError, match="`layer` should have feature maps"):
        dream(model, images, "probs")
    equal(snapshot(model, np.zeros((1, *SIZE), np.float32)), before)
