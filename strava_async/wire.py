"""From status, fields and bytes to a value or an error. Pure: no I/O, no state.

Rules:

====================================  ==================================================
2xx with no body, or 204              ``{}``
2xx, JSON                             the decoded value
2xx, text or XML (GPX, TCX)           ``str``
2xx, HTML                             DecodeError
2xx, anything else                    ``bytes``
every other status, 3xx included      a FaultError (or OAuthError), by status and ``errors``
====================================  ==================================================

Source:
    https://developers.strava.com/docs/reference/ (Fault), and what Strava was seen to send: ``errors`` that are
    missing, empty, an object or a string, bodies that are HTML or nothing, a status of 597.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from strava_async._shapes import is_list, is_object
from strava_async.calls import Call
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
from strava_async.oauth import grant_error

try:
    import orjson
except ImportError:
    _fast_loads: Callable[[bytes], Any] | None = None
else:
    _fast_loads = orjson.loads

EXCERPT_CHARACTERS = 200
# Of a reply, as it comes and unpacked. Nothing that Strava sends comes near.
MAX_BODY_BYTES = 64 * 1024 * 1024

Decode = Callable[[bytes], Any]

# A link, or plain words; a file's name stands before either and may hold the words too.
_DUPLICATE = (
    r"duplicate of\s+(?:<a\b[^>]{0,200}?)?[^\s<>]{0,100}/activities/([0-9]{1,19})\b",
    r"duplicate of activity ([0-9]{1,19})\b",
)
# What is shorter may be a part of a word by chance.
LONG_SECRET_CHARACTERS = 12
# The end of an encoded character is not the beginning of the word that follows it.
_WORD_BEGINS = r"(?:(?<!\w)|(?<=%[0-9A-Fa-f]{2})|(?<=%25[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})|(?<=\\[bfnrt]))"
_HTML_NAMES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}
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
    """

    status_code: int
    headers: Mapping[str, str]
    body: bytes
    content_type: str = ""
    content_encoding: str = ""


def read(call: Call, reply: Reply, bearer: str | None = None) -> Any:
    """Return the value that a successful reply stands for.

    Args:
        call: what was asked.
        reply: what came back.
        bearer: the access token that went along; no error shows it, whatever the reply echoes.

    Raises:
        StravaError: the reply is no success, or its body is not of the documented shape.
    """
    if not 200 <= reply.status_code < 300:
        raise fault(call, reply, bearer)
    try:
        return _value(reply.status_code, reply.content_type, unpacked(reply))
    except (ValueError, RecursionError, zlib.error) as error:
        raise _undecodable(call, reply, bearer, type(error).__name__) from error


def read_json(call: Call, reply: Reply, bearer: str | None, decode: Decode) -> Any:
    """Return what a caller's own decoder makes of the body of a successful reply.

    Args:
        call: what was asked.
        reply: what came back.
        bearer: see ``read``.
        decode: gets the body unpacked, whatever its media type; raises ValueError for what is no JSON.

    Raises:
        StravaError: the reply is no success, or its body is no JSON.
    """
    if not 200 <= reply.status_code < 300:
        raise fault(call, reply, bearer)
    try:
        return decode(unpacked(reply))
    except DecodeError as error:
        told = f"{call.method} {call.path}: {error}"
        raise DecodeError(told, path=call.path, body_excerpt=error.body_excerpt) from error.__cause__
    except (ValueError, RecursionError, zlib.error) as error:
        raise _undecodable(call, reply, bearer, type(error).__name__) from error


