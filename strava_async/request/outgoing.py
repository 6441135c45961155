"""One request in flight: what is sent, its bounds, how far it got, and what ended it.

Bounds, whichever sender sends it:

- ``timeout``: the inactivity timeout, in seconds without a byte from the server. While connecting and reading the
  sender watches it; while a body goes out it is watched here, where each piece is read, because not every HTTP library
  does.
- ``total``: seconds from asking for a connection to the body's last byte.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Protocol

import anyio

from strava_async._hidden import Hidden, revealed
from strava_async.errors import InputError, Sent, StravaError, TransportError
from strava_async.request.call import Call

# A body in memory goes out in pieces of this size.
_PIECE_BYTES = 64 * 1024


class OutgoingRequest:
    """One request in flight.

    Args:
        call: what is requested.
        bearer: the access token that goes along; None for none.
        timeout: the inactivity timeout, in seconds.
        total: seconds for all of it; None for no bound.
        urgent: whether a person waits for the result.

    Attributes:
        sent: ``never`` as long as it is known that nothing of it has left.
        scope: ends it; made by ``begin``.
        failure: what the source of its body raised.
    """

    __slots__ = (
        "_ends_at",
        "_error",
        "_is_closed",
        "_is_stalled",
        "bearer",
        "call",
        "failure",
        "scope",
        "sent",
        "timeout",
        "total",
        "urgent",
    )

    def __init__(
        self,
        call: Call,
        bearer: Hidden[str] | None,
        timeout: float,
        total: float | None = None,
        *,
        urgent: bool = False,
    ) -> None:
        self.call = call
        self.bearer = bearer
        self.timeout = timeout
        self.total = total
        self.urgent = urgent
        self.sent: Sent = "never"
        self.failure: Exception | None = None
        self._is_closed = False
        self._is_stalled = False
        self._error: StravaError | None = None
        self._ends_at = math.inf
        self.scope: anyio.CancelScope

    def begin(self) -> anyio.CancelScope:
        """Return a scope to be entered around all of the sending; ``total`` counts from now.

        Where the scope has ended it, raise ``end_error``.
        """
        if self.total is not None:
            self._ends_at = anyio.current_time() + self.total
        self.scope = anyio.CancelScope(deadline=self._ends_at)
        return self.scope

    def authorization(self) -> Hidden[str] | None:
        """Return the value of its Authorization field; None if it has none.

        Raises:
            InputError: no field can hold it.
        """
        if self.call.basic is not None:
            return self.call.basic
        if self.bearer is None:
            return None
        value = Hidden("Bearer " + self.bearer.reveal())
        if not (value.reveal().isascii() and value.reveal().isprintable()):
            raise InputError("the access token holds a character that no header field can hold, such as a line break")
        return value

    def body(self) -> tuple[bytes | Hidden[bytes] | Body | None, dict[str, str]]:
        """Return what is sent, and the header fields that describe it.

        Raises:
            InputError: something cannot be sent as a file.
        """
        call = self.call
        if call.files is None:
            fields = {} if call.content_type is None else {"Content-Type": call.content_type}
            size = len(revealed(call.content) or b"")
            if size <= _PIECE_BYTES:
                return call.content, fields
            fields["Content-Length"] = str(size)
            return Body(self, _Pieces(revealed(call.content) or b"")), fields
        # Not above: most programs send no file, and all wait for what an import loads.
        import secrets

        from strava_async.request.multipart import Multipart

        parts = Multipart(call.fields or {}, call.files, secrets.token_hex(16))
        fields = {"Content-Type": parts.content_type}
        if parts.content_length is not None:
            fields["Content-Length"] = str(parts.content_length)
        return Body(self, parts), fields

    def body_waits_for_its_source(self) -> None:
        """Note that the next piece of the body is being read: the server causes no delay now."""
        self.body_ended()

    def body_progressed(self) -> None:
        """Note that the server accepts the body: the next piece has ``timeout`` seconds from now."""
        if self.scope.cancel_called:
            return
        deadline = anyio.current_time() + self.timeout
        self._is_stalled = deadline < self._ends_at
        self.scope.deadline = min(deadline, self._ends_at)

    def body_ended(self) -> None:
        """Note that no more of the body is read, because all is sent or the reply has begun."""
        if not self.scope.cancel_called:
            self._is_stalled = False
            self.scope.deadline = self._ends_at

    def end(self, error: StravaError) -> None:
        """End it with an error, at its next wait."""
        self._error = error
        self.scope.cancel()

    def close(self) -> None:
        """End it, because the client is closed."""
        self._is_closed = True
        self.scope.cancel()

    def end_error(self) -> StravaError:
        """Return what to raise where ``scope`` has ended it."""
        if self._error is not None:
            return self._error
        what = f"{self.call.method} {self.call.path}"
        if self._is_closed:
            return self.error(f"the client was closed during {what}", permanent=True)
        if self._is_stalled:
            return self.error(f"{what}: the server accepted nothing of the body for {self.timeout:g} s", timed_out=True)
        if self.sent == "never":
            return self.error(f"no connection for {what} within {self.total:g} s", timed_out=True)
        return self.error(f"no whole reply to {what} within {self.total:g} s", timed_out=True)

    def error(self, text: str, *, timed_out: bool = False, permanent: bool = False) -> TransportError:
        """Return a TransportError about this request, with how far it got."""
        return TransportError(
            text,
            sent=self.sent,
            timed_out=timed_out,
            permanent=permanent,
            method=self.call.method,
            path=self.call.path,
        )

    def secrets(self) -> tuple[str, ...]:
        """Return what no error may show."""
        known = self.call.secrets.reveal()
        return known if self.bearer is None else (*known, self.bearer.reveal())


class _Chunked(Protocol):
    @property
    def is_in_memory(self) -> bool:
        """Whether the next piece is available without a wait."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """Return the body in pieces, from its beginning."""
        ...


class _Pieces:
    """Bytes in pieces."""

    is_in_memory = True

    def __init__(self, content: bytes) -> None:
        self._content = content

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(self._content), _PIECE_BYTES):
            yield self._content[start : start + _PIECE_BYTES]


class Body:
    """A body that is sent piece by piece, and reports progress to its request.

    No async generator: an HTTP library leaves those unfinished if the server accepts no more.

    Args:
        outgoing: what it is the body of.
        parts: the content.
    """

    def __init__(self, outgoing: OutgoingRequest, parts: _Chunked) -> None:
        self._outgoing = outgoing
        self._parts = parts

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Walk(self._outgoing, self._parts)


class _Walk(AsyncIterator[bytes]):
    """One iteration over a body, from its beginning."""

    def __init__(self, outgoing: OutgoingRequest, parts: _Chunked) -> None:
        self._outgoing = outgoing
        self._is_in_memory = parts.is_in_memory
        self._chunks = parts.chunks()

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._next()
        except Exception as error:
            self._outgoing.failure = error
            raise
        if chunk is None:
            self._outgoing.body_ended()
            raise StopAsyncIteration
        self._outgoing.body_progressed()
        return chunk

    async def _next(self) -> bytes | None:
        if self._is_in_memory:
            return next(self._chunks, None)
        from strava_async._concurrency.reading_threads import in_reading_thread  # not above: few requests need it

        self._outgoing.body_waits_for_its_source()
        return await in_reading_thread(partial(next, self._chunks, None))
