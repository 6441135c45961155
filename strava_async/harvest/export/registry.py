"""Which exports a store has: so that what is deleted in it is deleted in them, and no other store writes into them."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import anyio

from strava_async._concurrency.threads import finish_in_thread
from strava_async.errors import InputError, StoreError
from strava_async.harvest.base import HarvestStore
from strava_async.harvest.export.base import Format
from strava_async.harvest.export.folder import Folder
from strava_async.stores.file_errors import explained

T = TypeVar("T")
_SETTING = "export "


class BusyExportError(StoreError):
    """Another export writes into a folder."""


async def in_folder(folder: Folder, work: Callable[[], T]) -> T:
    """Return what ``work`` returns, called in a thread.

    Raises:
        StoreError: the folder cannot be read or written.
    """

    def run() -> T:
        with explained(folder.path, 0.0, StoreError):
            return work()

    return await finish_in_thread(run)


async def exports_of(store: HarvestStore) -> list[Folder]:
    """Return the exports of a store that are where they were written.

    One that is not there may be on a disk that is not mounted: it stays known.
    """
    found: list[Folder] = []
    for name, value in (await store.settings()).items():
        if not name.startswith(_SETTING):
            continue
        known = json.loads(value)
        folder = Folder(known["folder"], Format(known["format"]))
        marker = await in_folder(folder, folder.marker)
        if marker is not None and name == _SETTING + marker.export_id:
            found.append(folder)
    return found


@asynccontextmanager
async def writing(store: HarvestStore, folder: Folder) -> AsyncGenerator[None]:
    """Return a context in which nobody else exports into a folder, which is a store's from then on.

    Raises:
        InputError: it holds something else.
        BusyExportError: another export writes into it; it says who.
    """
    await _check(store, folder)
    async with locked(folder):
        await _check(store, folder)
        await _register(store, folder)
        yield


@asynccontextmanager
async def locked(folder: Folder) -> AsyncGenerator[None]:
    """Return a context in which nobody else exports into a folder.

    Raises:
        BusyExportError: another does; it says who.
    """
    lock = await in_folder(folder, folder.lock)
    if lock is None:
        holder = await in_folder(folder, folder.holder)
        raise BusyExportError(f"{folder.path} is in use: {holder} exports into it; wait for its end")
    try:
        yield
    finally:
        try:
            with anyio.CancelScope(shield=True):
                await finish_in_thread(folder.clear)
        finally:
            lock.release()


async def _check(store: HarvestStore, folder: Folder) -> None:
    marker = await in_folder(folder, folder.marker)
    if marker is None:
        await in_folder(folder, folder.check_free)
    elif marker.format != folder.format:
        raise InputError(f"{folder.path} holds an export to {marker.format}: name another folder for {folder.format}")
    elif _SETTING + marker.export_id not in await store.settings():
        raise InputError(f"{folder.path} holds another store's export: name another folder")


async def _register(store: HarvestStore, folder: Folder) -> None:
    marker = await in_folder(folder, folder.marker)
    export_id = secrets.token_hex(8) if marker is None else marker.export_id
    # The store first: an export that nobody knows would outlive what is in it.
    await store.set_setting(_SETTING + export_id, json.dumps({"folder": folder.path, "format": folder.format}))
    if marker is None:
        await in_folder(folder, partial(folder.mark, export_id))


def checked_folder(folder: str | os.PathLike[str], to: Format | str) -> Folder:
    """Return the folder of an export.

    Raises:
        InputError: it is no path, or the format is unknown.
    """
    path: object = os.fspath(folder) if hasattr(folder, "__fspath__") else folder
    if not isinstance(path, str) or not path or "\0" in path:
        raise InputError("the folder of an export is a text or a path that names one")
    try:
        kind = Format(to)
    except ValueError:
        raise InputError(f"an export is written to one of {', '.join(Format)}") from None
    return Folder(os.path.abspath(path), kind)
