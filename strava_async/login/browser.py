"""A browser's connection to the server of a login, over h11: one request, one page, and its end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from http import HTTPStatus

import h11
from anyio.abc import SocketStream

from strava_async.login import pages as _pages
from strava_async.login.pages import Reply


class BrowserConnection:
    """One connection: a request, a reply, and the end, each within ``deadline()``."""

    def __init__(self, stream: SocketStream, deadline: Callable[[], AbstractContextManager[None]]) -> None:
        self._stream = stream
        self._deadline = deadline
        self._http = h11.Connection(h11.SERVER)
        self._wants_body = True

    async def request(self) -> h11.Request | Reply | None:
        """Return the first request; the reply to one that is not HTTP or too long; None if it does not come in time."""
        try:
            with self._deadline():
                while not isinstance(event := self._http.next_event(), h11.Request):
                    self._http.receive_data(await self._stream.receive())
                self._wants_body = event.method != b"HEAD"
                return event
        except h11.RemoteProtocolError as error:
            return _pages.unreadable(error.error_status_hint)
        return None

    async def send(self, reply: Reply) -> None:
        """Send a page, and close the sending side."""
        body = reply.page.html()
        phrase = HTTPStatus(reply.status_code).phrase
        head = h11.Response(status_code=reply.status_code, reason=phrase, headers=reply.fields(len(body)))
        message = (self._http.send(head) or b"") + (body if self._wants_body else b"")
        with self._deadline():
            await self._stream.send(message)
            await self._stream.send_eof()

    async def gone(self) -> None:
        """Read until the browser closes too: closing earlier, with unread data, could lose the page."""
        with self._deadline():
            while True:
                await self._stream.receive()
