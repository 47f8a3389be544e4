"""Every method by name: those that ask which pixels speak for a score, and all ways to see."""

from .activations import activation_maps
from .cams import grad_cam_pp, guided_grad_cam, layer_cam, score_cam
from .covering import occlusion
from .gradients import deconvnet, grad_cam, gradient_x_input, guided, integrated, saliency, smooth
from .kernels import filter_images
from .sliding import heat_map

GRADIENTS = (saliency, gradient_x_input, smooth, integrated, guided, deconvnet)
MAPS = (grad_cam, grad_cam_pp, layer_cam, score_cam, guided_grad_cam)
METHODS = {method.__name__: method for method in (*GRADIENTS, *MAPS, occlusion)}
WAYS = METHODS | {way.__name__: way for way in (filter_images, activation_maps, heat_map)}
