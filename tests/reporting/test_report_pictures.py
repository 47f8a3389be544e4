"""The sections of pictures say what the network says, show what the methods find, and run again from their code."""

import html
import json
import re
import sys
from dataclasses import replace
from functools import wraps

import keras
import numpy as np
import pytest
from keras import layers

import kerascnn
from kerascnn import visualize
from kerascnn.data import Batch
from kerascnn.reporting.context import Skipped, Subject
from kerascnn.reporting.figures import concentration, describe_position
from kerascnn.reporting.page import page
from kerascnn.reporting.sections.errors import errors_section
from kerascnn.reporting.sections.explanations import explanations_section
from kerascnn.reporting.sections.fooling import SIZES, fooling_section
from kerascnn.reporting.sections.synthesis import classes_section, inversion_section
from kerascnn.reporting.sections.units import units_section
from kerascnn.support.text import format_probability

SECTIONS = {
    each.__name__.removesuffix("_section"): each
    for each in (
        units_section,
        classes_section,
        explanations_section,
        errors_section,
        fooling_section,
        inversion_section,
    )
}
SIZE, COUNT = (16, 12), 4
HOSTILE = "<script>alert(1)</script>"


def network(channels=3, count=COUNT, end="softmax", act="relu"):
    """conv, ReLU, pool, conv, ReLU, mean, dense, with weights under which classes differ."""
    keras.utils.set_random_seed(1)
    x = keras.Input((*SIZE, channels))
    y = layers.Rescaling(1 / 64, -2)(x)
    y = layers.Conv2D(5, 3, activation=act, padding="same", name="first")(y)
    y = layers.MaxPooling2D()(y)
    y = layers.Conv2D(6, 3, activation=act, padding="same", name="second")(y)
    y = layers.Dense(count, end, name="end")(layers.GlobalAveragePooling2D()(y))
    model = keras.Model(x, y, name="small")
    model.get_layer("end").kernel.assign(3 * model.get_layer("end").kernel)
    return model


def about(model, *, names=("a", "b", "c", "d"), images=6, labeled=True, layers=("second",), file="p.jpg"):
    """A quick report's `Subject` of random images, the first two of them its samples."""
    asked = visualize.lens(model)
    rng = np.random.default_rng(3)
    pixels = rng.uniform(0, 255, (images, *asked.shape)).round().astype(np.float32)
    labels = np.arange(images) % 3
    files = tuple(f"{i}{file}" for i in range(images))
    data = Batch(pixels.astype(np.uint8), labels, names, files) if labeled else None
    shown = {"samples": pixels[:2], "sample_names": files[:2], "pool": pixels} if images else {}
    shown |= {"sample_labels": labels[:2]} if labeled and images else {}
    return Subject(
        model=model,
        name=model.name,
        lens=asked,
        given_class_names=names,
        **shown,
        data=data,
        layers=layers,
        effort="quick",
    )


@pytest.fixture(scope="module")
def subject():
    return about(network())


METHODS = {classes_section: "maximize", fooling_section: "fool", inversion_section: "invert"}


@pytest.fixture(scope="module")
def found():
    """What the methods found that the sections show, by the method's name."""
    return {}


@pytest.fixture(scope="module")
def made(subject, found):
    """Each section once."""

    def heard(method):
        @wraps(method)
        def call(*given, **named):
            found[method.__name__] = method(*given, **named)
            return found[method.__name__]

        return call

    with pytest.MonkeyPatch.context() as patch:
        for section, method in METHODS.items():
            module = sys.modules[section.__module__]
            patch.setattr(module, method, heard(getattr(module, method)))
        registered = visualize.METHODS
        listening = {**registered, "saliency": heard(registered["saliency"])}
        patch.setattr(sys.modules[explanations_section.__module__], "METHODS", listening)
        return {name: section(subject) for name, section in SECTIONS.items()}


def said(subject, pixels):
    """Probabilities by the model itself."""
    return np.asarray(subject.model(np.asarray(pixels, np.float32)))


def inner(subject, layer, pixels):
    """Activations of a layer by a plain Keras model."""
    return np.asarray(keras.Model(subject.model.input, subject.model.get_layer(layer).output)(pixels))


def markup(section):
    return html.unescape("".join(section.blocks))


