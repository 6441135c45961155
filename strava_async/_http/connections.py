"""The connections that are made here, where the caller brought no client: when they are loaded, and for which loop.

- What is needed for the first request is loaded in a thread: modules and the trust store hold up an event loop for
  100 ms. So ``own_senders`` is imported nowhere but there.
- An event loop that has ended leaves none behind: in the next they are opened again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.to_thread
import sniffio

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async.errors import InputError
from strava_async.request.call import Call

if TYPE_CHECKING:
    import asyncio

    import httpx

    from strava_async._http.own_senders import OwnSender, OwnSenders


class Connections:
    """The connections of one sender.

    Args:
        fast: whether they are aiohttp's where it is installed, on asyncio.
    """

    def __init__(self, *, fast: bool = True) -> None:
        self._fast = fast
        self._binding = LoopBinding("this HTTP client")
        self._senders: OwnSenders | None = None
        self._loading: asyncio.Future[OwnSenders] | None = None  # on asyncio: one thread for all who come meanwhile

    @property
    def are_loaded(self) -> bool:
        """Whether all that the first request needs is loaded."""
        return self._senders is not None

    def enter(self) -> bool:
        """Note that they are used in this event loop.

        Returns:
            whether the event loop of before has ended: its connections are forgotten, and what waited in it.

        Raises:
            InputError: they belong to another event loop, which has not ended.
        """
        ended = self._binding.enter()
        if ended:
            self.forget()
            self._senders = self._loading = None
        return ended

    async def load(self) -> None:
        """Load what the first request needs. Nothing is requested.

        Raises:
            InputError: the environment names certificates that cannot be used.
        """
        if self._senders is not None:
            return
        library = sniffio.current_async_library()
        if library != "asyncio":
            loaded = await anyio.to_thread.run_sync(_load, library, False)
            if self._senders is None:  # else another task was faster, and its senders have connections already
                self._senders = loaded
            return
        import asyncio  # not above: it is a third of what importing this package takes, and loaded here anyway

        if self._loading is None:
            # Not by way of anyio, which would load its backend on the event loop first.
            self._loading = asyncio.get_running_loop().run_in_executor(None, _load, library, self._fast)
            self._loading.add_done_callback(self._end_loading)
        self._senders = await asyncio.shield(self._loading)

    def sender_for(self, call: Call) -> OwnSender:
        """Return what sends a call; it is made on first use.

        Raises:
            InputError: the environment names a proxy that cannot be used.
        """
        if self._senders is None:
            raise InputError("this HTTP client is closed; make a new one")
        try:
            return self._senders.sender_for(call)
        except InputError:
            self._senders.reread_environment()
            return self._senders.sender_for(call)

    def forget(self) -> None:
        """Let go of those that are open, without waiting for anything."""
        if self._senders is not None:
            self._senders.forget()

    async def aclose(self) -> None:
        """Close them all; those that a cancelled call did not get to are left to ``forget``.

        Raises:
            InputError: they belong to another event loop.
        """
        self.enter()
        if self._senders is not None:
            await self._senders.aclose()

    def _end_loading(self, loading: asyncio.Future[OwnSenders]) -> None:
        self._loading = None
        if not loading.cancelled():
            loading.exception()  # retrieved: all who wait for it may have been cancelled


async def httpx_client_for(url: str) -> httpx.AsyncClient:
    """Return an httpx client for requests to one place, whatever is installed; the caller closes it.

    Raises:
        InputError: the environment names certificates or a proxy that cannot be used.
    """
    return await anyio.to_thread.run_sync(_httpx_client_for, url)


def _load(library: str, fast: bool) -> OwnSenders:
    from strava_async._http.own_senders import load

    return load(library, fast=fast)


def _httpx_client_for(url: str) -> httpx.AsyncClient:
    from strava_async._http.own_senders import httpx_client_for

    return httpx_client_for(url)
