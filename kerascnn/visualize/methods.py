"""Every method by name: which pixels speak for a score, what judges these, what networks dream, and all ways to see."""

from .activations import activation_maps
from .attacks import fool
from .cams import grad_cam_pp, guided_grad_cam, layer_cam, score_cam
from .covering import occlusion
from .dreaming import dream
from .evolving import evolve
from .gradients import deconvnet, grad_cam, gradient_x_input, guided, integrated, saliency, smooth
from .inverting import invert
from .kernels import filter_images
from .maximizing import facets, maximize, unrecognisable
from .metrics import choose, curves
from .pairs import side_by_side
from .randomising import sanity
from .segmentation import segment
from .sliding import heat_map

GRADIENTS = (saliency, gradient_x_input, smooth, integrated, guided, deconvnet)
MAPS = (grad_cam, grad_cam_pp, layer_cam, score_cam, guided_grad_cam)
METHODS = {method.__name__: method for method in (*GRADIENTS, *MAPS, occlusion)}
JUDGES = {judge.__name__: judge for judge in (segment, curves, choose, sanity)}  # are made of the maps of METHODS
DREAMS = {way.__name__: way for way in (maximize, facets, invert, dream, unrecognisable, evolve, fool)}
OTHERS = (filter_images, activation_maps, heat_map, side_by_side)
WAYS = METHODS | {way.__name__: way for way in OTHERS} | JUDGES | DREAMS
