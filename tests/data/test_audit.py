"""Planted defects are found and named, whatever lies beside them; what is left can be used."""

import io
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from planted import GOOD, PLANTED, contents, photo, plant, write

from kerascnn.data import DataError, audit, load
from kerascnn.data.inspection import KINDS, SEVERITIES, all_pairs, equal_pairs, group_by_pairs
from kerascnn.inputs.decode import ImageError, decode


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("planted")
    plant(root)
    return root


@pytest.fixture(scope="module")
def found(folder):
    return audit(folder)


@pytest.mark.parametrize(("path", "kind"), [row[:2] for row in PLANTED if row[1]], ids=lambda value: str(value))
def test_each_planted_defect_is_found_and_named(found, path, kind):
    rows = found.table[found.table.path == path]
    assert kind in set(rows.kind), rows
    assert set(rows[rows.kind == kind].severity) == {KINDS[kind].severity}


def test_enough_defects_are_planted():
    kinds = [kind for _, kind, _ in PLANTED if kind]
    assert len(kinds) >= 40
    assert len(set(kinds)) >= 20


def test_no_false_findings(found):
    """Of the plain photos only those that lie in an uneven class are mentioned, by the name of the class."""
    paths = {path for path, *_ in PLANTED}
    others = found.table[~found.table.path.isin(paths)]
    assert set(others.kind) <= {"imbalance"}, others


def test_counts_and_table(found):
    table = found.table
    assert list(table) == ["path", "kind", "severity", "detail"]
    assert found.counts == {kind: int((table.kind == kind).sum()) for kind in found.counts}
    assert list(table.severity) == sorted(table.severity, key=SEVERITIES.index)
    assert found.counts["exact duplicate"] == 3
    assert found.counts["near duplicate"] == 2
    assert found.counts["unreadable format"] == 4


def test_all_other_images_are_good(found, folder):
    left_out = {path for path, kind, data in PLANTED if data is not None and kind and gone(kind)}
    planted = {path for path, kind, data in PLANTED if data is not None} - left_out
    assert len(found.good) == GOOD + 6 + len(planted)
    assert not left_out & set(found.good.names)
    assert planted <= set(found.good.names)
    assert found.good.class_names == ("Dog ", "bird", "cat", "dog", "rare")
    for i in range(0, len(found.good), 17):
        assert found.good.names[i].split("/")[0] == found.good.class_names[found.good.labels[i]]
        np.testing.assert_array_equal(found.good.decode_image(i), decode(folder / found.good.names[i]))


def gone(kind):
    return KINDS[kind].severity in ("bad", "ignored")


def test_load_excludes_bad_images(folder):
    left_out, told = "excluded 16 of 3.. images: 4 unreadable format", "1 image with conflicting labels: dog/both.png"
    with pytest.warns(UserWarning, match=left_out), pytest.warns(UserWarning, match=told):
        data = load(folder, size=(24, 24))
    parts = [data.train, data.valid, data.test]
    names = [name for part in parts for name in part.names]
    assert sorted(names) == sorted(audit(folder).good.names)
    assert all(part.pixels().shape == (len(part), 24, 24, 3) for part in parts)
    of = {name: i for i, part in enumerate(parts) for name in part.names}
    for same in (["dog/twin1.png", "dog/twin2.png", "dog/twin3.bmp"], ["bird/again.jpg", "bird/again2.jpg"]):
        assert len({of[name] for name in same}) == 1


def test_text_and_files(found, tmp_path):
    text = found.text(3)
    assert "2 .heic, 1 .cr2, 1 .svg" in text.replace("1 .svg, 1 .cr2", "1 .cr2, 1 .svg")
    assert " 1 .txt\n" in text
    assert "cat/page.jpg" in text
    assert "excluded" in text
    pd.testing.assert_frame_equal(pd.read_csv(found.save(tmp_path / "a.csv"), keep_default_na=False), found.table)
    written = json.loads(found.save(tmp_path / "a.json").read_text())
    assert written["counts"] == found.counts
    assert written["classes"] == found.balance
    assert len(written["findings"]) == len(found.table)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.csv", "a.json"]
    with pytest.raises(ValueError, match=r"`path` should end in \.csv or \.json"):
        found.save(tmp_path / "a.xlsx")


