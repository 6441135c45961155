"""A file to be uploaded: read, named, packed, and told how far it is out.

All of it is in memory before anything is sent: a source that fails half-way sends nothing, an empty one is found out,
and the body can be sent again after a refusal. What Strava's site takes is 25 MB.

Reads have threads of their own: a pipe that nobody writes to, or a disk that is gone, holds up no other work.
"""

from __future__ import annotations

import inspect
import logging
import os
import stat
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from gzip import compress
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import anyio
import anyio.lowlevel
import anyio.to_thread

from strava_async.errors import InputError

Progress = Callable[[int, int], object]

DATA_TYPES = ("fit", "fit.gz", "tcx", "tcx.gz", "gpx", "gpx.gz", "json")

# Far more than Strava takes, far less than memory.
MAX_FILE_BYTES = 512 * 1024 * 1024
# What is larger is put together in a thread.
LARGE_BYTES = 1_000_000
READING_THREADS = 16

_GZIP_MAGIC = b"\x1f\x8b"
_COMPRESSION = 6
_logger = logging.getLogger("strava_async.uploads")
_reading = anyio.lowlevel.RunVar[anyio.CapacityLimiter]("strava_async.uploads")


class Readable(Protocol):
    """A binary file, plain or async: ``read()`` gives all that is left of it."""

    def read(self) -> bytes | Awaitable[bytes]:
        """Return the bytes up to the end."""
        ...


UploadSource = str | os.PathLike[str] | bytes | bytearray | memoryview | Readable | AsyncIterable[bytes]


@dataclass(frozen=True, slots=True)
class FileToSend:
    """A file as it is sent.

    Attributes:
        content: all of it.
        filename: what Strava is told; it has no directory.
        data_type: of ``DATA_TYPES``.
    """

    content: bytes = field(repr=False)
    filename: str
    data_type: str


async def file_to_send(source: UploadSource, *, data_type: str | None, filename: str | None, gzip: bool) -> FileToSend:
    """Read a file, and pack it if wanted. Disk and packing are a thread's work.

    What it holds decides whether it is called packed: type and name get or lose their ``.gz`` accordingly.

    Args:
        source: a path, the content, a file object, or an async iterable of bytes; the latter two from where they are.
        data_type: see ``DATA_TYPES``, in any case; None takes it from the name.
        filename: None means the source's own name. Directories before it are left away.
        gzip: whether to pack it; what is packed already is left as it is.

    Raises:
        InputError: the type cannot be told or is none of Strava's, or the source cannot be read, is empty, or larger
            than ``MAX_FILE_BYTES``.
    """
    name = _last_component(filename) or _name_of(source)
    declared = _known_type(data_type) if data_type is not None else _type_by(name)
    if gzip and declared == "json":
        raise InputError("Strava takes no json.gz: send json as it is")
    name = name or f"upload.{declared}"
    content = await _content_of(source)
    if not content:
        raise InputError("the file is empty")
    if gzip and not content.startswith(_GZIP_MAGIC):
        pack = partial(compress, content, _COMPRESSION, mtime=0)
        content = await anyio.to_thread.run_sync(pack, abandon_on_cancel=True)
    if declared != "json":
        name, declared = _labelled(name, declared, packed=content.startswith(_GZIP_MAGIC))
    # A file system may have names that no Unicode text stands for.
    return FileToSend(content, name.encode("utf-8", "replace").decode(), declared)


