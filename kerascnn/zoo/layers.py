"""What several families share: units of convolution, norm and ReLU, and the layers that Keras lacks."""

import sys
from contextlib import contextmanager
from typing import NamedTuple

import keras
from keras import layers, ops
from keras.src.backend.common import global_state

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
    """Batch normalization with torch's defaults (Keras: epsilon 1e-3, momentum 0.99)."""
    return layers.BatchNormalization(epsilon=epsilon, momentum=momentum, scale=scale, name=name)(x)


def relu(x, name):
    return layers.ReLU(name=name)(x)


def conv_relu(x, filters, size=1, stride=1, *, pad=None, name, out=None):
    """convolution with bias, ReLU: how networks were written before batch normalization."""
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


class Settled(layers.Layer):
    """A layer whose ``settings`` are its arguments, and attributes; each pixel is taken by itself, shapes stay."""

    reach = "pointwise"
    settings = ()

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return {**super().get_config(), **{name: getattr(self, name) for name in self.settings}}


@serializable
class Scale(Settled):
    """Pixels 0..255 RGB to what the weights expect: (x - mean) / std, channels reversed first where ``bgr``.

    An input that does not have three channels gets the average of mean and std. ``source`` names the weights that were
    loaded behind it ("torchvision/v2"), so that a saved model still says how its photos should be cut.
    """

    settings = ("mean", "std", "bgr", "source")

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


def average(value):
    return sum(value) / len(value) if isinstance(value, list | tuple) else value


@serializable
class LocalResponseNorm(Settled):
    """x / (bias + alpha * sum of x^2 over 2 radius + 1 neighboring channels) ^ beta (Krizhevsky et al. 2012).

    The paper does not divide alpha by the number of channels, Caffe and torch do.
    """

    settings = ("radius", "bias", "alpha", "beta")

    def __init__(self, radius=2, bias=2.0, alpha=1e-4, beta=0.75, **kwargs):
        super().__init__(**kwargs)
        self.radius, self.bias, self.alpha, self.beta = radius, bias, alpha, beta

    def call(self, x):
        channels = x.shape[-1]
        squares = ops.square(ops.cast(x, keras.backend.result_type(x.dtype, "float32")))
        padded = ops.pad(squares, [(0, 0)] * (len(x.shape) - 1) + [(self.radius, self.radius)])
        around = sum(padded[..., i : i + channels] for i in range(2 * self.radius + 1))
        return x * ops.cast((self.bias + self.alpha * around) ** -self.beta, x.dtype)


@serializable
class PadChannels(Settled):
    """Zeros appended until there are ``filters`` channels: He et al. 2015's shortcut without parameters, option A."""

    settings = ("filters",)

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


class Random(Settled):
    """A layer with a seed of its own, whose state is saved but is no weight."""

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.coin = keras.random.SeedGenerator(seed)

    def survivors(self, shape, rate):
        """True with probability 1 - ``rate``."""
        return keras.random.uniform(shape, seed=self.coin) >= rate


@serializable
class DropPath(Random):
    """A branch that vanishes with probability ``rate`` while training and counts (1 - ``rate``) afterwards.

    Huang et al. 2016. Each image of a batch draws for itself.
    """

    settings = ("seed", "rate")

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate <= 1:
            raise ValueError(f"`rate` should be a probability, 0 to 1. Received: {rate!r}")
        self.rate = rate

    def call(self, x, training=False):
        if not training:
            return x * (1 - self.rate)
        kept = self.survivors((ops.shape(x)[0],) + (1,) * (len(x.shape) - 1), self.rate)
        return ops.where(kept, x, ops.zeros_like(x))


@serializable
class DrawColumn(Random):
    """For each image the one column of a fractal net that it trains, 1 (shallow) to ``columns``, or 0 for all.

    Larsson et al. 2016: a share ``whole`` of the images keeps one column throughout the network, the others drop paths
    at every join by themselves.
    """

    reach = "none"  # only the number of images matters, not what they show
    settings = ("seed", "columns", "whole")

    def __init__(self, columns, whole=0.5, **kwargs):
        super().__init__(**kwargs)
        self.columns, self.whole = columns, whole

    def call(self, x, training=False):
        batch = (ops.shape(x)[0],)
        if not training:
            return ops.zeros(batch, "int32")
        column = keras.random.randint(batch, 1, self.columns + 1, seed=self.coin)
        return ops.where(self.survivors(batch, self.whole), ops.zeros_like(column), column)

    def compute_output_spec(self, x, training=False):
        return keras.KerasTensor(x.shape[:1], "int32")