def test_units_are_sorted_by_their_maximum(subject, made):
    told = made["units"].results["layers"]["second"]
    largest = inner(subject, "second", subject.samples[:1])[0].max((0, 1))
    order = [each["unit"] for each in told["strongest"]]
    assert order == np.argsort(-largest, kind="stable").tolist()
    assert told["silent"] == (largest <= 0).sum()
    np.testing.assert_allclose([each["max"] for each in told["strongest"]], largest[order], rtol=1e-5)
    for unit in order[:4]:
        assert f'id="u-second-{unit}"' in markup(made["units"])


def test_class_images_have_the_reported_probability(subject, made, found):
    told = made["classes"].results["classes"]
    numbers = [each["class"] for each in told]
    first = [*dict.fromkeys(said(subject, subject.samples).argmax(1).tolist())]
    assert numbers[: len(first)] == first
    assert len({*numbers}) == 3
    probs = said(subject, found["maximize"].images)[np.arange(3), numbers]
    np.testing.assert_allclose([each["probability"] for each in told], probs, rtol=1e-4, atol=1e-6)


def test_explanations_name_the_predicted_class(subject, made, found):
    probs, slopes = said(subject, subject.samples), found["saliency"].map
    for i, told in enumerate(made["explanations"].results["samples"]):
        assert (told["predicted"], told["true"]) == (probs[i].argmax(), subject.sample_labels[i])
        np.testing.assert_allclose([told["p"], told["p_true"]], [probs[i].max(), probs[i, told["true"]]], rtol=1e-4)
        falling = np.sort(np.abs(slopes[i]).ravel())[::-1].astype(np.float64)
        count = round(told["half_of_saliency"] * falling.size)
        assert falling[: count - 1].sum() < falling.sum() / 2 <= falling[:count].sum() * (1 + 1e-6)


def test_errors_agree_with_argmax(subject, made):
    told, probs = made["errors"].results, said(subject, subject.data.items)
    right = probs.argmax(1) == subject.data.labels
    assert told["n"] == len(right)
    np.testing.assert_allclose(told["accuracy"][0], right.mean())
    assert told["accuracy"][1] <= right.mean() <= told["accuracy"][2]
    wrong = [subject.data.names[i] for i in np.argsort(-probs.max(1), kind="stable") if not right[i]]
    assert [each["image"] for each in told["mistakes"]] == wrong
    doubts = [subject.data.names[i] for i in np.argsort(probs.max(1), kind="stable")]
    assert [each["image"] for each in told["doubts"]] == doubts


def test_adversarial_images_have_the_reported_distance_and_another_class(subject, made, found):
    again = found["fool"]
    for i, told in enumerate(made["fooling"].results["samples"]):
        change = again.images[i].astype(np.float64) - subject.samples[i]
        np.testing.assert_allclose(told["l2"], np.sqrt((change**2).sum()), rtol=1e-3)
        np.testing.assert_allclose(told["linf"], np.abs(change).max(), rtol=1e-3)
        assert told["fooled"] == bool(again.success[i])
        before, after = (said(subject, each[i : i + 1]).argmax() for each in (subject.samples, again.images))
        assert (told["before"], told["after"]) == (subject.class_names[before], subject.class_names[after])
    rates = made["fooling"].results["rates"]
    sign = visualize.fgsm(subject.model, subject.pool, epsilon=8, integer_pixels=False, class_names=False)
    changed = said(subject, sign.images).argmax(1) != said(subject, subject.pool).argmax(1)
    assert rates["one step (FGSM)"][SIZES.index(8)] == pytest.approx(changed.mean())


def test_inversions_have_the_reported_errors(subject, made, found):
    told = {each["layer"]: each for each in made["inversion"].results["layers"]}
    assert [*told] == ["second", "logits"]
    wanted = inner(subject, "second", subject.samples[:1])
    reached = inner(subject, "second", found["invert"].reconstructions[0, 0])
    error = ((reached - wanted) ** 2).sum() / (wanted**2).sum()
    np.testing.assert_allclose(told["second"]["error"], error, rtol=1e-3)
    assert error < 0.7
    gap = np.sqrt(((found["invert"].reconstructions[0, 0, 0] - subject.samples[0]) ** 2).mean())
    np.testing.assert_allclose(told["second"]["psnr"], 20 * np.log10(255 / gap), rtol=1e-3)


def test_long_file_names_are_shortened_in_their_middle():
    """What tells two photos apart, the number and the suffix, stays; folders are left out."""
    many = about(network(), names=("a" * 90, "b", "c", "d"), file="of a long holiday/" + "very " * 20 + "long.jpg")
    captions = re.findall(r"<figcaption>([✗✓].*?)</figcaption>", markup(errors_section(many)))
    assert captions
    for caption in captions:
        assert len(caption) < 130
        assert caption.endswith("…ong.jpg)")
        assert "holiday" not in caption


