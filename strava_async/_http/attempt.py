"""One attempt at a request, the same over each HTTP library: its bounds, how far it came, and what ended it.

Bounds, whichever transport is below:

- ``timeout``: seconds without a byte of the other side. While connecting and reading the transport watches over it;
  while a body goes out it is watched here, where each piece is asked for, because not every transport does.
- ``total``: seconds from asking for a connection to the body's last byte.
- ``MAX_BODY_BYTES`` of a reply: see ``incoming``.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, Protocol, TypeVar

import anyio

from strava_async._concurrency.reading_threads import in_reading_thread
from strava_async._hidden import Hidden, revealed
from strava_async._http.frames import forget_frames
from strava_async._http.trust import permanent_tls_failure
from strava_async.errors import InputError, Sent, StravaError, TransportError
from strava_async.request.call import Call
from strava_async.request.redaction import redacted
from strava_async.request.reply import Reply

REASON_CHARACTERS = 300
# Of a body in memory that goes out at a time.
_PIECE_BYTES = 64 * 1024

E = TypeVar("E", bound=StravaError)


class Adapter(Protocol):
    """Sends requests over an HTTP library."""

    async def send(self, attempt: Attempt) -> Reply:
        """Make one request and return its reply, whatever the status.

        Raises:
            TransportError: no reply came.
            DecodeError: its body is too large, or cannot be unpacked.
            InputError: it cannot be sent.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections that it opened itself."""
        ...

    def forget(self) -> None:
        """Let go of its connections, whose event loop has ended."""
        ...


class HttpClient(Protocol):
    """What is used of an ``httpx.AsyncClient``, or an ``httpx2.AsyncClient``."""

    @property
    def is_closed(self) -> bool:
        """Whether ``aclose`` was called."""
        ...

    def build_request(self, method: str, url: str, *, content: Any, headers: Any, extensions: Any) -> Any:
        """Return a request with the client's own settings merged in."""
        ...

    async def send(self, request: Any, *, stream: bool, auth: Any, follow_redirects: bool) -> Any:
        """Return the response as soon as its fields are there."""
        ...

    async def aclose(self) -> None:
        """Close the pool."""
        ...


class Attempt:
    """One request on its way.

    Args:
        call: what is asked.
        bearer: the access token that goes along; None for none.
        timeout: see above.
        total: see above; None for no bound.

    Attributes:
        sent: ``never`` as long as it is known that nothing of it has left.
        scope: ends it; to be entered around all of it.
        failure: what the source of its body raised.
    """

    __slots__ = (
        "_ends_at",
        "_error",
        "_stalled",
        "bearer",
        "call",
        "closed",
        "failure",
        "scope",
        "sent",
        "timeout",
        "total",
    )

    def __init__(self, call: Call, bearer: Hidden[str] | None, timeout: float, total: float | None) -> None:
        self.call = call
        self.bearer = bearer
        self.timeout = timeout
        self.total = total
        self.sent: Sent = "never"
        self.failure: Exception | None = None
        self.closed = False
        self._stalled = False
        self._error: StravaError | None = None
        self._ends_at = math.inf if total is None else anyio.current_time() + total
        self.scope = anyio.CancelScope(deadline=self._ends_at)

    def end(self, error: StravaError) -> None:
        """End it with an error, at its next wait."""
        self._error = error
        self.scope.cancel()

    def close(self) -> None:
        """End it, because the client is closed."""
        self.closed = True
        self.scope.cancel()

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
        """Return what is sent, and the header fields that describe it."""
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

    def reading(self) -> None:
        """Note that the next piece of the body is waited for, which is not the other side's matter."""
        self.all_taken()

    def moving(self) -> None:
        """Note that the other side takes the body: the next piece has ``timeout`` seconds from now."""
        if self.scope.cancel_called:
            return
        deadline = anyio.current_time() + self.timeout
        self._stalled = deadline < self._ends_at
        self.scope.deadline = min(deadline, self._ends_at)

    def all_taken(self) -> None:
        """Note that no more of the body is asked for."""
        if not self.scope.cancel_called:
            self._stalled = False
            self.scope.deadline = self._ends_at

    def ended(self) -> StravaError:
        """Return what to raise where ``scope`` has ended it."""
        if self._error is not None:
            return self._error
        what = f"{self.call.method} {self.call.path}"
        if self.closed:
            return self.error(f"the client was closed during {what}", permanent=True)
        if self._stalled:
            return self.error(f"{what}: nothing of the body was taken for {self.timeout:g} s", timed_out=True)
        if self.sent == "never":
            return self.error(f"no connection for {what} within {self.total:g} s", timed_out=True)
        return self.error(f"no whole reply to {what} within {self.total:g} s", timed_out=True)

    def no_reply(self, error: BaseException, *, timed_out: bool = False, permanent: bool = False) -> TransportError:
        """Return what to raise for an error of the transport. Some of them are permanent by themselves."""
        reason = redacted(str(error), self._secrets())[:REASON_CHARACTERS]
        text = (
            f"no reply to {self.call.method} {self.call.path}: {type(error).__name__}{': ' if reason else ''}{reason}"
        )
        failure = permanent_tls_failure(error)
        if failure is not None:
            return self.error(f"no reply to {self.call.method} {self.call.path}: {failure}", permanent=True)
        return self.error(text, timed_out=timed_out, permanent=permanent)

    def because(self, error: BaseException, failed: E) -> E:
        """Return an error of ours with one of the transport for its cause, unless that shows a secret."""
        shown = repr([(one, str(one)) for one in forget_frames(error)])
        failed.__cause__ = None if redacted(shown, self._secrets()) != shown else error
        return failed

    def _secrets(self) -> tuple[str, ...]:
        return (
            self.call.secrets.reveal() if self.bearer is None else (*self.call.secrets.reveal(), self.bearer.reveal())
        )

    def error(self, text: str, *, timed_out: bool = False, permanent: bool = False) -> TransportError:
        """Return a TransportError about this attempt, as far as it came."""
        return TransportError(
            text,
            sent=self.sent,
            timed_out=timed_out,
            permanent=permanent,
            method=self.call.method,
            path=self.call.path,
        )


class _Chunked(Protocol):
    @property
    def is_in_memory(self) -> bool:
        """Whether the next piece is there without a wait."""
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
    """A body that is sent piece by piece, and tells the attempt how it goes.

    No async generator: who sends it leaves it where it is if the other side takes no more.

    Args:
        attempt: what it is the body of.
        parts: the content.

    Attributes:
        all_taken: called when no more is there to be asked for.
    """

    def __init__(self, attempt: Attempt, parts: _Chunked) -> None:
        self._attempt = attempt
        self._parts = parts
        self.all_taken: Callable[[], None] = attempt.all_taken

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Walk(self._attempt, self._parts, self.all_taken)


class _Walk(AsyncIterator[bytes]):
    """One way through a body, from its beginning."""

    def __init__(self, attempt: Attempt, parts: _Chunked, all_taken: Callable[[], None]) -> None:
        self._attempt = attempt
        self._is_in_memory = parts.is_in_memory
        self._chunks = parts.chunks()
        self._all_taken = all_taken

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._next()
        except Exception as error:
            self._attempt.failure = error
            raise
        if chunk is None:
            self._all_taken()
            raise StopAsyncIteration
        self._attempt.moving()
        return chunk

    async def _next(self) -> bytes | None:
        if self._is_in_memory:
            return next(self._chunks, None)
        self._attempt.reading()
        return await in_reading_thread(partial(next, self._chunks, None))
