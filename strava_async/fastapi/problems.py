"""Errors of this library as HTTP responses (RFC 9457 problem+json).

What a client of the service can do about an error decides the status:

====================================  ======  ===============================================
error                                 status  what to do
====================================  ======  ===============================================
QuotaExceededError, RateLimitedError  503     come back after ``Retry-After`` seconds
InvalidGrantError                     401     connect again
MissingScopeError                     403     connect again, and tick more
AuthorizationDeniedError              403     connect, and agree
InvalidStateError                     400     begin the authorization again
CrossSiteError                        403     nothing: it comes from a page of another site
UnverifiedWebhookError                403     nothing: it does not come from Strava
AthleteCapacityError                  403     nothing: the application is full
ApplicationInactiveError              500     nothing: the operator has to act
NotFoundError                         404     nothing
PaymentRequiredError                  402     nothing, without a Strava subscription
UploadError                           422     send another file (409: the activity exists)
UploadTimeoutError                    504     ask for the upload again later
ForbiddenError                        403     nothing
TransportError                        502     try later (504: no answer in time)
ServerError                           502     try later (504: Strava's own)
StoreError, LimiterError              503     try later: the operator has to act
DecodeError and all others            502     tell the operator
====================================  ======  ===============================================

Each kind of problem has a ``type`` of its own, which does not change; ``docs/fastapi.md`` lists them. A browser that
asks for a page gets one, with a link to connect where that helps; other clients get JSON.

The texts are the service's own: neither Strava's message nor that of the exception is sent, for it may say more than
the client should know. These are in the log, ``strava_async.fastapi``, of every 5xx but that of a spent quota.
``InputError`` and ``InvalidClientError`` are errors in the service itself and are 500.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketState

from strava_async.errors import (
    ApplicationInactiveError,
    AthleteCapacityError,
    AuthorizationDeniedError,
    CrossSiteError,
    DuplicateUploadError,
    ForbiddenError,
    InputError,
    InvalidClientError,
    InvalidGrantError,
    InvalidStateError,
    LimiterError,
    MissingScopeError,
    NotFoundError,
    PaymentRequiredError,
    QuotaExceededError,
    RateLimitedError,
    ServerError,
    StoreError,
    StravaError,
    TransportError,
    UnverifiedWebhookError,
    UploadError,
    UploadTimeoutError,
)
from strava_async.fastapi.kit import time_of
from strava_async.fastapi.oauth.connect_link import connect_link
from strava_async.login.pages import PAGE_FIELDS, Link, Page

MEDIA_TYPE = "application/problem+json"
# A URI that leads nowhere, and says so (RFC 9457 §3.1.1, RFC 4151).
TYPES = "tag:strava-async,2026:"
_RETRY_SECONDS = 60
_ACCEPTED = "strava_async.accepted"

_logger = logging.getLogger("strava_async.fastapi")


@dataclass(frozen=True, slots=True)
class Problem:
    """The description of an error (RFC 9457).

    Attributes:
        status: the HTTP status.
        title: the kind of problem, in a few words.
        detail: what to do about it; empty for nothing.
        retry_after: seconds after which it may work; None if unknown.
        more: further members, such as the scopes that are missing.
        type: a URI that names the kind of problem; nothing is to be found there.
    """

    status: int
    title: str
    detail: str = ""
    retry_after: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])
    type: str = "about:blank"

    def response(self) -> Response:
        """Return the response: problem+json, not to be cached."""
        members = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }
        content = json.dumps({name: value for name, value in members.items() if value != ""}, ensure_ascii=False)
        fields = {"Cache-Control": "no-store", **self._fields()}
        return Response(content.encode("utf-8", "replace"), self.status, fields, MEDIA_TYPE)

    def page(self, link: Link | None = None) -> Response:
        """Return the response for a browser: a page, not to be cached."""
        return Response(Page(self.title, self.detail, link).html(), self.status, {**PAGE_FIELDS, **self._fields()})

    def _fields(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        if self.retry_after is not None:
            fields["Retry-After"] = str(self.retry_after)
        if self.status == 401:
            fields["WWW-Authenticate"] = 'Cookie realm="strava"'  # RFC 9110 §15.5.2 requires the field
        return fields


def problem_type(name: str) -> str:
    """Return the ``type`` of a kind of problem, by its short name, such as ``not-connected``."""
    return TYPES + name.replace("_", "-")


def problem_of(error: StravaError, *, now: float | None = None) -> Problem:
    """Return the description of an error.

    Args:
        error: what happened.
        now: Unix time, to compute the wait until the ``resume_at`` of a 429; None if unknown.
    """
    match error:
        case QuotaExceededError():
            return _busy(error.wait_seconds)
        case RateLimitedError():
            return _busy(_seconds_left(error, now))
        case MissingScopeError():
            missing = {"missing_scope": sorted(error.missing)} if error.missing else {}
            return replace(_MISSING_SCOPE, more=missing)
        case InvalidStateError():
            return replace(_INVALID_STATE, type=problem_type(f"state_{error.reason}"))
        case UploadTimeoutError():
            return replace(_UNFINISHED, more={"upload_id": error.upload_id})
        case _:
            return _problem_by_kind(error)


def _seconds_left(error: RateLimitedError, now: float | None) -> float:
    if error.resume_at is None or now is None:
        return _RETRY_SECONDS if error.retry_after is None else error.retry_after
    return error.resume_at - now


def _busy(seconds: float) -> Problem:
    whole = max(1, math.ceil(seconds))
    return _problem(503, "busy", "Strava's quota is spent", f"Come back in {whole} s.", retry_after=whole)


def _problem(status: int, name: str, title: str, detail: str = "", *, retry_after: int | None = None) -> Problem:
    return Problem(status, title, detail, retry_after, type=problem_type(name))


_MISSING_SCOPE = _problem(403, "missing-scope", "Not granted", "Connect with Strava again, and tick what is missing.")
_INVALID_STATE = Problem(400, "Not a valid answer to an authorization request", "Begin the authorization again.")
_UNFINISHED = _problem(
    504, "upload-unfinished", "Not finished yet", "Strava has the file. Ask for the upload again later."
)
_NOT_SET_UP = _problem(500, "misconfigured", "The service is not set up", "Its operator has to act.")

# The first match counts.
_BY_KIND: tuple[tuple[type[StravaError], Problem], ...] = (
    (InvalidGrantError, _problem(401, "not-connected", "Not connected", "This needs your connection with Strava.")),
    (AuthorizationDeniedError, _problem(403, "denied", "Not authorized", "Connect with Strava, and agree.")),
    (CrossSiteError, _problem(403, "cross-site", "Not from here", "A page of another site sent this.")),
    (UnverifiedWebhookError, _problem(403, "webhook-unverified", "Not known to come from Strava")),
    (InvalidClientError, _NOT_SET_UP),
    (ApplicationInactiveError, _NOT_SET_UP),
    (InputError, _problem(500, "service-fault", "The service made a mistake")),
    (StoreError, _problem(503, "token-store", "The service cannot read its own data", "Try again later.")),
    (LimiterError, _problem(503, "limiter", "The service cannot keep Strava's quota", "Try again later.")),
    (PaymentRequiredError, _problem(402, "subscribers-only", "Only for subscribers of Strava")),
    (
        AthleteCapacityError,
        _problem(403, "athlete-capacity", "No room", "The application has as many athletes as Strava allows it."),
    ),
    (ForbiddenError, _problem(403, "forbidden", "Strava does not allow it")),
    (
        NotFoundError,
        _problem(404, "not-found", "Not at Strava", "It was deleted, or cannot be seen with what was granted."),
    ),
    (DuplicateUploadError, _problem(409, "activity-exists", "The activity exists")),
    (UploadError, _problem(422, "upload-refused", "Strava does not take the file")),
)
_UNREACHABLE = _problem(502, "unreachable", "Strava cannot be reached", "Try again later.")
_TOO_SLOW = _problem(504, "timeout", "Strava does not answer in time", "Try again later.")
_UNUSABLE = _problem(502, "strava-error", "Strava's answer is not usable", "Try again later.")


# Not logged: the operator has nothing to do.
_NOT_LOGGED = (QuotaExceededError, RateLimitedError, UploadTimeoutError)


def _problem_by_kind(error: StravaError) -> Problem:
    for kind, problem in _BY_KIND:
        if isinstance(error, kind):
            return problem
    if isinstance(error, TransportError):
        return _TOO_SLOW if error.timed_out else _UNREACHABLE
    if isinstance(error, ServerError):
        return _TOO_SLOW if error.status_code == 504 else _UNREACHABLE
    return _UNUSABLE


async def strava_error_handler(connection: HTTPConnection, error: Exception) -> Response:
    """Respond to an error of this library that a route raised, and log what concerns the operator.

    Errors in the service itself are raised again, for the server to log. So is any error after a websocket was
    accepted, because no response can be sent any more.
    """
    if not isinstance(error, StravaError) or isinstance(error, InputError | InvalidClientError):
        raise error
    if _is_accepted(connection):
        raise error
    problem = problem_of(error, now=time_of(connection))
    if problem.status >= 500 and not isinstance(error, _NOT_LOGGED):
        whence = None if isinstance(error, TransportError | ServerError) else error
        _logger.error("answered with %d: %s: %s", problem.status, type(error).__name__, error, exc_info=whence)
    if not wants_page(connection):
        return problem.response()
    again = isinstance(error, MissingScopeError)
    return problem.page(connect_link(connection, again=again) if again or problem.status == 401 else None)


def wants_page(connection: HTTPConnection) -> bool:
    """Say whether it is a browser's navigation, and not a script: it accepts HTML."""
    return connection.scope["type"] == "http" and "text/html" in connection.headers.get("accept", "")


def _is_accepted(connection: HTTPConnection) -> bool:
    # The wrapper of a route re-raises to that of the application, which makes a new connection object.
    if isinstance(connection, WebSocket) and connection.application_state is not WebSocketState.CONNECTING:
        connection.scope[_ACCEPTED] = True
    return _ACCEPTED in connection.scope


exception_handlers: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    StravaError: strava_error_handler
}
"""For ``FastAPI(exception_handlers=exception_handlers)``, or Starlette's argument of that name."""
