"""Ways in which a file can be damaged."""


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
