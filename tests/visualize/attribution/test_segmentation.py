"""Segmentation by saliency: objects whose masks are known because they were painted."""

from types import SimpleNamespace

import numpy as np
import pytest

from kerascnn.visualize.attribution.segmentation import bounding_box, largest_component, seed_pixels, segment

SIZE = 72


def disc(y, x, radius):
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return np.hypot(rows - y, columns - x) <= radius


def painted(masks, rng, channels=3):
    """Discs in red on blue-green, with noise, and a saliency that is larger inside and noisy too."""
    colors = np.array([[60, 110, 140], [190, 70, 60]]) if channels == 3 else np.array([[70], [190]])
    images = colors[masks.astype(int)] + rng.normal(0, 12, (*masks.shape, channels))
    maps = np.abs(rng.normal(0, 1, masks.shape)) * np.where(masks, 3, 0.7)
    return maps.astype(np.float32), images.astype(np.float32)


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("channels", [3, 1], ids=["color", "gray"])
@pytest.mark.parametrize("place", [(36, 36, 18), (30, 44, 11), (0, 40, 20)], ids=["middle", "small", "at the border"])
def test_a_disc_is_found(place, channels, rng):
    mask = disc(*place)
    found = segment(*painted(mask[None], rng, channels))
    assert overlap(found.masks[0], mask) > 0.95
    rows, columns = np.nonzero(mask)
    np.testing.assert_array_equal(found.boxes[0], [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])
    assert found.has_object.tolist() == [True]
    assert found.areas[0] == pytest.approx(mask.mean(), rel=0.05)


def test_result_does_not_depend_on_the_random_state(rng):
    import cv2

    given = painted(np.stack([disc(30, 30, 14), disc(40, 40, 20)]), rng)
    first = segment(*given)
    cv2.setRNGSeed(77)
    second = segment(*given)
    alone = segment(given[0][1], given[1][1])  # (H, W) and (H, W, C)
    np.testing.assert_array_equal(first.masks, second.masks)
    np.testing.assert_array_equal(first.masks[1], alone.masks[0])


def test_only_the_largest_component_is_kept(rng):
    large, small = disc(26, 26, 16), disc(60, 60, 7)
    found = segment(*painted((large | small)[None], rng))
    assert overlap(found.masks[0], large) > 0.95
    assert not (found.masks[0] & small).any()


def test_components_and_boxes_by_hand():
    mask = np.zeros((6, 7), bool)
    mask[1, 1] = mask[2, 2] = mask[3, 3] = True  # one part, by its corners
    mask[5, 5:7] = True
    np.testing.assert_array_equal(np.argwhere(largest_component(mask)), [[1, 1], [2, 2], [3, 3]])
    assert bounding_box(largest_component(mask)).tolist() == [1, 1, 4, 4]
    assert bounding_box(np.zeros((3, 3), bool)).tolist() == [0, 0, 0, 0]


def test_seeds_are_the_quantiles(rng):
    values = rng.permutation(100).reshape(10, 10)
    seeds = seed_pixels(values, 0.95, 0.30)
    np.testing.assert_array_equal(np.sort(values[seeds == 1]), range(95, 100))
    np.testing.assert_array_equal(np.sort(values[seeds == -1]), range(30))


def test_seeds_of_a_map_that_is_mostly_zero():
    values = np.zeros((10, 10))
    values[4, 4:6] = 1  # 2 % of the pixels: both quantiles are 0
    np.testing.assert_array_equal(seed_pixels(values, 0.95, 0.30), np.where(values > 0, 1, -1))


def test_constant_map_has_an_empty_mask(rng):
    mask = disc(36, 36, 18)
    maps, images = painted(np.stack([mask, mask]), rng)
    maps[0] = 3.0
    found = segment(maps, images)
    assert found.has_object.tolist() == [False, True]
    assert found.boxes[0].tolist() == [0, 0, 0, 0]
    assert not found.seeds[0].any()
    assert overlap(found.masks[1], mask) > 0.95


def test_uniform_colors_give_an_empty_mask(rng):
    maps, _ = painted(disc(36, 36, 18)[None], rng)
    assert segment(maps, np.full((1, SIZE, SIZE, 3), 90.0)).has_object.tolist() == [False]


def test_a_blur_gathers_the_seeds(rng):
    mask = disc(36, 36, 18)
    maps, images = painted(mask[None], rng)
    maps = maps + np.abs(rng.normal(0, 4, maps.shape))
    plain, blurred = segment(maps, images), segment(maps, images, blur=2)
    assert mask[plain.seeds[0] > 0].mean() < 0.8 < 0.95 < mask[blurred.seeds[0] > 0].mean()


def test_the_sign_of_a_map_does_not_count_and_attributions_are_taken(rng):
    maps, images = painted(disc(36, 36, 18)[None], rng)
    signed = maps * rng.choice([-1, 1], maps.shape)
    found = segment(SimpleNamespace(map=signed, images=images, names=("disc.jpg",)))
    np.testing.assert_array_equal(found.masks, segment(maps, images).masks)
    assert found.names == ("disc.jpg",)


def test_inputs_are_not_modified(rng):
    maps, images = painted(disc(36, 36, 18)[None], rng)
    before = maps.copy(), images.copy()
    segment(maps, images)
    np.testing.assert_array_equal(maps, before[0])
    np.testing.assert_array_equal(images, before[1])


def test_figures(rng, tmp_path):
    maps, images = painted(np.stack([disc(36, 36, 18)] * 2), rng)
    maps[1] = 0
    segment(maps, images).save(tmp_path / "found.png")
    assert (tmp_path / "found.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"foreground": 0.2}, "`foreground` and `background`"),
        ({"background": -1}, "`foreground` and `background`"),
        ({"steps": 0}, "`steps`"),
        ({"blur": -1}, "`blur`"),
        ({"images": np.zeros((1, 8, 9, 3))}, "`attribution` should have maps"),
        ({"images": np.zeros((1, 8, 8, 4))}, "1 or 3 channels"),
        ({"images": None}, "`attribution` should be an `Attribution`"),
        ({"attribution": np.full((1, 8, 8), np.nan)}, "NaN"),
    ],
    ids=["quantiles", "negative", "steps", "blur", "shapes", "channels", "no images", "nan"],
)
def test_errors(change, message):
    with pytest.raises(ValueError, match=message):
        segment(**{"attribution": np.ones((1, 8, 8)), "images": np.zeros((1, 8, 8, 3))} | change)
