"""Other attributes for a while, for code of SB3's that reads them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def temporarily(instance: object, **attributes: Any) -> Iterator[None]:
    """Let an object have other attributes inside of a ``with``.

    :param instance: any object with a ``__dict__``
    :param attributes: what they are meanwhile
    """
    own = {name: instance.__dict__[name] for name in attributes if name in instance.__dict__}
    instance.__dict__.update(attributes)
    try:
        yield
    finally:
        for name in attributes:
            del instance.__dict__[name]
        instance.__dict__.update(own)
