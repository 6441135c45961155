"""From status, fields and bytes to a value or an error. Pure: no I/O, no state.

Rules:

====================================  ==================================================
2xx with no body, or 204              ``{}``
2xx, JSON                             the decoded value
2xx, text or XML (GPX, TCX)           ``str``
2xx, HTML                             DecodeError
2xx, anything else                    ``bytes``
every other status, 3xx included      a FaultError (or OAuthError), by status and ``errors``
any status, more than 64 MB           DecodeError
====================================  ==================================================

A fault is an object in JSON, whatever its media type. Where something else came, the error says what it is and how it
begins.

Source:
    https://developers.strava.com/docs/reference/ (Fault), and what Strava was seen to send: ``errors`` that are
    missing, empty, an object or a string, bodies that are HTML or nothing, a status of 597.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from strava_async._hidden import Hidden
from strava_async._types import is_list, is_object
from strava_async.errors import (
    ApplicationInactiveError,
    AthleteCapacityError,
    BadRequestError,
    DecodeError,
    DuplicateUploadError,
    FaultError,
    ForbiddenError,
    InsufficientScopeError,
    NotFoundError,
    PaymentRequiredError,
    RateLimitedError,
    ServerError,
    StravaError,
    UnauthorizedError,
    UploadError,
)
from strava_async.oauth.grants import grant_error
from strava_async.request.call import Call
from strava_async.request.decompression import TooLargeError, UnpackError, finished, unpacking
from strava_async.request.excerpts import Came, begins_like_html, is_html_type, is_json_type, media_type_of, what_came
from strava_async.request.json_values import decode as decode_json
from strava_async.request.redaction import redacted as redacted
from strava_async.request.redaction import redacted_beginning

# Of a body, read or unpacked. Nothing that Strava sends comes near; what does is an endless answer or a bomb.
MAX_BODY_BYTES = 64 * 1024 * 1024
# Strava's faults have some hundred bytes. What is larger is none, and is not decoded to find out.
MAX_FAULT_BYTES = 1024 * 1024
MESSAGE_CHARACTERS = 1_000
MOST_ERRORS = 20
ERROR_FIELD_CHARACTERS = 200
# A file's name may stand before the words that count.
UPLOAD_TEXT_CHARACTERS = 4_000

Decode = Callable[[bytes], Any]

# A link, or plain words; a file's name stands before either and may hold the words too.
_DUPLICATE = (
    r"duplicate of\s+(?:<a\b[^>]{0,200}?)?[^\s<>]{0,100}/activities/([0-9]{1,19})\b",
    r"duplicate of activity ([0-9]{1,19})\b",
)
_NOTHING = object()
_TAG = r"</?[A-Za-z!][^>]*>?"


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer.

    Attributes:
        status_code: the HTTP status.
        headers: the fields that the limiter reads, by lower-case name.
        body: the bytes as they came, packed if they came packed.
        content_type: the media type of the body, with its parameters.
        content_encoding: how it is packed; empty if it is not.
        failure: why it could not be unpacked; the body is then as it came, or empty if more came out than may.
    """

    status_code: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)  # it may be tokens
    content_type: str = ""
    content_encoding: str = ""
    failure: UnpackError | None = field(default=None, compare=False)

    @property
    def is_too_large(self) -> bool:
        """Whether more than ``MAX_BODY_BYTES`` came, or came out of it."""
        return isinstance(self.failure, TooLargeError)


def read(call: Call, reply: Reply, bearer: Hidden[str] | None = None) -> Any:
    """Return the value that a successful reply stands for.

    Args:
        call: what was asked.
        reply: what came back, packed or opened.
        bearer: the access token that went along; no error shows it, whatever the reply echoes.

    Raises:
        StravaError: the reply is no success, its body is not of the documented shape, or too large.
    """
    opened = _opened_success(call, reply, bearer)
    try:
        return _value(opened)
    except (ValueError, RecursionError) as error:
        failed = _undecodable(call, opened, bearer, error)
    raise failed  # here, where the error that has the body is its cause or nothing


def read_json(call: Call, reply: Reply, bearer: Hidden[str] | None, decode: Decode) -> Any:
    """Return what a caller's own decoder makes of the body of a successful reply.

    Args:
        call: what was asked.
        reply: what came back, packed or opened.
        bearer: see ``read``.
        decode: gets the body unpacked, whatever its media type; raises ValueError for what is no JSON.

    Raises:
        StravaError: the reply is no success, its body is no JSON, or too large.
    """
    opened = _opened_success(call, reply, bearer)
    try:
        return decode(opened.body)
    except DecodeError as error:
        told = f"{call.method} {call.path}: {error}"
        failed = DecodeError(told, path=call.path, body_excerpt=error.body_excerpt)
        failed.__cause__ = _cause(error.__cause__, call, opened, bearer)
    except (ValueError, RecursionError) as error:
        failed = _undecodable(call, opened, bearer, error)
    raise failed


