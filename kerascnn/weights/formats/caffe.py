"""Read the blobs of Caffe's `.caffemodel` files without Caffe: a NetParameter in protocol buffers.

A message is a sequence of fields, each a key (field number and wire type) and a value. Fields that are not needed
are skipped by their length, so nothing nests deeper than network, layer, blob, shape.
"""

import math
import mmap
import os

import numpy as np

from . import MemoryAllowance, WeightsError, check_array_shape, read_bytes

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
WIDTHS = {FIXED64: 8, FIXED32: 4}
NET = {100: (1, 7), 2: (4, 6)}  # a layer's number in the network -> the numbers of its name and of its blobs
INNER, INNER_LAYER = 1, (1, 50)  # before 2014 a layer lay inside another message, with other numbers
SHAPE, DIM = 7, 1
LEGACY = (1, 2, 3, 4)  # num, channels, height and width, before blobs had shapes
KINDS = {5: np.dtype("<f4"), 8: np.dtype("<f8")}
FIELDS_BEFORE_LAYERS = {3: BYTES, 4: VARINT, 5: VARINT, 6: BYTES, 7: VARINT, 8: BYTES}  # number -> wire type
MAX_FIELDS = 200_000  # fields of a file; the deepest published networks have some ten thousand
MAX_AXES = 32  # axes of a blob, as in Caffe
MAX_NAME_LENGTH = 500  # characters of a layer name
OVERHEAD = 512  # bytes that even an empty array costs


def is_caffemodel_start(start, size):
    """Whether a file with these first bytes may be a NetParameter.

    Protocol buffers have no signature, so the first fields must be plausible: a printable name, a layer that fits.
    """
    try:
        (number, wire), at = read_key(start, 0)
        if (number, wire) == (1, BYTES):
            length, at = read_varint(start, at)
            if not is_printable(start[at : at + length], length):
                return False
            (number, wire), at = read_key(start, at + length)
        while FIELDS_BEFORE_LAYERS.get(number) == wire:
            length, at = read_varint(start, at)
            (number, wire), at = read_key(start, at + length * (wire == BYTES))
        length, at = read_varint(start, at)
        # a layer begins with its name, or with the maps that it reads or makes
        return number in NET and wire == BYTES and 0 < length <= size - at and start[at] in b"\x0a\x12\x1a\x22"
    except (IndexError, ValueError):
        return False


def is_printable(text, length):
    return len(text) == length and text.decode("utf-8").isprintable()


def read_varint(data, at):
    """A variable-length integer (seven bits per byte, lowest first), and the position after it."""
    value = 0
    for i in range(10):
        value |= (data[at + i] & 127) << 7 * i
        if data[at + i] < 128:
            return value, at + i + 1
    raise ValueError("a varint of more than ten bytes")


def read_key(data, at):
    """(number, wire type) of the field at ``at``, and the position of its value."""
    value, at = read_varint(data, at)
    return (value >> 3, value & 7), at


