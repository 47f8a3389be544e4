"""Figures of attributions: what is drawn is what was found, and what a scale does to it is said."""

import io
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from kerascnn.plots.primitives import display_images, scale_for, signals_to_colors
from kerascnn.plots.style import CLASSES, OTHER
from kerascnn.visualize.attribution.attribution import Attribution
from kerascnn.visualize.attribution.figures import crop_box, tile_patches, unit_groups
from kerascnn.visualize.attribution.occlusion import Occlusion


def made(values, *, images=None, reduce="sum", **rest):
    """An `Attribution` of values (N, H, W, C)."""
    values = np.asarray(values, np.float32)
    if images is None:
        images = np.random.default_rng(1).uniform(0, 255, (*values.shape[:3], 3)).astype(np.float32)
    count = len(values)
    names = tuple(f"folder/photo{i}.jpg" for i in range(count))
    scores = np.linspace(1, 2, count)
    return Attribution(
        values=values,
        images=images,
        scores=scores,
        method="a method",
        score="logit 3",
        names=names,
        classes=(3,) * count,
        class_names=None,
        reduce=reduce,
        **rest,
    )


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def pixels(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255


def axes_titled(figure, title):
    return [axis for axis in figure.axes if axis.get_title() == title]


def texts(figure):
    """Every text of a figure and its parts."""
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


@pytest.mark.parametrize("figures", [1, 3, 12], ids=lambda n: f"{n} images")
def test_a_row_an_image_with_map_and_overlay(figures):
    found = made(noise(figures, 8, 12, 3))
    figure = found.plot()
    maps = axes_titled(figure, "map")
    assert len(maps) == len(axes_titled(figure, "overlay on the image")) == figures
    drawn = [axis.images[0].get_array() for axis in maps]  # in the order of the banks
    assert all(any(np.allclose(each, one) for each in drawn) for one in found.map)
    said = texts(figure)
    assert "a method: logit 3" in said
    assert all(f"photo{i}.jpg" in said and found.title(i) in said for i in range(figures))


def test_at_most_twelve_images_with_a_note():
    figure = made(noise(14, 4, 4, 1)).plot()
    assert len(axes_titled(figure, "map")) == 12
    assert any("12 of 14 images" in text for text in texts(figure))


def test_a_signed_map_is_symmetric_and_white_at_zero():
    values = noise(1, 40, 50, 1)
    values[0, 0, 0] = 0
    image = axes_titled(made(values).plot(), "map")[0].images[0]
    most = np.percentile(np.abs(values), 99.5)
    np.testing.assert_allclose(image.get_clim(), (-most, most), rtol=1e-5)
    assert min(image.cmap(image.norm(0.0))[:3]) > 0.95


def test_an_unsigned_map_begins_at_zero():
    values = np.abs(noise(1, 40, 50, 3))
    low, high = axes_titled(made(values, reduce="max").plot(), "map")[0].images[0].get_clim()
    assert low == 0
    assert high == pytest.approx(np.percentile(values.max(-1), 99), rel=1e-5)


@pytest.mark.parametrize(("percent", "share"), [(99, 0.01), (90, 0.1), (100, 0.0)])
def test_the_clipped_share_is_counted(percent, share):
    values = np.random.default_rng(0).permutation(np.arange(1.0, 10001)).reshape(100, 100)
    scale = scale_for(values, False, percent)
    assert (values > scale.high).mean() == pytest.approx(share)
    assert f"{share:.1%} clipped" in scale.words


def test_few_values_are_not_clipped_away():
    """Where nearly all is 0, the percentile is 0 too."""
    values = np.zeros((100, 100))
    values[3, 4] = -7
    scale = scale_for(values, True, 99.5)
    assert (scale.low, scale.high) == (-7, 7)
    assert "maximum" in scale.words


@pytest.mark.parametrize("value", [0, 2.5])
@pytest.mark.parametrize("rule", [None, "guided"])
def test_constant_map_is_hatched(value, rule):
    figure = made(np.full((1, 6, 6, 1), value), rule=rule).plot()
    hatched = [patch for patch in figure.findobj(Rectangle) if patch.get_hatch()]
    expected = value == 0 or rule is None
    assert len(hatched) == expected
    if expected:
        assert f"{value:g}" in texts(figure)


def test_nan_is_magenta():
    values = noise(1, 8, 8, 1)
    values[0, 2, 3] = np.nan
    values[0, 5, 5] = np.inf
    image = axes_titled(made(values).plot(), "map")[0].images[0]
    colors = image.cmap(image.norm(image.get_array()))
    magenta = (colors[..., :3] == to_rgb("magenta")).all(-1)
    assert np.argwhere(magenta).tolist() == [[2, 3], [5, 5]]
    colored = (signals_to_colors(values[0], 1.0) == (1, 0, 1)).all(-1)
    assert np.argwhere(colored).tolist() == [[2, 3], [5, 5]]


@pytest.mark.parametrize("channels", [1, 3])
def test_signals_keep_zero_at_mid_gray(channels):
    values = noise(5, 6, channels)
    values[1, 1] = 0
    most = np.abs(values).max()
    drawn = signals_to_colors(values, most)
    np.testing.assert_array_equal(drawn[1, 1], 0.5)
    np.testing.assert_allclose(drawn, np.broadcast_to(0.5 + values / (2 * most), (5, 6, 3)))
    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_signals_are_drawn_beside_the_image_without_a_map():
    found = made(noise(2, 6, 9, 3), rule="guided")
    figure = found.plot()
    assert len(axes_titled(figure, "signal at the input")) == 2
    assert not axes_titled(figure, "map")


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0, 255, ""),
        (0, 1, "pixel values from 0 (black)"),
        (-1, 1, "pixel values from -1"),
        (-124, 151, "pixel values from -1"),
    ],
    ids=["0 to 255", "0 to 1", "-1 to 1", "mean removed"],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_scaled_by_their_range(low, high, said, channels):
    share = np.random.default_rng(0).uniform(0, 1, (2, 5, 7, channels))
    share[0, 0, 0], share[0, 0, 1] = 0, 1
    shown, words = display_images(low + share * (high - low))
    np.testing.assert_allclose(shown, np.broadcast_to(share, (2, 5, 7, 3)), atol=1e-6)
    assert words.startswith(said)
    assert bool(words) == bool(said)
    figure = made(noise(2, 5, 7, channels), images=low + share * (high - low)).plot()
    assert any(said in text for text in texts(figure))


