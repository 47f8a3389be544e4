"""The same weights in keras.applications and here give the same scores."""

import keras
import numpy as np
import pytest
from networks import vary

from kerascnn import build_model, features
from kerascnn.weights.twins import by_connection

pytestmark = pytest.mark.usefixtures("forgotten")

TWINS = {  # ours -> theirs, and an odd size that both take
    "vgg16": ("VGG16", 77),
    "vgg19": ("VGG19", 77),
    "resnet50_keras": ("ResNet50", 97),
    "resnet101_keras": ("ResNet101", 97),
    "resnet152_keras": ("ResNet152", 97),
    "resnet50v2_keras": ("ResNet50V2", 97),
    "resnet101v2_keras": ("ResNet101V2", 97),
    "resnet152v2_keras": ("ResNet152V2", 97),
    "inception_v3_keras": ("InceptionV3", 139),
    "inception_resnet_v2_keras": ("InceptionResNetV2", 139),
    "densenet121": ("DenseNet121", 97),
    "densenet169": ("DenseNet169", 97),
    "densenet201": ("DenseNet201", 97),
}
QUICK = ("resnet50_keras", "resnet50v2_keras", "densenet121")
PUBLISHED = (*QUICK, "vgg16", "inception_v3_keras")  # deeper ones of a family differ in numbers, not in what sizes do


def copy(ours, theirs):
    """Their weights into our layers, matched by the order of connections."""
    pairs = list(zip(by_connection(ours), by_connection(theirs), strict=True))
    for mine, other in pairs:
        mine.set_weights(other.get_weights())
    return pairs


def cases():
    for name, (theirs, side) in TWINS.items():
        for size in (None, side) if name in PUBLISHED else (side,):
            marks = () if name in QUICK and size else (pytest.mark.slow,)
            yield pytest.param(name, theirs, size, marks=marks, id=f"{name}-{size or 'default'}")


@pytest.mark.parametrize(("name", "theirs", "side"), cases())
def test_twin(name, theirs, side, rng):
    shape = (side, side, 3) if side else None
    ours = build_model(name, input_shape=shape, scale="raw")
    size = {"input_shape": shape} if side else {}
    twin = getattr(keras.applications, theirs)(weights=None, classifier_activation=None, **size)
    assert twin.input_shape == ours.input_shape
    vary(twin, rng)
    copy(ours, twin)
    x = rng.normal(size=(2, *ours.input_shape[1:])).astype("float32")
    expected = np.array(twin(x))
    found = np.array(features(ours, "logits")(x))
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    assert expected.std() > 1e-3, "scores that do not depend on the image would prove nothing"


def test_all_thirteen_are_here():
    assert len(TWINS) == 13