@pytest.mark.parametrize("kind", ["PNG", "GIF", "JPEG", "TIFF", "WEBP", "BMP"])
def test_one_damaged_byte_is_bad_for_audit_as_for_decode(kind, tmp_path):
    """Noise, so that nearly each byte is one of the pixels'; what decodes in spite of it is good for both."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8))
    whole = contents(noise, kind)
    for at in np.linspace(8, len(whole) - 1, 60).astype(int):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        write(tmp_path / "noise" / f"{at:05}.{kind.lower()}", bytes(damaged))
    bad = set()
    for path in sorted((tmp_path / "noise").iterdir()):
        try:
            decode(path)
        except ImageError:
            bad.add(f"noise/{path.name}")
    found = audit(tmp_path)
    assert set(found.bad) == bad
    assert len(bad) > 30 or kind != "PNG"


def test_more_than_a_twentieth_bad_is_fatal(tmp_path):
    for i in range(20):
        write(tmp_path / "ab"[i % 2] / f"{i}.png", contents(photo(i), "PNG"))
    write(tmp_path / "a" / "bad.jpg", b"")
    with pytest.warns(UserWarning, match="excluded 1 of 21 images: 1 empty"):
        load(tmp_path)
    write(tmp_path / "b" / "bad.jpg", b"<html>")
    assert audit(tmp_path).fatal
    with pytest.raises(DataError, match=r"at most 5% bad images\. Received: 2 bad images of 22 \(1 empty, 1 HTML\)"):
        load(tmp_path)


def test_folder_without_images(tmp_path):
    with pytest.raises(DataError, match="images in one subfolder per class. Received: no readable images"):
        load(tmp_path)
    write(tmp_path / "a.png", contents(photo(0), "PNG"))
    with pytest.raises(DataError, match=r"Received: no readable images \(1 no class\)"):
        load(tmp_path)
    write(tmp_path / "a" / "a.png", contents(photo(0), "PNG"))
    assert {"single class", "small class", "no class"} == set(audit(tmp_path).counts)


def test_files_that_cannot_be_opened(tmp_path, monkeypatch):
    """A link to nowhere, a link to itself, a pipe that nobody writes to, a file and a folder without permission."""
    for i in range(4):
        write(tmp_path / "ab"[i % 2] / f"{i}.png", contents(photo(i), "PNG"))
    (tmp_path / "a" / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "a" / "self.png").symlink_to("self.png")
    (tmp_path / "b" / "round").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "a" / "pipe.png")
    write(tmp_path / "b" / "mine.png", contents(photo(9), "PNG"))
    write(tmp_path / "shut" / "1.png", contents(photo(8), "PNG"))
    read, look = Path.read_bytes, os.scandir
    refused = PermissionError(13, "Permission denied", str(tmp_path / "shut"))

    def refuse(function, name):
        def ask(path, *rest):
            if str(path).endswith(name):
                raise refused
            return function(path, *rest)

        return ask

    monkeypatch.setattr(Path, "read_bytes", refuse(read, "mine.png"))
    monkeypatch.setattr(os, "scandir", refuse(look, "shut"))
    found = audit(tmp_path)
    assert len(found.good) == 4
    assert found.bad == {
        "a/gone.png": "missing",
        "a/self.png": "missing",
        "a/pipe.png": "missing",
        "b/mine.png": "no access",
        "shut": "no access",
    }


def test_leakage_across_given_splits(tmp_path):
    for i in range(20):
        part = "test" if i > 14 else "train"
        write(tmp_path / part / "ab"[i % 2] / f"{i}.png", contents(photo(i), "PNG"))
    write(tmp_path / "test" / "a" / "copy.png", contents(photo(0), "BMP"))
    write(tmp_path / "test" / "a" / "saved.jpg", contents(photo(2), "JPEG", quality=80))
    found = audit(tmp_path)
    leaks = found.table[found.table.kind == "leakage"]
    assert set(leaks.path) | set(leaks.detail.str.split().str[3]) >= {"test/a/copy.png"}
    assert len(leaks) == 2
    with pytest.warns(UserWarning, match="2 images with leakage"):
        load(tmp_path)


def test_different_photos_are_no_duplicates(shared):
    paths = sorted(shared("data", "imagenet_sample").glob("*.jpg"))[:120]
    found = audit((np.stack([decode(path) for path in paths]), np.arange(120)))
    assert not {"near duplicate", "exact duplicate"} & set(found.counts)


@pytest.mark.parametrize("change", ["quality 50", "half", "larger"])
def test_changed_photos_are_near_duplicates(shared, change):
    """At least 19 of 20 photos are known again after they were saved anew or resized; none is taken for another."""
    photos = [decode(path) for path in sorted(shared("data", "imagenet_sample").glob("*.jpg"))[:40]]
    changed = []
    for pixels in photos:
        image = Image.fromarray(pixels)
        scale = {"quality 50": 1, "half": 0.5, "larger": 1.5}[change]
        image = image.resize([int(side * scale) for side in image.size], Image.Resampling.BICUBIC)
        again = decode(contents(image, "JPEG", quality=50 if scale == 1 else 75))
        changed.append(np.asarray(Image.fromarray(again).resize((256, 256))))
    found = audit((np.stack(photos + changed), np.tile(np.arange(40), 2)))
    assert "conflicting labels" not in found.counts
    assert found.counts["near duplicate"] >= 38


def test_pairs_of_fingerprints_against_counting(rng):
    keys = rng.integers(0, 2**63, 300, dtype=np.uint64)
    keys[200:] = keys[:100] ^ np.uint64(0b1011)
    keys[250:] = keys[50:100] ^ np.uint64(0b11111)
    expected = {(i, j) for i in range(300) for j in range(i) if (int(keys[i]) ^ int(keys[j])).bit_count() <= 4}
    assert {(j, i) for part in all_pairs(keys) for i, j in part.tolist()} == expected
    keys[7] = keys[200]
    assert [tuple(row) for part in equal_pairs(keys) for row in part.tolist()] == [(7, 200)]


def test_groups_of_linked_pairs():
    assert group_by_pairs(6, [(0, 3), (3, 5), (4, 1)]).tolist() == [0, 1, 2, 0, 1, 0]


def test_chains_of_lookalikes_do_not_glue_a_class_together():
    """Sixty pictures, each a little lighter than the one before: alike in pairs, but not one picture."""
    base = np.asarray(photo(1)) // 2
    x = np.stack([(base + i).astype(np.uint8) for i in range(60)])
    found = audit((x, np.arange(60) % 2))
    assert found.counts["near duplicate"] == 59
    assert len(set(found.keys)) == 60


def test_verbose_and_silent(folder, capsys, monkeypatch):
    monkeypatch.setattr("kerascnn.support.progress.PATIENCE", -1.0)
    audit(folder, verbose=0)
    assert capsys.readouterr().err == ""
    audit(folder)
    first = capsys.readouterr().err.splitlines()[0]
    assert "reading" in first
    assert " of 3" in first


def test_interrupted_reader_stops_decoding(folder):
    """What comes after an interruption is not decoded."""
    from kerascnn.inputs.decode import map_in_threads

    done = []
    run = map_in_threads(done.append, range(100_000))
    next(run)
    run.close()
    assert len(done) < 50_000


def test_no_warnings_of_pillow(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        audit(folder)


def test_planted_cmyk_file_is_cmyk():
    assert Image.open(io.BytesIO({path: data for path, _, data in PLANTED}["dog/inks.tif"])).mode == "CMYK"


def test_a_class_that_the_given_test_split_lacks_is_named():
    x = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    y = np.arange(40) % 4
    found = audit(((x[:28], y[:28]), (x[28:], np.arange(12) % 3)))
    rows = found.table[found.table.kind == "untested class"]
    assert rows.path.tolist() == ["3"]
    assert "3" in str(found).partition("untested class")[2]
    with pytest.warns(UserWarning, match="arrays: no test images of 3: test results do not cover them"):
        assert load(((x[:28], y[:28]), (x[28:], np.arange(12) % 3))).untested_classes == ("3",)


def test_conflicting_labels_are_told_once_with_the_names_of_the_images():
    """An image in three classes, and its near duplicates: one finding for each image but the first, one warning."""
    x = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
    x[:3] = np.kron(x[0, :8, :8], np.ones((4, 4, 1), np.uint8))
    x[1, 0, 0, 0] ^= 1
    x[2, 0, 0, 0] ^= 2
    with pytest.warns(UserWarning, match="conflicting") as caught:
        data = load((x, np.arange(30) % 3), groups=None)
    texts = [str(warning.message) for warning in caught if "conflicting" in str(warning.message)]
    assert texts == ["arrays: 2 images with conflicting labels: images/00001, images/00002"]
    assert data.audit.counts["conflicting labels"] == 2