@pytest.mark.parametrize("shape", [(2, 9, 30, 1), (1, 40, 8, 3), (1, 1, 1, 1), (1, 7, 7, 5)], ids=str)
def test_any_shape_is_drawn(shape):
    found = made(noise(*shape), images=np.random.default_rng(0).uniform(0, 255, shape))
    assert pixels(found.plot()).std() > 0.05


def test_for_a_notebook():
    file = io.BytesIO(made(noise(1, 8, 8, 1))._repr_png_())
    assert matplotlib.image.imread(file).ndim == 3


def occluded(found, grid, labels=None, classes=True):
    """An `Occlusion` with made-up answers."""
    rng = np.random.default_rng(0)
    rows, columns = grid
    several = (len(found), rows, columns)
    answers = {
        "score_maps": rng.uniform(1, 2, several),
        "probability": rng.uniform(0, 1, several) if classes else None,
        "predicted": (np.arange(rows * columns).reshape(1, rows, columns) % 11).repeat(len(found), 0)
        if classes
        else None,
        "strongest": rng.uniform(0, 9, several),
    }
    answers["score_maps"][:, 1, 2] = 0
    where = {"rows": 4.5 + 5 * np.arange(rows), "columns": 4.5 + 5 * np.arange(columns)}
    fields = {**vars(found), "class_names": labels, "classes": found.classes if classes else None}
    return Occlusion(
        **fields,
        **answers,
        **where,
        layer="conv",
        channels=(2,) * len(found),
        patch=(10, 10),
        stride=(5, 5),
        fill=(127.5,),
    )


