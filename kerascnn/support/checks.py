"""Checks of arguments that several rooms make."""

from numbers import Integral


def check_integer(*, least=1, **values):
    """Raise ValueError for arguments, passed by name, that are not integers of at least ``least``."""
    for name, value in values.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            raise ValueError(f"`{name}` should be an integer of at least {least}. Received: {value!r}")
