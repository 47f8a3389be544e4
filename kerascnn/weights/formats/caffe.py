"""Caffe's `.caffemodel` files without Caffe: a NetParameter in protocol buffers, read as far as its layers' blobs.

A message is a row of fields, each a key (its number and how it is written) and a value. Fields that are not asked for
are skipped by their length, so nothing nests deeper than network, layer, blob, shape.
"""

import math
import mmap
import os

import numpy as np

from . import Allowance, WeightsError, filled, sensible

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
WIDTHS = {FIXED64: 8, FIXED32: 4}
NET = {100: (1, 7), 2: (4, 6)}  # a layer's number in the network -> the numbers of its name and of its blobs
INNER, OLDEST = 1, (1, 50)  # before 2014 a layer lay inside another message, with other numbers
SHAPE, DIM = 7, 1
LEGACY = (1, 2, 3, 4)  # num, channels, height and width, before blobs had shapes
KINDS = {5: np.dtype("<f4"), 8: np.dtype("<f8")}
OPENING = {3: BYTES, 4: VARINT, 5: VARINT, 6: BYTES, 7: VARINT, 8: BYTES}  # what may stand before the layers
STEPS = 200_000  # fields of a file; the deepest published networks have some ten thousand
RANKS = 32  # axes of a blob, as in Caffe
LONGEST = 500  # letters of a layer's name
OVERHEAD = 512  # bytes that even an empty array costs


def begins(start, size):
    """Whether a file that begins like this may be a NetParameter.

    Protocol buffers have no mark, so the first fields have to make sense: a printable name, a layer that fits.
    """
    try:
        (number, wire), at = key(start, 0)
        if (number, wire) == (1, BYTES):
            length, at = varint(start, at)
            if not printable(start[at : at + length], length):
                return False
            (number, wire), at = key(start, at + length)
        while OPENING.get(number) == wire:
            length, at = varint(start, at)
            (number, wire), at = key(start, at + length * (wire == BYTES))
        length, at = varint(start, at)
        # a layer begins with its name, or with the maps that it reads or makes
        return number in NET and wire == BYTES and 0 < length <= size - at and start[at] in b"\x0a\x12\x1a\x22"
    except (IndexError, ValueError):
        return False


def printable(text, length):
    return len(text) == length and text.decode("utf-8").isprintable()


def varint(data, at):
    """A number in groups of seven bits, the lowest first, and where it ends."""
    value = 0
    for i in range(10):
        value |= (data[at + i] & 127) << 7 * i
        if data[at + i] < 128:
            return value, at + i + 1
    raise ValueError("a number of more than ten bytes")


def key(data, at):
    """Number and way of writing of the field that begins here, and where its value begins."""
    value, at = varint(data, at)
    return (value >> 3, value & 7), at


