"""Ways in which a file can be damaged, and what reading it then gives."""

import tracemalloc

from kerascnn.weights import WeightsError, read_weights

LIMIT = 6, 16 << 20  # bytes of memory: times the file, plus what reading anything takes


def mutations(content, rng, count):
    """Truncated, with flipped bits, with bytes replaced by extreme ones, with a piece left out."""
    for index in range(count):
        changed = bytearray(content)
        at = int(rng.integers(len(content)))
        if index % 4 == 0:
            del changed[at:]
        elif index % 4 == 1:
            for place in rng.integers(len(content), size=1 + index % 7):
                changed[place] ^= 1 << int(rng.integers(8))
        elif index % 4 == 2:
            changed[at : at + 8] = rng.choice([b"\xff" * 8, b"\x7f" * 8, b"\0" * 8])
        else:
            del changed[at : at + int(rng.integers(1, 40))]
        yield bytes(changed)


def outcome(path, content):
    """The arrays or the error of a file with this content, which must cost little memory."""
    path.write_bytes(content)
    tracemalloc.start()
    try:
        found = read_weights(path)
    except WeightsError as error:
        found = error
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < LIMIT[0] * len(content) + LIMIT[1], f"{peak:,} bytes for a file of {len(content):,}"
    if isinstance(found, WeightsError):
        assert str(found).startswith(f"{path} should ")
        assert len(str(found)) < 1000
    return found
