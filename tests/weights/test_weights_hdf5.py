"""HDF5 files that are damaged, or that point elsewhere."""

import subprocess
import sys
import zipfile
import zlib

import h5py
import numpy as np
import pytest
from damage import mutations

from kerascnn.weights import WeightsError, read_weights


def hdf5_bytes(path, rng):
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["conv", "fc"]
        for layer in ("conv", "fc"):
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}/kernel:0", f"{layer}/bias:0"]
            group.create_dataset(f"{layer}/kernel:0", data=rng.normal(size=(8, 8)), compression="gzip")
            group.create_dataset(f"{layer}/bias:0", data=rng.normal(size=8))
    return path.read_bytes()


CHILD = """
import resource, sys
from pathlib import Path
from kerascnn.weights import WeightsError, read_weights
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
for path in sorted(Path(sys.argv[1]).glob("*.h5")):
    try:
        print(path.name, "read", len(read_weights(path)), flush=True)
    except WeightsError:
        print(path.name, "refused", flush=True)
"""


def test_damaged_hdf5(tmp_path, rng):
    """In a process of its own: the HDF5 library is C, and a crash there should be a failure here, not an end."""
    for index, changed in enumerate(mutations(hdf5_bytes(tmp_path / "whole.h5", rng), rng, 60)):
        (tmp_path / f"{index:02}.h5").write_bytes(changed)
    endless = bytearray((tmp_path / "whole.h5").read_bytes())
    heap = endless.index(b"GCOL") + 16
    endless[heap : heap + 16] = bytes(16)  # an object of no length, behind which the library looks at the same place
    (tmp_path / "endless.h5").write_bytes(endless)
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr[-2000:]
    assert "whole.h5 read 4" in done.stdout
    assert "endless.h5 refused" in done.stdout
    assert done.stdout.count("refused") > 15


def test_invalid_keras_file(tmp_path, rng):
    inner = hdf5_bytes(tmp_path / "whole.h5", rng)

    def build(name, **members):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("metadata.json", "{}")
            for member, content in members.items():
                file.writestr(member.replace("__", "."), content)
        return tmp_path / name

    assert len(read_weights(build("whole.keras", model__weights__h5=inner))) == 4
    for path, reason in {
        build("empty.keras"): "no such record",
        build("cut.keras", model__weights__h5=inner[:700]): "contain a complete model.weights.h5",
        build("bomb.keras", model__weights__h5=bytes(1 << 28)): "a declared size of",
    }.items():
        with pytest.raises(WeightsError, match=f"{path.name} should .*{reason}"):
            read_weights(path)


def test_hdf5_external_links_are_rejected(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["kernel"] = np.ones(3)
    (tmp_path / "raw").write_bytes(b"\1" * 80)

    def build(name, add):
        with h5py.File(tmp_path / name, "w") as file:
            file.attrs["layer_names"] = ["conv"]
            file.create_group("conv").attrs["weight_names"] = ["kernel"]
            add(file["conv"])
        with pytest.raises(WeightsError) as caught:
            read_weights(tmp_path / name)
        return str(caught.value)

    def linked(group):
        group["kernel"] = h5py.ExternalLink("secret.h5", "kernel")

    def virtual(group):
        layout = h5py.VirtualLayout((3,), "f8")
        layout[:] = h5py.VirtualSource("secret.h5", "kernel", (3,))
        group.create_virtual_dataset("kernel", layout)

    def outside(group):
        group.create_dataset("kernel", (10,), "f8", external=[(str(tmp_path / "raw"), 0, 80)])

    def unwritten(group):
        group.create_dataset("kernel", (1 << 40,), "f8")

    def bomb(group):
        group.create_dataset("kernel", data=np.zeros(16 << 20, "u1"), compression="gzip")

    def overfull(group):
        values = group.create_dataset("kernel", (100,), "f8", chunks=(100,), compression="gzip", shuffle=True)
        values.id.write_direct_chunk((0,), zlib.compress(bytes(50 << 20)), filter_mask=1)

    def text(group):
        group["kernel"] = "weights"

    assert "a link to another file, which is not followed for safety" in build("a.h5", linked)
    assert "stored in another file" in build("b.h5", virtual)
    assert "stored in another file" in build("c.h5", outside)
    assert "4 times the size of the file" in build("d.h5", unwritten)
    assert "4 times the size of the file" in build("e.h5", bomb)
    assert "have chunks of 800 bytes" in build("g.h5", overfull)
    assert "contain numbers" in build("f.h5", text)
