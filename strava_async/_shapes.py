"""What a decoded JSON value is, said in a way that type checkers believe; and the bytes of any text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard


def is_object(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Say whether it is a JSON object."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Say whether it is a JSON array."""
    return isinstance(value, list)


def bytes_of(text: str | bytes) -> bytes:
    """Return the bytes of any text: compare_digest refuses str that is not ASCII, plain UTF-8 lone surrogates."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
