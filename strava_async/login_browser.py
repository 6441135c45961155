"""A browser's connection to the server of a login, spoken by h11: one request, one page, and the end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from http import HTTPStatus

import h11
from anyio.abc import SocketStream

from strava_async import _pages
from strava_async._pages import Reply


class BrowserConnection:
    """One connection: a request, a reply, and the end, each within the time that ``hurrying`` gives."""

    def __init__(self, stream: SocketStream, hurrying: Callable[[], AbstractContextManager[None]]) -> None:
        self._stream = stream
        self._hurrying = hurrying
        self._http = h11.Connection(h11.SERVER)
        self._wants_body = True

    async def request(self) -> h11.Request | Reply | None:
        """Return the first request; the reply to what is no HTTP or too long; None if it takes too long to come."""
        try:
            with self._hurrying():
                while not isinstance(event := self._http.next_event(), h11.Request):
                    self._http.receive_data(await self._stream.receive())
                self._wants_body = event.method != b"HEAD"
                return event
        except h11.RemoteProtocolError as error:
            return _pages.unreadable(error.error_status_hint)
        return None

    async def send(self, reply: Reply) -> None:
        """Send a page, and say that no more comes."""
        body = reply.page.html()
        phrase = HTTPStatus(reply.status_code).phrase
        head = h11.Response(status_code=reply.status_code, reason=phrase, headers=reply.fields(len(body)))
        message = (self._http.send(head) or b"") + (body if self._wants_body else b"")
        with self._hurrying():
            await self._stream.send(message)
            await self._stream.send_eof()

    async def gone(self) -> None:
        """Read until the browser closes too: closing before what it sends is read could cost it the page."""
        with self._hurrying():
            while True:
                await self._stream.receive()
