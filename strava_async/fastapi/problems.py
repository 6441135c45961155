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
NotFoundError                         404     nothing
PaymentRequiredError                  402     nothing, without a Strava subscription
UploadError                           422     send another file (409: the activity exists)
ForbiddenError                        403     nothing
TransportError                        502     try later (504: no answer in time)
ServerError                           502     try later (504: Strava's own)
TokenStoreError                       503     try later: the operator has to act
DecodeError and all others            502     tell the operator
====================================  ======  ===============================================

The texts are the service's own: neither Strava's message nor that of the exception goes out, for it may tell more than
the client is to know. ``InputError`` and ``InvalidClientError`` are faults of the service itself and are 500.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from strava_async.errors import (
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
)
from strava_async.fastapi._kit import time_of

MEDIA_TYPE = "application/problem+json"
_RETRY_SECONDS = 60


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
            return _busy(_RETRY_SECONDS if error.resume_at is None or now is None else error.resume_at - now)
        case MissingScopeError():
            missing = {"missing_scope": sorted(error.missing)} if error.missing else {}
            return Problem(403, "Not granted", "Connect with Strava again, and tick what is missing.", more=missing)
        case AthleteCapacityError():
            return Problem(403, "No room", "The application has as many athletes as Strava allows it.")
        case _:
            return _problem_by_kind(error)


def _busy(seconds: float) -> Problem:
    whole = max(1, math.ceil(seconds))
    return Problem(503, "Strava's quota is spent", f"Come back in {whole} s.", retry_after=whole)


# The first kind that fits counts.
_BY_KIND: tuple[tuple[type[StravaError], Problem], ...] = (
    (InvalidGrantError, Problem(401, "Not connected", "Connect with Strava.")),
    (AuthorizationDeniedError, Problem(403, "Not authorized", "Connect with Strava, and agree.")),
    (UnverifiedWebhookError, Problem(403, "Not known to come from Strava")),
    (InvalidStateError, Problem(400, "Not an answer to a question of ours", "Begin the authorization again.")),
    (InvalidClientError, Problem(500, "The service is not set up", "Its operator has to act.")),
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


def _problem_by_kind(error: StravaError) -> Problem:
    for kind, problem in _BY_KIND:
        if isinstance(error, kind):
            return problem
    if isinstance(error, TransportError):
        return _TOO_SLOW if error.timed_out else _UNREACHABLE
    if isinstance(error, ServerError):
        return _TOO_SLOW if error.status_code == 504 else _UNREACHABLE
    return _UNUSABLE


async def strava_error_handler(request: Request, error: Exception) -> Response:
    """Answer for an error of this library that a route raised.

    Faults of the service itself are raised again, for the server to log.
    """
    if not isinstance(error, StravaError) or isinstance(error, InputError | InvalidClientError):
        raise error
    return problem_of(error, now=time_of(request)).response()


exception_handlers: dict[int | type[Exception], Callable[[Request, Any], Awaitable[Response]]] = {
    StravaError: strava_error_handler
}
"""For ``FastAPI(exception_handlers=exception_handlers)``, or Starlette's argument of that name."""
