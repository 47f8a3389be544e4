"""Attribution tools set up for the same tasks: one row per tool, one function per task.

All tools get one Functional model that ends with logits, and one class for all images, because tf-explain takes no
more. Tools that are not installed are left out.
"""

import importlib.metadata
import importlib.util
from dataclasses import dataclass

import numpy as np

SAMPLES, NOISE, CHUNK, GRAY = 32, 0.15, 16, 127.5
OURS, OUR_GRADIENT, FORWARD = "kerascnn", "kerascnn, plain gradient", "forward pass alone"


@dataclass(frozen=True, eq=False)
class AttributionCase:
    """The model, layer, images and class that every tool explains."""

    model: object
    layer: str
    images: np.ndarray
    number: int
    patch: int

    def classes(self, images):
        return [self.number] * len(images)


def our_methods(case):
    from kerascnn import visualize

    patch = {"patch": case.patch, "stride": case.patch, "fill": GRAY}
    return {
        "saliency": lambda x: visualize.saliency(case.model, x, case.number),
        "smooth": lambda x: visualize.smoothgrad(case.model, x, case.number, samples=SAMPLES, noise=NOISE),
        "grad_cam": lambda x: visualize.grad_cam(case.model, x, case.number, layer=case.layer),
        "occlusion": lambda x: visualize.occlusion(case.model, x, case.number, layer=case.layer, **patch),
        "guided": lambda x: visualize.guided_backprop(case.model, x, case.number),
        "deconvnet": lambda x: visualize.deconvnet(case.model, x, case.number),
    }


def our_plain_gradient(case):
    """The baseline of guided backpropagation and deconvnet."""
    return dict.fromkeys(("guided", "deconvnet"), our_methods(case)["saliency"])


def tf_keras_vis_methods(case):
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.saliency import Saliency
    from tf_keras_vis.utils.scores import CategoricalScore

    saliency, cam = Saliency(case.model), Gradcam(case.model)
    score = lambda x: CategoricalScore(case.classes(x))  # noqa: E731
    return {
        "saliency": lambda x: saliency(score(x), x),
        "smooth": lambda x: saliency(score(x), x, smooth_samples=SAMPLES, smooth_noise=NOISE),
        "grad_cam": lambda x: cam(score(x), x, case.layer, seek_penultimate_conv_layer=False),
    }


def tf_explain_methods(case):
    from tf_explain.core import GradCAM, OcclusionSensitivity, SmoothGrad, VanillaGradients

    model, number = case.model, case.number
    gradient, smooth, cam, cover = VanillaGradients(), SmoothGrad(), GradCAM(), OcclusionSensitivity(CHUNK)
    spread = NOISE * float(np.ptp(case.images))
    return {
        "saliency": lambda x: gradient.explain_score_model((x, None), model, number),
        "smooth": lambda x: smooth.explain((x, None), model, number, SAMPLES, spread),
        "grad_cam": lambda x: cam.explain((x, None), model, number, case.layer),
        "occlusion": lambda x: cover.explain((x, None), model, number, case.patch),
    }


def xplique_methods(case):
    from xplique.attributions import GradCAM, Occlusion, Saliency, SmoothGrad

    hot = np.eye(case.model.output_shape[-1], dtype=np.float32)[case.number]
    target = lambda x: np.tile(hot, (len(x), 1))  # noqa: E731
    methods = {
        "saliency": Saliency(case.model),
        "smooth": SmoothGrad(case.model, nb_samples=SAMPLES, noise=NOISE * float(np.ptp(case.images))),
        "grad_cam": GradCAM(case.model, conv_layer=case.layer),
        "occlusion": Occlusion(
            case.model, patch_size=case.patch, patch_stride=case.patch, occlusion_value=GRAY, batch_size=CHUNK
        ),
    }
    return {task: lambda x, explain=method: np.asarray(explain(x, target(x))) for task, method in methods.items()}


def bare_gradient(case, xla=False):
    """A hand-written gradient tape in a compiled function, in chunks of the same size.

    The tape stands here and not in the engine because the engine is measured against it.
    """
    import tensorflow as tf

    @tf.function(jit_compile=xla, reduce_retracing=not xla)
    def slopes(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            score = case.model(x, training=False)[:, case.number]
        return tape.gradient(score, x)

    def gradient(x):
        return slopes(tf.constant(x)).numpy()

    def smooth(x):
        rng, total = np.random.default_rng(0), 0.0
        for start in range(0, SAMPLES, CHUNK):
            noise = rng.standard_normal((min(CHUNK, SAMPLES - start), *x.shape[1:]), np.float32)
            total = total + gradient(x + NOISE * np.ptp(x) * noise).sum(0)
        return total / SAMPLES

    return {"saliency": gradient, "smooth": smooth, "guided": gradient, "deconvnet": gradient}


def forward_pass(case):
    """The network alone on as many images as there are patches: a lower bound for occlusion."""
    import tensorflow as tf

    run = tf.function(lambda x: case.model(x, training=False), reduce_retracing=True)

    def run_patches(x):
        count = np.prod([-(-side // case.patch) for side in x.shape[1:3]])
        return [run(tf.constant(np.repeat(x, min(CHUNK, count - k), 0))).numpy() for k in range(0, count, CHUNK)]

    return {"occlusion": run_patches}


TOOLS = {  # name -> (function that makes its tasks, required package)
    OURS: (our_methods, "kerascnn"),
    OUR_GRADIENT: (our_plain_gradient, "kerascnn"),
    "tf-keras-vis": (tf_keras_vis_methods, "tf_keras_vis"),
    "tf-explain": (tf_explain_methods, "tf_explain"),
    "Xplique": (xplique_methods, "xplique"),
    "bare tape, compiled": (bare_gradient, "tensorflow"),
    "bare tape, XLA": (lambda case: bare_gradient(case, xla=True), "tensorflow"),
    FORWARD: (forward_pass, "tensorflow"),
}


def find_installed_tools():
    """({installed tool: version}, [missing tools])."""
    rivals = {tool: package for tool, (_, package) in TOOLS.items() if package not in ("kerascnn", "tensorflow")}
    installed = {tool for tool, package in rivals.items() if importlib.util.find_spec(package)}
    return {tool: importlib.metadata.version(tool) for tool in rivals if tool in installed}, [
        *(rivals.keys() - installed)
    ]
