"""Every method by which pixels are asked, by name."""

from .attribution import deconvnet, grad_cam, gradient_x_input, guided, integrated, saliency, smooth
from .covering import occlusion

METHODS = {
    method.__name__: method
    for method in (saliency, gradient_x_input, smooth, integrated, guided, deconvnet, occlusion, grad_cam)
}
