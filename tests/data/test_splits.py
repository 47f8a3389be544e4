"""Who is in which part: in proportion, and by a hash that this file computes itself."""

import hashlib
from collections import Counter
from importlib import import_module

import numpy as np
import pytest
from PIL import Image
from planted import contents, photo, write

from kerascnn.data import DataError, load
from kerascnn.data.load import limit_entries, open_memory
from kerascnn.data.splits import SplitMemory, assign_parts, split_by_hash

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
def test_the_part_of_runs_begun_with_the_first_rule_is_the_hash(seed):
    keys = [f"key {i}" for i in range(2000)]
    expected = ["test" if place(k, seed) < 0.1 else "valid" if place(k, seed) < 0.3 else "train" for k in keys]
    assert split_by_hash(keys, np.zeros(2000), 0.2, 0.1, seed).tolist() == expected


def test_each_class_is_divided_in_these_shares():
    """Of 1,000 a class 100 and 200 are asked for; one image more or fewer is allowed."""
    x, y = noise(5000), np.arange(5000) % 5
    data = load((x, y), valid=0.2, test=0.1)
    for part, share, bound in ((data.test, 100, 1), (data.valid, 200, 1)):
        counts = np.bincount(part.labels, minlength=5)
        assert np.abs(counts - share).max() <= bound, counts
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
    """The other share moves no image into it or out of it; only the seed draws again."""
    source = (noise(400), np.arange(400) % 2)
    tests = [set(load(source, valid=valid, test=0.2).test.names) for valid in (0, 0.1, 0.5)]
    assert tests[0] == tests[1] == tests[2]
    assert set(load(source, test=0.2, seed=1).test.names) != tests[0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("first", ["limited", "whole"])
def test_a_limit_moves_no_image_of_a_remembered_split(first, seed, tmp_path):
    source = (noise(400, seed), np.arange(400) % 2)
    names = {}
    for limit in (200, None) if first == "limited" else (None, 200):
        names[limit] = set(load(source, test=0.2, limit=limit, remember=tmp_path).test.names)
    taken = set(load(source, valid=0, test=0, limit=200).train.names)
    assert names[200] == names[None] & taken


def test_the_test_set_of_a_grown_dataset_depends_on_no_other_share(tmp_path):
    x, y = noise(300), np.arange(300) % 3
    for count in (100, 130, 300):
        tests = [
            set(load((x[:count], y[:count]), valid=valid, test=0.2, remember=tmp_path).test.names)
            for valid in (0, 0.1, 0.3)
        ]
        assert tests[0] == tests[1] == tests[2]


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


EVEN = {"train": 36, "valid": 12, "test": 12}  # of 60 images of a class, in groups of three


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
        assert len({part[name] for name in names if patient(name) == group}) == 1
    counts = Counter((name[0], part) for name, part in part.items())
    assert counts == {(label, part): count for label in "ab" for part, count in EVEN.items()}


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


def random_labels(seed):
    """Labels of 3 to 8 classes of 5 to 40 images, and of 10 % more images."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(rng.integers(3, 9)), 1)
    labels = np.repeat(labels, rng.integers(5, 41, len(labels)))
    return labels, rng.choice(labels, max(1, round(0.1 * len(labels))))


def split(labels, seed, memory=None, name="", **shares):
    keys = [f"sha1 {name} {i}" for i in range(len(labels))]
    given = [""] * len(labels)
    return assign_parts(given, keys, keys, labels, seed=seed, memory=memory, **({"valid": 0.1, "test": 0.2} | shares))


def check_shares(parts, labels, valid=0.1, test=0.2):
    """Each class has its share of the test set and of the validation set within one image."""
    for label in set(labels.tolist()):
        count = Counter(parts[labels == label])
        total = sum(count.values())
        assert abs(count["test"] - test * total) <= 1 + 1e-9, (label, count)
        assert abs(count["valid"] - valid * total) <= 1 + 1e-9, (label, count)
        assert min(count["test"], count["valid"], count["train"] - 1) >= 1, (label, count)


@pytest.mark.parametrize("part", range(4))
def test_random_datasets_are_split_in_proportion_and_keep_their_split(part, tmp_path):
    """200 datasets with five seeds: within one image, and 10 % more images move none."""
    for number in range(50 * part, 50 * part + 50):
        labels, added = random_labels(number)
        together = np.concatenate([labels, added])
        for seed in range(5):
            memory = SplitMemory(folder=tmp_path / f"{number}")
            before = split(labels, seed, memory, number)
            after = split(together, seed, memory, number)
            check_shares(before, labels)
            check_shares(after, together)
            assert (after[: len(labels)] == before).all()


def test_without_memory_few_images_of_random_datasets_move():
    """Exact shares, and 1.4 % of the images enter or leave the test set; of all that move none needs more than that."""
    moved = images = 0
    for number in range(100):
        labels, added = random_labels(number)
        together = np.concatenate([labels, added])
        before, after = split(labels, 0, name=number), split(together, 0, name=number)
        check_shares(before, labels)
        check_shares(after, together)
        moved += ((before == "test") != (after[: len(labels)] == "test")).sum()
        images += len(labels)
    assert 0 < moved < 0.02 * images


def test_the_order_of_the_images_does_not_matter():
    labels, _ = random_labels(3)
    keys = [f"sha1 {i}" for i in range(len(labels))]
    order = np.random.default_rng(0).permutation(len(labels))
    parts = assign_parts([""] * len(labels), keys, keys, labels, valid=0.1, test=0.2)
    mixed = [keys[i] for i in order]
    again = assign_parts([""] * len(labels), mixed, mixed, labels[order], valid=0.1, test=0.2)
    assert (again == parts[order]).all()


def test_many_additions_one_by_one(tmp_path):
    """However small the steps are, the shares hold."""
    labels = np.random.default_rng(0).integers(0, 3, 120)
    before = split(labels[:20], 0, SplitMemory(folder=tmp_path))
    for count in range(21, 121):
        after = split(labels[:count], 0, SplitMemory(folder=tmp_path))
        assert (after[: len(before)] == before).all()
        counts = Counter(labels[:count][after == "test"].tolist())
        totals = Counter(labels[:count].tolist())
        assert all(abs(counts[label] - 0.2 * totals[label]) <= 1 + 1e-9 for label in totals)
        before = after


@pytest.mark.parametrize("seed", range(8))
def test_random_groups_and_copies_stay_together_and_keep_their_split(seed, tmp_path):
    """Groups of 1 to 4 images, some of several classes, and exact copies, also among what is added."""
    rng = np.random.default_rng(seed)
    count, more = 150, 165
    groups = rng.integers(0, 70, more)
    x, y = noise(more, seed), rng.integers(0, 4, more)
    copied = rng.choice(count, 20, replace=False)
    x, y, groups = (
        np.concatenate([x, x[copied]]),
        np.concatenate([y, y[copied]]),
        np.concatenate([groups, groups[copied]]),
    )
    order = [*range(count), *range(more, more + 10)]
    order += [i for i in range(len(x)) if i not in order]
    x, y, groups = x[order], y[order], groups[order]
    parts = []
    for size in (count + 10, len(x)):
        source = (x[:size], y[:size])
        found = part_of(load(source, groups=[f"g{group}" for group in groups[:size]], remember=tmp_path, **SHARES))
        parts.append(np.array([found[f"images/{i:05}"] for i in range(size)]))
    assert (parts[1][: len(parts[0])] == parts[0]).all()
    for assigned in parts:
        for group in set(groups[: len(assigned)].tolist()):
            assert len(set(assigned[groups[: len(assigned)] == group])) == 1
    for label in range(4):
        share = (parts[0][y[: len(parts[0])] == label] == "test").sum()
        assert abs(share - 0.2 * (y[: len(parts[0])] == label).sum()) <= 1


def test_a_folder_keeps_its_split_when_it_grows(tmp_path, split_folder):
    """Also as an archive of the same name, and another folder does not know of it."""
    plant(tmp_path / "photos", 31)
    before = part_of(load(tmp_path / "photos", **SHARES))
    plant(tmp_path / "photos", 4, start=31)
    after = part_of(load(tmp_path / "photos", **SHARES))
    assert {name: after[name] for name in before} == before
    folder = open_memory(tmp_path / "photos", True).folder
    assert folder.parent == split_folder
    files = {file.name: file.read_text().splitlines() for file in folder.iterdir()}
    assert set(files) == {"seed0-test0.2.csv", "seed0-test0.2-valid0.2.csv"}
    lines = files["seed0-test0.2.csv"]
    assert lines[0] == "pixels,taken"
    assert len(lines) == 36
    assert sum(line.endswith(",1") for line in lines[1:]) == list(after.values()).count("test")


def test_remember_false_leaves_no_trace(tmp_path, split_folder):
    before = {*split_folder.iterdir()}
    plant(tmp_path / "unseen", 20)
    load(tmp_path / "unseen", remember=False)
    load((noise(20), np.arange(20) % 2))
    load("digits")
    assert {*split_folder.iterdir()} == before


def test_a_split_is_forgotten_with_its_folder_and_damage_is_no_error(tmp_path):
    x, y = noise(60), np.arange(60) % 3
    fresh = part_of(load((x, y), **SHARES))
    load((x[:40], y[:40]), remember=tmp_path / "split", **SHARES)
    file = tmp_path / "split" / "seed0-test0.2.csv"
    file.write_bytes(b"\xff\x00damaged")
    (tmp_path / "split" / "seed0-test0.2-valid0.2.csv").unlink()
    assert part_of(load((x, y), remember=tmp_path / "split", **SHARES)) == fresh


def test_a_folder_that_cannot_be_written_is_an_error_only_where_it_was_asked_for(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        load((noise(20), np.arange(20) % 2), remember=tmp_path / "file" / "split")
    plant(tmp_path / "photos", 20)
    monkeypatch.setattr(import_module("kerascnn.data.load"), "SPLITS", tmp_path / "file")
    assert len(load(tmp_path / "photos").train)


def test_new_images_that_join_two_splits_are_for_training(tmp_path):
    """What networks were trained on is not tested; both groups leave the test set, or stay out of it."""
    x, y = noise(40), np.arange(40) % 2
    groups = [f"g{i}" for i in range(40)]
    before = part_of(load((x, y), groups=groups, remember=tmp_path, **SHARES))
    tested, trained = (next(i for i in range(40) if before[f"images/{i:05}"] == part) for part in ("test", "train"))
    joined = ["joined" if i in (tested, trained) else group for i, group in enumerate(groups)]
    with pytest.warns(UserWarning, match="1 image left the test set: they have to stay with other images"):
        after = part_of(load((x, y), groups=joined, remember=tmp_path, **SHARES))
    assert after[f"images/{tested:05}"] == after[f"images/{trained:05}"] == "train"


def test_a_group_far_beyond_the_share_stays_in_training_and_a_warning_names_its_class():
    """Of class 0 all images belong to two groups of 20, where 8 are wanted; class 1 has single images."""
    labels = np.repeat([0, 1], 40)
    groups = [f"g{i // 20}" if i < 40 else f"single {i}" for i in range(80)]
    with pytest.warns(UserWarning, match="arrays: no test images of 0: test results do not cover them"):
        data = load((noise(80), labels), groups=groups, valid=0, test=0.2)
    assert data.untested_classes == ("0",)
    assert abs(len(data.test) - 8) <= 1


def test_a_group_of_several_classes_is_weighed_against_all_of_them():
    """Ten groups of three images of either class, and single images: both classes are within one image."""
    labels = np.concatenate([np.tile([0, 0, 0, 1, 1, 1], 10), np.repeat([0, 1], 5)])
    groups = [f"g{i // 6}" if i < 60 else f"single {i}" for i in range(70)]
    for seed in range(10):
        data = load((noise(70), labels), groups=groups, valid=0.2, test=0.2, seed=seed)
        for part in (data.test, data.valid):
            assert np.abs(np.bincount(part.labels, minlength=2) - 7).max() <= 1


def test_small_classes_are_named():
    labels = np.array([0] * 30 + [1] * 4 + [2] * 2)
    with pytest.warns(UserWarning, match=r"arrays: fewer than 5 images of 1, 2: too few to train or evaluate"):
        data = load((noise(36), labels), valid=0, test=0.2)
    assert "2" in data.untested_classes
    assert "0" not in data.untested_classes


KINDS_OF_PHOTOS = {  # numbers of ImageNet's classes
    "bird": range(7, 25),
    "cat": range(281, 294),
    "dog": range(151, 190),
    "insect": range(300, 327),
    "reptile": range(25, 69),
}


def test_sample_photos_are_split_in_proportion(shared, tmp_path):
    """Photos of 5 kinds; copies of two of each, saved again, are found and stay with them; more of each move none."""
    folder, later = tmp_path / "photos", []
    for name, numbers in KINDS_OF_PHOTOS.items():
        photos = [p for p in sorted(shared("data", "imagenet_sample").glob("*.jpg")) if int(p.name[:4]) in numbers]
        assert len(photos) >= 5
        (folder / name).mkdir(parents=True)
        for i, path in enumerate(photos):
            image = Image.open(path).convert("RGB")
            image.thumbnail((128, 128))
            image.save(folder / name / path.name, quality=92)
            if i < 2:
                image.save(folder / name / f"copy_{path.name}", quality=75)
            if i == 2:
                later.append(folder / name / path.name)
    moved = {path: path.rename(tmp_path / path.name) for path in later}
    before = load(folder, valid=0.1, test=0.2)
    for path, place in moved.items():
        place.rename(path)
    after = load(folder, valid=0.1, test=0.2)
    for data in (before, after):
        part = part_of(data)
        for name in KINDS_OF_PHOTOS:
            counts = Counter(part for image, part in part.items() if image.startswith(f"{name}/"))
            total = sum(counts.values())
            assert abs(counts["test"] - 0.2 * total) <= 1
            assert counts["train"] > counts["test"] >= 1
        copies = [name for name in part if "copy_" in name]
        assert len(copies) == 10
        assert all(part[name] == part[name.replace("copy_", "")] for name in copies)
    assert len(part_of(after)) == len(part_of(before)) + 5
    assert {name: part_of(after)[name] for name in part_of(before)} == part_of(before)
