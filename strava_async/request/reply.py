"""An HTTP answer: which of its header fields are kept, what they say, and its body decompressed. Pure."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace

from strava_async.errors import DecodeError
from strava_async.quota.headers import QUOTA_FIELDS, parse_date, parse_retry_after
from strava_async.request.decompression import DecompressionError, TooLargeError, decompressing, finished

# Of a body, compressed or not. Nothing that Strava sends comes near: a larger body is an endless answer or a bomb.
MAX_BODY_BYTES = 64 * 1024 * 1024

CONTENT_TYPE = "content-type"
CONTENT_ENCODING = "content-encoding"
# By lower-case name: all the fields of an answer that anything here reads. A sender keeps these.
REPLY_FIELDS = frozenset((*QUOTA_FIELDS, CONTENT_TYPE, CONTENT_ENCODING))


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer.

    Attributes:
        status_code: the HTTP status.
        headers: the fields that the limiter reads, by lower-case name; see ``QUOTA_FIELDS``.
        body: the bytes as they came, compressed if they came compressed.
        content_type: the media type of the body, with its parameters.
        content_encoding: how it is compressed; empty if it is not.
        failure: why it could not be decompressed; the body is then as it came, or empty if it is too large.
    """

    status_code: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)  # it may be tokens
    content_type: str = ""
    content_encoding: str = ""
    failure: DecompressionError | None = field(default=None, compare=False)

    @property
    def is_too_large(self) -> bool:
        """Whether it has more than ``MAX_BODY_BYTES``, compressed or not."""
        return isinstance(self.failure, TooLargeError)

    def retry_after(self, now: float) -> float | None:
        """Return the seconds after which Strava wants to be asked again (RFC 9110 §10.2.3); None if it does not say.

        Args:
            now: epoch seconds, in case that the answer has no ``Date``.
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
        return replace(reply, body=b"", content_encoding="", failure=failure)
    if not reply.content_encoding:
        return reply
    try:
        body = yield from decompressing(reply.body, reply.content_encoding, MAX_BODY_BYTES)
    except DecompressionError as error:
        # Without its traceback, which would keep the whole output alive.
        failed = error.with_traceback(None)
        body = b"" if isinstance(failed, TooLargeError) else reply.body
        return replace(reply, body=body, content_encoding="", failure=failed)
    return Reply(reply.status_code, reply.headers, body, reply.content_type)  # ``replace`` takes thrice as long


def too_large(what: str, path: str = "") -> DecodeError:
    """Return the error for an answer of more than ``MAX_BODY_BYTES``."""
    return DecodeError(f"{what} is larger than {MAX_BODY_BYTES >> 20} MB: Strava sends nothing of that size", path=path)
