"""Checks of arguments that several rooms make."""

from numbers import Integral


def check_integer(*, minimum=1, **values):
    """Raise ValueError for arguments, passed by name, that are not integers of at least ``minimum``."""
    for name, value in values.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < minimum:
            raise ValueError(f"`{name}` should be an integer of at least {minimum}. Received: {value!r}")
