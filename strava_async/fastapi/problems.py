"""Errors of this library as HTTP answers (RFC 9457 problem+json).

What a client of the service can do about an error decides the status:

====================================  ======  ===============================================
error                                 status  what to do
====================================  ======  ===============================================
QuotaExceededError, RateLimitedError  503     come back after ``Retry-After`` seconds
InvalidGrantError                     401     connect again
MissingScopeError                     403     connect again, and tick more
AuthorizationDeniedError              403     connect, and agree
InvalidStateError                     400     begin the authorization again
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
TokenStoreError                       503     try later: the operator has to act
DecodeError and all others            502     tell the operator
====================================  ======  ===============================================

The texts are the service's own: neither Strava's message nor that of the exception goes out, for it may tell more than
the client is to know. These are in the log, ``strava_async.fastapi``, of every 5xx but that of a spent quota.
``InputError`` and ``InvalidClientError`` are faults of the service itself and are 500.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketState

from strava_async.errors import (
    ApplicationInactiveError,
    AthleteCapacityError,
    AuthorizationDeniedError,
    DuplicateUploadError,
    ForbiddenError,
    InputError,
    InvalidClientError,
    InvalidGrantError,
    InvalidStateError,
    MissingScopeError,
    NotFoundError,
    PaymentRequiredError,
    QuotaExceededError,
    RateLimitedError,
    ServerError,
    StravaError,
    TokenStoreError,
    TransportError,
    UnverifiedWebhookError,
    UploadError,
    UploadTimeoutError,
)
from strava_async.fastapi._kit import time_of

MEDIA_TYPE = "application/problem+json"
_RETRY_SECONDS = 60
_ACCEPTED = "strava_async.accepted"

_logger = logging.getLogger("strava_async.fastapi")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is told about an error (RFC 9457).

    Attributes:
        status: the HTTP status.
        title: the kind of problem, in a few words.
        detail: what to do about it; empty for nothing.
        retry_after: seconds after which it may work; None if nobody knows.
        more: further members, such as the scopes that are missing.
    """

    status: int
    title: str
    detail: str = ""
    retry_after: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def response(self) -> Response:
        """Return the answer: problem+json, not to be kept by anybody."""
        members = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }
        headers = {"Cache-Control": "no-store"}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Cookie realm="strava"'  # RFC 9110 §15.5.2 wants a field, whatever it says
        content = json.dumps({name: value for name, value in members.items() if value != ""}, ensure_ascii=False)
        return Response(content.encode("utf-8", "replace"), self.status, headers, MEDIA_TYPE)


def problem_of(error: StravaError, *, now: float | None = None) -> Problem:
    """Return what to tell about an error.

    Args:
        error: what happened.
        now: Unix time, to tell how far off the ``resume_at`` of a 429 is; None if unknown.
    """
    match error:
        case QuotaExceededError():
            return _busy(error.wait_seconds)
        case RateLimitedError():
            return _busy(_seconds_left(error, now))
        case MissingScopeError():
            missing = {"missing_scope": sorted(error.missing)} if error.missing else {}
            return Problem(403, "Not granted", "Connect with Strava again, and tick what is missing.", more=missing)
        case AthleteCapacityError():
            return Problem(403, "No room", "The application has as many athletes as Strava allows it.")
        case UploadTimeoutError():
            upload = {"upload_id": error.upload_id}
            return Problem(504, "Not finished yet", "Strava has the file. Ask for the upload again later.", more=upload)
        case _:
            return _problem_by_kind(error)


def _seconds_left(error: RateLimitedError, now: float | None) -> float:
    if error.resume_at is None or now is None:
        return _RETRY_SECONDS if error.retry_after is None else error.retry_after
    return error.resume_at - now


def _busy(seconds: float) -> Problem:
    whole = max(1, math.ceil(seconds))
    return Problem(503, "Strava's quota is spent", f"Come back in {whole} s.", retry_after=whole)


_NOT_SET_UP = Problem(500, "The service is not set up", "Its operator has to act.")

# The first kind that fits counts.
_BY_KIND: tuple[tuple[type[StravaError], Problem], ...] = (
    (InvalidGrantError, Problem(401, "Not connected", "Connect with Strava.")),
    (AuthorizationDeniedError, Problem(403, "Not authorized", "Connect with Strava, and agree.")),
    (UnverifiedWebhookError, Problem(403, "Not known to come from Strava")),
    (InvalidStateError, Problem(400, "Not an answer to a question of ours", "Begin the authorization again.")),
    (InvalidClientError, _NOT_SET_UP),
    (ApplicationInactiveError, _NOT_SET_UP),
    (InputError, Problem(500, "The service made a mistake")),
    (TokenStoreError, Problem(503, "The service cannot read its own data", "Try again later.")),
    (PaymentRequiredError, Problem(402, "Only for subscribers of Strava")),
    (ForbiddenError, Problem(403, "Strava does not allow it")),
    (NotFoundError, Problem(404, "Not at Strava", "It was deleted, or cannot be seen with what was granted.")),
    (DuplicateUploadError, Problem(409, "The activity exists")),
    (UploadError, Problem(422, "Strava does not take the file")),
)
_UNREACHABLE = Problem(502, "Strava cannot be reached", "Try again later.")
_TOO_SLOW = Problem(504, "Strava does not answer in time", "Try again later.")
_UNUSABLE = Problem(502, "Strava's answer is not usable", "Try again later.")


# What the operator need not hear of: it passes by itself.
_NO_NEWS = (QuotaExceededError, RateLimitedError, UploadTimeoutError)


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
    """Answer for an error of this library that a route raised, and log what the operator is to know.

    Faults of the service itself are raised again, for the server to log. So is whatever comes after a websocket was
    accepted, which cannot be answered any more.
    """
    if not isinstance(error, StravaError) or isinstance(error, InputError | InvalidClientError):
        raise error
    if _is_accepted(connection):
        raise error
    problem = problem_of(error, now=time_of(connection))
    if problem.status >= 500 and not isinstance(error, _NO_NEWS):
        whence = None if isinstance(error, TransportError | ServerError) else error
        _logger.error("answered with %d: %s: %s", problem.status, type(error).__name__, error, exc_info=whence)
    return problem.response()


def _is_accepted(connection: HTTPConnection) -> bool:
    # What a route's wrapper raises again comes to that of the application, which looks at the connection anew.
    if isinstance(connection, WebSocket) and connection.application_state is not WebSocketState.CONNECTING:
        connection.scope[_ACCEPTED] = True
    return _ACCEPTED in connection.scope


exception_handlers: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    StravaError: strava_error_handler
}
"""For ``FastAPI(exception_handlers=exception_handlers)``, or Starlette's argument of that name."""
