"""What an image is judged by besides the network: scores of the pixels, to be subtracted with a weight.

All are means over the pixels, so that a weight means the same at any size. (Sums, as in the papers, are these times
height x width.)
"""

from keras import ops

from .scores import INPUT, Score
from .writing import GREY

TINY = 1e-12  # of a square: where a root has no gradient, take none


def variation(power=2.0, form="isotropic"):
    """Total variation, how rough the image is: sum over colours, mean over pixels, of (dx^2 + dy^2)^(power / 2).

    Differences to the right and down, none beyond the sides (Mahendran & Vedaldi 2015). "anisotropic" is
    |dx|^power + |dy|^power, which libraries take with power 1.
    """
    if form not in ("isotropic", "anisotropic"):
        raise ValueError(f"`form` should be isotropic or anisotropic. Received: {form!r}")
    _positive(power)

    def of(acts):
        x = acts[INPUT]
        if form == "anisotropic":
            parts = _absolute(x[:, 1:] - x[:, :-1], power), _absolute(x[:, :, 1:] - x[:, :, :-1], power)
        else:  # the last row and column once more: a fraction of the time that padding differences takes
            down = ops.square(ops.concatenate([x[:, 1:], x[:, -1:]], 1) - x)
            right = ops.square(ops.concatenate([x[:, :, 1:], x[:, :, -1:]], 2) - x)
            parts = (_raised(down + right, power),)
        return sum(ops.sum(part, (1, 2, 3)) for part in parts) / (x.shape[1] * x.shape[2])

    return Score((INPUT,), of, f"{form} variation^{power:g}", (), ("variation", power, form))


def norm(power=2.0, grey=GREY):
    """Mean of |x - grey|^power over pixels and colours: 2 is Simonyan's prior, 6 that of Mahendran & Vedaldi."""
    _positive(power)
    of = lambda acts: ops.mean(_absolute(acts[INPUT] - grey, power), (1, 2, 3))  # noqa: E731
    return Score((INPUT,), of, f"norm^{power:g}", (), ("norm", power, grey))


def _absolute(x, power):
    """|x|^power."""
    return ops.abs(x) if power == 1 else _raised(ops.square(x), power)


def _raised(squares, power):
    """squares^(power / 2), with gradient 0 at 0."""
    if power == 2:
        return squares
    if power == 1:  # a root is faster than a power
        return ops.where(squares > TINY, ops.sqrt(ops.maximum(squares, TINY)), 0.0)
    return ops.where(squares > TINY, ops.power(ops.maximum(squares, TINY), power / 2), 0.0)


def _positive(power):
    if power <= 0:
        raise ValueError(f"`power` should be above 0. Received: {power}")
