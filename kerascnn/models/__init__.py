"""The zoo: a file is a way of connecting, a row is a network. Importing it fills the registry."""

from . import dense, dualpath, early, fractal, inception, nin, residual, squeeze, tiny, vgg  # noqa: F401
