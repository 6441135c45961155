"""One attempt at a request, the same over each HTTP library: its bounds, how far it came, and what ended it.

Bounds, whichever transport is below:

- ``timeout``: seconds without a byte of the other side. While connecting and reading the transport watches over it;
  while a body goes out it is watched here, where each piece is asked for, because not every transport does.
- ``total``: seconds from asking for a connection to the body's last byte.
- ``MAX_BODY_BYTES`` of a reply.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Protocol

import anyio

from strava_async._http.trust import permanent_tls_failure
from strava_async.calls import Call
from strava_async.errors import DecodeError, InputError, Sent, StravaError, TransportError
from strava_async.multipart import CHUNK_BYTES, Multipart
from strava_async.redaction import redacted
from strava_async.wire import MAX_BODY_BYTES, Reply

QUOTA_FIELDS = (
    "age",
    "date",
    "retry-after",
    "x-ratelimit-limit",
    "x-ratelimit-usage",
    "x-readratelimit-limit",
    "x-readratelimit-usage",
)
_FIELDS = frozenset(name.encode() for name in (*QUOTA_FIELDS, "content-encoding", "content-type"))
REASON_CHARACTERS = 300


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

    def __init__(self, call: Call, bearer: str | None, timeout: float, total: float | None) -> None:
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

    def authorization(self) -> str | None:
        """Return the value of its Authorization field; None if it has none.

        Raises:
            InputError: no field can hold it.
        """
        value = self.call.basic
        if value is None:
            if self.bearer is None:
                return None
            value = f"Bearer {self.bearer}"
        if not (value.isascii() and value.isprintable()):
            raise InputError("the access token holds a character that no header field can hold, such as a line break")
        return value

    def body(self) -> tuple[bytes | Body | None, dict[str, str]]:
        """Return what is sent, and the header fields that describe it."""
        call = self.call
        if call.files is None:
            fields = {} if call.content_type is None else {"Content-Type": call.content_type}
            if call.content is None or len(call.content) <= CHUNK_BYTES:
                return call.content, fields
            fields["Content-Length"] = str(len(call.content))
            return Body(self, _Pieces(call.content)), fields
        parts = Multipart(call.fields or {}, call.files, secrets.token_hex(16))
        fields = {"Content-Type": parts.content_type}
        if parts.content_length is not None:
            fields["Content-Length"] = str(parts.content_length)
        return Body(self, parts), fields

    def moving(self) -> None:
        """Note that the other side takes the body: the next piece has ``timeout`` seconds from now."""
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
        reason = redacted(str(error), (*self.call.secrets, self.bearer or ""))[:REASON_CHARACTERS]
        text = (
            f"no reply to {self.call.method} {self.call.path}: {type(error).__name__}{': ' if reason else ''}{reason}"
        )
        failure = permanent_tls_failure(error)
        if failure is not None:
            return self.error(f"no reply to {self.call.method} {self.call.path}: {failure}", permanent=True)
        return self.error(text, timed_out=timed_out, permanent=permanent)

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
    def chunks(self) -> Iterator[bytes]:
        """Return the body in pieces, from its beginning."""
        ...


class _Pieces:
    """Bytes in pieces."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(self._content), CHUNK_BYTES):
            yield self._content[start : start + CHUNK_BYTES]


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
        return _Walk(self._attempt, self._parts.chunks(), self.all_taken)


class _Walk(AsyncIterator[bytes]):
    """One way through a body, from its beginning."""

    def __init__(self, attempt: Attempt, chunks: Iterator[bytes], all_taken: Callable[[], None]) -> None:
        self._attempt = attempt
        self._chunks = chunks
        self._all_taken = all_taken

    async def __anext__(self) -> bytes:
        try:
            chunk = next(self._chunks, None)
        except Exception as error:
            self._attempt.failure = error
            raise
        if chunk is None:
            self._all_taken()
            raise StopAsyncIteration
        self._attempt.moving()
        return chunk


class Collected:
    """The body of a reply as it arrives.

    Args:
        path: what is asked, for the error.
    """

    __slots__ = ("_chunks", "_path", "_size")

    def __init__(self, path: str) -> None:
        self._path = path
        self._chunks: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Keep the next bytes.

        Raises:
            DecodeError: together they are more than anything that Strava sends.
        """
        self._size += len(chunk)
        if self._size > MAX_BODY_BYTES:
            raise DecodeError(f"the body of {self._path} is larger than {MAX_BODY_BYTES >> 20} MB", path=self._path)
        self._chunks.append(chunk)

    def joined(self) -> bytes:
        """Return all of it."""
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)


def fields_of(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the header fields that matter, by lower-case name; those that came more than once joined by commas."""
    fields: dict[str, str] = {}
    for name, value in raw:
        lowered = name.lower()
        if lowered in _FIELDS:
            key, text = lowered.decode("ascii"), value.decode("latin-1")
            fields[key] = f"{fields[key]}, {text}" if key in fields else text
    return fields
