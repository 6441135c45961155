"""Small types without a module of their own: decoded JSON values, the bytes of a text, an argument not given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeGuard


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Say whether it is a JSON object."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Say whether it is a JSON array."""
    return isinstance(value, list)


def bytes_of(text: str | bytes) -> bytes:
    """Return the bytes of any text: compare_digest refuses str that is not ASCII, plain UTF-8 lone surrogates."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


class Unset:
    """The type of ``UNSET``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()
"""Stands for an argument that was not given, where None has a meaning."""