def read_leniently(reply: Reply) -> Any:
    """Return the body whatever the status; text where it cannot be decoded.

    Raises:
        DecodeError: it is too large.
    """
    opened = opened_reply(reply)
    if opened.is_too_large:
        raise DecodeError(_too_large("the answer"))
    try:
        return _value(opened)
    except (ValueError, RecursionError):
        return opened.body.decode("utf-8", "replace")


def opened_reply(reply: Reply) -> Reply:
    """Return the reply with its body unpacked (RFC 9110 §8.4), or with the reason why that fails, for ``read`` to tell.

    What is opened already stays as it is: nothing is unpacked twice.
    """
    if not reply.content_encoding and len(reply.body) <= MAX_BODY_BYTES and reply.status_code != 204:
        return reply
    return finished(opening(reply))


def opening(reply: Reply) -> Generator[None, None, Reply]:
    """Do what ``opened_reply`` does in steps of some milliseconds at the most, and yield between them."""
    if reply.status_code == 204 or len(reply.body) > MAX_BODY_BYTES:
        failure = TooLargeError(f"more than {MAX_BODY_BYTES} bytes came") if reply.status_code != 204 else None
        return replace(reply, body=b"", content_encoding="", failure=failure)
    if not reply.content_encoding:
        return reply
    try:
        body = yield from unpacking(reply.body, reply.content_encoding, MAX_BODY_BYTES)
    except UnpackError as error:
        # Without its traceback, which holds on to all that came out.
        failed = error.with_traceback(None)
        body = b"" if isinstance(failed, TooLargeError) else reply.body
        return replace(reply, body=body, content_encoding="", failure=failed)
    return Reply(reply.status_code, reply.headers, body, reply.content_type)  # ``replace`` takes thrice as long


def _opened_success(call: Call, reply: Reply, bearer: Hidden[str] | None) -> Reply:
    opened = opened_reply(reply)
    if opened.is_too_large or not 200 <= opened.status_code < 300:
        raise fault(call, opened, bearer)
    if opened.failure is not None:
        raise _undecodable(call, opened, bearer, opened.failure)
    return opened


def _value(opened: Reply) -> Any:
    body = opened.body
    if not body:
        return {}
    media_type = media_type_of(opened.content_type)
    if is_html_type(media_type) or begins_like_html(body):
        raise ValueError("HTML instead of data")
    if is_json_type(media_type):
        return decode_json(body)
    if media_type.startswith("text/") or media_type.endswith(("/xml", "+xml")):
        return body.decode("utf-8")
    return body


def _undecodable(call: Call, opened: Reply, bearer: Hidden[str] | None, error: Exception) -> DecodeError:
    came = _came(call, opened, bearer, is_json=False)
    reason = str(error) if isinstance(error, UnpackError) else came.what or type(error).__name__
    if came.is_page and came.excerpt:
        reason += f": {came.excerpt}"
    failed = DecodeError(
        f"{call.method} {call.path} answered {opened.status_code} with a body that cannot be read: {reason}",
        path=call.path,
        body_excerpt=came.excerpt,
    )
    failed.__cause__ = _cause(error, call, opened, bearer)
    return failed


def _cause(error: BaseException | None, call: Call, opened: Reply, bearer: Hidden[str] | None) -> BaseException | None:
    """Return what may be the cause of a DecodeError: it has the body, in its frames if nowhere else."""
    shows = call.quota_class is None or any(secret.encode() in opened.body for secret in _secrets(call, bearer))
    return None if shows else error


def _too_large(what: str) -> str:
    return f"{what} is larger than {MAX_BODY_BYTES >> 20} MB: that is nothing of Strava's"


def _secrets(call: Call, bearer: Hidden[str] | None) -> tuple[str, ...]:
    return call.secrets.reveal() if bearer is None else (*call.secrets.reveal(), bearer.reveal())


def _came(call: Call, opened: Reply, bearer: Hidden[str] | None, *, is_json: bool) -> Came:
    came = what_came(opened.body, opened.content_type, _secrets(call, bearer), is_json=is_json)
    # What a token endpoint sends may hold a token that nobody here knows yet.
    return came if call.quota_class is not None else came._replace(excerpt="")


