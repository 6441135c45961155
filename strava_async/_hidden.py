"""Secrets that stay out of reprs, logs and crash reports, which record the local variables of each frame.

Rules:

- Inside of the library a secret is ``Hidden``. It is no text, so that reporters which take texts as they are find none,
  and no attribute holds it. ``reveal()`` stands where the bytes are made, among the arguments of a call: no local
  variable of a frame that may be in a traceback has what it returns.
- What is public and has to be a text, such as an access token, is ``SecretText``: all but its repr is that of the text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, SupportsIndex, TypeVar, cast

MASK = "***"

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Hidden(Generic[T_co]):
    """A value that only ``reveal()`` shows.

    Args:
        value: what to hide.

    Attributes:
        reveal: returns it.
    """

    __slots__ = ("reveal",)

    def __init__(self, value: T_co) -> None:
        self.reveal: Callable[[], T_co] = lambda: value  # a cell: reporters show attributes

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> tuple[Callable[[T_co], Hidden[T_co]], tuple[T_co]]:
        return Hidden, (self.reveal(),)  # a cell cannot be pickled


class SecretText(str):
    """A text whose repr does not show it, nor that of a part of it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK if self else "")

    def __getitem__(self, key: SupportsIndex | slice) -> SecretText:
        return SecretText(super().__getitem__(key))


def hidden(value: T | Hidden[T]) -> Hidden[T]:
    """Return it hidden; what is so stays as it is."""
    return cast("Hidden[T]", value) if isinstance(value, Hidden) else Hidden(value)


def revealed(value: T | Hidden[T]) -> T:
    """Return it as it is, whether it was hidden or not."""
    return cast("Hidden[T]", value).reveal() if isinstance(value, Hidden) else value


def masked(value: Any) -> Any:
    """Return a text as ``SecretText``, and anything else as it is."""
    return SecretText(value) if isinstance(value, str) else value
