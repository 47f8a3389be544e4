"""Preprocessing of encoded photos in TensorFlow, with the same arithmetic as Pillow."""

from functools import cache

import numpy as np
import tensorflow as tf
from PIL import Image

BITS = 22  # of the fraction in Pillow's whole-number weights, src/libImaging/Resample.c
JPEG, PNG, GIF, BMP = range(4)
STARTS = {b"\xff\xd8\xff": JPEG, b"\x89PNG\r\n\x1a\n": PNG, b"GIF8": GIF, b"BM": BMP}
REFUSED = "images should be JPEG, PNG, GIF or BMP"


def decode_batch(encoded, preprocessing):
    """(N,) encoded images to (N, h, w, channels), float32 0..255, cropped as a ``Preprocessing`` says."""
    shape = tf.TensorSpec((*preprocessing.size, preprocessing.channels), tf.float32)
    return tf.map_fn(lambda data: decode_photo(data, preprocessing), encoded, fn_output_signature=shape)


def decode_photo(data, preprocessing):
    """One encoded image to (h, w, channels), float32."""
    pixels = tf.cast(tf.ensure_shape(decode_pixels(data), (None, None, 3)), tf.int32)
    pixels = to_grayscale(pixels) if preprocessing.channels == 1 else pixels
    ready = (preprocessing.keep == "all") & tf.reduce_all(tf.shape(pixels)[:2] == preprocessing.size)
    pixels = tf.cond(ready, lambda: pixels, lambda: resize_and_crop_tensor(pixels, preprocessing))
    return tf.cast(tf.ensure_shape(pixels, (*preprocessing.size, preprocessing.channels)), tf.float32)


def decode_pixels(data):
    """One encoded image as uint8 RGB (H, W, 3), upright, transparent pixels on white, of several the first."""
    kind = tf.constant(len(STARTS))
    for start, number in STARTS.items():
        kind = tf.where(tf.strings.substr(data, 0, len(start)) == start, number, kind)
    with tf.control_dependencies([tf.debugging.Assert(kind < len(STARTS), [REFUSED])]):
        kind = tf.minimum(kind, len(STARTS) - 1)
    return tf.switch_case(
        kind,
        {JPEG: lambda: decode_jpeg(data), PNG: lambda: decode_png(data), GIF: lambda: decode_gif(data)},
        bmp_decoder(data),
    )


def decode_jpeg(data):
    # TensorFlow's own choice is the fast transform, which rounds otherwise than Pillow's accurate one
    pixels = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    return apply_orientation(pixels, exif_orientation(data))


def decode_png(data):
    return composite_on_white(restore_opaque_alpha(tf.io.decode_png(data, channels=4), data))


def restore_opaque_alpha(pixels, data):
    """Files of 1, 2 or 4 bits without transparency: TensorFlow gives 1, 3 or 15 for opaque, which is 255."""
    bits = tf.cast(tf.io.decode_raw(tf.strings.substr(data, 24, 1), tf.uint8), tf.int32)[0]
    full = tf.cast(tf.bitwise.left_shift(1, tf.minimum(bits, 8)) - 1, tf.uint8)
    colors, alpha = pixels[..., :3], pixels[..., 3:]
    alpha = tf.where(tf.reduce_all(alpha == full), tf.constant(255, tf.uint8), alpha)
    return tf.concat([colors, alpha], -1)


def decode_gif(data):
    return tf.io.decode_gif(data)[0]


def bmp_decoder(data):
    """How to decode BMP; colors from a palette, which TensorFlow would take for gray, are refused."""

    def bmp():
        depth = tf.io.decode_raw(tf.strings.substr(data, 28, 1), tf.uint8)
        is_supported = tf.reduce_any(depth[0] == tf.constant([24, 32], tf.uint8))
        with tf.control_dependencies(
            [tf.debugging.Assert(is_supported, ["BMP images should have 24 or 32 bits per pixel"])]
        ):
            return tf.io.decode_bmp(data)[..., :3]

    return bmp