class OutgoingFile(BytesIO):
    """A file as httpx reads it: chunk by chunk, so that each has a timeout of its own, and again for each attempt.

    Args:
        content: all of it.
        progress: gets the bytes that have gone out and those there are. Asking for a chunk means that those before have
            been taken; from the start again for each attempt.
    """

    replayable = True

    def __init__(self, content: bytes, progress: Progress | None = None) -> None:
        super().__init__(content)
        self._total = len(content)
        self._progress = progress

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes; tell how many went before."""
        if self._progress is not None:
            try:
                self._progress(self.tell(), self._total)
            except Exception:
                self._progress = None
                _logger.warning("progress failed; the upload goes on and it is not called again", exc_info=True)
        return super().read(size)


def check_progress(progress: Progress | None) -> None:
    """Raise InputError for what is no function, or has to be awaited: HTTP libraries read files without awaiting."""
    if progress is not None and not callable(progress):
        raise InputError("progress is a function of two numbers")
    if progress is not None and any(map(inspect.iscoroutinefunction, (progress, type(progress).__call__))):
        raise InputError("progress is a plain function, not an async one")


def _labelled(name: str, data_type: str, *, packed: bool) -> tuple[str, str]:
    """Return name and type with ``.gz`` at the end of each or of neither."""
    plain = data_type.removesuffix(".gz")
    if packed:
        return name if name.lower().endswith(".gz") else f"{name}.gz", f"{plain}.gz"
    return name[:-3] if name.lower().endswith(".gz") else name, plain


def _last_component(filename: Any) -> str:
    if filename is not None and not isinstance(filename, str):
        raise InputError(f"filename is a text, not {_kind(filename)}")
    return Path(filename or "").name


def _name_of(source: Any) -> str:
    if isinstance(source, str | os.PathLike):
        return _path_of(source).name
    for attribute in ("name", "filename"):
        name = getattr(source, attribute, None)
        if isinstance(name, str):
            return Path(name).name
    return ""


def _known_type(data_type: Any) -> str:
    lowered = data_type.lower() if isinstance(data_type, str) else ""
    if lowered not in DATA_TYPES:
        raise InputError(
            f"Strava's data types are {', '.join(DATA_TYPES)}; not {data_type!r}. client.api.post sends any"
        )
    return lowered


def _type_by(name: str) -> str:
    lowered = name.lower()
    for data_type in DATA_TYPES:
        if lowered.endswith(f".{data_type}"):
            return data_type
    if lowered.endswith(".json.gz"):
        raise InputError("Strava takes no json.gz: send json as it is")
    told = f"the name {name!r} does not tell it" if name else "there is no name to tell it"
    raise InputError(f"data_type is one of {', '.join(DATA_TYPES)}: {told}")


async def _content_of(source: Any) -> bytes:
    try:
        return await _joined(await _chunks_of(source))
    except InputError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"the file cannot be read, nothing was sent: {reason}") from error
    except Exception as error:
        raise InputError(f"the file cannot be read, nothing was sent: {type(error).__name__}") from error


async def _chunks_of(source: Any) -> list[Any]:
    if _is_content(source):
        return [source]
    if isinstance(source, str | os.PathLike):
        return [await _in_thread(partial(_read_path, _path_of(source)))]
    if hasattr(source, "read"):
        return [await _read_of(source.read)]
    if hasattr(source, "__aiter__"):
        return await _collected(source)
    raise InputError(f"a file is a path, bytes, a binary file or an async iterable of bytes: not {_kind(source)}")


def _path_of(path: Any) -> Path:
    return Path(os.fsdecode(path))


def _read_path(path: Path) -> bytes:
    # Before it is opened: to open a pipe waits for its other end.
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise InputError("the path is no regular file: open it yourself and pass the file")
    _check_size(status.st_size)
    return path.read_bytes()


async def _read_of(read: Callable[[], Any]) -> Any:
    if inspect.iscoroutinefunction(read):
        return await read()
    # In a list, because trio refuses a coroutine that comes out of a thread.
    [content] = await _in_thread(lambda: [read()])
    return await content if inspect.isawaitable(content) else content


async def _in_thread(work: Callable[[], Any]) -> Any:
    """Do what may never end. A caller who is cancelled does not wait for it; its thread ends when it does."""
    limiter = _reading.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(READING_THREADS)
        _reading.set(limiter)
    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=limiter)


async def _collected(source: AsyncIterable[Any]) -> list[Any]:
    chunks: list[Any] = []
    size = 0
    iterator = aiter(source)
    try:
        async for chunk in iterator:
            chunks.append(chunk)
            size += _size_of(chunk)
            _check_size(size)
    except Exception:
        if inspect.isasyncgen(iterator):
            await iterator.aclose()
        raise
    return chunks


async def _joined(chunks: list[Any]) -> bytes:
    size = sum(map(_size_of, chunks))
    _check_size(size)
    join = partial(b"".join, chunks)
    return join() if size < LARGE_BYTES else await anyio.to_thread.run_sync(join, abandon_on_cancel=True)


def _check_size(size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise InputError(f"the file is larger than {MAX_FILE_BYTES >> 20} MB: Strava takes 25 MB")


def _size_of(chunk: Any) -> int:
    if not _is_content(chunk):
        raise InputError(f"a file gives bytes, not {_kind(chunk)}: open it in binary mode")
    return chunk.nbytes if isinstance(chunk, memoryview) else len(chunk)


def _is_content(value: object) -> bool:
    return isinstance(value, bytes | bytearray | memoryview)


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"
