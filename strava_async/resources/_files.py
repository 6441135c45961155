"""A file to upload: read, named, compressed, and reported on while it is sent.

All of it is in memory before anything is sent; see ``_sources``.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from gzip import compress
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio.to_thread

from strava_async.errors import InputError
from strava_async.request.multipart import MAX_FILE_BYTES
from strava_async.resources._sources import UploadSource, content_of, path_of

Progress = Callable[[int, int], object]

DATA_TYPES = ("fit", "fit.gz", "tcx", "tcx.gz", "gpx", "gpx.gz", "json")

_GZIP_MAGIC = b"\x1f\x8b"
_COMPRESSION = 6
_logger = logging.getLogger("strava_async.uploads")


@dataclass(frozen=True, slots=True)
class FileToSend:
    """A file as it is sent.

    Attributes:
        content: all of it.
        filename: the name that is sent, without a directory.
        data_type: of ``DATA_TYPES``.
    """

    content: bytes = field(repr=False)
    filename: str
    data_type: str


async def file_to_send(
    source: UploadSource,
    *,
    data_type: str | None,
    filename: str | None,
    gzip: bool,
    limit_bytes: int = MAX_FILE_BYTES,
) -> FileToSend:
    """Read a file, and compress it if wanted. Reading and compressing run in a thread.

    Its content decides whether it counts as compressed: type and name get or lose their ``.gz`` accordingly.

    Args:
        source: a path, the content, a file object, or an async iterable of bytes; the latter two from their current
            position.
        data_type: see ``DATA_TYPES``, in any case; None takes it from the name.
        filename: None means the source's own name. Directories are removed.
        gzip: whether to compress it; a file that is compressed already stays as it is.
        limit_bytes: how large it may be, before compression.

    Raises:
        InputError: the type is unknown or not one of Strava's, or the source cannot be read, is empty, or is too large.
    """
    name = _last_component(filename) or _name_of(source)
    declared = _known_type(data_type) if data_type is not None else _type_by(name)
    if gzip and declared == "json":
        raise InputError("Strava does not accept json.gz: send json uncompressed")
    name = name or f"upload.{declared}"
    content = await content_of(source, limit_bytes)
    if not content:
        raise InputError("the file is empty")
    if gzip and not content.startswith(_GZIP_MAGIC):
        run = partial(compress, content, _COMPRESSION, mtime=0)
        content = await anyio.to_thread.run_sync(run, abandon_on_cancel=True)
    if declared != "json":
        name, declared = _labelled(name, declared, compressed=content.startswith(_GZIP_MAGIC))
    # A file system may have names that are not valid Unicode.
    return FileToSend(content, name.encode("utf-8", "replace").decode(), declared)


class OutgoingFile(BytesIO):
    """A file as httpx reads it: in chunks, each with a timeout of its own, and from the start for each attempt.

    Args:
        content: all of it.
        progress: receives the bytes sent so far and their total. A request for a chunk means that those before it were
            accepted; each attempt begins at 0 again.
    """

    replayable = True

    def __init__(self, content: bytes, progress: Progress | None = None) -> None:
        super().__init__(content)
        self._total = len(content)
        self._progress = progress

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes; report how many were read before."""
        if self._progress is not None:
            try:
                self._progress(self.tell(), self._total)
            except Exception:
                self._progress = None
                _logger.warning(
                    "progress failed; the upload continues, and progress is not called again", exc_info=True
                )
        return super().read(size)


def check_progress(progress: Progress | None) -> None:
    """Raise InputError unless it is a plain function: HTTP libraries read files without awaiting."""
    if progress is not None and not callable(progress):
        raise InputError("progress must be a function of two numbers")
    if progress is not None and any(map(inspect.iscoroutinefunction, (progress, type(progress).__call__))):
        raise InputError("progress must be a plain function, not an async one")


def _labelled(name: str, data_type: str, *, compressed: bool) -> tuple[str, str]:
    """Return name and type with ``.gz`` at the end of each or of neither."""
    plain = data_type.removesuffix(".gz")
    if compressed:
        return name if name.lower().endswith(".gz") else f"{name}.gz", f"{plain}.gz"
    return name[:-3] if name.lower().endswith(".gz") else name, plain


def _last_component(filename: Any) -> str:
    if filename is not None and not isinstance(filename, str):
        raise InputError(f"filename must be a str, not {type(filename).__name__}")
    return Path(filename or "").name


def _name_of(source: Any) -> str:
    if isinstance(source, str | os.PathLike):
        return path_of(source).name
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
        raise InputError("Strava does not accept json.gz: send json uncompressed")
    reason = f"it does not follow from the name {name!r}" if name else "there is no name that it could follow from"
    raise InputError(f"data_type must be one of {', '.join(DATA_TYPES)}: {reason}")
