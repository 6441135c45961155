"""Where a file to upload comes from, and how it is read: to its end, but never much beyond the limit.

It is in memory before anything is sent: a source that fails half-way sends nothing, an empty one is noticed, and the
body can be sent again after a refusal. Strava's site accepts 25 MB.

Reads have their own threads: see ``_concurrency.reading_threads``.
"""

from __future__ import annotations

import inspect
import os
import stat
from collections.abc import AsyncIterable, Awaitable, Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import anyio
import anyio.lowlevel
import anyio.to_thread

from strava_async._concurrency.reading_threads import in_reading_thread
from strava_async.errors import InputError

# What is larger is copied in a thread.
LARGE_BYTES = 1_000_000
# Read at a time, so that a source without an end is noticed before memory is full.
PORTION_BYTES = 1 << 20


class Readable(Protocol):
    """A binary file, sync or async.

    A ``read`` that takes a size is called until it returns nothing, up to one byte more than ``MAX_FILE_BYTES``. One
    without a size is called once, and returns the whole content, however large.
    """

    @property
    def read(self) -> Callable[..., bytes | Awaitable[bytes]]:
        """Returns up to the given number of bytes; none at the end."""
        ...


UploadSource = str | os.PathLike[str] | bytes | bytearray | memoryview | Readable | AsyncIterable[bytes]


async def content_of(source: Any, limit_bytes: int) -> bytes:
    """Read a source to its end, or to one byte beyond the limit.

    Args:
        source: an ``UploadSource``, or whatever was passed as one.
        limit_bytes: how large it may be.

    Raises:
        InputError: it is not a source, cannot be read, or is too large.
    """
    content = _Content(limit_bytes)
    try:
        if _is_content(source):
            return await _copied(source, content)
        if isinstance(source, str | os.PathLike):
            await in_reading_thread(partial(_read_path, path_of(source), content))
        elif hasattr(source, "read"):
            await _read_all(source.read, content)
        elif hasattr(source, "__aiter__"):
            await _collect(source, content)
        else:
            kind = type(source).__name__
            raise InputError(f"a file must be a path, bytes, a binary file or an async iterable of bytes, not {kind}")
    except InputError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"the file cannot be read, nothing was sent: {reason}") from error
    except Exception as error:
        raise InputError(f"the file cannot be read, nothing was sent: {type(error).__name__}") from error
    return content.all()


def path_of(path: Any) -> Path:
    """Return any kind of path as a ``Path``."""
    return Path(os.fsdecode(path))


class _Content:
    """The part of a source that was read so far.

    Args:
        limit_bytes: how large it may become.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._read = BytesIO()  # its buffer is handed on without a copy

    @property
    def portion_bytes(self) -> int:
        """How much to ask for next: up to one byte beyond the limit."""
        return min(PORTION_BYTES, self._limit_bytes + 1 - self._read.tell())

    def add(self, portion: Any) -> int:
        """Add what was read, and return its size."""
        if portion is None:
            raise InputError("the file returned None, as a non-blocking file does: open it in blocking mode")
        size = _size_of(portion)
        self.check(self._read.tell() + size)
        self._read.write(portion)
        return size

    def check(self, size: int) -> None:
        """Raise InputError if that is beyond the limit."""
        if size > self._limit_bytes:
            raise InputError(f"the file is larger than {self._limit_bytes >> 20} MB: Strava accepts 25 MB")

    def all(self) -> bytes:
        """Return all that was read."""
        return self._read.getvalue()


async def _copied(source: Any, content: _Content) -> bytes:
    size = _size_of(source)
    content.check(size)
    copy = partial(b"".join, [source])
    return copy() if size < LARGE_BYTES else await anyio.to_thread.run_sync(copy, abandon_on_cancel=True)


def _read_path(path: Path, content: _Content) -> None:
    # Checked before opening: opening a pipe waits for its other end, and opening a device may start it.
    _check_kind(path.stat(), content)
    with open(path, "rb", buffering=0, opener=_without_waiting) as file:
        _check_kind(os.fstat(file.fileno()), content)  # it may have been replaced meanwhile
        # The size is not a limit: a file may grow while it is read, and those of /proc have size 0.
        while content.add(file.read(content.portion_bytes)):
            pass


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_kind(status: os.stat_result, content: _Content) -> None:
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise InputError("the path is not a regular file: open it yourself and pass the file")
    content.check(status.st_size)


async def _read_all(read: Callable[..., Any], content: _Content) -> None:
    if not _takes_a_size(read):
        content.add(await _result_of(read))
        return
    while content.add(await _result_of(partial(read, content.portion_bytes))):
        pass


def _takes_a_size(read: Callable[..., Any]) -> bool:
    try:
        inspect.signature(read).bind(PORTION_BYTES)
    except TypeError:
        return False
    except ValueError:
        pass  # some that are written in C have no signature
    return True


async def _result_of(read: Callable[[], Any]) -> Any:
    if inspect.iscoroutinefunction(read):
        return await read()
    # In a list, because trio refuses a coroutine as the result of a thread.
    [portion] = await in_reading_thread(lambda: [read()])
    return await portion if inspect.isawaitable(portion) else portion


async def _collect(source: AsyncIterable[Any], content: _Content) -> None:
    iterator = aiter(source)
    try:
        async for portion in iterator:
            content.add(portion)
            await anyio.lowlevel.checkpoint()  # a source with its bytes in memory never waits
    except BaseException:  # on cancellation too, which a generator suspended at a yield is not informed of
        if inspect.isasyncgen(iterator):
            await iterator.aclose()
        raise


def _size_of(chunk: Any) -> int:
    if not _is_content(chunk):
        raise InputError(f"the file returned {type(chunk).__name__} instead of bytes: open it in binary mode")
    return chunk.nbytes if isinstance(chunk, memoryview) else len(chunk)


def _is_content(value: object) -> bool:
    return isinstance(value, bytes | bytearray | memoryview)
