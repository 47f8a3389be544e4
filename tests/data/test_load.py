"""Every kind of source gives the same images under the same classes, or says in one line what it should be."""

import io
import shutil
import struct
import zipfile
from collections import Counter

import keras
import numpy as np
import pytest
from planted import contents, photo, write
from sklearn.datasets import load_digits

from kerascnn.data import DataError, audit, load
from kerascnn.data.sources import NAMES

COUNT = 12  # cats and dogs by turns; the last four are for the test
PHOTOS = [np.asarray(photo(i, (16, 20))) for i in range(COUNT)]
LABELS = ["cat", "dog"] * 6
EXPECTED = Counter((label, image.tobytes()) for label, image in zip(LABELS, PHOTOS, strict=True))


def png(i):
    return contents(photo(i, (16, 20)), "PNG")


def content(*parts):
    """(class, pixels) of all images."""
    found = Counter()
    for images in parts:
        if images is not None:
            found += Counter(
                (images.class_names[y], x.tobytes()) for x, y in zip(images.pixels(), images.labels, strict=True)
            )
    return found


def folder(root):
    for i in range(COUNT):
        write(root / "pets" / LABELS[i] / f"{i}.png", png(i))
    return root / "pets"


def wrapped(root):
    """All in one folder that does nothing else, beside a note."""
    folder(root / "all" / "of")
    write(root / "all" / "README.txt", b"photos of pets")
    return root / "all"


def deep(root):
    """Folders inside the folders of classes."""
    for i in range(COUNT):
        write(root / "pets" / LABELS[i] / f"from {i % 3}" / f"{i}.png", png(i))
    return root / "pets"


def divided(root, beside=()):
    for i in range(COUNT):
        write(root / "pets" / ("Train" if i < 8 else "test") / LABELS[i] / f"{i}.png", png(i))
    for name in beside:
        write(root / "pets" / name, b"words")
    return root / "pets"


def noted(root):
    """train and test, and a folder and a file beside them."""
    return divided(root, ["notes/more/1.txt", "LICENSE"])


def zipped(path, root, base=None):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, file.relative_to(base or root.parent).as_posix())
    return path


def table(root):
    folder(root)
    rows = [f"pets/{LABELS[i]}/{i}.png,{LABELS[i]}" for i in range(COUNT)]
    (root / "list.csv").write_text("\n".join(["file,label", *rows]))
    return root / "list.csv"


def npz(root, **arrays):
    np.savez(root / "pets.npz", **arrays)
    return root / "pets.npz"


