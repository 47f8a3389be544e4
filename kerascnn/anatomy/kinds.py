"""What layers do, as tables: which convolve, which pool, which act on each position alone."""

from keras import layers


def named(names, dimensions=(1, 2, 3)):
    """The Keras classes behind names in which `#` stands for the number of dimensions."""
    spelled = [name.replace("#", str(d)) for name in names.split() for d in dimensions]
    return tuple(dict.fromkeys(getattr(layers, name) for name in spelled if hasattr(layers, name)))


def words(text):
    """A set of names written with spaces between."""
    return frozenset(text.split())


CONVOLUTIONS = named("Conv#D DepthwiseConv#D SeparableConv#D")
SEPARABLE = named("SeparableConv#D")
DEPTHWISE = named("DepthwiseConv#D")
TRANSPOSED = named("Conv#DTranspose")
DENSE = (layers.Dense,)
POOLS = named("MaxPooling#D AveragePooling#D")
GLOBAL_POOLS = named("GlobalMaxPooling#D GlobalAveragePooling#D")
ADAPTIVE_POOLS = named("AdaptiveMaxPooling#D AdaptiveAveragePooling#D")
PADDINGS = named("ZeroPadding#D")
CROPPINGS = named("Cropping#D")
UPSAMPLINGS = named("UpSampling#D")
RECURRENT = named("RNN ConvLSTM#D")

# Layers that take each position by itself, in inference. Dense acts on the channels of a map.
POINTWISE = named(
    "Activation ReLU LeakyReLU PReLU ELU BatchNormalization Rescaling Normalization Identity Masking "
    "Dropout AlphaDropout GaussianDropout GaussianNoise SpatialDropout#D ActivityRegularization "
    "Add Subtract Multiply Average Maximum Minimum Dense Embedding "
    # augmentation passes images through in inference
    "RandomFlip RandomRotation RandomZoom RandomTranslation RandomShear RandomContrast RandomBrightness "
    "RandomHue RandomSaturation RandomColorJitter RandomErasing RandomGaussianBlur RandomGrayscale RandAugment"
)
# Pointwise when their axis is the channels, the whole map otherwise.
BY_AXIS = named("Softmax LayerNormalization RMSNormalization UnitNormalization")
WHOLE = (*GLOBAL_POOLS, layers.GroupNormalization, layers.MultiHeadAttention, layers.Attention)

# Bare operations (`ops.add`, `x * 2`, `ops.relu`) that take each position by itself.
POINTWISE_OPERATIONS = words(
    "Add Subtract Multiply Divide TrueDivide Maximum Minimum Power Negative Absolute Abs Clip Square Sqrt "
    "Rsqrt Exp Expm1 Log Log1p Sign Tanh Sigmoid Relu Relu6 LeakyRelu Elu Selu Celu Gelu Silu Swish Mish "
    "Softplus Softsign HardSigmoid HardTanh HardSilu HardSwish LogSigmoid TanhShrink SoftShrink Reciprocal "
    "Cast Identity StopGradient Floor Ceil Round Where Greater GreaterEqual Less LessEqual Equal"
)
REDUCTIONS = words("Mean Sum Max Min Var Std Amax Amin Prod Any All Logsumexp")

# Work that overwrites its input or only looks at it differently: no new memory in our count.
VIEWS = named("Flatten Reshape Permute Concatenate ZeroPadding#D Cropping#D RepeatVector")
IN_PLACE = tuple(
    kind for kind in (*POINTWISE, *BY_AXIS, layers.GroupNormalization) if kind not in (layers.Dense, layers.Embedding)
)
VIEW_OPERATIONS = words("GetItem Reshape Transpose Concatenate Split Squeeze ExpandDims Pad Ravel")


def in_place(node):
    """True if a call needs no memory of its own: it overwrites its input, or only views it.

    Convolutions, pools and fully connected layers write new activations; a ReLU, a normalisation, dropout or an
    addition works in place, and concatenation, flattening, padding and slices only arrange what is there.
    """
    if node.is_input:
        return False
    if node.is_layer:
        return node.reach == "pointwise" or isinstance(node.operation, (*IN_PLACE, *VIEWS))
    return node.kind in POINTWISE_OPERATIONS or node.kind in VIEW_OPERATIONS
