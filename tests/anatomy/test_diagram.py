"""What the drawings say: read back from the SVG, and from the structure that they are drawn from."""

import re
import time
import xml.etree.ElementTree as ET

import keras
import pytest
from keras import layers

from kerascnn.anatomy import diagram
from kerascnn.anatomy.blocks import Block, Parallel, Repeat, SideBranch, Tangle, fold_structure
from kerascnn.anatomy.diagram import break_into_rows, text_width
from kerascnn.graph.walk import build_graph
from kerascnn.zoo.layers import weightless

SVG = "{http://www.w3.org/2000/svg}"


def blank(name):
    with weightless():
        return getattr(keras.applications, name)(weights=None)


def texts(drawing):
    return [element.text for element in ET.fromstring(drawing.svg).iter(f"{SVG}text")]


def counts(pieces):
    """The counts of repeats on the main line."""
    return [piece.count for piece in pieces if isinstance(piece, Repeat)]


def small():
    return keras.Sequential([keras.Input((28, 28, 1)), layers.Conv2D(6, 5), layers.Flatten(), layers.Dense(10)])


def nested():
    inner = keras.Sequential([keras.Input((28, 28, 1)), layers.Conv2D(6, 5)], name="inner")
    return keras.Sequential([keras.Input((28, 28, 1)), inner, layers.GlobalAveragePooling2D()], name="a<b&c")


def two_ended():
    image, extra = keras.Input((32, 32, 3)), keras.Input((4,))
    x = layers.Conv2D(8, 3)(image)
    early = layers.Dense(2, name="early")(layers.GlobalAveragePooling2D()(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3)(x))
    return keras.Model([image, extra], [early, layers.Dense(2)(layers.Concatenate()([x, extra]))])


def crossed():
    """Two streams that exchange maps: neither chain nor branches."""
    image = keras.Input((8, 8, 4))
    a, b = layers.Conv2D(4, 1)(image), layers.Conv2D(4, 3, padding="same")(image)
    c, d = layers.Add()([a, b]), layers.Multiply()([a, b])
    return keras.Model(image, layers.Concatenate()([layers.Conv2D(4, 1)(c), layers.Conv2D(4, 1)(d), a]))


def perceptron():
    return keras.Sequential([keras.Input((784,)), layers.Dense(30, activation="relu"), layers.Dense(10)])


def open_size():
    return keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(8, 3), layers.GlobalMaxPooling2D()])


MODELS = {
    **{name: (lambda name=name: blank(name)) for name in ("VGG16", "ResNet152", "InceptionV3", "NASNetMobile")},
    **{build.__name__: build for build in (small, nested, two_ended, crossed, perceptron, open_size)},
}


def test_drawing_a_deep_network_takes_less_time_than_building_its_outline():
    start = time.perf_counter()
    model = blank("ResNet152")
    built = time.perf_counter()
    diagram(model)
    assert time.perf_counter() - built < built - start


@pytest.mark.parametrize("name", MODELS)
def test_drawings_are_well_formed_and_page_sized(name):
    drawing = diagram(MODELS[name]())
    root = ET.fromstring(drawing.svg)
    width, height = float(root.get("width")), float(root.get("height"))
    assert 300 < width < 1500
    assert 150 < height < 5000
    for element in root.iter(f"{SVG}rect"):
        if element.get("x"):
            left, top = float(element.get("x")), float(element.get("y"))
            assert left >= 0
            assert top >= 0
            assert left + float(element.get("width")) <= width
            assert top + float(element.get("height")) <= height
    assert min(float(size) for size in re.findall(r"font-size:(\d+)px", drawing.svg)) >= 12


@pytest.mark.parametrize("name", ["VGG16", "ResNet152", "InceptionV3", "two_ended", "crossed"])
def test_boxes_and_words_do_not_overlap(name):
    for line in break_into_rows(fold_structure(build_graph(MODELS[name]())), 1150):
        spots = []
        for mark in line.marks:
            if mark.kind == "rect":
                x, y, width, height = mark.at
                spots.append((x, y, x + width, y + height))
            elif mark.kind == "text" and mark.style == "shape":
                (x, y), half = mark.at, text_width(mark.text) / 2
                spots.append((x - half, y - 5, x + half, y + 6))
        for i, a in enumerate(spots):
            for b in spots[i + 1 :]:
                apart = a[2] <= b[0] + 1 or b[2] <= a[0] + 1 or a[3] <= b[1] + 1 or b[3] <= a[1] + 1
                assert apart, f"{a} and {b} overlap"


