"""Every method by which pixels are asked, by name."""

from .attribution import deconvnet, grad_cam, gradient_x_input, guided, integrated, saliency, smooth
from .cams import grad_cam_pp, guided_grad_cam, layer_cam, score_cam
from .covering import occlusion

GRADIENTS = (saliency, gradient_x_input, smooth, integrated, guided, deconvnet)
MAPS = (grad_cam, grad_cam_pp, layer_cam, score_cam, guided_grad_cam)
METHODS = {method.__name__: method for method in (*GRADIENTS, *MAPS, occlusion)}
