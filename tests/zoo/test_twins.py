"""The same weights in keras.applications and here give the same scores; deeper networks are drawn alike."""

import keras
import numpy as np
import pytest
from networks import vary

from kerascnn import build_model, features, outline
from kerascnn.weights.names import keras_application, layers_by_connection

pytestmark = pytest.mark.usefixtures("forgotten")

TWINS = {  # ours -> theirs, and an odd size that both take; one of each family
    "vgg16": ("VGG16", 77),
    "resnet50_keras": ("ResNet50", 97),
    "resnet50v2_keras": ("ResNet50V2", 97),
    "inception_v3_keras": ("InceptionV3", 139),
    "inception_resnet_v2_keras": ("InceptionResNetV2", 139),
    "densenet121": ("DenseNet121", 97),
}
QUICK = ("resnet50_keras", "resnet50v2_keras", "densenet121")
DEEPER = {  # theirs with the same functions: other numbers of blocks
    "vgg19": "vgg16",
    "resnet101_keras": "resnet50_keras",
    "resnet152_keras": "resnet50_keras",
    "resnet101v2_keras": "resnet50v2_keras",
    "resnet152v2_keras": "resnet50v2_keras",
    "densenet169": "densenet121",
    "densenet201": "densenet121",
}


def copy(ours, theirs):
    """Their weights into our layers, matched by the order of connections."""
    pairs = list(zip(layers_by_connection(ours), layers_by_connection(theirs), strict=True))
    for mine, other in pairs:
        mine.set_weights(other.get_weights())
    return pairs


def cases():
    for name, (theirs, side) in TWINS.items():
        for size in (side,) if name == "inception_resnet_v2_keras" else (None, side):
            marks = () if name in QUICK and size else (pytest.mark.nightly,)
            yield pytest.param(name, theirs, size, marks=marks, id=f"{name}-{size or 'default'}")


@pytest.mark.parametrize(("name", "theirs", "side"), cases())
def test_twin(name, theirs, side, rng):
    shape = (side, side, 3) if side else None
    ours = build_model(name, input_shape=shape, scale="raw")
    size = {"input_shape": shape} if side else {}
    model = getattr(keras.applications, theirs)(weights=None, classifier_activation=None, **size)
    assert model.input_shape == ours.input_shape
    vary(model, rng)
    copy(ours, model)
    x = rng.normal(size=(2, *ours.input_shape[1:])).astype("float32")
    expected = np.array(model(x))
    found = np.array(features(ours, "logits")(x))
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    assert expected.std() > 1e-3, "scores that do not depend on the image would prove nothing"


def drawn(model):
    """Each layer with weights: what it is, its maps, and the layers with weights that it reads."""
    layers = layers_by_connection(model)
    place = {id(layer): i for i, layer in enumerate(layers)}

    def read(layer):
        before = [parent.operation for node in layer._inbound_nodes for parent in node.parent_nodes]
        return sorted({i for each in before for i in ([place[id(each)]] if id(each) in place else read(each))})

    told = ("strides", "kernel_size", "dilation_rate", "groups", "use_bias", "units")
    return [
        (
            type(layer).__name__,
            *(getattr(layer, name, None) for name in told),
            round(getattr(layer, "epsilon", 0), 7),  # theirs may be 1.001e-5
            layer.output.shape,
            read(layer),
        )
        for layer in layers
    ]


@pytest.mark.parametrize("name", DEEPER)
def test_deeper_networks_have_the_same_layers(name):
    """Layer by layer, without weights; that such layers give the same scores is shown on the first of the family."""
    ours, theirs = outline(name), keras_application(name)
    assert drawn(ours) == drawn(theirs)
    assert ours.count_params() == theirs.count_params()


def test_comparison_detects_other_connections():
    """A block that reads another one's maps of the same shape is not drawn alike."""
    plain, residual = outline("plain20_cifar10"), outline("resnet20_cifar10")
    assert [row[:-1] for row in drawn(plain)] == [row[:-1] for row in drawn(residual)]
    assert drawn(plain) != drawn(residual)


def test_all_thirteen_twins_exist():
    assert len({*TWINS, *DEEPER}) == 13
