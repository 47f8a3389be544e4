"""The families of networks, one file for each way of connecting; importing them fills the registry."""

from . import alexnet, densenet, dpn, fractalnet, inception, nin, resnet, squeezenet, tiny, vgg  # noqa: F401
