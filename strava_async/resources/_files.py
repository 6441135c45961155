"""A file to be uploaded: read, named, packed, and told how far it is out.

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
from strava_async.resources._sources import UploadSource, content_of, kind_of, path_of

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
        filename: what Strava is told; it has no directory.
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
    """Read a file, and pack it if wanted. Disk and packing are a thread's work.

    What it holds decides whether it is called packed: type and name get or lose their ``.gz`` accordingly.

    Args:
        source: a path, the content, a file object, or an async iterable of bytes; the latter two from where they are.
        data_type: see ``DATA_TYPES``, in any case; None takes it from the name.
        filename: None means the source's own name. Directories before it are left away.
        gzip: whether to pack it; what is packed already is left as it is.
        limit_bytes: how large it may be, before it is packed.

    Raises:
        InputError: the type cannot be told or is none of Strava's, or the source cannot be read, is empty, or larger.
    """
    name = _last_component(filename) or _name_of(source)
    declared = _known_type(data_type) if data_type is not None else _type_by(name)
    if gzip and declared == "json":
        raise InputError("Strava takes no json.gz: send json as it is")
    name = name or f"upload.{declared}"
    content = await content_of(source, limit_bytes)
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
        raise InputError(f"filename is a text, not {kind_of(filename)}")
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
        raise InputError("Strava takes no json.gz: send json as it is")
    told = f"the name {name!r} does not tell it" if name else "there is no name to tell it"
    raise InputError(f"data_type is one of {', '.join(DATA_TYPES)}: {told}")
