"""A caller's own HTTP client, which is never changed nor closed, in the event loops that it is used in."""

from __future__ import annotations

import re
from weakref import WeakKeyDictionary

from strava_async._concurrency.loop_binding import LoopBinding
from strava_async._http.attempt import Attempt, HttpClient
from strava_async._http.httpx_adapter import HttpxAdapter, library_of
from strava_async.errors import InputError
from strava_async.request.reply import Reply


class _Loops:
    """The event loops of one client."""

    def __init__(self) -> None:
        self.binding = LoopBinding("http_client")
        self.one_has_ended = False


class CallersClient:
    """Sends over a client that somebody else has made.

    Its connections belong to the event loop that they were made in. Two loops at a time are an error. After a loop has
    ended it may be used in another, as long as it has kept no connection: one over an ASGI application has none.

    Args:
        client: made by the caller.

    Raises:
        InputError: it is of neither library.
    """

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._adapter = HttpxAdapter(client, library_of(type(client)), owned=False)
        self._loops = _loops.setdefault(client, _Loops())

    @property
    def is_closed(self) -> bool:
        """Whether its owner has closed it."""
        return self._client.is_closed

    def enter(self) -> None:
        """Note that it is used in this event loop.

        Raises:
            InputError: it belongs to another one, which has not ended.
        """
        if self._loops.binding.enter():
            self._loops.one_has_ended = True

    async def send(self, attempt: Attempt) -> Reply:
        """Make one request; see ``Adapter``.

        Raises:
            InputError: it has connections of an event loop that has ended.
        """
        try:
            return await self._adapter.send(attempt)
        except RuntimeError as error:
            if self._loops.one_has_ended and _LOOPS.search(str(error)):
                raise InputError(
                    "http_client has connections of an event loop that has ended: make one for each event loop, and "
                    "close it there"
                ) from error
            raise


# Such as "Event loop is closed" of asyncio, and "must be called from async context" of trio.
_LOOPS = re.compile(r"\bloop\b|\basync context\b")
# By client and not by sender: several may share one.
_loops: WeakKeyDictionary[HttpClient, _Loops] = WeakKeyDictionary()
