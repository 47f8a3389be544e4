"""Files are there as a whole or not at all."""

import pytest

from kerascnn.support.files import write_atomically


def test_files_are_replaced_atomically(tmp_path):
    path = tmp_path / "notes.txt"
    with write_atomically(path) as draft:
        assert draft.suffix == ".txt"
        draft.write_text("one")
        assert not path.exists()
    assert [(file.name, file.read_text()) for file in path.parent.iterdir()] == [("notes.txt", "one")]


def test_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("old")

    def half(draft):
        draft.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk"), write_atomically(path) as draft:
        half(draft)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("notes.txt", "old")]
