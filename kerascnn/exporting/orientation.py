"""EXIF's orientation of a JPEG file as TensorFlow operations, which TensorFlow's own decoder ignores."""

import tensorflow as tf

WITHIN = 1 << 17  # bytes from the start in which the tag is looked for: an EXIF segment has 64 KB at most
TAG = 0x0112
EXIF = tuple(b"Exif\0\0")


def orientation(data):
    """EXIF's orientation 1..8 of an encoded JPEG; 1 where there is none."""
    numbers = tf.cast(tf.io.decode_raw(tf.strings.substr(data, 0, WITHIN), tf.uint8), tf.int32)
    known = tf.size(numbers)
    numbers = tf.pad(numbers, [(0, 16)])

    def at(place):
        return tf.gather(numbers, tf.clip_by_value(place, 0, known))

    def here(place):
        return at(place) == 0xFF, at(place + 1), at(place + 2) * 256 + at(place + 3)

    def is_exif(place):
        same = at(place + 4 + tf.range(len(EXIF))) == tf.constant(EXIF)
        return (at(place + 1) == 0xE1) & tf.reduce_all(same)

    def going(place):
        marked, kind, _ = here(place)
        return (place < known) & marked & (kind != 0xDA) & ~is_exif(place)

    def onwards(place):
        _, kind, length = here(place)
        return (place + tf.where(kind == 0xFF, 1, 2 + length),)  # 0xFF may be repeated before a marker

    (place,) = tf.while_loop(going, onwards, (tf.constant(2),))
    start = place + 4 + len(EXIF)
    return tf.cond(is_exif(place), lambda: from_tiff(at, start), lambda: tf.constant(1))


def from_tiff(at, start):
    """The orientation in EXIF's first directory; ``start`` is where its TIFF header begins."""
    big = at(start) == ord("M")

    def short(place):
        first, second = at(place), at(place + 1)
        return tf.where(big, first * 256 + second, second * 256 + first)

    def long(place):
        first, second = short(place), short(place + 2)
        return tf.where(big, first * 65536 + second, second * 65536 + first)

    directory = start + long(start + 4)
    rows = directory + 2 + 12 * tf.range(short(directory))
    rows = tf.boolean_mask(rows, short(rows) == TAG)[:1]
    value = tf.where(short(rows + 2) == 4, long(rows + 8), short(rows + 8))
    found = tf.reduce_max(tf.concat([value, [0]], 0))
    return tf.where((found >= 1) & (found <= 8), found, 1)


def turned(pixels, orientation):
    """(H, W, C) as EXIF says it is seen."""
    pixels = tf.cond(orientation >= 5, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    for axis, mirrored in ((0, (3, 4, 7, 8)), (1, (2, 3, 6, 7))):
        flip = tf.reduce_any(orientation == tf.constant(mirrored))
        pixels = tf.cond(flip, lambda p=pixels, a=axis: tf.reverse(p, [a]), lambda p=pixels: p)
    return pixels