def test_occlusion_is_drawn_to_scale_and_on_axes_of_its_centers():
    figure = occluded(made(noise(1, 30, 40, 1)), (5, 7)).plot()
    (first, *_) = figure.axes
    patch = first.patches[0]
    assert (patch.get_x() + 0.5, patch.get_y() + 0.5, patch.get_width(), patch.get_height()) == (10, 5, 10, 10)
    np.testing.assert_allclose(patch.get_facecolor()[:3], 0.5)
    probability = axes_titled(figure, "p(class 3)")[0]
    assert probability.images[0].get_extent() == [2, 37, 27, 2]
    assert probability.images[0].get_clim() == (0, 1)
    assert any("patch of 10×10 px filled with 127.5, every 5×5 px" in text for text in texts(figure))


def test_classes_have_names_and_colors_of_their_own():
    labels = tuple("abcdefghijk")
    axis = axes_titled(occluded(made(noise(1, 30, 40, 1)), (5, 7), labels).plot(), "most probable class")[0]
    said = [text.get_text() for text in axis.get_legend().get_texts()]
    assert said[0] == f"d, {np.mean(np.arange(35) % 11 == 3):.0%}"
    assert said[-1].startswith("4 other classes")
    colors = [handle.get_facecolor()[:3] for handle in axis.get_legend().legend_handles]
    np.testing.assert_allclose(colors, [to_rgb(color) for color in (*CLASSES[:7], OTHER)])


def test_occlusion_of_any_score_has_no_classes():
    figure = occluded(made(noise(6, 30, 40, 1)), (5, 7), classes=False).plot()
    assert len(axes_titled(figure, "logit 3")) == 5
    assert not axes_titled(figure, "most probable class")
    assert any("5 of 6 images" in text for text in texts(figure))


def units(each, of, size=(12, 16)):
    """An `Attribution` from units."""
    found = made(noise(len(each), *size, 3), rule="deconvnet")
    boxes = np.array([[-2, 3, 4, 9]] * len(each))
    found.metadata.update(layer="conv", units=np.array(each), of=np.array(of), boxes=boxes)
    return found


def test_patches_are_cropped_to_the_receptive_field():
    image = np.random.default_rng(0).uniform(size=(12, 16, 3))
    part = crop_box(image, (-2, 3, 4, 9))
    assert part.shape == (6, 6, 3)
    np.testing.assert_array_equal(part[:2], 0.5)
    np.testing.assert_array_equal(part[2:], image[:4, 3:9])
    np.testing.assert_array_equal(crop_box(image, (20, 20, 22, 22)), 0.5)


def test_a_units_images_are_a_block_the_strongest_first():
    found = units([7, 2, 7, 2, 7, 2], [0, 0, 1, 1, 2, 2])
    assert [rows.tolist() for rows in unit_groups(found)] == [[4, 2, 0], [5, 3, 1]]
    figure = found.plot()
    assert len(axes_titled(figure, "unit 7")) == len(axes_titled(figure, "unit 2")) == 1


def test_units_are_drawn_next_to_their_image():
    found = units([7, 2, 2, 5], [0, 0, 1, 1])
    figure = found.plot()
    assert len(axes_titled(figure, "image")) == 4
    assert len(axes_titled(figure, "unit 2")) == 2
    assert "photo3.jpg" in texts(figure)


def test_a_mosaic_keeps_its_tiles():
    tiles = list(np.random.default_rng(0).uniform(size=(5, 6, 4, 3)))
    whole = tile_patches(tiles, 3)
    np.testing.assert_array_equal(whole[:6, :4], tiles[0])
    np.testing.assert_array_equal(whole[-6:, :4], tiles[3])
    assert whole.shape == (6 + 2 + 6, 3 * 4 + 2 * 2, 3)


def test_drawing_needs_no_pyplot(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    for found in (made(noise(1, 8, 8, 1)), units([1], [0]), occluded(made(noise(1, 30, 40, 1)), (5, 7))):
        found.plot()
