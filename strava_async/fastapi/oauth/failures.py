"""What can go wrong when an athlete connects or disconnects on the web, and what the page says.

The texts are the service's own, without Strava's message or that of an exception; those are logged where the operator
has to act or Strava failed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from strava_async.errors import (
    ApplicationInactiveError,
    AthleteCapacityError,
    AuthorizationDeniedError,
    InvalidClientError,
    InvalidGrantError,
    InvalidStateError,
    LimiterError,
    MissingScopeError,
    QuotaExceededError,
    RateLimitedError,
    ServerError,
    StravaError,
    TokenStoreError,
    TransportError,
)
from strava_async.fastapi.problems import problem_of

Reason = Literal[
    "denied",
    "state_missing",
    "state_forged",
    "state_expired",
    "malformed",
    "code_dead",
    "missing_scope",
    "athlete_capacity",
    "busy",
    "timeout",
    "unreachable",
    "strava_error",
    "limiter",
    "token_store",
    "misconfigured",
    "not_signed_in",
    "cross_site",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectFailure:
    """Why an athlete was not connected, or not disconnected.

    ``on_error`` receives it, and the default page shows it.

    Attributes:
        reason: a stable name; see ``Reason``.
        status_code: the HTTP status.
        title: a few words.
        text: a sentence or two for the athlete.
        missing_scope: of ``missing_scope``: what the athlete did not grant.
        athlete_id: of ``missing_scope``: who did. They are connected and signed in all the same if ``if_missing`` is
            ``keep``; else nothing is kept of them, nor of an earlier grant, unless revoking failed, which is logged.
        retry_after: seconds after which it may work; None if unknown.
        link: a URL on this site to continue with; empty if there is none.
        link_text: what the link says.
    """

    reason: Reason
    status_code: int
    title: str
    text: str
    missing_scope: frozenset[str] = frozenset()
    athlete_id: int | None = None
    retry_after: int | None = None
    link: str = ""
    link_text: str = ""


_NOT_CONNECTED = "Not connected"
_AGAIN = "Try again"

# Reason: status, title, text, and what the link says.
_FAILURES: dict[Reason, tuple[int, str, str, str]] = {
    "denied": (403, _NOT_CONNECTED, "You said no at Strava, and nothing was changed.", "Ask me again"),
    "state_missing": (400, _NOT_CONNECTED, "This address only takes Strava's answers.", "Connect with Strava"),
    "state_forged": (
        400,
        _NOT_CONNECTED,
        "This answer of Strava's was used already, or was meant for another browser or another user, or this browser "
        "keeps no cookies.",
        _AGAIN,
    ),
    "state_expired": (400, _NOT_CONNECTED, "Strava's answer came too late.", _AGAIN),
    "malformed": (400, _NOT_CONNECTED, "This address is not whole.", _AGAIN),
    "code_dead": (400, _NOT_CONNECTED, "This answer of Strava's was used already, or is too old.", _AGAIN),
    "missing_scope": (403, _NOT_CONNECTED, "Something is missing that you left out at Strava.", _AGAIN),
    "athlete_capacity": (403, "No room", "This service has as many athletes as Strava allows it.", ""),
    "busy": (503, "Too busy", "Strava wants this service to slow down.", _AGAIN),
    "timeout": (504, "Strava does not answer", "It took too long. Wait a minute.", _AGAIN),
    "unreachable": (502, "Strava cannot be reached", "It may be down. Wait a minute.", _AGAIN),
    "strava_error": (502, "Strava reports an error", "It may be gone in a minute.", _AGAIN),
    "limiter": (503, "Not now", "This service cannot keep Strava's quota. Its operator has to act.", _AGAIN),
    "token_store": (503, "Not now", "This service cannot use its own data. Its operator has to act.", _AGAIN),
    "misconfigured": (500, "Not set up", "Strava does not know this service. Its operator has to act.", ""),
    "not_signed_in": (401, "Not signed in", "Nobody is signed in here.", "Connect with Strava"),
    "cross_site": (403, "Not from here", "This was sent from a page of another site.", ""),
}


def failure(reason: Reason) -> ConnectFailure:
    """Return the failure for a reason, without a link."""
    status_code, title, text, link_text = _FAILURES[reason]
    return ConnectFailure(reason=reason, status_code=status_code, title=title, text=text, link_text=link_text)


def failure_of(error: StravaError, *, now: float, kept: bool = False) -> ConnectFailure:
    """Return the failure for an error.

    Args:
        error: what happened.
        now: Unix time, to compute the remaining wait.
        kept: whether an athlete who did not grant everything is connected all the same.
    """
    found = failure(_reason(error))
    if isinstance(error, MissingScopeError):
        left_out = ", ".join(sorted(error.missing)) or "something"
        title = "Connected, but something is missing" if kept else found.title
        so = "You are connected without it, and not all will work" if kept else "This service needs it"
        text = f"You left out {left_out} at Strava. {so}: leave every box ticked."
        return replace(found, title=title, text=text, missing_scope=error.missing, athlete_id=error.athlete_id)
    if found.reason == "busy":
        seconds = problem_of(error, now=now).retry_after
        return replace(found, text=f"{found.text} Wait {seconds} s.", retry_after=seconds)
    return found


# The first match counts.
_REASONS: tuple[tuple[type[StravaError], Reason], ...] = (
    (MissingScopeError, "missing_scope"),
    (InvalidGrantError, "code_dead"),
    (InvalidClientError, "misconfigured"),
    (ApplicationInactiveError, "misconfigured"),
    (AthleteCapacityError, "athlete_capacity"),
    (QuotaExceededError, "busy"),
    (RateLimitedError, "busy"),
    (LimiterError, "limiter"),
    (TokenStoreError, "token_store"),
)


def _reason(error: StravaError) -> Reason:
    match error:
        case AuthorizationDeniedError():
            return "denied" if error.error == "access_denied" else "strava_error"
        case InvalidStateError(reason="missing"):
            return "state_missing"
        case InvalidStateError(reason="expired"):
            return "state_expired"
        case InvalidStateError():
            return "state_forged"
        case TransportError():
            return "timeout" if error.timed_out else "unreachable"
        case ServerError():
            return "timeout" if error.status_code == 504 else "unreachable"
        case _:
            return _reason_by_kind(error)


def _reason_by_kind(error: StravaError) -> Reason:
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    return "strava_error"
