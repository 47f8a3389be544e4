"""What a network sees: which pixels speak for a class, what its filters and units look for.

Every method takes any Keras model and images, and answers with data that draws itself.
"""

from ..lazy import lazily

PUBLIC = {  # name -> module
    "Probe": "engine",
    "probe": "engine",
    "Attribution": "attribution",
    "METHODS": "methods",
    "saliency": "gradients",
    "gradient_x_input": "gradients",
    "smooth": "gradients",
    "integrated": "gradients",
    "guided": "gradients",
    "deconvnet": "gradients",
    "grad_cam": "gradients",
    "grad_cam_pp": "cams",
    "layer_cam": "cams",
    "score_cam": "cams",
    "guided_grad_cam": "cams",
    "occlusion": "covering",
    "Occlusion": "covering",
    "heat_map": "sliding",
    "convolutional": "convolving",
    "filter_images": "kernels",
    "gabor": "gabors",
    "activation_maps": "activations",
    "side_by_side": "pairs",
    "cka": "pairs",
    "segment": "segmentation",
    "curves": "metrics",
    "choose": "metrics",
    "sanity": "randomising",
    "Score": "scores",
    "logit": "scores",
    "probability": "scores",
    "log_probability": "scores",
    "neuron": "scores",
    "channel": "scores",
    "peak": "scores",
    "energy": "scores",
    "distance": "scores",
    "variation": "scores",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazily(__name__, PUBLIC)