def fault(call: Call, reply: Reply, bearer: Hidden[str] | None = None) -> StravaError:
    """Return the error that a reply without success stands for; the arguments are those of ``read``."""
    opened = opened_reply(reply)
    if opened.is_too_large:
        return DecodeError(_too_large(f"the answer to {call.method} {call.path}"), path=call.path)
    secrets = _secrets(call, bearer)
    value = _fault_value(opened)
    body: Mapping[str, Any] = value if is_object(value) else {}
    message = body.get("message")
    details: dict[str, Any] = {
        "status_code": opened.status_code,
        "message": redacted_beginning(message, secrets, MESSAGE_CHARACTERS) if isinstance(message, str) else "",
        "errors": _errors(body.get("errors"), secrets),
        "method": call.method,
        "path": call.path,
    }
    if call.path == "/uploads" and opened.status_code == 400 and isinstance(body.get("error"), str):
        text = redacted_beginning(body["error"], secrets, UPLOAD_TEXT_CHARACTERS)
        refusal = upload_error(text, upload_id=body.get("id"))
        if refusal.error:
            return refusal
    if not body.keys() & {"message", "errors"}:
        came = _came(call, opened, bearer, is_json=value is not _NOTHING)
        what = came.what or "JSON came that tells no reason"
        if len(opened.body) > MAX_FAULT_BYTES and not came.is_page:
            what = "more came than any fault has"
        details |= {"instead": what, "body_excerpt": came.excerpt}
    if call.quota_class is None:
        return grant_error(opened.status_code, details["errors"]) or _by_status(call, details)
    return _by_status(call, details)


def _fault_value(opened: Reply) -> Any:
    """Return what a refusal says in JSON, whatever its media type; ``_NOTHING`` where it is none."""
    if opened.failure is None and len(opened.body) <= MAX_FAULT_BYTES:
        try:
            return decode_json(opened.body)
        except (ValueError, RecursionError):
            pass
    return _NOTHING


def _by_status(call: Call, details: dict[str, Any]) -> FaultError:
    status_code: int = details["status_code"]
    errors: tuple[Mapping[str, str], ...] = details["errors"]
    if status_code == 429 or (status_code == 403 and _over_limit(errors)):
        return RateLimitedError(quota_class=call.quota_class or "", **details)
    if status_code == 401:
        missing = [error["field"].removesuffix("_permission") for error in errors if error["resource"] == "AccessToken"]
        return InsufficientScopeError(missing=missing, **details) if missing else UnauthorizedError(**details)
    if status_code == 403:
        return _forbidden(details["message"], errors)(**details)
    if status_code >= 500:
        return ServerError(**details)
    kinds: dict[int, type[FaultError]] = {400: BadRequestError, 402: PaymentRequiredError, 404: NotFoundError}
    return kinds.get(status_code, FaultError)(**details)


def _over_limit(errors: tuple[Mapping[str, str], ...]) -> bool:
    """Say whether a 403 is the rate limit's; it was until 2018, with the body that the 429 has today."""
    return any(error["code"] == "exceeded" and "rate limit" in error["field"] for error in errors)


def _forbidden(message: str, errors: tuple[Mapping[str, str], ...]) -> type[ForbiddenError]:
    if any(error["resource"] == "Application" and error["field"].lower() == "status" for error in errors):
        return ApplicationInactiveError
    if re.search(r"connected athletes|too many athletes", message, re.IGNORECASE):
        return AthleteCapacityError
    return ForbiddenError


def _errors(errors: Any, secrets: tuple[str, ...]) -> tuple[Mapping[str, str], ...]:
    """Return the list of ``{resource, field, code}`` with all three as text, whatever was sent in its place."""
    entries = errors if is_list(errors) else [errors]
    return tuple(
        {
            key: redacted_beginning(str(entry.get(key) or ""), secrets, ERROR_FIELD_CHARACTERS)
            for key in ("resource", "field", "code")
        }
        for entry in entries[:MOST_ERRORS]
        if is_object(entry)
    )


def upload_error(text: str, *, upload_id: Any = None) -> UploadError:
    """Return what Strava's words about a refused file mean.

    Args:
        text: the ``error`` of an upload; English prose, with HTML in it at times.
        upload_id: the upload's id; anything but an integer counts as unknown.

    Source:
        https://developers.strava.com/docs/uploads/ and recorded texts: ``<file> duplicate of activity 123``, or the
        same with a link to ``/activities/123``.
    """
    import html  # its table of entities takes a millisecond to load, for a text that hardly ever comes

    known_id = upload_id if isinstance(upload_id, int) else None
    text = text[:UPLOAD_TEXT_CHARACTERS]
    unescaped = html.unescape(text)
    cleaned = re.sub(_TAG, "", html.unescape(unescaped)).strip()
    # As it came first: in a message that is not escaped as a whole, the names in it are, and hold no link.
    for pattern, where in product(_DUPLICATE, (text, unescaped)):
        found = re.findall(pattern, where)
        if found:
            return DuplicateUploadError(cleaned, activity_id=int(found[-1]), upload_id=known_id)
    return UploadError(cleaned, upload_id=known_id)
