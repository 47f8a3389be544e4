"""`kerascnn see`: figure, text, JSON, and errors of arguments."""

import inspect
import re
import sys

import keras
import matplotlib.image
import numpy as np
import pytest
from keras import layers
from PIL import Image

from kerascnn.inputs import classifier
from kerascnn.visualize.registry import ATTACK_ROWS, ROWS, Method
from kerascnn_apps import methods
from kerascnn_apps import photos as photo_names
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
TRIED = {name: SMALL.get(name, []) for name, row in ROWS.items() if methods.image_requirement(row) != "none"}
ALONE = {name: SMALL.get(name, []) for name, row in ROWS.items() if methods.image_requirement(row) == "none"}
SILENT = ("activation_maps", "heat_map", "segment", "curves", "choose", "sanity", "side_by_side")  # of single images
SILENT += ("facets", "invert", "dream", "fool")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Pictures without a name of their own are written into the current folder."""

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
        (["filter_images", "--images-dir", "x"], "--images-dir needs photos or one of maximize"),
        (["side_by_side", "--other", "m", "--images-dir", "x"], "--images-dir needs photos or one of maximize"),
        (["saliency", "a", "--images-dir", "x", "--out", "x.png"], "--out and --images-dir cannot be combined"),
        (["saliency", "a", "--images-dir", "x", "--values", "x.npz"], "--values and --images-dir cannot be combined"),
        (["fool", "a", "--method", "fgms"], "fgsm"),
        (["fool", "a", "--epsilon", "3"], "fool by minimal does not take --epsilon, an option of fgsm, bim, pgd"),
        (["dream", "a", "--frames", "3"], "--frames needs --images-dir"),
        (["dream", "a", "--copies", "2"], "dream does not take --copies"),
        (["facets", "a", "--classes", "1", "--copies", "2"], "facets does not take --copies"),
        (["invert", "a", "--size", "9"], "invert does not take --size"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_of_synthesis_options(run, network, photos, asked, says):
    method, *rest = asked
    given = {"a": photos / "a.png", "m": network}
    outcome = run("see", method, network, *[given.get(each, each) for each in rest])
    assert outcome.exit_code == 2
    assert says in outcome.stderr


@pytest.mark.parametrize("method", TRIED)
def test_figure_and_text(run, here, network, photos, method):
    other = ["--other", network] if method == "side_by_side" else []
    outcome = run("see", method, network, photos, *TRIED[method], *other)
    assert outcome.exit_code == 0, outcome.stderr
    assert not blank(here / f"{method}-{photos.name}.png")
    said = outcome.stdout.splitlines()
    assert said[-1] == f"figure: {method}-{photos.name}.png"
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
        "picture": "integrated_gradients-a.png",
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
    own = {methods.option_flag(name) for name in inspect.signature(function).parameters if name in methods.OPTIONS}
    assert own <= set(row["options"])


def test_every_option_is_a_parameter_of_some_method():
    for option in methods.OPTIONS:
        assert any(methods.argument_name(row, option) for row in (*ROWS.values(), *ATTACK_ROWS.values())), option
    typed = {option.name for option in see.see_command.params}
    assert set(methods.OPTIONS) <= typed
    assert {"classes", "method", "other", "layer", "unit", "steps", "seed", "batch_size"} <= set(methods.OPTIONS)


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
    figure = here / f"saliency-{photos.name}.png"
    figure.write_text("mine")
    assert "already exists" in fails("see", "saliency", network, photos, code=2)
    assert figure.read_text() == "mine"
    assert run("see", "saliency", network, photos, "--force").exit_code == 0
    assert not blank(figure)


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


@pytest.fixture
def alike(tmp_path):
    """Photos of the same stem: in two folders, of another suffix, and in capitals; and a file that is no image."""
    rng = np.random.default_rng(0)
    files = [tmp_path / name for name in ("x/a.png", "y/a.png", "y/a.bmp", "y/b.png", "x/B.png")]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (18, 24, 3), dtype=np.uint8)).save(file)
    return files


@pytest.mark.parametrize("method", ["saliency", "choose", "fool", "invert"])
def test_one_file_per_photo(document, here, network, photos, method):
    words = SMALL.get(method, [])
    found = document("see", method, network, photos, *words, "--images-dir", "maps")["result"]
    assert found["picture"] is None
    assert found["files"] == [f"maps/{method}-a.png", f"maps/{method}-b.png"]
    assert sorted(file.name for file in (here / "maps").iterdir()) == [f"{method}-a.png", f"{method}-b.png"]
    assert not any(blank(here / file) for file in found["files"])
    alone = document("see", method, network, photos / "b.png", *words)["result"]
    assert found["images"][1:] == alone["images"]
    if method == "fool":
        assert found["table"][1]["l2"] == alone["table"][0]["l2"]


def test_photos_of_one_name_have_files_of_their_own(document, run, here, network, alike):
    found = document("see", "saliency", network, *alike, "--images-dir", "maps")["result"]
    assert len({file.casefold() for file in found["files"]}) == len(alike) == len([*(here / "maps").iterdir()])
    assert [image["image"] for image in found["images"]] == [str(file) for file in alike]
    for file, photo in zip(found["files"], alike, strict=True):
        document("see", "saliency", network, photo, "--out", "alone.png", "--force")
        np.testing.assert_array_equal(matplotlib.image.imread(file), matplotlib.image.imread("alone.png"))


def test_names_of_files():
    assert photo_names.distinct_names(["x/a.png", "b.jpg"]) == ["a", "b"]
    assert photo_names.distinct_names(["x/a.png", "y/a.png", "y/c.png"]) == ["x-a", "y-a", "c"]
    assert photo_names.distinct_names(["x/a.png", "x/A.jpg"]) == ["a-png", "A-jpg"]
    assert photo_names.distinct_names(["x/a.png", "y/a.png", "y/a.jpg"]) == ["x-a-png", "y-a-png", "y-a-jpg"]
    assert photo_names.distinct_names(["p/x/a.png", "q/x/a.png"]) == ["x-a-png", "x-a-png-2"]
    assert photo_names.distinct_names(["x/a.png", "y/a.png", "z/x-a.png"]) == ["x-a", "y-a", "x-a-2"]
    assert photo_names.default_figure("saliency", ["x/a.png"]) == "saliency-a.png"
    assert photo_names.default_figure("saliency", ["x/a.png", "b.png", "c.png"]) == "saliency-a-and-2-more.png"
    assert photo_names.default_figure("maximize", []) == "maximize.png"
    (long,) = photo_names.distinct_names(["x" * 200 + ".png"])
    assert len(long) == photo_names.MAX_LETTERS


def test_files_in_a_folder_are_not_overwritten(fails, document, here, network, photos):
    (here / "maps").mkdir()
    (here / "maps" / "saliency-b.png").write_text("mine")
    assert "maps/saliency-b.png already exists" in fails(
        "see", "saliency", network, photos, "--images-dir", "maps", code=2
    )
    assert [file.name for file in (here / "maps").iterdir()] == ["saliency-b.png"]
    words = ("see", "maximize", network, "--classes", "1,2", "--recipe", "brisk", "--steps", 2)
    document(*words, "--images-dir", "maps")
    assert (here / "maps" / "maximize-0001.png").is_file()
    assert "maximize-0000.png already exists" in fails(*words, "--out", "new.png", "--images-dir", "maps", code=2)
    document(*words, "--images-dir", "maps", "--force")


def test_an_unreadable_photo_among_others_is_skipped(run, here, network, photos):
    (here / "text.jpg").write_text("no image")
    outcome = run("see", "saliency", network, photos / "a.png", "text.jpg", "--images-dir", "maps")
    assert outcome.exit_code == 5
    assert "skipped: text.jpg" in outcome.stderr
    assert [file.name for file in (here / "maps").iterdir()] == ["saliency-a.png"]
    assert run("see", "saliency", network, "text.jpg", "--images-dir", "maps").exit_code == 4


@pytest.mark.parametrize(
    ("words", "says", "code"),
    [
        (["salency", "MODEL", "PHOTO"], "Did you mean saliency", 2),
        (["saliency", "MODEL", "PHOTO", "--patch", "4"], "an option of occlusion", 2),
        (["occlusion", "MODEL", "PHOTO", "--patch", "x"], "--patch", 2),
        (["occlusion", "MODEL", "PHOTO", "--batch-sizes", "4"], "--batch-size", 2),
        (["evolve", "MODEL", "--encoding", "dirct"], "Did you mean direct", 2),
        (["maximize", "MODEL", "--classes", "1", "--recipe", "lucit"], "Did you mean lucid", 2),
        (["fool", "MODEL", "PHOTO", "--method", "pgd", "--norm", "l3"], "Did you mean l2", 2),
        (["fool", "MODEL", "PHOTO", "--method", "pgd", "--epsilon", "0.5"], "try:   --float-pixels", 2),
        (["activation_maps", "MODEL", "PHOTO", "--layer", "x", "--sort", "mux"], "Did you mean max", 2),
        (["saliency", "MODEL", "PHOTO", "nowhere.jpg"], "image not found: nowhere.jpg", 4),
        (["saliency", "nowhere.keras", "PHOTO"], "nowhere.keras", 4),
        (["dream", "MODEL", "PHOTO", "--guide", "nowhere.jpg"], "image not found: nowhere.jpg", 4),
        (["saliency", "MODEL", "PHOTO", "--weights", "imagenet"], "--weights", 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_refused_before_anything_loads(monkeypatch, fails, network, photos, words, says, code):
    def load():
        raise AssertionError("Keras is loaded")

    monkeypatch.setattr(see, "load_keras", load)
    given = {"MODEL": network, "PHOTO": photos / "a.png"}
    assert says in fails("see", *[given.get(word, word) for word in words], code=code)


def test_checking_options_imports_no_keras(process, network):
    code = (
        "import sys\nfrom kerascnn_apps.main import main\n"
        "try:\n    main()\nfinally:\n    print(sorted({'keras', 'tensorflow'} & {*sys.modules}))"
    )
    for words in (["fool", network, "nowhere.jpg"], ["fool", "--help"], ["choose", network, network, "--patch", "x"]):
        assert process("see", *map(str, words), code=code).stdout.splitlines()[-1] == "[]"


def options_in(text):
    return {*re.findall(r"^ +(?:-\w, )?(--[\w-]+)", text, re.M)}


@pytest.mark.parametrize("method", ROWS)
def test_help_of_a_method_has_its_own_options_alone(run, method):
    text = run("see", method, "--help").stdout
    first, others = text.split("\nOptions of every method:\n")
    rows = [ROWS[method], *methods.methods_called(ROWS[method], {})]
    assert options_in(first) == {flag for row in rows for flag in methods.method_options(row)}
    assert {"--weights", "--out", "--images-dir", "--force"} <= options_in(others)
    assert ("--frames" in others) == (method == "dream")
    assert f"kerascnn see {method} NAME|FILE" in text
    assert "\nCommon options:\n" in others


def test_help_names_the_options_of_the_attack_that_is_asked(run):
    assert "--starts" in run("see", "fool", "--help").stdout
    text = run("see", "fool", "--method", "pgd", "--help").stdout
    assert {"--epsilon", "--step-size", "--norm"} <= options_in(text)
    assert "--starts" not in text


def test_near_names_are_options_of_the_method(fails, network, photos):
    text = fails("see", "saliency", network, photos, "--classs", 1, code=2)
    assert "--classes" in text
    assert "--patch" in fails("see", "occlusion", network, photos, "--path", 4, code=2)
    assert "--patch" not in fails("see", "saliency", network, photos, "--path", 4, code=2)


def test_options_of_variables_and_files_may_be_of_other_methods(document, here, network, photos, monkeypatch):
    (here / "kerascnn.toml").write_text("[see]\npatch = 4\ninteger-pixels = false\n")
    monkeypatch.setenv("KERASCNN_SEE_EPSILON", "30")
    document("see", "saliency", network, photos / "a.png")
    found = document("see", "fool", network, photos / "a.png", "--method", "fgsm")["result"]
    assert found["table"][0]["linf"] == 30


def test_the_words_of_options_are_those_of_the_functions():
    from kerascnn.visualize import RECIPES
    from kerascnn.visualize.attacks.norms import NORMS
    from kerascnn.visualize.attribution.gradients import SIGNALS
    from kerascnn.visualize.features import activations, filters
    from kerascnn.visualize.synthesis.evolve import ENCODINGS

    known = {
        ("guided_backprop", "signal"): SIGNALS,
        ("deconvnet", "signal"): SIGNALS,
        ("filter_images", "scale"): filters.SCALES,
        ("side_by_side", "scale"): filters.SCALES,
        ("filter_images", "sort"): filters.SORTS,
        ("activation_maps", "sort"): activations.SORTS,
        ("evolve", "encoding"): ENCODINGS,
        ("minimal", "norm"): NORMS,
        ("pgd", "norm"): NORMS,
    }
    assert methods.CHOICES.keys() == known.keys()
    for place, words in methods.CHOICES.items():
        assert {*words} == {*known[place]}, place
    assert {*methods.RECIPES} == {*RECIPES, "mahendran"}


def test_adversarial_images_are_integers_unless_floats_are_asked(document, here, network, photos):
    words = ("see", "fool", network, photos / "a.png", "--steps", 20, "--values", "x.npz", "--force")
    changes = {}
    for flag in ("--integer-pixels", "--float-pixels"):
        found = document(*words, flag)["result"]
        with np.load(here / "x.npz") as held:
            changes[flag] = held["images"] - held["originals"]
        assert found["table"][0]["success"]
    assert document(*words)["result"]["table"][0]["survives"]
    assert (changes["--integer-pixels"] == np.round(changes["--integer-pixels"])).all()
    assert (changes["--float-pixels"] != np.round(changes["--float-pixels"])).any()