def test_vgg_diagram_labels():
    words = texts(diagram(blank("VGG16")))
    assert words.count("3x3, 512") == 6
    assert words.count("max pool /2") == 5
    assert {"28x28x512", "138.4 M parameters, 15.47 G multiply-adds", "vgg16"} <= set(words)


def test_residual_blocks_fold_by_structure():
    """ResNet-152 has stages of 3, 8, 36 and 3 blocks; the first of each has a projection."""
    pieces = fold_structure(build_graph(blank("ResNet152")))
    assert counts(pieces) == [2, 7, 35, 2]
    repeat = next(piece for piece in pieces if isinstance(piece, Repeat))
    (block,) = repeat.chain
    assert block.skip
    assert len(block.branches) == 1
    assert block.join.lines == ("+",)
    first = next(piece for piece in pieces if isinstance(piece, Parallel))
    assert sorted(map(len, first.branches)) == [1, 3]
    assert not first.skip


def test_growing_dense_blocks_are_folded():
    assert counts(fold_structure(build_graph(blank("DenseNet121")))) == [6, 12, 24, 16]


def test_growing_slices_are_folded():
    """Dual paths: one part of each block's output is added, the rest is appended."""
    image = x = keras.Input((8, 8, 8))
    for _ in range(3):
        y = layers.Conv2D(12, 3, padding="same")(x)
        x = layers.Concatenate()([layers.Add()([x[..., :8], y[..., :8]]), x[..., 8:], y[..., 8:]])
    assert counts(fold_structure(build_graph(keras.Model(image, x)))) == [3]


def test_inception_modules_are_stacked_branches():
    modules = [piece for piece in fold_structure(build_graph(blank("InceptionV3"))) if isinstance(piece, Parallel)]
    assert [len(module.branches) for module in modules][:2] == [4, 3]
    assert all(module.join.lines == ("concat",) for module in modules)


def test_norm_and_activation_join_their_convolution():
    image = keras.Input((8, 8, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(64, 3)(image)))
    x = layers.Conv2D(8, 1)(layers.ReLU()(layers.BatchNormalization()(layers.Add()([x, x]))))
    first, second, addition, last = fold_structure(build_graph(keras.Model(image, layers.Softmax()(x))))
    assert (first.lines, second.lines, last.lines) == (("input",), ("conv", "3x3, 64"), ("conv", "1x1, 8"))
    assert [node.kind for node in second.nodes] == ["Conv2D", "BatchNormalization", "ReLU"]
    assert [node.kind for node in addition.nodes] == ["Add", "BatchNormalization", "ReLU"]
    assert [node.kind for node in last.nodes] == ["Conv2D", "Softmax"]


def test_several_outputs_and_inputs():
    pieces = fold_structure(build_graph(two_ended()))
    (fork,) = (piece for piece in pieces if isinstance(piece, Parallel))
    assert [branch[0].lines for branch in fork.branches] == [("input",)] * 2
    sides = [piece for branch in fork.branches for piece in branch if isinstance(piece, SideBranch)]
    assert sides
    assert isinstance(sides[0].chain[-1], Block)
    assert sides[0].chain[-1].core.name == "early"


def test_dense_graphs_are_drawn_without_links():
    pieces = fold_structure(build_graph(crossed()))
    assert any(isinstance(piece, Tangle) for piece in pieces)
    assert "without connections" in diagram(blank("NASNetMobile")).svg


def test_saving_and_notebooks(tmp_path):
    drawing = diagram(nested())
    path = drawing.save(tmp_path / "nested.svg")
    assert ET.parse(path).getroot().tag == f"{SVG}svg"
    assert drawing._repr_svg_() == drawing.svg == drawing._repr_mimebundle_()["image/svg+xml"]
    with pytest.raises(ValueError, match=r"`path` should end in \.svg"):
        drawing.save(tmp_path / "nested.png")