def composite_on_white(pixels):
    """RGBA over white as Pillow's ``alpha_composite`` rounds it."""
    pixels = tf.cast(pixels, tf.int32)
    colors, alpha = pixels[..., :3], pixels[..., 3:]
    mixed = 128 * (colors * alpha + 255 * (255 - alpha) + 128)
    return tf.cast(shift_right(shift_right(mixed, 8) + mixed, 15), tf.uint8)


def to_grayscale(pixels):
    """Pillow's "L": 0.299 R + 0.587 G + 0.114 B in 16 bits of fraction."""
    return shift_right(tf.reduce_sum(pixels * [19595, 38470, 7471], -1, keepdims=True) + 0x8000, 16)


def shift_right(numbers, bits):
    return tf.bitwise.right_shift(numbers, tf.constant(bits, tf.int32))


def resize_and_crop_tensor(pixels, preprocessing):
    """What ``inputs.resize.fit`` gives: the short side resized to ``preprocessing.resize``, then cropped."""
    shape = tf.shape(pixels)
    new_shape = target_shape(shape[0], shape[1], preprocessing)
    if not resizes_height_first():
        return resample_tensor(pixels, new_shape, preprocessing, (1, 0))
    height_change = shape[0] - new_shape[0]
    tall = (height_change > 0) & (height_change > 2 * (shape[1] - new_shape[1]))
    return tf.cond(
        tall,
        lambda: resample_tensor(pixels, new_shape, preprocessing, (0, 1)),
        lambda: resample_tensor(pixels, new_shape, preprocessing, (1, 0)),
    )


@cache
def resizes_height_first():
    """Whether this Pillow begins with the height where that saves work: a recent habit that changes pixels by 1."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 20), np.uint8))
    both_axes, rows = noise.resize((19, 10), Image.BILINEAR), noise.resize((19, 40), Image.BILINEAR)
    return not np.array_equal(both_axes, rows.resize((19, 10), Image.BILINEAR))


def resample_tensor(pixels, new, preprocessing, axes):
    """Resized to ``new`` along one axis after the other; only the center crop is computed."""
    shape = tf.shape(pixels)
    for axis in axes:
        length = preprocessing.size[axis]
        start = tf.cast(tf.round(tf.cast(new[axis] - length, tf.float64) / 2), tf.int32)
        index, weights = resampling_weights(shape[axis], new[axis], start, length, preprocessing.interpolation)
        pixels = apply_weights(pixels, index, weights, axis)
    return pixels


def target_shape(height, width, preprocessing):
    """``inputs.resize.resized_shape`` of tensors."""
    high, wide = preprocessing.size
    ratio = preprocessing.resize / min(high, wide)
    tall, broad = round(high * ratio), round(wide * ratio)

    def other(side, long, short):
        return tf.cast(side * tf.cast(long, tf.float64) / tf.cast(short, tf.float64), tf.int32)

    by_height = high * tf.cast(width, tf.int64) >= wide * tf.cast(height, tf.int64)
    return tf.cond(by_height, lambda: (tall, other(tall, width, height)), lambda: (other(broad, height, width), broad))


def resampling_weights(have, want, start, length, interpolation):
    """Of the outputs ``start`` .. ``start + length``: the pixels that each reads, and their whole-number weights."""
    filter, reach = FILTERS[interpolation]
    scale = tf.cast(have, tf.float64) / tf.cast(want, tf.float64)
    stretch = tf.maximum(scale, 1.0)
    support = reach * stretch
    center = (tf.cast(start + tf.range(length), tf.float64) + 0.5) * scale
    first = tf.maximum(tf.cast(center - support + 0.5, tf.int32), 0)
    last = tf.minimum(tf.cast(center + support + 0.5, tf.int32), have)
    index = first[:, None] + tf.range(2 * tf.cast(tf.math.ceil(support), tf.int32) + 1)
    weights = filter((tf.cast(index, tf.float64) - center[:, None] + 0.5) * (1.0 / stretch))
    weights = tf.where(index < last[:, None], weights, tf.zeros_like(weights))
    weights = weights / tf.reduce_sum(weights, -1, keepdims=True) * 2**BITS
    return tf.minimum(index, have - 1), tf.cast(weights + 0.5 * tf.sign(weights), tf.int32)


def triangle(x):
    return tf.maximum(1 - tf.abs(x), 0)


def cubic(x):
    """Keys' cubic with a = -1/2."""
    x = tf.abs(x)
    inner, outer = (1.5 * x - 2.5) * x * x + 1, ((x - 5) * x + 8) * x * -0.5 + 2
    return tf.where(x < 1, inner, tf.where(x < 2, outer, tf.zeros_like(x)))