@serializable
class Join(Random):
    """The mean of the paths that survive: fractal join with drop-path (Larsson et al. 2016).

    Takes (N,) drawn columns and the maps of the deepest paths out of ``columns``. Where a column is drawn and ends
    here, only its path counts; elsewhere each path is dropped with probability ``rate``, never all of them.
    """

    settings = ("seed", "rate", "columns")

    def __init__(self, rate, columns, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.columns = rate, columns

    def call(self, inputs, training=False):
        drawn, *paths = inputs
        if not training:
            return sum(paths) / len(paths)
        kept = ops.cast(self.shares(drawn, len(paths)), paths[0].dtype)
        shape = (-1,) + (1,) * (len(paths[0].shape) - 1)
        total = sum(path * ops.reshape(kept[:, i], shape) for i, path in enumerate(paths))
        return total / ops.reshape(ops.sum(kept, 1), shape)

    def shares(self, drawn, count):
        """(N, count) of 0 and 1, at least a 1 in each row."""
        chance = keras.random.uniform((ops.shape(drawn)[0], count), seed=self.coin)
        # the luckiest path survives in any case
        local = (chance >= self.rate) | (chance >= ops.max(chance, 1, keepdims=True))
        chosen = ops.expand_dims(drawn, 1) == self.columns - count + 1 + ops.arange(count, dtype="int32")
        return ops.where(ops.any(chosen, 1, keepdims=True), chosen, local)

    def compute_output_shape(self, shapes):
        return shapes[1]


def logits(x, classes, name="logits"):
    """The scores of the classes."""
    return layers.Dense(classes, dtype=full_precision(), name=name)(x)


def full_precision():
    """The type of scores and probabilities: float32 where the policy computes in 16 bits."""
    policy = keras.config.dtype_policy()
    return "float32" if policy.compute_dtype in ("float16", "bfloat16") else policy


def pooled(x, classes, *, dropout=0.0):
    """Global average pooling and one dense layer (Lin et al. 2013; He et al. 2015)."""
    x = layers.GlobalAveragePooling2D(name="features")(x)
    if dropout:
        x = layers.Dropout(dropout, name="features_dropout")(x)
    return logits(x, classes)


def dense(x, classes, *, units=(4096, 4096), dropout=0.5, early=False, act=relu):
    """Fully connected layers (LeCun et al. 1998); dropout after each, or where ``early`` before."""
    x = layers.Flatten(name="flatten" if units else "features")(x)
    for i, width in enumerate(units, start=1):
        if early and dropout:
            x = layers.Dropout(dropout, name=f"fc{i}_dropout")(x)
        x = layers.Dense(width, kernel_initializer="he_normal", name=f"fc{i}")(x)
        x = act(x, name="features" if i == len(units) else f"fc{i}_{act.__name__}")
        if dropout and not early:
            x = layers.Dropout(dropout, name=f"fc{i}_dropout")(x)
    return logits(x, classes)


def conv_pooled(x, classes, *, dropout=0.0, pad=0):
    """One map a class, ReLU, and its average (Lin et al. 2013; Iandola et al. 2016)."""
    x = layers.Dropout(dropout, name="features")(x)
    x = relu(conv(x, classes, bias=True, pad=pad, name="logits_conv"), "logits_relu")
    return layers.GlobalAveragePooling2D(dtype=full_precision(), name="logits")(x)


WAITING = "uninitialized_variables"


@contextmanager
def weightless():
    """Variables made here never get memory.

    Keras remembers them as waiting and would allocate them all when it next traces a layer; so they are taken off its
    list, for which there is no public way.
    """
    waiting = list(global_state.get_global_attribute(WAITING) or ())
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(WAITING, waiting)