x, y = np.stack(PHOTOS), np.array(LABELS)
WHOLE = {
    "folder": folder,
    "folder in a folder": wrapped,
    "folders in classes": deep,
    "folder as text": lambda root: str(folder(root)),
    "zip": lambda root: zipped(root / "a.zip", folder(root)),
    "zip without a suffix": lambda root: zipped(root / "a", folder(root)),
    "CSV": table,
    "arrays": lambda root: (x, y),
    "arrays in a list": lambda root: [x, list(y)],
    "arrays of 0..1": lambda root: (x / np.float32(255), y),
    "arrays of int64": lambda root: (x.astype(np.int64), y),
    "bytes as labels": lambda root: (x, np.array(LABELS, "S")),
    "npz": lambda root: npz(root, x=x, y=y),
    "npz, images": lambda root: npz(root, images=x, labels=y),
}
PARTED = {
    "folder": divided,
    "folder with notes": noted,
    "zip": lambda root: zipped(root / "a.zip", divided(root)),
    "arrays": lambda root: ((x[:8], y[:8]), (x[8:], y[8:])),
    "npz": lambda root: npz(root, x_train=x[:8], y_train=y[:8], x_test=x[8:], y_test=y[8:]),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_sources(kind, tmp_path):
    data = load(WHOLE[kind](tmp_path), valid=0.3, test=0.3)
    assert data.class_names == ("cat", "dog")
    assert content(data.train, data.valid, data.test) == EXPECTED
    assert data.size == (16, 20)
    assert str(data).endswith(f"{len(data.train)} train, {len(data.valid)} valid, {len(data.test)} test")
    assert not data.audit.bad


@pytest.mark.parametrize("kind", PARTED)
def test_sources_with_splits(kind, tmp_path):
    data = load(PARTED[kind](tmp_path), valid=0.3)
    assert data.class_names == ("cat", "dog")
    assert content(data.train, data.valid, data.test) == EXPECTED
    assert content(data.test) == Counter((LABELS[i], PHOTOS[i].tobytes()) for i in range(8, COUNT))


def test_files_outside_class_folders_are_reported(tmp_path):
    paths = {"wrapped": wrapped(tmp_path / "1"), "noted": noted(tmp_path / "2")}
    beside = {
        name: {row.path for row in audit(path).findings if row.kind == "no class"} for name, path in paths.items()
    }
    assert beside == {"wrapped": {"README.txt"}, "noted": {"LICENSE", "notes/more/1.txt"}}


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.arange(12) % 2, ("0", "1")),
        (np.arange(12)[:, None] % 2, ("0", "1")),
        (np.eye(2)[np.arange(12) % 2], ("0", "1")),
        ((np.arange(12) % 2).astype(float), ("0", "1")),
        (np.arange(12) % 2 == 1, ("0", "1")),
        (np.arange(12), tuple(f"{i:02}" for i in range(12))),
        (np.arange(12) % 2 * 10**12, ("0000000000000", "1000000000000")),
    ],
    ids=["numbers", "a column", "one-hot", "floats", "truths", "a dozen", "a billion"],
)
def test_labels(labels, classes):
    data = load((x, labels), valid=0, test=0)
    assert data.class_names == classes
    assert data.train.labels.tolist() == [[*classes].index(classes[i % len(classes)]) for i in range(12)]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ((x, y[:3]), "one label for each of its 12 images"),
        ((x[0], y), r"one label for each|images \(N, H, W"),
        ((x.astype(str), y), r"images \(N, H, W\[, C\]\). Received: an array .* of <U"),
        ((x / 127.5 - 1, y), "pixel values 0..255. Received: values from -1"),
        ((x * np.float32(np.nan), y), "pixel values 0..255. Received: values from nan"),
        ((x, np.arange(12) - 1), "non-negative labels. Received: negative"),
        ((x, np.arange(12) / 7), "integers or names"),
        ((x, np.full((12, 2), "a")), "one label for each"),
        ((x,), "Received: a tuple of length 1"),
        (((x, y), (x[:, :8], y)), "images of the same shape"),
        ((x[:0], y[:0]), "Received: no readable images"),
        (3, "a path, arrays .* Received: int"),
        ("nowhere/at/all", "an existing folder, .zip, .csv or .npz file. Received: 'nowhere/at/all'"),
        ("cifar11", "Did you mean cifar10"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_invalid_sources(source, text):
    with pytest.raises(DataError, match=text):
        load(source)


# CSV files
HEAD = "file,label"
ROWS = [(f"pets/{LABELS[i]}/{i}.png", LABELS[i]) for i in range(COUNT)]


def joined(head, rows, mark=",", end="\n"):
    return end.join([head, *(mark.join(row) for row in rows)])


TABLES = {
    "commas": joined(HEAD, ROWS),
    "a last line": joined(HEAD, ROWS) + "\n\n",
    "byte order mark": "\ufeff" + joined(HEAD, ROWS),
    "Windows": joined(HEAD, ROWS, end="\r\n"),
    "semicolons": joined("file;label", ROWS, ";"),
    "tabs": joined("file\tlabel", ROWS, "\t"),
    "capitals and blanks": joined("File, Label ", ROWS, ", "),
    "another order": joined("width,label,note,file", [("20", label, "", file) for file, label in ROWS]),
    "quotes": joined('"file","label"', [(f'"{file}"', f'"{label}"') for file, label in ROWS]),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables(kind, tmp_path):
    folder(tmp_path)
    (tmp_path / "list.csv").write_bytes(TABLES[kind].encode())
    data = load(tmp_path / "list.csv", valid=0, test=0)
    assert content(data.train) == EXPECTED
    assert data.audit.counts == {}


def test_a_comma_in_a_name(tmp_path):
    for i in range(COUNT):
        write(tmp_path / f"{LABELS[i]}, {i}.png", png(i))
    rows = [f'"{LABELS[i]}, {i}.png",{LABELS[i]}' for i in range(COUNT)]
    (tmp_path / "list.csv").write_text("\n".join([HEAD, *rows]))
    assert content(load(tmp_path / "list.csv", valid=0, test=0).train) == EXPECTED


def test_table_with_splits_and_groups(tmp_path):
    folder(tmp_path)
    rows = [(*row, "val" if i < 2 else "Test" if i < 5 else "", f"g{i // 2}") for i, row in enumerate(ROWS)]
    (tmp_path / "list.csv").write_text(joined("file,label,split,group", rows))
    data = load(tmp_path / "list.csv")
    assert [len(part) for part in (data.train, data.valid, data.test)] == [7, 2, 3]
    assert set(data.test.names) == {file for file, _ in ROWS[2:5]}


def test_odd_lines_of_a_table(tmp_path):
    folder(tmp_path)
    rows = [*ROWS, ("pets/none.png", "cat"), ROWS[0], (ROWS[1][0], "cat"), (ROWS[2][0], ""), ("", "dog")]
    (tmp_path / "list.csv").write_text(joined(HEAD, rows))
    found = audit(tmp_path / "list.csv")
    assert len(found.good) == COUNT
    assert {(row.path, row.kind) for row in found.findings} == {
        ("pets/none.png", "missing"),
        (ROWS[0][0], "listed twice"),
        (ROWS[1][0], "conflicting labels"),
        ("list.csv, line 17", "no class"),
        ("list.csv, line 18", "no class"),
    }


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "should have the columns file, label"),
        (b"path,class\na,b\n", r"should have the columns file, label\[, split\]\[, group\]. Received: path, class"),
        (b"file,label,split\n\na.png,cat,holdout\n", "`split` should be train, valid or test. Received: 'holdout'"),
        ("file,label\nk\u00e4tzchen.png,cat".encode("latin-1"), "in UTF-8"),
        (b"file,label\n", "Received: no readable images"),
    ],
    ids=["empty", "columns", "split", "Latin-1", "no rows"],
)
def test_invalid_tables(data, text, tmp_path):
    (tmp_path / "list.csv").write_bytes(data)
    with pytest.raises(DataError, match=text):
        load(tmp_path / "list.csv")


