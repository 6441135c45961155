"""From a reply that is no success to its error. Pure.

A fault is an object in JSON, whatever its media type. Where something else came, the error says what it is and how it
begins.

Source:
    https://developers.strava.com/docs/reference/ (Fault), and what Strava was observed to send: ``errors`` that are
    missing, empty, an object or a string, bodies that are HTML or nothing, a status of 597.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from typing import Any

from strava_async._hidden import Hidden
from strava_async._types import is_list, is_object
from strava_async.errors import (
    ApplicationInactiveError,
    AthleteCapacityError,
    BadRequestError,
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
from strava_async.request.body_description import BodyDescription, describe_body
from strava_async.request.call import Call
from strava_async.request.endpoints import Endpoints
from strava_async.request.json_values import decode as decode_json
from strava_async.request.redaction import redacted_beginning
from strava_async.request.reply import Reply, decompressed_reply, too_large

# Strava's faults have some hundred bytes. What is larger is none, and is not decoded to find out.
MAX_FAULT_BYTES = 1024 * 1024
MESSAGE_CHARACTERS = 1_000
MAX_ERRORS = 20
ERROR_FIELD_CHARACTERS = 200
# A file's name may stand before the words that count.
UPLOAD_TEXT_CHARACTERS = 4_000

# A link, or plain words; a file's name stands before either and may hold the words too.
_DUPLICATE = (
    r"duplicate of\s+(?:<a\b[^>]{0,200}?)?[^\s<>]{0,100}/activities/([0-9]{1,19})\b",
    r"duplicate of activity ([0-9]{1,19})\b",
)
_NO_JSON = object()
_TAG = r"</?[A-Za-z!][^>]*>?"


def fault(call: Call, reply: Reply, bearer: Hidden[str] | None = None) -> StravaError:
    """Return the error that a reply without success stands for.

    Args:
        call: what was asked.
        reply: what came back, compressed or not.
        bearer: the access token that was sent along; no error shows it, whatever the reply echoes.
    """
    plain = decompressed_reply(reply)
    if plain.is_too_large:
        return too_large(f"the response to {call.method} {call.path}", call.path)
    secrets = call.secrets_with(bearer)
    value = _json_of(plain)
    body: Mapping[str, Any] = value if is_object(value) else {}
    message = body.get("message")
    details: dict[str, Any] = {
        "status_code": plain.status_code,
        "message": redacted_beginning(message, secrets, MESSAGE_CHARACTERS) if isinstance(message, str) else "",
        "errors": _errors(body.get("errors"), secrets),
        "method": call.method,
        "path": call.path,
    }
    if call.endpoint is Endpoints.UPLOADS_CREATE and plain.status_code == 400 and isinstance(body.get("error"), str):
        refusal = upload_error(
            redacted_beginning(body["error"], secrets, UPLOAD_TEXT_CHARACTERS), upload_id=body.get("id")
        )
        if refusal.error:
            return refusal
    if not body.keys() & {"message", "errors"}:
        details |= _instead(call, plain, bearer, is_json=value is not _NO_JSON)
    if call.quota_class is None:
        return grant_error(plain.status_code, details["errors"]) or _by_status(call, details)
    return _by_status(call, details)


def describe(call: Call, reply: Reply, bearer: Hidden[str] | None, *, is_json: bool) -> BodyDescription:
    """Return what the body of a decompressed reply is, for an error; see ``describe_body``."""
    description = describe_body(reply.body, reply.content_type, call.secrets_with(bearer), is_json=is_json)
    # What a token endpoint sends may hold a token that nobody here knows yet.
    return description if call.quota_class is not None else description._replace(excerpt="")


def _json_of(plain: Reply) -> Any:
    """Return what a refusal says in JSON, whatever its media type; ``_NO_JSON`` where it is none."""
    if plain.failure is None and len(plain.body) <= MAX_FAULT_BYTES:
        try:
            return decode_json(plain.body)
        except (ValueError, RecursionError):
            pass
    return _NO_JSON


def _instead(call: Call, plain: Reply, bearer: Hidden[str] | None, *, is_json: bool) -> dict[str, str]:
    """Return what an error says of a body that is no fault of Strava's."""
    description = describe(call, plain, bearer, is_json=is_json)
    what = description.what or "JSON came that gives no reason"
    if len(plain.body) > MAX_FAULT_BYTES and not description.is_page:
        what = "the body is larger than any fault"
    return {"instead": what, "body_excerpt": description.excerpt}


def _by_status(call: Call, details: dict[str, Any]) -> FaultError:
    status_code: int = details["status_code"]
    errors: tuple[Mapping[str, str], ...] = details["errors"]
    if status_code == 429 or (status_code == 403 and _is_over_limit(errors)):
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


def _is_over_limit(errors: tuple[Mapping[str, str], ...]) -> bool:
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
        for entry in entries[:MAX_ERRORS]
        if is_object(entry)
    )


def upload_error(text: str, *, upload_id: Any = None) -> UploadError:
    """Return what Strava's words about a refused file mean.

    Args:
        text: the ``error`` of an upload; English prose, sometimes with HTML in it.
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
    # The text as it came is searched first: if only the names in it are escaped, they hold no link.
    for pattern, where in product(_DUPLICATE, (text, unescaped)):
        found = re.findall(pattern, where)
        if found:
            return DuplicateUploadError(cleaned, activity_id=int(found[-1]), upload_id=known_id)
    return UploadError(cleaned, upload_id=known_id)