FILTERS = {"bilinear": (triangle, 1.0), "bicubic": (cubic, 2.0)}


def apply_weights(pixels, index, weights, axis):
    """Sums of pixels along an axis, one tap after the other, so that memory stays that of the result."""
    form = (1, -1, 1) if axis == 1 else (-1, 1, 1)

    def tap(k):
        return tf.gather(pixels, index[:, k], axis=axis) * tf.reshape(weights[:, k], form)

    has_taps, add_tap = (lambda k, _: k < tf.shape(index)[1]), (lambda k, total: (k + 1, total + tap(k)))
    _, total = tf.while_loop(has_taps, add_tap, (tf.constant(1), tap(0) + (1 << (BITS - 1))))
    return tf.clip_by_value(shift_right(total, BITS), 0, 255)


WITHIN = 1 << 17  # bytes from the start in which the tag is looked for: an EXIF segment has 64 KB at most
TAG = 0x0112
EXIF = tuple(b"Exif\0\0")


def exif_orientation(data):
    """EXIF's orientation 1..8 of an encoded JPEG; 1 where there is none."""
    numbers = tf.cast(tf.io.decode_raw(tf.strings.substr(data, 0, WITHIN), tf.uint8), tf.int32)
    size = tf.size(numbers)
    numbers = tf.pad(numbers, [(0, 16)])

    def at(position):
        return tf.gather(numbers, tf.clip_by_value(position, 0, size))

    def read_marker(position):
        return at(position) == 0xFF, at(position + 1), at(position + 2) * 256 + at(position + 3)

    def is_exif(position):
        is_equal = at(position + 4 + tf.range(len(EXIF))) == tf.constant(EXIF)
        return (at(position + 1) == 0xE1) & tf.reduce_all(is_equal)

    def is_before_exif(position):
        marked, kind, _ = read_marker(position)
        return (position < size) & marked & (kind != 0xDA) & ~is_exif(position)

    def next_marker(position):
        _, kind, length = read_marker(position)
        return (position + tf.where(kind == 0xFF, 1, 2 + length),)  # 0xFF may be repeated before a marker

    (position,) = tf.while_loop(is_before_exif, next_marker, (tf.constant(2),))
    start = position + 4 + len(EXIF)
    return tf.cond(is_exif(position), lambda: tiff_orientation(at, start), lambda: tf.constant(1))


def tiff_orientation(at, start):
    """The orientation in EXIF's first directory; ``start`` is where its TIFF header begins."""
    big = at(start) == ord("M")

    def short(position):
        first, second = at(position), at(position + 1)
        return tf.where(big, first * 256 + second, second * 256 + first)

    def long(position):
        first, second = short(position), short(position + 2)
        return tf.where(big, first * 65536 + second, second * 65536 + first)

    directory = start + long(start + 4)
    rows = directory + 2 + 12 * tf.range(short(directory))
    rows = tf.boolean_mask(rows, short(rows) == TAG)[:1]
    value = tf.where(short(rows + 2) == 4, long(rows + 8), short(rows + 8))
    orientation = tf.reduce_max(tf.concat([value, [0]], 0))
    return tf.where((orientation >= 1) & (orientation <= 8), orientation, 1)


def apply_orientation(pixels, orientation):
    """(H, W, C) as EXIF says it is seen."""
    pixels = tf.cond(orientation >= 5, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    for axis, mirrored in ((0, (3, 4, 7, 8)), (1, (2, 3, 6, 7))):
        flip = tf.reduce_any(orientation == tf.constant(mirrored))
        pixels = tf.cond(flip, lambda p=pixels, a=axis: tf.reverse(p, [a]), lambda p=pixels: p)
    return pixels