# zip archives that somebody made on purpose
def archive(path, names):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for i, name in enumerate(names):
            file.writestr(name, png(i))
    return path


def changed(path, name, offset, form, value):
    """Overwrite a field of a file's entry in the archive's own table."""
    data = bytearray(path.read_bytes())
    start = -1
    while True:
        start = data.index(b"PK\x01\x02", start + 1)
        length = struct.unpack_from("<H", data, start + 28)[0]
        if data[start + 46 : start + 46 + length] == name.encode():
            break
    struct.pack_into(form, data, start + offset, value)
    path.write_bytes(data)
    return path


NAMES_INSIDE = [f"{LABELS[i % 2]}/{i}.png" for i in range(COUNT)]
UNSAFE = ["../evil.png", "cat/../../evil.png", "/evil.png", "C:/evil.png", "cat\\..\\..\\evil.png", "\\evil.png"]
HOSTILE = {  # what is done to every file, and what is said
    "encrypted": (8, "<H", 1, "12 encrypted", "an encrypted file"),
    "a bomb": (24, "<I", 2**32 - 2, "12 too large", "a file of 4,294,967,294 bytes when decompressed"),
    "more than it says": (24, "<I", 50, "12 truncated", "cannot be read from its archive: Bad CRC"),
    "unknown packing": (10, "<H", 77, "12 truncated", "cannot be read from its archive: "),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives(kind, tmp_path):
    offset, form, value, counted, detail = HOSTILE[kind]
    path = archive(tmp_path / "a.zip", NAMES_INSIDE)
    for name in NAMES_INSIDE:
        changed(path, name, offset, form, value)
    found = audit(path)
    assert {row.path for row in found.findings if detail in row.detail} == set(NAMES_INSIDE), found.findings
    with pytest.raises(DataError, match=rf"a\.zip should have .* Received: no readable images \({counted}"):
        load(path)


@pytest.mark.parametrize("kind", HOSTILE)
def test_one_hostile_file_is_excluded(kind, tmp_path):
    offset, form, value, counted, _ = HOSTILE[kind]
    names = [f"{'ab'[i % 2]}/{i}.png" for i in range(40)]
    changed(archive(tmp_path / "a.zip", names), names[7], offset, form, value)
    with pytest.warns(UserWarning, match=f"excluded 1 of 40 images: {counted.replace('12', '1')}"):
        data = load(tmp_path / "a.zip", valid=0, test=0)
    assert set(data.train.names) == {*names} - {names[7]}


@pytest.mark.parametrize("name", UNSAFE)
def test_archive_names_outside_the_archive(name, tmp_path):
    names = [f"{'ab'[i % 2]}/{i}.png" for i in range(30)]
    with pytest.warns(UserWarning, match="excluded 1 of 31 images: 1 unsafe path"):
        data = load(archive(tmp_path / "a.zip", [*names, name]), valid=0, test=0)
    assert set(data.train.names) == {*names}
    assert data.audit.bad == {name.replace("\\", "/"): "unsafe path"}
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
    assert not (tmp_path.parent / "evil.png").exists()
    with pytest.raises(DataError, match="1 unsafe path"):
        load(archive(tmp_path / "b.zip", [name]))


def test_a_damaged_archive(tmp_path):
    path = archive(tmp_path / "a.zip", NAMES_INSIDE)
    (tmp_path / "cut.zip").write_bytes(path.read_bytes()[:-200])
    (tmp_path / "photo.jpg").write_bytes(png(0))
    (tmp_path / "empty.zip").write_bytes(b"")
    for name in ("cut.zip", "photo.jpg", "empty.zip"):
        with pytest.raises(DataError, match=rf"{name} should be a zip archive\. Received: "):
            load(tmp_path / name)
    data = bytearray(path.read_bytes())
    data[80:90] = bytes(10)  # in the first file
    path.write_bytes(data)
    assert audit(path).bad == {NAMES_INSIDE[0]: "truncated"}


def test_invalid_npz_files(tmp_path):
    npz(tmp_path, a=x)
    with pytest.raises(DataError, match=r"should have arrays x, y or x_train, .* Received: a"):
        load(tmp_path / "pets.npz")
    npz(tmp_path, x=x, y=np.array(LABELS, object))
    with pytest.raises(DataError, match="Received: Object arrays cannot be loaded"):
        load(tmp_path / "pets.npz")
    out = io.BytesIO()
    np.save(out, x)
    npz(tmp_path, x=x, y=y)
    for data in (b"", b"words", out.getvalue(), (tmp_path / "pets.npz").read_bytes()[:-50]):
        (tmp_path / "bad.npz").write_bytes(data)
        with pytest.raises(DataError, match=r"bad\.npz should be a valid \.npz file"):
            load(tmp_path / "bad.npz")


# datasets with a name
def test_digits():
    """Every one there, under its own name; blocks of 4x4 of the enlarged images are scikit-learn's 8x8."""
    data, known = load("digits", valid=0, test=0), load_digits()
    assert len(data.train) == 1797
    assert data.class_names == tuple("0123456789")
    np.testing.assert_array_equal(data.train.labels, known.target)
    small = data.train.items[..., 0].reshape(1797, 8, 4, 8, 4).mean(axis=(2, 4))
    scores = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(small, known.images, strict=True)]
    assert min(scores) > 0.95


