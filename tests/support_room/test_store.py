"""Results are found again under all that they depend on, and never as half of what they were."""

import numpy as np
import pytest

from kerascnn.support.store import Store, digest, make_key

MAPS = np.arange(6, dtype=np.float16).reshape(2, 3)


@pytest.fixture(params=["on disk", "in memory"])
def store(request, tmp_path):
    return Store(tmp_path / "new" / "folder" if request.param == "on disk" else None)


def test_stored_results_are_found(store):
    assert store.get("maps") is None
    assert store.put("maps", {"layer": "conv1", "sizes": (2, 3)}, maps=MAPS)
    metadata, arrays = store.get("maps")
    assert metadata == {"layer": "conv1", "sizes": [2, 3]}
    assert arrays["maps"].dtype == MAPS.dtype
    np.testing.assert_array_equal(arrays["maps"], MAPS)
    assert store.list_keys() == ["maps"]


def test_metadata_are_read_without_the_arrays(tmp_path):
    Store(tmp_path).put("maps", {"layer": "conv1"}, maps=MAPS)
    assert Store(tmp_path).get("maps", arrays=()) == ({"layer": "conv1"}, {})


def test_computed_once(store):
    asked = []

    def compute():
        asked.append(1)
        return {"layer": "conv1"}, {"maps": MAPS}

    first, second = (store.get_or_compute("maps", compute) for _ in range(2))
    assert len(asked) == 1
    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1]["maps"], second[1]["maps"])


def test_later_result_replaces_earlier(store):
    for number in range(2):
        store.put("number", {"number": number})
    assert store.get("number") == ({"number": 1}, {})


@pytest.mark.parametrize("damage", ["cut off", "a flipped bit", "empty", "no archive"])
def test_damaged_files_are_ignored(tmp_path, damage):
    store = Store(tmp_path)
    store.put("maps", {}, maps=MAPS)
    path = tmp_path / "maps.npz"
    data = bytearray(path.read_bytes())
    data[data.find(MAPS.tobytes())] ^= 16
    path.write_bytes({"cut off": data[:100], "a flipped bit": data, "empty": b"", "no archive": b"words"}[damage])
    with pytest.warns(UserWarning, match="maps.npz is damaged"):
        assert store.get("maps") is None
    assert store.list_keys() == [*tmp_path.iterdir()] == []


def test_full_disk_keeps_results_in_memory(tmp_path, monkeypatch):
    def full(*given, **how):
        raise OSError(28, "No space left on device")

    store = Store(tmp_path)
    monkeypatch.setattr(np, "savez", full)
    with pytest.warns(UserWarning, match="cannot cache .*: No space left on device"):
        assert not store.put("maps", {}, maps=MAPS)
    assert store.get("maps") == ({}, {"maps": MAPS})
    assert not [*tmp_path.iterdir()]


def test_clear_removes_only_matching_folders(store):
    for key in ("filters-1", "filters-2", "maps-1"):
        store.put(key, {})
    assert store.clear("filters*") == ["filters-1", "filters-2"]
    assert store.list_keys() == store.clear() == ["maps-1"]
    assert store.get("maps-1") is None
    assert not store.clear()


def test_digest_depends_on_every_part():
    different = [(MAPS,), (MAPS.astype(np.float32),), (MAPS.T,), ("0",), ("",), (), ("a", "b"), ("ab",)]
    assert len({make_key("maps", *parts) for parts in different}) == len(different)
    assert make_key("maps", "0") != make_key("means", "0")
    assert make_key("a/b c", 1).startswith("a_b_c-")
    assert digest(1.5, None) == digest("1.5", "None")
