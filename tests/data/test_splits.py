"""Who is in which part: by a hash that this file computes itself, whatever lies beside an image."""

import hashlib
from collections import Counter

import numpy as np
import pytest
from planted import contents, photo, write

from kerascnn.data import DataError, load
from kerascnn.data.load import limit_entries, split_by_hash

SHARES = {"valid": 0.2, "test": 0.2}


def place(key, seed=0):
    """The first 64 bits of the salted sha256, over 2 ** 64."""
    return int(hashlib.sha256(f"{seed} {key}".encode()).hexdigest()[:16], 16) / 2**64


def noise(count, seed=0, side=8):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def part_of(data):
    """The part of each image by its name."""
    parts = {"train": data.train, "valid": data.valid, "test": data.test}
    return {name: part for part, images in parts.items() if images is not None for name in images.names}


def plant(folder, count, classes="ab", start=0):
    for i in range(start, start + count):
        write(folder / classes[i % len(classes)] / f"{i:03}.png", contents(photo(i, (8, 8)), "PNG"))


@pytest.mark.parametrize("seed", [0, 7])
def test_split_is_decided_by_the_hash(seed):
    keys = [f"key {i}" for i in range(2000)]
    expected = ["test" if place(k, seed) < 0.1 else "valid" if place(k, seed) < 0.3 else "train" for k in keys]
    assert split_by_hash(keys, np.zeros(2000), 0.2, 0.1, seed).tolist() == expected


def test_each_class_is_divided_in_these_shares():
    """Of 1,000 a class 100 and 200 are asked for; five standard deviations are 47 and 63."""
    x, y = noise(5000), np.arange(5000) % 5
    data = load((x, y), valid=0.2, test=0.1)
    for part, share, bound in ((data.test, 100, 47), (data.valid, 200, 63)):
        counts = np.bincount(part.labels, minlength=5)
        assert np.abs(counts - share).max() < bound, counts
    assert len(data.train) + len(data.valid) + len(data.test) == 5000


def test_files_keep_their_split_when_files_are_added(tmp_path):
    plant(tmp_path, 60)
    before = part_of(load(tmp_path, **SHARES))
    plant(tmp_path, 60, "abc", start=60)
    after = part_of(load(tmp_path, **SHARES))
    assert len(after) == 120
    assert {name: after[name] for name in before} == before
    assert set(before.values()) == {"train", "valid", "test"}


def test_the_test_part_is_locked():
    """Neither the other share nor a limit moves an image into it or out of it; only the seed draws again."""
    source = (noise(400), np.arange(400) % 2)
    tests = [set(load(source, valid=valid, test=0.2).test.names) for valid in (0, 0.1, 0.5)]
    assert tests[0] == tests[1] == tests[2]
    assert set(load(source, test=0.2, limit=200).test.names) < tests[0]
    assert set(load(source, test=0.2, seed=1).test.names) != tests[0]


def test_exact_copies_stay_together():
    x = noise(100)
    data = load((np.concatenate([x, x, x]), np.tile(np.arange(100) % 2, 3)), **SHARES)
    part = part_of(data)
    for i in range(100):
        assert len({part[f"images/{i + 100 * k:05}"] for k in range(3)}) == 1
    assert set(part.values()) == {"train", "valid", "test"}
    assert data.audit.counts["exact duplicate"] == 200
    assert not {image.tobytes() for image in data.train.items} & {image.tobytes() for image in data.test.items}


def patient(name):
    return name.split("/")[1].split("_")[0]


@pytest.mark.parametrize("kind", ["regular expression", "function", "dict", "column"])
def test_groups_stay_together(kind, tmp_path):
    names = [f"{'ab'[i % 2]}/patient{i // 6:02}_{i}.png" for i in range(120)]
    for i, name in enumerate(names):
        write(tmp_path / name, contents(photo(i, (8, 8)), "PNG"))
    source, groups = tmp_path, None
    if kind == "column":
        source = tmp_path / "list.csv"
        lines = [f"{name},{name[0]},{patient(name)}" for name in names]
        source.write_text("\n".join(["file,label,group", *lines]))
    else:
        named = {name: patient(name) for name in names}
        groups = {"regular expression": r"/(patient\d+)_", "function": patient, "dict": named}[kind]
    part = part_of(load(source, groups=groups, **SHARES))
    assert len(part) == 120
    for group in {patient(name) for name in names}:
        found = {part[name] for name in names if patient(name) == group}
        value = place(f"group {group}")
        assert found == {"test" if value < 0.2 else "valid" if value < 0.4 else "train"}


def test_groups_of_arrays():
    groups = np.arange(200) // 10
    part = part_of(load((noise(200), np.arange(200) % 2), groups=groups, **SHARES))
    counts = Counter((int(name[-5:]) // 10, part) for name, part in part.items())
    assert set(counts.values()) == {10}
    with pytest.raises(ValueError, match="`groups` should have one value for each of the 200 images. Received: 3"):
        load((noise(200), np.arange(200) % 2), groups=[1, 2, 3])


@pytest.mark.parametrize(
    ("groups", "text"),
    [("(", "a regular expression"), ("nowhere", "match names such as 'images/00000'"), (3, "a regular expression, a")],
    ids=str,
)
def test_invalid_groups(groups, text):
    with pytest.raises(DataError, match=f"`groups` should (be|match) ?.*{text.split()[-1]}"):
        load((noise(20), np.arange(20) % 2), groups=groups)


def test_given_splits_are_kept_and_missing_ones_taken_from_training():
    x, y = noise(300), np.arange(300) % 3
    data = load(((x[:200], y[:200]), (x[200:], y[200:])), valid=0.25)
    np.testing.assert_array_equal(data.test.items, x[200:])
    assert len(data.train) + len(data.valid) == 200
    assert 25 < len(data.valid) < 75
    whole = load(((x[:200], y[:200]), (x[200:250], y[200:250]), (x[250:], y[250:])))
    assert [len(part) for part in (whole.train, whole.valid, whole.test)] == [200, 50, 50]


def test_small_classes_keep_a_training_image():
    """Also where the hash has all of a class in the test part, and none at all in the validation part."""
    for seed in range(20):
        data = load((noise(12, seed), np.arange(12) % 4), valid=0.3, test=0.3, seed=seed)
        assert set(data.train.labels.tolist()) == {0, 1, 2, 3}
        assert len(data.valid)
        assert len(data.test)


def test_zero_fractions_give_no_split():
    data = load((noise(30), np.arange(30) % 2), valid=0, test=0)
    assert len(data.train) == 30
    assert len(data.valid) == 0
    assert data.test is None


@pytest.mark.parametrize(
    "wrong",
    [{"valid": 1}, {"test": -0.1}, {"valid": "a"}, {"valid": 0.5, "test": 0.5}, {"limit": 0}, {"limit": 1.5}],
    ids=str,
)
def test_invalid_fractions(wrong):
    with pytest.raises(ValueError, match="should .* Received:"):
        load((noise(20), np.arange(20) % 2), **wrong)


def test_limit_is_balanced_and_nested():
    labels = np.array([0] * 80 + [1] * 15 + [2] * 5)
    source = (noise(100), labels)
    small, large = (load(source, limit=limit, valid=0, test=0).train for limit in (12, 40))
    assert np.bincount(small.labels).tolist() == [4, 4, 4]
    assert np.bincount(large.labels).tolist() == [20, 15, 5]
    assert set(small.names) < set(large.names)
    assert limit_entries([], 3) == []