def test_shapes():
    data = load("shapes")
    assert data.audit.balance == dict.fromkeys(["circle", "cross", "ring", "square", "stripes", "triangle"], 100)
    assert data.size == (32, 32)
    np.testing.assert_array_equal(load("shapes").train.items, data.train.items)
    assert not {"exact duplicate", "near duplicate"} & set(data.audit.counts)


@pytest.fixture
def no_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("KERASCNN_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "classes", "sides"),
    [
        (
            "cifar10",
            ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
            (32, 3),
        ),
        ("cifar100", tuple(f"{i:02}" for i in range(100)), (32, 3)),
        ("mnist", tuple("0123456789"), (28,)),
        ("fashion_mnist", None, (28,)),
    ],
)
def test_datasets_of_keras(name, classes, sides, rng, no_folder, monkeypatch, capsys):
    """As Keras gives them: labels of CIFAR are columns, digits have no channel; what it prints is no result."""
    count = len(classes or "0123456789")
    x = rng.integers(0, 256, (300, sides[0], *([sides[0]] + [*sides[1:]])), dtype=np.uint8)
    y = (np.arange(300) % count).reshape((300, 1) if "cifar" in name else 300)

    def load_data():
        print("Downloading data")
        return (x[:200], y[:200]), (x[200:], y[200:])

    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", load_data)
    data = load(name, valid=0.2)
    assert capsys.readouterr().out == ""
    assert classes is None or data.class_names == classes
    assert len(data.test) == 100
    named = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
    for image, label in zip(data.test.items, data.test.labels, strict=True):
        at = next(i for i in range(200, 300) if (x[i].reshape(image.shape) == image).all())
        number = int(y[at].item())
        assert data.class_names[label] == (named[number] if classes is None else classes[number])


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist"])
def test_datasets_without_an_internet_connection(name, no_folder, monkeypatch):
    def load_data():
        raise Exception("URL fetch failure on https://example.org/x.tar.gz: None -- [Errno -2] Name or service\nmore")

    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", load_data)
    with pytest.raises(DataError) as caught:
        load(name)
    text = str(caught.value)
    assert "\n" not in text
    for part in (f"cannot download {name}", "URL fetch failure", f"{name}.npz", f"{name}_train.zip", "KERASCNN_DATA"):
        assert part in text


