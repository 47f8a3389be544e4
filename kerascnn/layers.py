"""What several families share: units of convolution, norm and ReLU, and the layers that Keras lacks."""

import sys
from typing import NamedTuple

import keras
from keras import layers, ops

# Keras walks a graph by recursion, and ResNet-1202 is 4,000 layers deep; here, so that loading a file raises it too
sys.setrecursionlimit(max(sys.getrecursionlimit(), 20_000))
serializable = keras.saving.register_keras_serializable("kerascnn")

IMAGENET_BGR = (103.939, 116.779, 123.68)
SCALES = {  # pixels 0..255 RGB -> what the weights expect
    "raw": {},
    "unit": {"std": 255.0},
    "tf": {"mean": 127.5, "std": 127.5},
    "torch": {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)},
    "mean": {"mean": IMAGENET_BGR[::-1]},
    "features": {"mean": (123.0, 117.0, 104.0)},
    "caffe": {"mean": IMAGENET_BGR, "bgr": True},
    "caffe_round": {"mean": (104.0, 117.0, 123.0), "bgr": True},
    "dpn": {"mean": (124.0, 117.0, 104.0), "std": 1 / 0.0167},
    "cifar": {"mean": (125.3, 123.0, 113.9), "std": (63.0, 62.1, 66.7)},
}
PLAIN = {"mean": 0.0, "std": 1.0, "bgr": False}


class Conv(NamedTuple):
    """One convolution as data: what ``conv`` takes after its input."""

    filters: int
    size: int | tuple = 1
    stride: int = 1
    groups: int = 1
    bias: bool = False
    pad: int | None = None


def staged(**lists):
    """(1, values), (2, values) ...: the lists stage by stage."""
    if len({len(values) for values in lists.values()}) > 1:
        given = ", ".join(f"{key}={tuple(values)}" for key, values in lists.items())
        raise ValueError(
            f"{' and '.join(f'`{key}`' for key in lists)} should have one value a stage. Received: {given}"
        )
    return enumerate(zip(*lists.values(), strict=True), start=1)


