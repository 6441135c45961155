"""Where a file to be uploaded comes from, and how it is read: all of it, but never much more than may be.

It is in memory before anything is sent: a source that fails half-way sends nothing, an empty one is found out, and the
body can be sent again after a refusal. What Strava's site takes is 25 MB.

Reads have threads of their own: see ``_reading_threads``.
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
# So much is read at a time: of what has no end is found out before memory has one.
PORTION_BYTES = 1 << 20


class Readable(Protocol):
    """A binary file, plain or async.

    A ``read`` that takes a size is called until it gives nothing more, for one byte more than ``MAX_FILE_BYTES`` at the
    most. One that takes none is called once, and gives all that there is, however much that may be.
    """

    @property
    def read(self) -> Callable[..., bytes | Awaitable[bytes]]:
        """Returns at most so many of the next bytes; none at the end."""
        ...


UploadSource = str | os.PathLike[str] | bytes | bytearray | memoryview | Readable | AsyncIterable[bytes]


async def content_of(source: Any, limit_bytes: int) -> bytes:
    """Read a source to its end, but for one byte more than the limit at the most.

    Args:
        source: an ``UploadSource``, or whatever was passed for one.
        limit_bytes: how large it may be.

    Raises:
        InputError: it is none, cannot be read, or is larger.
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
            kind = kind_of(source)
            raise InputError(f"a file is a path, bytes, a binary file or an async iterable of bytes: not {kind}")
    except InputError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"the file cannot be read, nothing was sent: {reason}") from error
    except Exception as error:
        raise InputError(f"the file cannot be read, nothing was sent: {type(error).__name__}") from error
    return content.all()


def path_of(path: Any) -> Path:
    """Return any kind of path as one of its kind."""
    return Path(os.fsdecode(path))


def kind_of(value: object) -> str:
    """Return what a value is, for an error."""
    return f"a {type(value).__name__}"


class _Content:
    """What was read of a source so far.

    Args:
        limit_bytes: how much there may be.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._read = BytesIO()  # gives its bytes away without a copy

    @property
    def portion_bytes(self) -> int:
        """How much to ask for next: one byte more than there may be at the most."""
        return min(PORTION_BYTES, self._limit_bytes + 1 - self._read.tell())

    def add(self, portion: Any) -> int:
        """Take what came, and return how much that is."""
        if portion is None:
            raise InputError("the file has nothing to give at the moment: open it so that reading waits")
        size = _size_of(portion)
        self.check(self._read.tell() + size)
        self._read.write(portion)
        return size

    def check(self, size: int) -> None:
        """Raise InputError for more than there may be."""
        if size > self._limit_bytes:
            raise InputError(f"the file is larger than {self._limit_bytes >> 20} MB: Strava takes 25 MB")

    def all(self) -> bytes:
        """Return what was read."""
        return self._read.getvalue()


async def _copied(source: Any, content: _Content) -> bytes:
    size = _size_of(source)
    content.check(size)
    copy = partial(b"".join, [source])
    return copy() if size < LARGE_BYTES else await anyio.to_thread.run_sync(copy, abandon_on_cancel=True)


def _read_path(path: Path, content: _Content) -> None:
    # Before it is opened: to open a pipe waits for its other end, and to open a device may set it going.
    _check_kind(path.stat(), content)
    with open(path, "rb", buffering=0, opener=_without_waiting) as file:
        _check_kind(os.fstat(file.fileno()), content)  # another may stand there by now
        # What the size was says little: a file may grow while it is read, and those of /proc say that they are empty.
        while content.add(file.read(content.portion_bytes)):
            pass


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_kind(status: os.stat_result, content: _Content) -> None:
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise InputError("the path is no regular file: open it yourself and pass the file")
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
        pass  # of some that are written in C nobody knows
    return True


async def _result_of(read: Callable[[], Any]) -> Any:
    if inspect.iscoroutinefunction(read):
        return await read()
    # In a list, because trio refuses a coroutine that comes out of a thread.
    [portion] = await in_reading_thread(lambda: [read()])
    return await portion if inspect.isawaitable(portion) else portion


async def _collect(source: AsyncIterable[Any], content: _Content) -> None:
    iterator = aiter(source)
    try:
        async for portion in iterator:
            content.add(portion)
            await anyio.lowlevel.checkpoint()  # what has its bytes at hand waits for nothing itself
    except BaseException:  # cancelled too: it stands at a yield then, and hears of nothing
        if inspect.isasyncgen(iterator):
            await iterator.aclose()
        raise


def _size_of(chunk: Any) -> int:
    if not _is_content(chunk):
        raise InputError(f"a file gives bytes, not {kind_of(chunk)}: open it in binary mode")
    return chunk.nbytes if isinstance(chunk, memoryview) else len(chunk)


def _is_content(value: object) -> bool:
    return isinstance(value, bytes | bytearray | memoryview)