def read_caffe(path):
    """{"layer/0": array, "layer/1": array} of a caffemodel, in the shapes that it declares: (out, in, height, width).

    Older files give four sides to everything: (1, 1, out, in) to a dense kernel, (1, 1, 1, out) to a bias.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = {}
        message = Message(path, file, data)
        for layer, blobs in message.layers():
            for i, place in enumerate(blobs):
                name = f"{layer}/{i}"
                if name in found:
                    raise WeightsError(path, "hold each layer once", f"two layers {layer[:80]!r}")
                found[name] = message.blob(name, *place)
    if not found:
        raise WeightsError(path, "hold the weights of a Caffe network", "layers without any")
    return found


class Message:
    """An open file, with what its fields and arrays may cost."""

    def __init__(self, path, file, data):
        self.path, self.file, self.data = path, file, data
        self.size = os.fstat(file.fileno()).st_size
        self.allowance = Allowance(path, self.size)
        self.steps = STEPS

    def fields(self, start, end):
        """(number, way of writing, start, end) of each field; numbers of fixed width in a row come as one field."""
        while start < end:
            self.steps -= 1
            if self.steps < 0:
                raise WeightsError(self.path, f"have at most {STEPS:,} fields", "more")
            try:
                (number, wire), at = key(self.data, start)
                if wire == VARINT:
                    after = varint(self.data, at)[1]
                elif wire == BYTES:
                    length, at = varint(self.data, at)
                    after = at + length
                elif wire in WIDTHS:
                    after = at + WIDTHS[wire] if at - start > 1 else self.run(start, 1 + WIDTHS[wire], end)
                    at = start
                else:
                    after = None
            except (IndexError, ValueError):
                raise self.damaged(start, "half a field") from None
            if after is None:
                raise self.damaged(start, f"a field written in way {wire}")
            if after > end or not number:
                raise self.damaged(start, f"a field {number} of {after - at:,} bytes, {end - at:,} before the end")
            yield number, wire, at, after
            start = after

    def run(self, at, step, end):
        """Where the fields end that have the same key of one byte and follow each other every ``step`` bytes."""
        mark, count = self.data[at : at + 1], 64
        while at < end:
            marks = self.data[at : min(at + count * step, end)][::step]
            same = len(marks) - len(marks.lstrip(mark))
            at += same * step
            if same < len(marks):
                break
            count = min(2 * count, 1 << 16)
        return at

    def damaged(self, at, what):
        received = f"{what} at byte {at:,} of {self.size:,} (cut off or damaged?)"
        return WeightsError(self.path, "be a whole caffemodel", received)

    def layers(self):
        """(name, places of the blobs) of each layer that has any."""
        for number, wire, start, end in self.fields(0, self.size):
            if number in NET and wire == BYTES:
                yield from self.layer(start, end, *NET[number], inner=INNER if number == 2 else None)

    def layer(self, start, end, named, holding, inner=None):
        name, blobs = "", []
        for number, wire, at, after in self.fields(start, end):
            if wire != BYTES:
                continue
            if number == inner:
                yield from self.layer(at, after, *OLDEST)
            elif number == named:
                name = self.text(at, after)
            elif number == holding:
                self.allowance.spend(OVERHEAD, "many blobs")
                blobs.append((at, after))
        if blobs and not name:
            raise WeightsError(self.path, "name its layers", f"a layer with {len(blobs):,} blobs and no name")
        if blobs:
            yield name, blobs

    def text(self, start, end):
        if end - start > LONGEST:
            raise WeightsError(self.path, f"name layers in at most {LONGEST} letters", f"{end - start:,}")
        try:
            return self.data[start:end].decode("utf-8")
        except UnicodeDecodeError:
            raise self.damaged(start, "a name that is no text") from None

    def blob(self, name, start, end):
        """The numbers of a blob, in the shape that it declares."""
        sides, legacy, numbers = [], {}, {}
        for number, wire, at, after in self.fields(start, end):
            if number == SHAPE and wire == BYTES:
                sides = self.sides(name, at, after)
            elif number in LEGACY and wire == VARINT:
                legacy[number] = varint(self.data, at)[0]
            elif number in KINDS and wire != VARINT:
                if number in numbers:
                    raise WeightsError(self.path, f"hold the numbers of {name[:80]!r} in one piece", "several")
                numbers[number] = wire, at, after
        shape = tuple(legacy.get(number, 0) for number in LEGACY) if legacy else tuple(sides)
        found = self.numbers(name, numbers)
        sensible(self.path, name, shape)
        if math.prod(shape) != found.size:
            expected = f"hold as many numbers in {name[:80]!r} as its shape {str(shape)[:80]} has"
            raise WeightsError(self.path, expected, f"{found.size:,} numbers")
        return found.reshape(shape)

    def sides(self, name, start, end):
        """The sides of a shape, packed into one field or a field each."""
        found = []
        for number, wire, at, after in self.fields(start, end):
            if number == DIM and wire in (VARINT, BYTES):
                while at < after and len(found) <= RANKS:
                    side, at = self.side(at, after)
                    found.append(side)
        if len(found) > RANKS:
            raise WeightsError(self.path, f"hold arrays of at most {RANKS} axes", f"more in {name[:80]!r}")
        return found

    def side(self, at, end):
        try:
            side, after = varint(self.data, at)
        except (IndexError, ValueError):
            after = end + 1
        if after > end:
            raise self.damaged(at, "half a number")
        return side, after

    def numbers(self, name, places):
        """The numbers of a blob as they lie in the file, packed into one field or a field each."""
        if not places:
            return np.zeros(0, np.float32)
        kind = max(places)  # doubles, where there are both
        stored, (wire, start, end) = KINDS[kind], places[kind]
        whole = wire == BYTES
        step = stored.itemsize + (not whole)
        if (end - start) % step or not (whole or WIDTHS[wire] == stored.itemsize):
            raise self.damaged(start, f"a part of a number in {name[:80]!r}")
        self.allowance.spend(end - start, repr(name[:80]))
        found = filled(self.path, self.file, start, end - start)
        found = found.view(stored) if whole else found.view([("key", "u1"), ("number", stored)])["number"].copy()
        return found.astype(stored.newbyteorder("="), copy=False)
