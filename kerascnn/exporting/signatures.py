"""Serving signatures: TensorFlow functions from bytes or pixels to probabilities or features."""

from dataclasses import dataclass

import keras
import tensorflow as tf

from ..graph.ends import feature_extractor, select_scores
from ..inputs.classifier import image_input, pack_inputs
from ..inputs.resize import Preprocessing
from .photos import decode_batch

BEST = 5


@dataclass(frozen=True)
class ExportPlan:
    """A model and all that its answer takes besides."""

    model: keras.Model
    preprocessing: Preprocessing  # how photos become its input
    class_names: tuple  # names in the order of the scores
    end: str  # by what its scores end, see ``artifact.meaning``
    temperature: float
    shape: tuple  # (h, w, channels) of its input; None where open

    @property
    def other_inputs(self):
        """The symbolic inputs besides the images, by name."""
        image = image_input(self.model).name
        return {tensor.name: tensor for tensor in self.model.inputs if tensor.name != image}

    def inputs(self, images, other_inputs):
        """Images and other inputs as the model takes them."""
        if not other_inputs:
            return images
        return pack_inputs(self.model, self.inputs_by_name(images, other_inputs))

    def inputs_by_name(self, images, other_inputs):
        """Images alone, or with other inputs as a dict."""
        return {image_input(self.model).name: images, **other_inputs} if other_inputs else images


def build_module(plan):
    """A TensorFlow module with the variables, and {name: function} for the signatures."""
    others = [tensor_spec(tensor) for tensor in plan.other_inputs.values()]
    pixels = tf.TensorSpec((None, *plan.shape), tf.float32, name="images")
    photos = tf.TensorSpec((None,), tf.string, name="image_bytes")
    extract_features = feature_extractor(plan.model)

    @with_signature(pixels, *others)
    def answer(images, *other_inputs):
        inputs = plan.inputs(images, dict(zip(plan.other_inputs, other_inputs, strict=True)))
        return scores_to_probabilities(
            select_scores(plan.model(inputs, training=False), plan.model), plan.end, plan.temperature
        )

    @with_signature(photos, *others)
    def serving_default(image_bytes, *other_inputs):
        probabilities = answer(decode_batch(image_bytes, plan.preprocessing), *other_inputs)
        scores, order = tf.math.top_k(probabilities, min(BEST, len(plan.class_names)))
        return {
            "classes": tf.gather(tf.constant(plan.class_names), order),
            "scores": scores,
            "probabilities": probabilities,
        }

    @with_signature(pixels, *others)
    def images(images, *other_inputs):
        return {"probabilities": answer(images, *other_inputs)}

    @with_signature(pixels, *others)
    def features_of(images, *other_inputs):
        inputs = plan.inputs_by_name(images, dict(zip(plan.other_inputs, other_inputs, strict=True)))
        return {"features": tf.cast(extract_features(inputs), tf.float32)}

    functions = {"serving_default": serving_default, "images": images, "features": features_of}
    module = tf.Module()  # has the variables alone; with the functions too, each graph would be saved twice
    module.kept = [variable.value for variable in plan.model.variables]
    return module, functions


def tensor_spec(tensor):
    """The specification of an input besides the images: its shape, with any number of rows."""
    return tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, name=tensor.name)


def with_signature(*specs):
    """A decorator: one graph of a function with these arguments. Autograph would rewrite the model's own code."""
    return lambda call: tf.function(call, input_signature=[*specs], autograph=False)


def scores_to_probabilities(scores, end, temperature):
    """Scores (N, classes) as probabilities, as ``graph.ends.probabilities`` has them, softened: softmax(log p / T)."""
    scores = tf.cast(scores, tf.float32)
    if end == "linear":
        return tf.nn.softmax(scores / temperature)
    scores = tf.concat([1 - scores, scores], -1) if end == "pair" else scores
    if temperature == 1:
        return scores
    if end == "sigmoid":
        return tf.sigmoid((tf.math.log(scores) - tf.math.log1p(-scores)) / temperature)
    return tf.nn.softmax(tf.math.log(scores) / temperature)


def save_signatures(plan, folder, formats):
    """Write those of ``formats`` that come from the signatures into ``folder``."""
    module, functions = build_module(plan)
    graphs = {name: function.get_concrete_function() for name, function in functions.items()}
    if "saved_model" in formats:
        # TensorFlow Serving looks for <name>/<version>/
        tf.saved_model.save(module, f"{folder}/saved_model/1", signatures=graphs)
    if "tflite" in formats:
        converter = tf.lite.TFLiteConverter.from_concrete_functions([graphs["images"]], module)
        with open(f"{folder}/model.tflite", "wb") as file:
            file.write(converter.convert())
    if "onnx" in formats:
        import tf2onnx

        spec = graphs["images"].structured_input_signature[1].values()
        tf2onnx.convert.from_function(functions["images"], [*spec], opset=17, output_path=f"{folder}/model.onnx")