def test_every_figure_has_alt_text_with_numbers(made):
    for name, section in made.items():
        alts = re.findall(r'<img [^>]*?alt="([^"]*)"', "".join(section.blocks))
        assert alts, name
        assert all(alts)
        assert sum(bool(re.search(r"\d", alt)) for alt in alts) >= len(alts) / 2, name
        assert json.loads(json.dumps(section.results)), name


QUICK = ("errors",)  # the code of others takes as long as they do


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.nightly] * (name not in QUICK)) for name in SECTIONS]
)
def test_code_reproduces_the_figures(name, subject, made):
    found = [*dict.fromkeys(re.findall(r"<pre[^>]*>(.*?)</pre>", "".join(made[name].blocks), re.DOTALL))]
    assert found
    for text in found:
        given = {"model": subject.model, "photos": subject.samples, "data": subject.data}
        exec(compile(html.unescape(text), name, "exec"), given)


@pytest.mark.parametrize("name", [name for name in SECTIONS if name != "classes"])
def test_sections_without_images_give_the_reason(name, subject):
    with pytest.raises(Skipped, match="images"):
        SECTIONS[name](about(subject.model, images=0, labeled=False))


def test_unlabeled_images_have_no_accuracy(subject):
    section = errors_section(about(subject.model, labeled=False))
    assert "accuracy" not in section.results
    probs = said(subject, subject.pool)
    counts = {each["class"]: each["images"] for each in section.results["predicted"]}
    assert counts == {
        subject.class_names[k]: n for k, n in enumerate(np.bincount(probs.argmax(1), minlength=COUNT)) if n
    }
    assert "unknown" in markup(section)


def test_hostile_names_are_escaped(subject):
    given = about(subject.model, names=tuple(f"{HOSTILE}{i}" for i in range(COUNT)), file=HOSTILE)
    text = page("names", [errors_section(given), errors_section(replace(given, data=None))])
    assert "alert(1)" in text
    assert HOSTILE not in text
    assert "<script" not in text


def test_several_inputs_are_refused_where_images_are_made():
    photo, other = keras.Input((*SIZE, 3), name="photo"), keras.Input((2,), name="other")
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(photo))
    model = keras.Model([photo, other], layers.Dense(3, "softmax")(layers.Concatenate()([y, other])))
    with pytest.raises(Skipped, match="photo, other"):
        SECTIONS["classes"](about(model, labeled=False))


def test_concentration_of_a_map_and_its_position():
    values = np.zeros((30, 30))
    assert concentration(values) == (0.0, "nowhere")
    values[2, 27] = 5
    assert concentration(values) == (1 / 900, "top right")
    assert concentration(np.ones((30, 30)))[0] == 0.5
    assert describe_position((29, 0), (30, 30)) == "bottom left"
    assert [format_probability(p) for p in (1.0, 0.5, 1e-9)] == ["> 99.9%", "50.0%", "< 0.1%"]


def dense(count):
    """No layer with places."""
    return keras.Sequential([keras.Input((*SIZE, 3)), layers.Flatten(), layers.Dense(count, "softmax")])


FOREIGN = {
    "gray, swish, logits": lambda: about(network(channels=1, end=None, act="swish"), labeled=False),
    "a sigmoid and a chosen dense layer": lambda: about(
        network(count=1, end="sigmoid"), names=("a", "b"), labeled=False, layers=("end",)
    ),
    "no places, a thousand classes without names": lambda: about(dense(1000), names=None, labeled=False, layers=()),
}


@pytest.mark.nightly
@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_networks(kind):
    given = FOREIGN[kind]()
    found = {name: section(given) for name, section in SECTIONS.items() if name != "units" or given.layers}
    assert all(section.blocks and section.results for section in found.values())
    refused = found["explanations"].results["refused"]
    assert ("guided_backprop" in refused) == kind.startswith("gray")
    assert ("grad_cam" in refused) == (not given.layers)
    if not given.layers:
        with pytest.raises(Skipped, match="layer"):
            units_section(given)


@pytest.mark.nightly
def test_confusion_matrix_for_few_classes_and_pairs_for_many():
    model = network(count=30)
    given = about(model, names=tuple(map(str, range(30))))
    assert kerascnn.evaluate(model, given.data, verbose=0).accuracy == errors_section(given).results["accuracy"][0]
    assert "most frequent" in markup(errors_section(given))