def conv(x, filters, size=1, stride=1, groups=1, bias=False, pad=None, *, name):
    """A convolution padded as in Caffe and torch: ``pad`` pixels on each side, half of the kernel by default.

    A strided 'same' convolution would pad more at the bottom right and look at other pixels than the weights expect.
    """
    size = (size, size) if isinstance(size, int) else tuple(size)
    half = tuple(side // 2 for side in size)
    margin = half if pad is None else (pad, pad)
    same = margin == half and (stride == 1 or half == (0, 0))
    if not same and any(margin):
        x = layers.ZeroPadding2D(margin, name=f"{name}_pad")(x)
    return layers.Conv2D(
        filters,
        size,
        stride,
        padding="same" if same else "valid",
        groups=groups,
        use_bias=bias,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def norm(x, *, epsilon=1e-5, momentum=0.9, scale=True, name):
    """Batch normalisation with torch's defaults (Keras: epsilon 1e-3, momentum 0.99)."""
    return layers.BatchNormalization(epsilon=epsilon, momentum=momentum, scale=scale, name=name)(x)


def relu(x, name):
    return layers.ReLU(name=name)(x)


def conv_relu(x, filters, size=1, stride=1, *, pad=None, name, out=None):
    """convolution with bias, ReLU: how networks were written before batch normalisation."""
    return relu(conv(x, filters, size, stride, bias=True, pad=pad, name=name), out or f"{name}_relu")


def conv_norm_relu(x, filters, size=1, stride=1, *, pad=None, bias=False, norm=norm, name, out=None):
    """convolution, norm, ReLU."""
    x = conv(x, filters, size, stride, bias=bias, pad=pad, name=name)
    return relu(norm(x, name=f"{name}_norm"), out or f"{name}_relu")


def norm_relu(x, *, name, norm=norm):
    """norm, ReLU: the first half of a pre-activated unit."""
    return relu(norm(x, name=f"{name}_norm"), f"{name}_relu")


def max_pool(x, size=3, stride=2, *, pad=0, ceil=False, signed=False, name):
    """Max-pooling padded as in Caffe and torch; ``ceil`` rounds the output size up.

    One more row at the bottom right makes floor((n + s - 1 - k) / s) equal ceil((n - k) / s) for every n, so the input
    size may stay unknown. Zeros do as padding after a ReLU; ``signed`` maps need minus infinity.
    """
    margin = (pad, pad + (stride - 1 if ceil else 0))
    if any(margin):
        padding = InfinityPadding2D if signed else layers.ZeroPadding2D
        x = padding((margin, margin), name=f"{name}_pad")(x)
    return layers.MaxPooling2D(size, stride, name=name)(x)


@serializable
class InfinityPadding2D(layers.ZeroPadding2D):
    """Padding that a maximum never chooses."""

    def call(self, inputs):
        return ops.pad(inputs, ((0, 0), *self.padding, (0, 0)), constant_values=float("-inf"))


@serializable
class Scale(layers.Layer):
    """Pixels 0..255 RGB to what the weights expect: (x - mean) / std, channels reversed first where ``bgr``.

    An input that does not have three channels gets the average of mean and std. ``source`` names the weights that were
    loaded behind it ("torchvision/v2"), so that a saved model still says how its photos should be cut.
    """

    reach = "pointwise"

    def __init__(self, mean=0.0, std=1.0, bgr=False, source="", **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.mean, self.std, self.bgr, self.source = mean, std, bgr, source

    def like(self, scale):
        """Whether it scales as one of ``SCALES`` does."""
        own = {key: getattr(self, key) for key in PLAIN}
        own = {key: tuple(value) if isinstance(value, list) else value for key, value in own.items()}
        return own == PLAIN | SCALES[scale]

    def become(self, scale, source):
        """Scale as one of ``SCALES`` does; only before the layer is first called in earnest."""
        for key, value in (PLAIN | SCALES[scale]).items():
            setattr(self, key, value)
        self.source = source

    def call(self, x):
        # in float32 also under mixed precision: 255 in steps of 1/8 is all that float16 has
        x = ops.cast(x, "float32")
        rgb = x.shape[-1] == 3
        mean, std = (ops.convert_to_tensor(v if rgb else average(v), "float32") for v in (self.mean, self.std))
        x = ops.flip(x, -1) if self.bgr and rgb else x
        return ops.cast((x - mean) / std, self.compute_dtype)

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        own = {"mean": self.mean, "std": self.std, "bgr": self.bgr, "source": self.source}
        return {**super().get_config(), **own}


def average(value):
    return sum(value) / len(value) if isinstance(value, list | tuple) else value


@serializable
class LocalResponseNorm(layers.Layer):
    """x / (bias + alpha * sum of x^2 over 2 radius + 1 neighbouring channels) ^ beta (Krizhevsky et al. 2012).

    The paper does not divide alpha by the number of channels, Caffe and torch do.
    """

    reach = "pointwise"

    def __init__(self, radius=2, bias=2.0, alpha=1e-4, beta=0.75, **kwargs):
        super().__init__(**kwargs)
        self.radius, self.bias, self.alpha, self.beta = radius, bias, alpha, beta

    def call(self, x):
        channels = x.shape[-1]
        squares = ops.square(ops.cast(x, keras.backend.result_type(x.dtype, "float32")))
        padded = ops.pad(squares, [(0, 0)] * (len(x.shape) - 1) + [(self.radius, self.radius)])
        around = sum(padded[..., i : i + channels] for i in range(2 * self.radius + 1))
        return x * ops.cast((self.bias + self.alpha * around) ** -self.beta, x.dtype)

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        own = {"radius": self.radius, "bias": self.bias, "alpha": self.alpha, "beta": self.beta}
        return {**super().get_config(), **own}


@serializable
class PadChannels(layers.Layer):
    """Zeros appended until there are ``filters`` channels: He et al. 2015's shortcut without parameters, option A."""

    reach = "pointwise"

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, shape):
        if shape[-1] > self.filters:
            raise ValueError(
                f"`filters` should be at least the {shape[-1]} channels there are. Received: {self.filters}"
            )

    def call(self, x):
        return ops.pad(x, [(0, 0)] * (len(x.shape) - 1) + [(0, self.filters - x.shape[-1])])

    def compute_output_shape(self, shape):
        return (*shape[:-1], self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}