def read_caffe(path):
    """{"layer/0": array, "layer/1": array} of a caffemodel, in the shapes that it declares: (out, in, height, width).

    Older files give four sides to everything: (1, 1, out, in) to a dense kernel, (1, 1, 1, out) to a bias.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = {}
        message = CaffeMessage(path, file, data)
        for layer, blobs in message.read_layers():
            for i, place in enumerate(blobs):
                name = f"{layer}/{i}"
                if name in found:
                    raise WeightsError(path, "contain each layer once", f"layer {layer[:80]!r} twice")
                found[name] = message.read_blob(name, *place)
    if not found:
        raise WeightsError(path, "contain the weights of a Caffe network", "layers without weights")
    return found


class CaffeMessage:
    """An open file, with limits on its fields and arrays."""

    def __init__(self, path, file, data):
        self.path, self.file, self.data = path, file, data
        self.size = os.fstat(file.fileno()).st_size
        self.allowance = MemoryAllowance(path, self.size)
        self.steps = MAX_FIELDS

    def fields(self, start, end):
        """(number, wire type, start, end) of each field; consecutive numbers of fixed width are one field."""
        while start < end:
            self.steps -= 1
            if self.steps < 0:
                raise WeightsError(self.path, f"have at most {MAX_FIELDS:,} fields", "more")
            try:
                (number, wire), at = read_key(self.data, start)
                if wire == VARINT:
                    after = read_varint(self.data, at)[1]
                elif wire == BYTES:
                    length, at = read_varint(self.data, at)
                    after = at + length
                elif wire in WIDTHS:
                    after = at + WIDTHS[wire] if at - start > 1 else self.end_of_run(start, 1 + WIDTHS[wire], end)
                    at = start
                else:
                    after = None
            except (IndexError, ValueError):
                raise self.damage_error(start, "a truncated field") from None
            if after is None:
                raise self.damage_error(start, f"a field with unknown wire type {wire}")
            if after > end or not number:
                raise self.damage_error(
                    start, f"a field {number} of {after - at:,} bytes with only {end - at:,} bytes left"
                )
            yield number, wire, at, after
            start = after

    def end_of_run(self, at, step, end):
        """The end of consecutive fields of ``step`` bytes that have the same one-byte key."""
        mark, count = self.data[at : at + 1], 64
        while at < end:
            marks = self.data[at : min(at + count * step, end)][::step]
            same = len(marks) - len(marks.lstrip(mark))
            at += same * step
            if same < len(marks):
                break
            count = min(2 * count, 1 << 16)
        return at

    def damage_error(self, at, what):
        received = f"{what} at byte {at:,} of {self.size:,} (truncated or damaged?)"
        return WeightsError(self.path, "be a complete caffemodel file", received)

    def read_layers(self):
        """(name, positions of its blobs) of each layer with blobs."""
        for number, wire, start, end in self.fields(0, self.size):
            if number in NET and wire == BYTES:
                yield from self.read_layer(start, end, *NET[number], inner=INNER if number == 2 else None)

    def read_layer(self, start, end, name_field, blob_field, inner=None):
        name, blobs = "", []
        for number, wire, at, after in self.fields(start, end):
            if wire != BYTES:
                continue
            if number == inner:
                yield from self.read_layer(at, after, *INNER_LAYER)
            elif number == name_field:
                name = self.read_name(at, after)
            elif number == blob_field:
                self.allowance.spend(OVERHEAD, "too many blobs")
                blobs.append((at, after))
        if blobs and not name:
            raise WeightsError(self.path, "name its layers", f"an unnamed layer with {len(blobs):,} blobs")
        if blobs:
            yield name, blobs

    def read_name(self, start, end):
        if end - start > MAX_NAME_LENGTH:
            raise WeightsError(
                self.path, f"have layer names of at most {MAX_NAME_LENGTH} characters", f"{end - start:,}"
            )
        try:
            return self.data[start:end].decode("utf-8")
        except UnicodeDecodeError:
            raise self.damage_error(start, "a layer name that is not valid text") from None

    def read_blob(self, name, start, end):
        """A blob as an array of its declared shape."""
        sides, legacy, numbers = [], {}, {}
        for number, wire, at, after in self.fields(start, end):
            if number == SHAPE and wire == BYTES:
                sides = self.read_shape(name, at, after)
            elif number in LEGACY and wire == VARINT:
                legacy[number] = read_varint(self.data, at)[0]
            elif number in KINDS and wire != VARINT:
                if number in numbers:
                    raise WeightsError(self.path, f"store the values of {name[:80]!r} in one piece", "several")
                numbers[number] = wire, at, after
        shape = tuple(legacy.get(number, 0) for number in LEGACY) if legacy else tuple(sides)
        found = self.read_values(name, numbers)
        check_array_shape(self.path, name, shape)
        if math.prod(shape) != found.size:
            expected = f"have as many values in {name[:80]!r} as its shape {str(shape)[:80]} requires"
            raise WeightsError(self.path, expected, f"{found.size:,} values")
        return found.reshape(shape)

    def read_shape(self, name, start, end):
        """The sizes of a shape, packed into one field or in one field each."""
        found = []
        for number, wire, at, after in self.fields(start, end):
            if number == DIM and wire in (VARINT, BYTES):
                while at < after and len(found) <= MAX_AXES:
                    side, at = self.read_axis(at, after)
                    found.append(side)
        if len(found) > MAX_AXES:
            raise WeightsError(self.path, f"hold arrays of at most {MAX_AXES} axes", f"more axes in {name[:80]!r}")
        return found

    def read_axis(self, at, end):
        try:
            side, after = read_varint(self.data, at)
        except (IndexError, ValueError):
            after = end + 1
        if after > end:
            raise self.damage_error(at, "a truncated number")
        return side, after

    def read_values(self, name, places):
        """The flat values of a blob, packed into one field or in one field each."""
        if not places:
            return np.zeros(0, np.float32)
        kind = max(places)  # doubles, where there are both
        stored, (wire, start, end) = KINDS[kind], places[kind]
        whole = wire == BYTES
        step = stored.itemsize + (not whole)
        if (end - start) % step or not (whole or WIDTHS[wire] == stored.itemsize):
            raise self.damage_error(start, f"a truncated number in {name[:80]!r}")
        self.allowance.spend(end - start, repr(name[:80]))
        found = read_bytes(self.path, self.file, start, end - start)
        found = found.view(stored) if whole else found.view([("key", "u1"), ("number", stored)])["number"].copy()
        return found.astype(stored.newbyteorder("="), copy=False)
