"""The zoo: a file is a way of connecting, a row is a network. Importing it fills the registry."""

from . import alexnet, densenet, dpn, fractalnet, inception, nin, resnet, squeezenet, tiny, vgg  # noqa: F401