def read_leniently(reply: Reply) -> Any:
    """Return the body whatever the status; text where it cannot be decoded."""
    try:
        body = unpacked(reply)
    except (ValueError, zlib.error):
        body = reply.body
    try:
        return _value(reply.status_code, reply.content_type, body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def opened_reply(reply: Reply) -> Reply:
    """Return the reply with its body unpacked; as it came where that fails, for ``read`` to say why."""
    try:
        return replace(reply, body=unpacked(reply), content_encoding="")
    except (ValueError, zlib.error):
        return reply


def unpacked(reply: Reply) -> bytes:
    """Return the body without its content coding (RFC 9110 §8.4).

    Raises:
        ValueError: the coding is unknown, the body is cut off, or it grows beyond all measure.
        zlib.error: the body is not what the coding says.
    """
    body = reply.body
    for coding in reversed(reply.content_encoding.lower().split(",")):
        match coding.strip():
            case "" | "identity":
                pass
            case "gzip" | "x-gzip":
                body = _inflate(body, zlib.MAX_WBITS | 16)
            case "deflate":
                # Servers disagree whether the zlib frame belongs to it; the first byte tells.
                framed = body[:1] and body[0] & 0x0F == 8
                body = _inflate(body, zlib.MAX_WBITS if framed else -zlib.MAX_WBITS)
            case other:
                raise ValueError(f"unknown content coding {other!r}")
    return body


def _inflate(body: bytes, wbits: int) -> bytes:
    if not body:
        return body
    inflater = zlib.decompressobj(wbits)
    plain = inflater.decompress(body, MAX_BODY_BYTES)
    if inflater.unconsumed_tail:
        raise ValueError("the body is larger than anything Strava sends")
    if not inflater.eof:
        raise ValueError("the body is cut off")
    return plain


def _value(status_code: int, content_type: str, body: bytes) -> Any:
    if status_code == 204 or not body:
        return {}
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in ("text/html", "application/xhtml+xml") or _begins_like_html(body):
        raise ValueError("HTML instead of data")
    if media_type == "application/json" or media_type.endswith("+json") or not media_type:
        return _json(body)
    if media_type.startswith("text/") or media_type.endswith(("/xml", "+xml")):
        return body.decode("utf-8")
    return body


def _begins_like_html(body: bytes) -> bool:
    return body[:64].lstrip().lower().startswith((b"<!doctype html", b"<html"))


def _json(body: bytes) -> Any:
    if _fast_loads is not None:
        try:
            return _fast_loads(body)
        except ValueError:
            pass  # the standard library takes half a surrogate pair, and NaN
    return json.loads(body)


def _undecodable(call: Call, reply: Reply, bearer: str | None, reason: str) -> DecodeError:
    # What a token endpoint sends may hold a token that nobody here knows yet.
    excerpt = "" if call.quota_class is None else _excerpt(reply, _secrets(call, bearer))
    return DecodeError(
        f"{call.method} {call.path} answered {reply.status_code} with a body that cannot be read ({reason})",
        path=call.path,
        body_excerpt=excerpt,
    )


def _secrets(call: Call, bearer: str | None) -> tuple[str, ...]:
    return (*call.secrets, bearer) if bearer else call.secrets


def _excerpt(reply: Reply, secrets: tuple[str, ...]) -> str:
    try:
        body = unpacked(reply)
    except (ValueError, zlib.error):
        body = reply.body
    # Redacted before it is cut: half a secret would not be found. Three stars may stand for a long one, encoded twice.
    enough = 8 * EXCERPT_CHARACTERS * (1 + max(map(len, secrets), default=0))
    return redacted(body[:enough].decode("utf-8", "replace"), secrets)[:EXCERPT_CHARACTERS]


def fault(call: Call, reply: Reply, bearer: str | None = None) -> StravaError:
    """Return the error that a reply without success stands for; the arguments are those of ``read``."""
    secrets = _secrets(call, bearer)
    parsed = read_leniently(reply)
    body: Mapping[str, Any] = parsed if is_object(parsed) else {}
    message = body.get("message")
    details: dict[str, Any] = {
        "status_code": reply.status_code,
        "message": redacted(message, secrets) if isinstance(message, str) else "",
        "errors": _errors(body.get("errors"), secrets),
        "method": call.method,
        "path": call.path,
    }
    if call.quota_class is None:
        return grant_error(reply.status_code, details["errors"]) or _by_status(call, details)
    if call.path == "/uploads" and reply.status_code == 400 and isinstance(body.get("error"), str):
        refusal = upload_error(redacted(body["error"], secrets), upload_id=body.get("id"))
        if refusal.error:
            return refusal
    return _by_status(call, details)


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
        {key: redacted(str(entry.get(key) or ""), secrets) for key in ("resource", "field", "code")}
        for entry in entries
        if is_object(entry)
    )


def redacted(text: str, secrets: tuple[str, ...]) -> str:
    """Return the text without any of the secrets, be they plain, quoted as in a URL (once or twice), JSON or HTML.

    A short secret inside a longer word is left: a token that is called "token" must not garble "access_token".
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        pattern = "".join(map(_in_any_form, secret))
        if len(secret) < LONG_SECRET_CHARACTERS:
            pattern = rf"{_WORD_BEGINS}{pattern}(?!\w)"
        text = re.sub(pattern, "***", text)
    return text


def _in_any_form(character: str) -> str:
    """Return a pattern for a character of a secret; letters and digits are not encoded by anybody."""
    if character.isascii() and character.isalnum():
        return character
    quoted = "".join(f"%{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
    as_json = json.dumps(character)[1:-1]
    forms = [quoted.replace("%", "%25"), quoted, as_json, f"\\u{ord(character):04x}", f"\\{character}", character]
    forms += [f"&#{ord(character)};", f"&#x{ord(character):x};", _HTML_NAMES.get(character, character)]
    forms += ["+", "%2b"] if character == " " else []
    # The longest first, or a % would leave the rest of its %25.
    return f"(?i:{'|'.join(map(re.escape, sorted(set(forms), key=len, reverse=True)))})"


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
    unescaped = html.unescape(text)
    cleaned = re.sub(_TAG, "", html.unescape(unescaped)).strip()
    # As it came first: in a message that is not escaped as a whole, the names in it are, and hold no link.
    for pattern, where in product(_DUPLICATE, (text, unescaped)):
        found = re.findall(pattern, where)
        if found:
            return DuplicateUploadError(cleaned, activity_id=int(found[-1]), upload_id=known_id)
    return UploadError(cleaned, upload_id=known_id)
