"""A file to be uploaded: read, named, packed, and told how far it is out.

All of it is in memory before anything is sent: a source that fails half-way sends nothing, an empty one is found out,
and the body can be sent again after a refusal. What Strava's site takes is 25 MB.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from gzip import compress
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import anyio.to_thread

from strava_async.errors import InputError

Progress = Callable[[int, int], object]

DATA_TYPES = ("fit", "fit.gz", "tcx", "tcx.gz", "gpx", "gpx.gz", "json")

_GZIP_MAGIC = b"\x1f\x8b"
_COMPRESSION = 6
_logger = logging.getLogger("strava_async.uploads")


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

    Args:
        source: a path, the content, a file object, or an async iterable of bytes; the latter two from where they are.
        data_type: see ``DATA_TYPES``, in any case; None takes it from the name.
        filename: None means the source's own name.
        gzip: whether to pack it; what is packed already is left as it is.

    Raises:
        InputError: the type cannot be told or is none of Strava's, or the source cannot be read or is empty.
    """
    name = filename or _name_of(source)
    declared = _known_type(data_type) if data_type is not None else _type_by(name)
    if gzip and declared == "json":
        raise InputError("Strava takes no json.gz: send json as it is")
    name = name or f"upload.{declared}"
    content = await _content_of(source)
    if not content:
        raise InputError("the file is empty")
    if gzip:
        if not content.startswith(_GZIP_MAGIC):
            pack = partial(compress, content, _COMPRESSION, mtime=0)
            content = await anyio.to_thread.run_sync(pack, abandon_on_cancel=True)
        declared = f"{declared.removesuffix('.gz')}.gz"
        name = name if name.lower().endswith(".gz") else f"{name}.gz"
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
    """Raise InputError for a function that would have to be awaited: HTTP libraries read files without awaiting."""
    if progress is not None and any(map(inspect.iscoroutinefunction, (progress, type(progress).__call__))):
        raise InputError("progress is a plain function, not an async one")


def _name_of(source: Any) -> str:
    if isinstance(source, str | os.PathLike):
        return _path_of(source).name
    for attribute in ("name", "filename"):
        name = getattr(source, attribute, None)
        if isinstance(name, str):
            return Path(name).name
    return ""


def _known_type(data_type: str) -> str:
    lowered = data_type.lower()
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
    if _is_content(source):
        return _joined([source])
    try:
        if isinstance(source, str | os.PathLike):
            return await anyio.to_thread.run_sync(_path_of(source).read_bytes, abandon_on_cancel=True)
        if hasattr(source, "read"):
            return _joined([await _read_of(source.read)])
        if hasattr(source, "__aiter__"):
            chunks: AsyncIterable[Any] = source
            return _joined([chunk async for chunk in chunks])
    except InputError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"the file cannot be read, nothing was sent: {reason}") from error
    except Exception as error:
        raise InputError(f"the file cannot be read, nothing was sent: {type(error).__name__}") from error
    raise InputError(f"a file is a path, bytes, a binary file or an async iterable of bytes: not {_kind(source)}")


def _path_of(path: Any) -> Path:
    return Path(os.fsdecode(path))


async def _read_of(read: Callable[[], Any]) -> Any:
    return await read() if inspect.iscoroutinefunction(read) else await anyio.to_thread.run_sync(read)


def _joined(chunks: list[Any]) -> bytes:
    for chunk in chunks:
        if not _is_content(chunk):
            raise InputError(f"a file gives bytes, not {_kind(chunk)}: open it in binary mode")
    return b"".join(chunks)


def _is_content(value: object) -> bool:
    return isinstance(value, bytes | bytearray | memoryview)


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"
