"""`kerascnn see`: figure, text, JSON, and errors of arguments."""

import inspect
import sys
import warnings

import keras
import matplotlib.image
import numpy as np
import pytest
from keras import layers
from PIL import Image

from kerascnn.inputs import class_names, classifier
from kerascnn.visualize.registry import ROWS, Method
from kerascnn_apps.commands import see

SMALL = {  # method -> options that keep it small; without any where it has no row here
    "smoothgrad": ["--samples", 3],
    "integrated_gradients": ["--steps", 4],
    "deconvnet": ["--layer", "conv2", "--unit", 0, "--unit", 3],
    "occlusion": ["--patch", 6, "--stride", 6],
    "grad_cam": ["--layer", "conv2"],
    "activation_maps": ["--layer", "conv2", "--sort", "max"],
    "heat_map": ["--scales", "1,2"],
    "segment": ["--method", "grad_cam", "--layer", "conv2", "--foreground", 0.9, "--blur", 1],
    "curves": ["--method", "integrated_gradients", "--steps", 4, "--fill", "mean", "--classes", "frog"],
    "choose": ["--method", "saliency", "--method", "grad_cam", "--steps", 3, "--layer", "conv2"],
    "sanity": ["--method", "guided_backprop", "--independent"],
    "side_by_side": ["--layer", "conv2"],
    "facets": ["--layer", "conv2", "--unit", 1, "--count", 2, "--steps", 2],
    "invert": ["--layer", "conv1,conv2", "--copies", 2, "--steps", 2],
    "dream": ["--layer", "conv2", "--octaves", 2, "--steps", 2],
    "fool": ["--method", "fgsm", "--target", "frog", "--epsilon", 30, "--integer-pixels"],
    "maximize": ["--classes", "frog,truck", "--recipe", "brisk", "--steps", 2],
    "unrecognizable": ["--classes", "1", "--goal", 0.2],
    "evolve": ["--encoding", "direct", "--generations", 2],
}
TRIED = {name: SMALL.get(name, []) for name, row in ROWS.items() if see.image_requirement(row) != "none"}
ALONE = {name: SMALL.get(name, []) for name, row in ROWS.items() if see.image_requirement(row) == "none"}
SILENT = ("activation_maps", "heat_map", "segment", "curves", "choose", "sanity", "side_by_side")  # of single images
SILENT += ("facets", "invert", "dream", "fool")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Pictures without a name of their own are written into the current folder."""

    def imagenet():
        warnings.warn("class names are not available, numbers are used instead: no connection", stacklevel=2)

    monkeypatch.setattr(class_names, "imagenet_class_names", imagenet)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """The file of a network with ten classes that have the names of CIFAR-10's."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((18, 24, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(6, 3, activation="relu", name="conv1")(x)
    x = layers.Conv2D(4, 3, activation="relu", name="conv2")(x)
    x = layers.Dense(10)(layers.Flatten()(x))
    path = tmp_path_factory.mktemp("networks") / "small.keras"
    keras.Model(inputs, layers.Softmax()(x), name="small_cifar10").save(path)
    return path


@pytest.fixture(scope="module")
def opened():
    """Models by their files."""
    return {}


@pytest.fixture(autouse=True)
def once(opened, monkeypatch):
    """A file is read once for all tests, so that what is compiled of its model stays."""
    read = classifier.open_model

    def found(path):
        if path not in opened:
            opened[path] = read(path)
        return opened[path]

    monkeypatch.setattr(classifier, "open_model", found)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (18, 24, 3), dtype=np.uint8)).save(folder / name)
    return folder


def blank(path):
    return matplotlib.image.imread(path)[..., :3].std() < 0.05


def test_every_method_has_a_case():
    assert TRIED.keys() | ALONE.keys() == ROWS.keys()
    assert SMALL.keys() <= ROWS.keys()
    assert ALONE.keys() == {"filter_images", "maximize", "unrecognizable", "evolve"}


@pytest.mark.parametrize("method", ALONE)
def test_methods_without_images(run, here, network, method):
    outcome = run("see", method, network, *ALONE[method])
    assert outcome.exit_code == 0, outcome.stderr
    assert not blank(here / f"{method}.png")


