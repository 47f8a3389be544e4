"""Building blocks of several families: convolution with norm and ReLU, heads, and layers that Keras lacks."""

import sys
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
from keras import layers, ops
from keras.src.backend.common import global_state

# Keras walks a graph by recursion, and ResNet-1202 is 4,000 layers deep; here, so that loading a file raises it too
sys.setrecursionlimit(max(sys.getrecursionlimit(), 20_000))
serializable = keras.saving.register_keras_serializable("kerascnn")

IMAGENET_BGR = (103.939, 116.779, 123.68)
SCALES: dict[str, dict[str, Any]] = {  # preprocessing: arguments of `Scale` for pixels 0..255 RGB
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
NO_SCALING = {"mean": 0.0, "std": 1.0, "bgr": False}


class Conv(NamedTuple):
    """The arguments of `conv` after its input."""

    filters: int
    size: int | tuple = 1
    stride: int = 1
    groups: int = 1
    bias: bool = False
    pad: int | None = None


def enumerate_stages(**lists):
    """(stage, values) for each stage, counted from 1, of lists with one value per stage."""
    if len({len(values) for values in lists.values()}) > 1:
        received = ", ".join(f"{key}={tuple(values)}" for key, values in lists.items())
        raise ValueError(
            f"{' and '.join(f'`{key}`' for key in lists)} should have one value per stage. Received: {received}"
        )
    return enumerate(zip(*lists.values(), strict=True), start=1)


def conv(x, filters, size=1, stride=1, groups=1, bias=False, pad=None, *, name):
    """A convolution padded as in Caffe and PyTorch: ``pad`` pixels on each side, half of the kernel by default.

    A strided 'same' convolution of Keras pads more at the bottom right, which shifts the maps by a pixel.
    """
    size = (size, size) if isinstance(size, int) else tuple(size)
    half = tuple(side // 2 for side in size)
    margin = half if pad is None else (pad, pad)
    is_same_padding = margin == half and (stride == 1 or half == (0, 0))
    if not is_same_padding and any(margin):
        x = layers.ZeroPadding2D(margin, name=f"{name}_pad")(x)
    return layers.Conv2D(
        filters,
        size,
        stride,
        padding="same" if is_same_padding else "valid",
        groups=groups,
        use_bias=bias,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def batch_norm(x, *, epsilon=1e-5, momentum=0.9, scale=True, name):
    """Batch normalization with PyTorch's defaults (Keras: epsilon 1e-3, momentum 0.99)."""
    return layers.BatchNormalization(epsilon=epsilon, momentum=momentum, scale=scale, name=name)(x)


def relu(x, name):
    return layers.ReLU(name=name)(x)


def conv_relu(x, filters, size=1, stride=1, *, pad=None, name, output_name=None):
    """Convolution with bias, ReLU: as before batch normalization."""
    return relu(conv(x, filters, size, stride, bias=True, pad=pad, name=name), output_name or f"{name}_relu")


def conv_norm_relu(x, filters, size=1, stride=1, *, pad=None, bias=False, norm=batch_norm, name, output_name=None):
    """Convolution, norm, ReLU."""
    x = conv(x, filters, size, stride, bias=bias, pad=pad, name=name)
    return relu(norm(x, name=f"{name}_norm"), output_name or f"{name}_relu")


def batch_norm_relu(x, *, name, norm=batch_norm):
    """Norm, ReLU: the first half of a pre-activation unit."""
    return relu(norm(x, name=f"{name}_norm"), f"{name}_relu")


def max_pool(x, size=3, stride=2, *, pad=0, ceil=False, signed=False, name):
    """Max-pooling padded as in Caffe and PyTorch; ``ceil`` rounds the output size up.

    One more row at the bottom right makes floor((n + s - 1 - k) / s) equal ceil((n - k) / s) for every n, so the input
    size may stay unknown. After a ReLU, zeros pad; ``signed`` maps need minus infinity.
    """
    margin = (pad, pad + (stride - 1 if ceil else 0))
    if any(margin):
        padding = InfinityPadding2D if signed else layers.ZeroPadding2D
        x = padding((margin, margin), name=f"{name}_pad")(x)
    return layers.MaxPooling2D(size, stride, name=name)(x)


@serializable
class InfinityPadding2D(layers.ZeroPadding2D):
    """Pads with minus infinity, which a maximum never selects."""

    def call(self, inputs):
        return ops.pad(inputs, ((0, 0), *self.padding, (0, 0)), constant_values=float("-inf"))


class PointwiseLayer(layers.Layer):
    """A layer that works on each pixel and keeps the shape; ``settings`` names its arguments and attributes."""

    reach = "pointwise"
    settings: tuple[str, ...] = ()

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return {**super().get_config(), **{name: getattr(self, name) for name in self.settings}}


@serializable
class Scale(PointwiseLayer):
    """Preprocess pixels 0..255 RGB: (x - mean) / std, with the channels reversed first if ``bgr``.

    An input without three channels gets the averages of mean and std. ``source`` names the weights of the model
    ("torchvision/v2"), so that a saved model still tells how its photos are resized and cropped.
    """

    settings = ("mean", "std", "bgr", "source")

    def __init__(self, mean=0.0, std=1.0, bgr=False, source="", **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.mean, self.std, self.bgr, self.source = mean, std, bgr, source

    def scales_like(self, scale):
        """Whether its arguments are those of ``SCALES[scale]``."""
        values = {key: getattr(self, key) for key in NO_SCALING}
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        return values == NO_SCALING | SCALES[scale]

    def set_scale(self, scale, source):
        """Take the arguments of ``SCALES[scale]``; only before the model is compiled or traced."""
        for key, value in (NO_SCALING | SCALES[scale]).items():
            setattr(self, key, value)
        self.source = source

    def call(self, x):
        # in float32 even under mixed precision: float16 has steps of 1/8 near 255
        x = ops.cast(x, "float32")
        rgb = x.shape[-1] == 3
        mean, std = (ops.convert_to_tensor(v if rgb else channel_average(v), "float32") for v in (self.mean, self.std))
        x = ops.flip(x, -1) if self.bgr and rgb else x
        return ops.cast((x - mean) / std, self.compute_dtype)


def channel_average(value):
    """The average of a value per channel; one number as it is."""
    return sum(value) / len(value) if isinstance(value, list | tuple) else value


@serializable
class Softmax(layers.Softmax):
    """The softmax at the end of a classifier, with the names of its classes, or None."""

    def __init__(self, axis=-1, class_names=None, **kwargs):
        super().__init__(axis=axis, **kwargs)
        self.class_names = class_names if class_names is None else tuple(class_names)

    def get_config(self):
        names = {} if self.class_names is None else {"class_names": list(self.class_names)}
        return {**super().get_config(), **names}


@serializable
class LocalResponseNorm(PointwiseLayer):
    """x / (bias + alpha * sum of x^2 over 2 radius + 1 neighboring channels) ^ beta (Krizhevsky et al. 2012).

    The paper does not divide alpha by the number of channels; Caffe and PyTorch do.
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
class PadChannels(PointwiseLayer):
    """Append zeros until there are ``filters`` channels: shortcut A of He et al. 2015, without parameters."""

    settings = ("filters",)

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, shape):
        if shape[-1] > self.filters:
            raise ValueError(
                f"`filters` should be at least the number of input channels, {shape[-1]}. Received: {self.filters}"
            )

    def call(self, x):
        return ops.pad(x, [(0, 0)] * (len(x.shape) - 1) + [(0, self.filters - x.shape[-1])])

    def compute_output_shape(self, shape):
        return (*shape[:-1], self.filters)


class RandomLayer(PointwiseLayer):
    """A layer with its own seed generator, whose state is saved but is not a weight."""

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.coin = keras.random.SeedGenerator(seed)

    def survival_mask(self, shape, rate):
        """An array that is True with probability 1 - ``rate``."""
        return keras.random.uniform(shape, seed=self.coin) >= rate


@serializable
class DropPath(RandomLayer):
    """Drop a branch with probability ``rate`` in training and scale it by 1 - ``rate`` in inference.

    Huang et al. 2016. The decision is made for each image of a batch.
    """

    settings = ("seed", "rate")

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate <= 1:
            raise ValueError(f"`rate` should be between 0 and 1. Received: {rate!r}")
        self.rate = rate

    def call(self, x, training=False):
        if not training:
            return x * (1 - self.rate)
        mask = self.survival_mask((ops.shape(x)[0],) + (1,) * (len(x.shape) - 1), self.rate)
        return ops.where(mask, x, ops.zeros_like(x))


@serializable
class DrawColumn(RandomLayer):
    """For each image the column of a fractal net that it trains, 1 (shallow) to ``columns``, or 0 for all columns.

    Larsson et al. 2016: a fraction ``whole`` of the images keeps one column throughout the network (global drop-path),
    the others drop paths at every join (local drop-path).
    """

    reach = "none"  # depends on the number of images only, not on their pixels
    settings = ("seed", "columns", "whole")

    def __init__(self, columns, whole=0.5, **kwargs):
        super().__init__(**kwargs)
        self.columns, self.whole = columns, whole

    def call(self, x, training=False):
        batch = (ops.shape(x)[0],)
        if not training:
            return ops.zeros(batch, "int32")
        column = keras.random.randint(batch, 1, self.columns + 1, seed=self.coin)
        return ops.where(self.survival_mask(batch, self.whole), ops.zeros_like(column), column)

    def compute_output_spec(self, x, training=False):
        return keras.KerasTensor(x.shape[:1], "int32")


@serializable
class Join(RandomLayer):
    """The mean of the paths that survive: fractal join with drop-path (Larsson et al. 2016).

    Takes the columns (N,) of `DrawColumn` and the maps of the deepest paths out of ``columns``. If an image's column
    ends here, only its path counts; otherwise each path is dropped with probability ``rate``, but never all of them.
    """

    settings = ("seed", "rate", "columns")

    def __init__(self, rate, columns, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.columns = rate, columns

    def call(self, inputs, training=False):
        column, *paths = inputs
        if not training:
            return sum(paths) / len(paths)
        weights = ops.cast(self.survival_weights(column, len(paths)), paths[0].dtype)
        shape = (-1,) + (1,) * (len(paths[0].shape) - 1)
        total = sum(path * ops.reshape(weights[:, i], shape) for i, path in enumerate(paths))
        return total / ops.reshape(ops.sum(weights, 1), shape)

    def survival_weights(self, column, count):
        """(N, count) of 0 and 1, with at least one 1 in each row."""
        chance = keras.random.uniform((ops.shape(column)[0], count), seed=self.coin)
        # the luckiest path survives in any case
        local = (chance >= self.rate) | (chance >= ops.max(chance, 1, keepdims=True))
        single_path = ops.expand_dims(column, 1) == self.columns - count + 1 + ops.arange(count, dtype="int32")
        return ops.where(ops.any(single_path, 1, keepdims=True), single_path, local)

    def compute_output_shape(self, shapes):
        return shapes[1]


def logits(x, classes, name="logits"):
    """The scores of the classes before softmax."""
    return layers.Dense(classes, dtype=scores_dtype(), name=name)(x)


def scores_dtype():
    """The dtype of scores and probabilities: float32 if the policy computes in 16 bits."""
    policy = keras.config.dtype_policy()
    return "float32" if policy.compute_dtype in ("float16", "bfloat16") else policy


def pooling_head(x, classes, *, dropout=0.0):
    """Global average pooling and one dense layer (Lin et al. 2013; He et al. 2015)."""
    x = layers.GlobalAveragePooling2D(name="features")(x)
    if dropout:
        x = layers.Dropout(dropout, name="features_dropout")(x)
    return logits(x, classes)


def dense_head(x, classes, *, units=(4096, 4096), dropout=0.5, dropout_first=False, activation=relu):
    """Dense layers (LeCun et al. 1998); dropout after each, or before each if ``dropout_first``."""
    x = layers.Flatten(name="flatten" if units else "features")(x)
    for i, width in enumerate(units, start=1):
        if dropout_first and dropout:
            x = layers.Dropout(dropout, name=f"fc{i}_dropout")(x)
        x = layers.Dense(width, kernel_initializer="he_normal", name=f"fc{i}")(x)
        x = activation(x, name="features" if i == len(units) else f"fc{i}_{activation.__name__}")
        if dropout and not dropout_first:
            x = layers.Dropout(dropout, name=f"fc{i}_dropout")(x)
    return logits(x, classes)


def conv_pooling_head(x, classes, *, dropout=0.0, pad=0):
    """One map per class, ReLU, and its average (Lin et al. 2013; Iandola et al. 2016)."""
    x = layers.Dropout(dropout, name="features")(x)
    x = relu(conv(x, classes, bias=True, pad=pad, name="logits_conv"), "logits_relu")
    return layers.GlobalAveragePooling2D(dtype=scores_dtype(), name="logits")(x)


UNINITIALIZED = "uninitialized_variables"


@contextmanager
def weightless():
    """Variables created in this ``with`` block never get memory.

    Keras would allocate them when it next traces a layer, so they are removed from its list of uninitialized
    variables, for which there is no public function.
    """
    waiting = list(global_state.get_global_attribute(UNINITIALIZED) or ())
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(UNINITIALIZED, waiting)
