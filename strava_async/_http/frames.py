"""Errors of an HTTP library without the frames that they came through.

Below our own frames are those of the library, and their locals have what was sent: the header fields as h11 and aiohttp
have them, the bytes on their way to the socket. A crash reporter would keep them. What went wrong stays: the errors, in
their order, with their messages.
"""

from __future__ import annotations

from typing import cast


def forget_frames(error: BaseException) -> list[BaseException]:
    """Take the tracebacks from an error and from all that led to it; return them, that one first."""
    found: list[BaseException] = []
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or any(one is known for known in found):
            continue
        found.append(one)
        one.__traceback__ = None
        left += one.__cause__, one.__context__
        if isinstance(one, BaseExceptionGroup):
            left += cast("BaseExceptionGroup[BaseException]", one).exceptions
    return found