@pytest.mark.parametrize("form", ["folder", "npz", "csv", "zip", "two zips"])
def test_named_dataset_from_a_local_folder(form, tmp_path, monkeypatch):
    own = tmp_path / "own"
    if form == "folder":
        shutil.copytree(folder(tmp_path), own / "cifar10")
    elif form == "npz":
        own.mkdir()
        shutil.copy(npz(tmp_path, x=x, y=y), own / "cifar10.npz")
    elif form == "csv":
        table(own).rename(own / "cifar10.csv")
    elif form == "zip":
        own.mkdir()
        zipped(own / "cifar10.zip", folder(tmp_path))
    else:
        root = divided(tmp_path)
        own.mkdir()
        zipped(own / "cifar10_train.zip", root / "Train", root / "Train")
        zipped(own / "cifar10_test_a.zip", root / "test", root / "test")
    monkeypatch.setenv("KERASCNN_DATA", str(own))
    data = load("cifar10", valid=0.2, test=0.2)
    assert content(data.train, data.valid, data.test) == EXPECTED
    if form == "two zips":
        assert content(data.test) == Counter((LABELS[i], PHOTOS[i].tobytes()) for i in range(8, COUNT))


def test_unknown_dataset_lists_all_names():
    assert {*NAMES} == {"digits", "shapes", "cifar10", "cifar100", "mnist", "fashion_mnist"}
    with pytest.raises(DataError, match="Unknown dataset 'photos'. Available: .*digits.*or a path"):
        load("photos")


@pytest.mark.nightly
def test_cifar10_from_its_archives(shared, monkeypatch):
    """The real files: balanced, and all of the test archive in the test part."""
    monkeypatch.setenv("KERASCNN_DATA", str(shared("data", "cifar10_train.zip").parent))
    data = load("cifar10", limit=2000)
    assert np.bincount(data.test.labels).tolist() == [200] * 10
    assert len(data.train) + len(data.valid) == 2000
    assert data.class_names[0] == "airplane"
    assert data.size == (32, 32)
    assert not data.audit.bad