def test_images_dir_and_frames(document, here, network, photos):
    words = ("see", "dream", network, photos / "a.png", "--layer", "conv1", "--steps", "1", "--octaves", "1")
    found = document(*words, "--images-dir", "each")
    assert [str(file) for file in (here / "each").iterdir()] == [str(here / each) for each in found["result"]["files"]]
    document(*words, "--images-dir", "flight", "--frames", "2", "--force")
    assert len([*(here / "flight").iterdir()]) == 2


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["maximize"], "one of `classes`, `layer` and `score`"),
        (["maximize", "--classes", "1", "--recipe", "lucit"], "lucid"),
        (["saliency", "a", "--images-dir", "x"], "--images-dir is only for"),
        (["fool", "a", "--method", "fgms"], "fgsm"),
        (["fool", "a", "--epsilon", "3"], "option of minimal"),
        (["dream", "a", "--frames", "3"], "--frames needs --images-dir"),
        (["dream", "a", "--copies", "2"], "dream does not take --copies"),
        (["facets", "a", "--classes", "1", "--copies", "2"], "facets does not take --copies"),
        (["invert", "a", "--size", "9"], "invert does not take --size"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_of_synthesis_options(run, network, photos, asked, says):
    method, *rest = asked
    outcome = run("see", method, network, *[photos / "a.png" if each == "a" else each for each in rest])
    assert outcome.exit_code == 2
    assert says in outcome.stderr


@pytest.mark.parametrize("method", TRIED)
def test_figure_and_text(run, here, network, photos, method):
    other = ["--other", network] if method == "side_by_side" else []
    outcome = run("see", method, network, photos, *TRIED[method], *other)
    assert outcome.exit_code == 0, outcome.stderr
    assert not blank(here / f"{method}.png")
    said = outcome.stdout.splitlines()
    assert said[-1] == f"figure: {method}.png"
    if method in SILENT:
        return
    each = 2 if method == "deconvnet" else 1
    assert [line.split(",")[0] for line in said[:-1:2]] == [
        f"{photos}/{name}" for name in ["a.png", "b.png"] for _ in range(each)
    ]


def test_json_and_values_agree(document, here, network, photos):
    found = document(
        "see", "integrated_gradients", network, photos / "a.png", "--classes", "Truck", "--values", "x.npz"
    )["result"]
    assert {key: found[key] for key in ("method", "model", "picture", "values")} == {
        "method": "integrated_gradients",
        "model": "small_cifar10",
        "picture": "integrated_gradients.png",
        "values": "x.npz",
    }
    (image,) = found["images"]
    assert (image["class"], image["label"]) == (9, "truck")
    with np.load(here / "x.npz") as held:
        assert held["values"].shape == (1, 18, 24, 3)
        np.testing.assert_allclose(held["map"], held["values"].sum(-1))
        assert image["score"] == pytest.approx(float(held["scores"][0]), rel=1e-5)
        assert image["completeness"] == pytest.approx(float(held["completeness"][0]), rel=1e-5)


def test_a_class_is_a_number_or_a_name(document, network, photos):
    asked = ("see", "saliency", network, photos / "a.png", "--force", "--classes")
    assert document(*asked, "frog")["result"] == document(*asked, 6)["result"]


@pytest.mark.parametrize("method", ROWS)
def test_the_list_names_methods_and_their_own_options(document, method):
    row = next(row for row in document("see", "--list")["result"] if row["method"] == method)
    function = ROWS[method].function
    assert (row["kind"], row["title"]) == (ROWS[method].kind, ROWS[method].title)
    assert row["what"] == inspect.getdoc(function).split("\n")[0]
    own = {see.option_flag(name) for name in inspect.signature(function).parameters if name in see.OPTIONS}
    assert own <= set(row["options"])


def test_every_option_is_a_parameter_of_some_method():
    for option in see.OPTIONS:
        assert any(see.argument_name(row, option) for row in ROWS.values()), option
    typed = {option.name for option in see.see_command.params}
    assert set(see.OPTIONS) <= typed
    assert {"classes", "method", "other", "layer", "unit", "steps", "seed", "batch_size"} <= set(see.OPTIONS)


def test_list_shows_all_options_in_a_narrow_terminal(run, monkeypatch):
    said = run("see", "--list").stdout
    assert "--other" in said
    monkeypatch.setattr(see, "terminal_width", lambda: 50)
    narrow = run("see", "--list").stdout
    assert max(map(len, narrow.splitlines())) <= 50
    assert narrow.count("--") == said.count("--")


def test_the_list_as_text(run):
    said = run("see", "--list").stdout
    assert all(name in said for name in ROWS)
    assert "Zeiler" in said


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["salency"], "Did you mean saliency"),
        (["saliency", "--patch", 4], "options of saliency: --classes, --batch-size"),
        (["occlusion", "--steps", 4], "--patch, --stride"),
        (["grad_cam", "--layer", "conv3"], "Did you mean conv"),
        (["guided_backprop", "--unit", 1], "--layer"),
        (["activation_maps"], "needs --layer"),
        (["deconvnet", "--layer", "conv2", "--unit", 4], "from 0 to 3"),
        (["saliency", "--classes", "frg"], "Did you mean frog"),
        (["saliency", "--classes", 10], "from 0 to 9"),
        (["saliency", "--out", "x.jpg"], "--out should end in"),
        (["saliency", "--values", "x.csv"], "--values should end in"),
        (["saliency", "--method", "guided_backprop"], "does not take --method"),
        (["smoothgrad", "--method", "salency"], "Did you mean saliency"),
        (["segment", "--method", "salency"], "Did you mean saliency"),
        (["sanity", "--method", "saliency", "--method", "guided_backprop"], "`--method` should be one method"),
        (["curves", "--patch", 4], "and those of saliency"),
        (["curves", "--fill", "grye"], "Did you mean gray"),
        (["occlusion", "--fill", "1,2"], "one number or 3 numbers"),
        (["segment", "--foreground", 0.1], "should be quantiles"),
        (["side_by_side"], "--other NAME|FILE"),
        (["activation_maps", "--layer", "conv2", "--sort", "mux"], "Did you mean max"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_errors_of_arguments(fails, here, network, photos, words, text):
    assert text in fails("see", words[0], network, photos, *words[1:], code=2)
    assert not [*here.iterdir()]


def test_existing_files_are_not_overwritten(fails, run, here, network, photos):
    (here / "saliency.png").write_text("mine")
    assert "already exists" in fails("see", "saliency", network, photos, code=2)
    assert (here / "saliency.png").read_text() == "mine"
    assert run("see", "saliency", network, photos, "--force").exit_code == 0
    assert not blank(here / "saliency.png")


def test_missing_arguments_and_files(fails, here, network):
    assert "METHOD" in fails("see", code=2)
    assert "NAME|FILE" in fails("see", "saliency", code=2)
    assert "needs images" in fails("see", "saliency", network, code=2)
    assert "image not found" in fails("see", "saliency", network, "nowhere.jpg", code=4)
    (here / "text.jpg").write_text("no image")
    assert "text.jpg" in fails("see", "saliency", network, "text.jpg", code=4)


def test_unsupported_network(fails, here, photos):
    inputs = keras.Input((18, 24, 3))
    x = layers.Flatten()(layers.Conv2D(2, 3, activation="silu", name="smooth_conv")(inputs))
    keras.Model(inputs, layers.Dense(3, activation="softmax")(x)).save(here / "silu.keras")
    assert "smooth_conv" in fails("see", "guided_backprop", "silu.keras", photos, code=2)


FILTERS = """
class Found:
    def save(self, path):
        open(path, "w").write("drawn")

    def __str__(self):
        return "two filters"


def filters(model, *, layer=None):
    '''Filters of a layer.'''
    return Found()
"""


def test_images_for_a_method_without_images(monkeypatch, run, fails, here, network, photos):
    (here / "toy_filters.py").write_text(FILTERS)
    monkeypatch.syspath_prepend(here)
    monkeypatch.setitem(ROWS, "filters", Method("filters", "toy_filters", "features", "Filters"))
    outcome = run("see", "filters", network, "--layer", "conv1")
    assert outcome.stdout == "two filters\nfigure: filters.png\n"
    assert "takes no images" in fails("see", "filters", network, photos, "--force", code=2)


def test_a_warning_is_printed_once(monkeypatch, run, here, network):
    warning = "import warnings\n    warnings.warn('few')\n    return Found"
    (here / "toy_warnings.py").write_text(FILTERS.replace("return Found", warning))
    monkeypatch.syspath_prepend(here)
    monkeypatch.setitem(ROWS, "filters", Method("filters", "toy_warnings", "features", "Filters"))
    assert run("see", "filters", network, "--layer", "conv1").stderr.splitlines() == ["few"]


@pytest.mark.parametrize("seconds", [0, 1e9], ids=["lines", "none yet"])
def test_progress_without_a_terminal(monkeypatch, run, network, photos, seconds):
    monkeypatch.setattr(see, "EVERY", seconds)
    words = ("see", "smoothgrad", network, photos / "a.png", "--samples", 8, "--batch-size", 2, "--force")
    assert run(*words).stderr.splitlines() == ["2 of 8", "4 of 8", "6 of 8"] * (seconds == 0)
    assert run(*words, "--quiet").stderr == ""


def test_evaluations_equal_the_functions_of_the_package(document, here, network, photos):
    from kerascnn.visualize import choose, grad_cam, saliency

    words = (
        "--method",
        "saliency",
        "--method",
        "grad_cam",
        "--layer",
        "conv2",
        "--steps",
        3,
        "--seed",
        4,
        "--fill",
        "1,2,3",
    )
    found = document("see", "choose", network, photos, *words, "--values", "x.npz")["result"]
    methods = {"saliency": saliency, "grad_cam": lambda *given, **more: grad_cam(*given, layer="conv2", **more)}
    model = keras.saving.load_model(network)
    table = choose(model, str(photos), methods=methods, steps=3, seed=4, fill=(1, 2, 3)).table
    assert [row["method"] for row in found["table"]] == table.method.tolist()
    assert [row["gain"] for row in found["table"]] == pytest.approx(table.gain.tolist(), rel=1e-5)
    assert found["images"] == []
    with np.load(here / "x.npz") as held:
        np.testing.assert_allclose(held["table_gain"], table.gain, rtol=1e-5)


def test_smoothgrad_of_a_method(document, here, network, photos):
    words = (network, photos / "a.png", "--values", "x.npz", "--force")
    document("see", "smoothgrad", *words, "--samples", 1, "--noise", 0, "--method", "gradient_x_input")
    with np.load(here / "x.npz") as smoothed:
        found = smoothed["values"]
    document("see", "gradient_x_input", *words)
    with np.load(here / "x.npz") as own:
        np.testing.assert_allclose(found, own["values"], rtol=1e-5)


def test_an_evaluation_has_a_row_per_image(document, network, photos):
    found = document("see", "segment", network, photos / "a.png", "--method", "integrated_gradients", "--classes", 3)[
        "result"
    ]
    assert [*found["table"][0]] == ["image", "found", "share", "y0", "x0", "y1", "x1"]


def test_two_networks_need_no_image(document, run, network):
    found = document("see", "side_by_side", network, "--other", network, "--force")["result"]
    assert {row["difference"] for row in found["table"]} <= {0, None}
    assert found["table"][0]["measure"] == "side"
    assert "small_cifar10 (a)" in run("see", "side_by_side", network, "--other", network, "--force").stdout


def test_the_other_network_is_checked(fails, network, photos):
    assert "nowhere.keras" in fails("see", "side_by_side", network, "--other", "nowhere.keras", code=4)
    assert "--other-weights" in fails("see", "saliency", network, photos, "--other-weights", "imagenet", code=2)


TOY = '''
from dataclasses import replace

from kerascnn.visualize.attribution.attribution import make_target
from kerascnn.visualize.attribution.gradients import differentiate, read_gradient
from kerascnn.visualize.registry import attribution_method


@attribution_method
def powered(
    model,
    images,
    classes=None,
    *,
    power=2.0,
    sign=False,
    score=None,
    class_names=None,
    batch_size=None,
    on_progress=None,
):
    """The size of the gradient to a power (nobody 2026).

    Args:
        power: the exponent of the size of the gradient.
        sign: keep the sign of the gradient.
    """
    options = {"score": score, "class_names": class_names, "batch_size": batch_size, "on_progress": on_progress}
    target = make_target(model, images, classes, **options)
    found = differentiate(target, ("powered",), "powered", read_gradient)
    sizes = abs(found.values) ** power
    return replace(found, values=sizes * (found.values > 0) if sign else sizes)
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """An attribution method that is a function and a row, and nothing else."""
    (tmp_path / "toy_methods.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(ROWS, "powered", Method("powered", "toy_methods", "attribution", "Powered gradient"))
    yield "powered"
    sys.modules.pop("toy_methods", None)


def test_registering_a_method_in_python(toy, network, photos):
    from kerascnn.visualize import METHODS, choose, saliency, sanity, smoothgrad

    assert [*METHODS][-1] == toy
    model, method = keras.saving.load_model(network), METHODS[toy]
    found = method(model, str(photos), power=2.0)
    np.testing.assert_allclose(found.values.max(-1), saliency(model, str(photos)).map ** 2, rtol=1e-5)
    assert "power: the exponent" in method.__doc__
    assert smoothgrad(model, str(photos), method=toy, samples=2).method.startswith("powered, mean of 2")
    assert toy in choose(model, str(photos), methods={toy: method}, steps=2).table.method.tolist()
    assert sanity(model, str(photos), method=method, independent=True).method == "powered"


def test_registering_a_method_on_the_command_line(toy, document, run, here, network, photos):
    row = next(row for row in document("see", "--list")["result"] if row["method"] == toy)
    assert row == {
        "method": "powered",
        "kind": "attribution",
        "title": "Powered gradient",
        "what": "The size of the gradient to a power (nobody 2026).",
        "options": ["--classes", "--batch-size", "--power", "--sign"],
    }
    (row,) = document("see", toy, "--list")["result"]
    assert row["help"]["--power"] == "the exponent of the size of the gradient."
    assert "Powered gradient" in run("see", "--list").stdout
    assert "--power X" in run("see", "--help").stdout
    words = (network, photos / "a.png", "--values", "x.npz", "--force")
    document("see", toy, *words, "--power", 3, "--sign")
    with np.load(here / "x.npz") as held:
        cubes = held["values"]
    document("see", toy, *words, "--power", 1, "--sign")
    with np.load(here / "x.npz") as held:
        np.testing.assert_allclose(cubes, held["values"] ** 3, rtol=1e-5)
    assert (cubes == 0).any()
    table = document("see", "choose", *words, "--method", toy, "--power", 3, "--steps", 2)["result"]["table"]
    assert toy in [row["method"] for row in table]
    assert run("see", "sanity", *words, "--method", toy, "--independent").exit_code == 0
    assert run("see", "smoothgrad", *words, "--method", toy, "--samples", 2).exit_code == 0


def test_options_of_a_registered_method(toy, document, fails, monkeypatch, here, network, photos):
    words = ("see", toy, network, photos / "a.png", "--values", "x.npz", "--force")
    assert "--power" in fails(*words, "--powr", 3, code=2)
    assert "does not take --power" in fails("see", "saliency", *words[2:], "--power", 3, code=2)

    def least():
        document(*words)
        with np.load(here / "x.npz") as held:
            return held["values"].min()

    assert least() >= 0
    monkeypatch.setenv("KERASCNN_SEE_POWER", "0")
    assert least() == 1  # anything to the power of 0
    monkeypatch.delenv("KERASCNN_SEE_POWER")
    (here / "kerascnn.toml").write_text("[see]\npower = 0\n")
    assert least() == 1


def test_method_list_explains_its_options(run, document):
    said = run("see", "guided_backprop", "--list").stdout
    assert "Guided backpropagation" in said
    assert "--signal" in said
    assert '"activation"' in said
    (row,) = document("see", "occlusion", "--list")["result"]
    assert row["help"].keys() == {*row["options"]}
    assert "Did you mean" in run("see", "guided_backprob", "--list").stderr


def test_signal_options(document, fails, here, network, photos):
    words = ("see", "deconvnet", network, photos / "a.png", "--force", "--values", "x.npz", "--signal")
    document(*words, "one")
    with np.load(here / "x.npz") as held:
        values, score = held["values"], held["scores"][0]
    document(*words, "activation")
    with np.load(here / "x.npz") as held:
        expected = held["values"]
    assert (score > 0) == np.allclose(expected, score * values, rtol=1e-4, atol=1e-7)
    assert "Did you mean activation" in fails(*words, "activatoin", code=2)
