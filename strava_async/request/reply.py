"""An HTTP response: which of its header fields are kept, what they say, and its body decompressed. Pure."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Final

from strava_async.errors import DecodeError
from strava_async.quota.headers import QUOTA_FIELDS, parse_date, parse_retry_after
from strava_async.request.decompression import DecompressionError, TooLargeError, decompressing, finished

# Of a body, compressed or not. Strava sends nothing near it: what is larger is an endless response or a zip bomb.
MAX_BODY_BYTES = 64 * 1024 * 1024
# As it comes, compressed or not; what is larger takes half a millisecond or more to decode.
LARGE_BODY_BYTES = 8 * 1024

CONTENT_TYPE = "content-type"
CONTENT_ENCODING = "content-encoding"
# By lower-case name: all the fields of a response that anything here reads. A sender keeps these.
REPLY_FIELDS = frozenset((*QUOTA_FIELDS, CONTENT_TYPE, CONTENT_ENCODING))


class Reply:
    """An HTTP response. It does not change, and its repr does not show the body, which may be tokens.

    Attributes:
        status_code: the HTTP status.
        headers: the fields that the limiter reads, by lower-case name; see ``QUOTA_FIELDS``.
        body: the bytes as they came, compressed if they came compressed.
        content_type: the media type of the body, with its parameters.
        content_encoding: how it is compressed; empty if it is not.
        failure: why it could not be decompressed; the body is then as it came, or empty if it is too large.
        sent: of a reply that was decompressed, the one that came; else the reply itself.
    """

    __slots__ = ("_sent", "body", "content_encoding", "content_type", "failure", "headers", "status_code")

    def __init__(
        self,
        status_code: int,
        headers: Mapping[str, str],
        body: bytes,
        content_type: str = "",
        content_encoding: str = "",
        failure: DecompressionError | None = None,
        sent: Reply | None = None,
    ) -> None:
        self.status_code: Final = status_code
        self.headers: Final = headers
        self.body: Final = body
        self.content_type: Final = content_type
        self.content_encoding: Final = content_encoding
        self.failure: Final = failure
        self._sent: Final = sent

    def __repr__(self) -> str:
        return f"<Reply {self.status_code} {self.content_type}>"

    @property
    def sent(self) -> Reply:
        """See above."""
        return self if self._sent is None else self._sent

    @property
    def is_too_large(self) -> bool:
        """Whether it has more than ``MAX_BODY_BYTES``, compressed or not."""
        return isinstance(self.failure, TooLargeError)

    def retry_after(self, now: float) -> float | None:
        """Return the seconds of its ``Retry-After`` (RFC 9110 §10.2.3); None without a valid one.

        Args:
            now: epoch seconds, in case the response has no ``Date``.
        """
        date = parse_date(self.headers.get("date"))
        return parse_retry_after(self.headers.get("retry-after"), now if date is None else date)


def decompressed_reply(reply: Reply) -> Reply:
    """Return the reply with its body decompressed (RFC 9110 §8.4), or with the reason why that failed.

    What is not compressed stays as it is: nothing is decompressed twice.
    """
    if not reply.content_encoding and len(reply.body) <= MAX_BODY_BYTES and reply.status_code != 204:
        return reply
    return finished(decompressing_reply(reply))


def decompressing_reply(reply: Reply) -> Generator[None, None, Reply]:
    """Do what ``decompressed_reply`` does in steps of some milliseconds at most, and yield between them."""
    if reply.status_code == 204 or len(reply.body) > MAX_BODY_BYTES:
        failure = TooLargeError(f"more than {MAX_BODY_BYTES} bytes came") if reply.status_code != 204 else None
        return _with_body(reply, b"", failure)
    if not reply.content_encoding:
        return reply
    try:
        body = yield from decompressing(reply.body, reply.content_encoding, MAX_BODY_BYTES)
    except DecompressionError as error:
        # Without its traceback, which would keep the whole output alive.
        failed = error.with_traceback(None)
        body = b"" if isinstance(failed, TooLargeError) else reply.body
        return _with_body(reply, body, failed)
    return _with_body(reply, body, None, sent=reply)


def _with_body(reply: Reply, body: bytes, failure: DecompressionError | None, *, sent: Reply | None = None) -> Reply:
    return Reply(reply.status_code, reply.headers, body, reply.content_type, failure=failure, sent=sent)


def too_large(what: str, path: str = "") -> DecodeError:
    """Return the error for a response of more than ``MAX_BODY_BYTES``."""
    return DecodeError(f"{what} is larger than {MAX_BODY_BYTES >> 20} MB: Strava sends nothing of that size", path=path)
