"""Every failure this library raises.

::

    StravaError
    ├─ InputError               the call itself is wrong; nothing was sent (a ValueError too)
    │   └─ AsyncOnlyError              ... because ``async for`` is missing (a TypeError too)
    ├─ OAuthError               the grant, or the credentials of the application
    │   ├─ AuthorizationDeniedError    the athlete refused, or Strava sent an error to the redirect
    │   ├─ InvalidGrantError           the code or refresh token is not valid any more: connect again
    │   ├─ InvalidClientError          client id or client secret is wrong: the grant is still valid
    │   ├─ MissingScopeError           the athlete did not grant what the call needs
    │   ├─ InvalidStateError           a redirect whose state was not issued, or has expired
    │   └─ AuthorizationTimeoutError   the athlete did not return from Strava's page
    ├─ CrossSiteError           a page of another site tries to act for the signed-in athlete
    ├─ UnverifiedWebhookError   a request to the service that is not known to come from Strava
    ├─ StoreError               what the service keeps could not be read or written: nothing was overwritten
    │   ├─ TokenStoreError             ... of the athletes' tokens
    │   └─ EventStoreError             ... of webhook events, or of their backlog
    ├─ QuotaExceededError       not sent: the wait for quota would exceed max_wait
    ├─ LimiterError             not sent: the limiter cannot tell whether there is quota
    ├─ TransportError           no reply: connection, timeout, protocol
    ├─ FaultError               a reply that is no success
    │   ├─ BadRequestError             400
    │   ├─ UnauthorizedError           401
    │   │   └─ InsufficientScopeError  ... because of a scope: a MissingScopeError too
    │   ├─ PaymentRequiredError        402  the athlete needs a Strava subscription
    │   ├─ ForbiddenError              403
    │   │   ├─ ApplicationInactiveError    the owner of the application needs a subscription
    │   │   └─ AthleteCapacityError        the application has reached its number of athletes
    │   ├─ NotFoundError               404
    │   ├─ RateLimitedError            429
    │   └─ ServerError                 5xx
    ├─ UploadError              a file has not become an activity
    │   ├─ DuplicateUploadError        ... because the activity exists already
    │   └─ UploadTimeoutError          ... so far: it is still being processed
    └─ DecodeError              a success that is not of the documented shape

The first split is by whose turn it is: the caller's (InputError, CrossSiteError, UnverifiedWebhookError), the
athlete's (OAuthError), the operator's (StoreError, LimiterError), the clock's (QuotaExceededError), the network's
(TransportError), Strava's (FaultError and the rest).

No message, attribute or repr holds an access token, refresh token, client secret or authorization code.
Errors can be copied and pickled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

Sent = Literal["never", "maybe"]
ErrorDetails = Sequence[Mapping[str, Any]]


def _rebuild(kind: type[StravaError], args: tuple[Any, ...], state: dict[str, Any]) -> StravaError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class StravaError(Exception):
    """The base of every error of this library."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own way calls __init__ with the message alone, which keyword-only arguments refuse.
        return _rebuild, (type(self), self.args, self.__dict__)


class InputError(StravaError, ValueError):
    """An argument is wrong. Nothing was sent and no quota was spent, unless ``sent`` says otherwise.

    Attributes:
        sent: ``maybe`` where a file could not be read to its end, after a part of the request was sent; else ``never``.
    """

    sent: Sent = "never"


class AsyncOnlyError(InputError, TypeError):
    """Something to be read with ``async for`` was used in a ``for`` loop, or awaited."""


class OAuthError(StravaError):
    """The grant of an athlete, or the credentials of the application, were rejected.

    Attributes:
        errors: Strava's list of ``{resource, field, code}``; may be empty.
    """

    def __init__(self, message: str, *, errors: ErrorDetails = ()) -> None:
        super().__init__(message)
        self.errors = errors


class AuthorizationDeniedError(OAuthError):
    """The redirect has an error instead of a code (RFC 6749 §4.1.2.1).

    Attributes:
        error: the value of the ``error`` parameter, ``access_denied`` when the athlete refused.
    """

    def __init__(self, error: str) -> None:
        super().__init__(f"the athlete did not authorize the application: {error}")
        self.error = error


class InvalidGrantError(OAuthError):
    """The authorization code or the refresh token is not valid any more. The athlete has to connect again."""


class InvalidClientError(OAuthError):
    """Strava does not accept the client id or the client secret. The athletes' grants are still valid."""


class MissingScopeError(OAuthError):
    """The athlete did not grant a scope that is needed. A refresh does not help; a new authorization may.

    Attributes:
        missing: the names of the scopes, as far as they are known. Where one of several suffices, the narrowest.
        athlete_id: the athlete who did not grant it; None where that is not known.
    """

    athlete_id: int | None = None

    def __init__(
        self, message: str, *, missing: Iterable[str] = (), athlete_id: int | None = None, **details: Any
    ) -> None:
        super().__init__(message, **details)
        self.missing = frozenset(missing)
        self.athlete_id = athlete_id


class InvalidStateError(OAuthError):
    """The ``state`` of a redirect was not issued, not issued to this session, or has expired (RFC 6749 §10.12).

    Attributes:
        reason: ``missing``, ``forged`` (which includes another session's) or ``expired``.
    """

    def __init__(self, reason: Literal["missing", "forged", "expired"]) -> None:
        super().__init__(f"the state of the redirect is {reason}: begin the authorization again")
        self.reason = reason


class AuthorizationTimeoutError(OAuthError):
    """The athlete did not return from Strava's page in time. Nothing was changed; the login can be started again."""


class CrossSiteError(StravaError):
    """A page of another site tries to act for the signed-in athlete. Answer it with 403."""


class UnverifiedWebhookError(StravaError):
    """A request to the callback does not prove that it comes from Strava. Answer it with 403.

    Attributes:
        reason: ``token``: not the verify_token of the subscription. Of a signature: ``missing``, ``malformed``,
            ``forged`` (made with another secret, or of another body) or ``expired``.
    """

    def __init__(self, reason: Literal["token", "missing", "malformed", "forged", "expired"]) -> None:
        what = "the verify_token is another one" if reason == "token" else f"the signature is {reason}"
        super().__init__(f"this request is not known to come from Strava: {what}")
        self.reason = reason


class StoreError(StravaError):
    """What the service keeps, in a file or a database, cannot be read or written. It was left as it was."""


class TokenStoreError(StoreError):
    """The store of the athletes' tokens cannot be read or written, or is not one. It was left as it was.

    Tokens that were renewed and could not be saved stay in memory, and are saved at the next opportunity.
    """


class EventStoreError(StoreError):
    """The store of webhook events, or the file of their backlog, cannot be read or written. It was left as it was."""


class QuotaExceededError(StravaError):
    """The call was not sent, because it could not start within ``max_wait``. No quota was spent.

    Attributes:
        quota_class: the class of the call, a ``QuotaClass``.
        window: the meter that is spent, named as on ``Quota``: ``read_15min``, ``read_day``, ``overall_15min``
            or ``overall_day``.
        resume_at: when the call could start at the earliest; epoch seconds on Strava's clock.
        wait_seconds: how long that is from now.
        awaits: ``the first answer`` while nothing is known of the quota, ``answers under way`` where requests in flight
            decide about a meter that is not spent. Both instants are estimates then. Empty where the meter is spent.
    """

    def __init__(
        self, *, quota_class: str, window: str, resume_at: float, wait_seconds: float, awaits: str = ""
    ) -> None:
        reason = f"no quota left in {window}" if not awaits else f"{awaits} will tell what is left in {window}"
        super().__init__(f"{reason}: a {quota_class} call could start in {wait_seconds:.0f} s")
        self.quota_class = quota_class
        self.window = window
        self.resume_at = resume_at
        self.wait_seconds = wait_seconds
        self.awaits = awaits


class LimiterError(StravaError):
    """The limiter cannot hand out permits: what it keeps the quota in is out of reach or broken, or it was closed.

    Nothing was sent and no quota was spent. The call is not retried automatically; a later one may succeed. The
    limiter's own exception is the ``__cause__``.
    """


class TransportError(StravaError):
    """No reply came. The exception of the HTTP library is the ``__cause__``.

    Attributes:
        sent: ``never`` when the request certainly did not reach Strava, else ``maybe``.
        timed_out: whether a timeout ended it; else the connection failed or broke.
        permanent: whether another attempt is known to fail alike, as with a certificate that is rejected. Such a call
            is not tried again.
        method: the HTTP method.
        path: the path of the call, without its query.
        attempts: how many attempts were made.
    """

    def __init__(
        self,
        message: str,
        *,
        sent: Sent,
        timed_out: bool = False,
        permanent: bool = False,
        method: str = "",
        path: str = "",
        attempts: int = 1,
    ) -> None:
        super().__init__(message)
        self.sent: Sent = sent
        self.timed_out = timed_out
        self.permanent = permanent
        self.method = method
        self.path = path
        self.attempts = attempts


class FaultError(StravaError):
    """Strava responded with an error.

    Attributes:
        status_code: the HTTP status.
        message: Strava's own message; empty where the response had none.
        errors: Strava's list of ``{resource, field, code}``; may be empty.
        method: the HTTP method of the call.
        path: the path of the call, without its query.
        attempts: how many requests were sent for this call.
        retry_after: the seconds to wait before a retry, as Strava sent them (RFC 9110 §10.2.3); None if it did not.
        body_excerpt: where the body is not Strava's fault in JSON but, say, a page of a proxy in front of it: its
            beginning as text, of a page the visible text. Empty for a fault, and where it could hold a token.
    """

    retry_after: float | None = None

    def __init__(
        self,
        *,
        status_code: int,
        message: str = "",
        errors: ErrorDetails = (),
        method: str = "",
        path: str = "",
        attempts: int = 1,
        instead: str = "",
        body_excerpt: str = "",
    ) -> None:
        parts = [_fault_text(status_code, message, errors, method, path), instead, body_excerpt]
        super().__init__(": ".join(filter(None, parts)))
        self.status_code = status_code
        self.message = message
        self.errors = errors
        self.method = method
        self.path = path
        self.attempts = attempts
        self.body_excerpt = body_excerpt


def _fault_text(status_code: int, message: str, errors: ErrorDetails, method: str, path: str) -> str:
    text = f"{status_code}"
    if method:
        text += f" for {method} {path}"
    if message:
        text += f": {message}"
    if errors:
        causes = ("/".join(str(error.get(key, "")) for key in ("resource", "field", "code")) for error in errors)
        text += f" ({', '.join(causes)})"
    return text


class BadRequestError(FaultError):
    """400: a parameter is wrong."""


class UnauthorizedError(FaultError):
    """401: the access token is not accepted, or the endpoint is closed to this application."""


class InsufficientScopeError(UnauthorizedError, MissingScopeError):
    """401 because the athlete did not grant a scope (RFC 6750 §3.1, insufficient_scope)."""

    def __init__(self, *, missing: Iterable[str] = (), **details: Any) -> None:
        UnauthorizedError.__init__(self, **details)
        self.missing = frozenset(missing)


class PaymentRequiredError(FaultError):
    """402: the athlete needs a Strava subscription for this."""


class ForbiddenError(FaultError):
    """403: not allowed."""


class ApplicationInactiveError(ForbiddenError):
    """403 for every call, until the application's owner has a subscription. No athlete is disconnected by it."""


class AthleteCapacityError(ForbiddenError):
    """403: the application has reached the number of connected athletes that Strava allows."""


class NotFoundError(FaultError):
    """404: missing, deleted, or not visible with the scopes granted."""


class RateLimitedError(FaultError):
    """429: over a limit, although the limiter had quota left: someone else spends the same quota.

    Attributes:
        quota_class: the class of the call, a ``QuotaClass``.
        window: the meter that is spent, named as on ``Quota``; None where that is not known.
        resume_at: when a call of this class may be sent again; epoch seconds on Strava's clock, None if unknown.
    """

    def __init__(
        self, *, quota_class: str = "", window: str | None = None, resume_at: float | None = None, **details: Any
    ) -> None:
        super().__init__(**details)
        self.quota_class = quota_class
        self.window = window
        self.resume_at = resume_at


class ServerError(FaultError):
    """5xx: a failure of Strava, or of a proxy in front of it."""


class UploadError(StravaError):
    """A file has not become an activity: Strava refused it, at once or later.

    Attributes:
        upload_id: the upload's id; None where it never got one.
        error: Strava's text, cleaned of HTML.
    """

    def __init__(self, error: str, *, upload_id: int | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.upload_id = upload_id


class DuplicateUploadError(UploadError):
    """The file's activity exists already; often that is equivalent to a success.

    Attributes:
        activity_id: the existing activity.
    """

    def __init__(self, error: str, *, activity_id: int, upload_id: int | None = None) -> None:
        super().__init__(error, upload_id=upload_id)
        self.activity_id = activity_id


class UploadTimeoutError(UploadError):
    """The timeout of the wait for an upload is over, and it is not known to be finished. Wait for it again."""

    def __init__(self, upload_id: int) -> None:
        super().__init__(
            f"upload {upload_id} is not known to be finished yet: wait for it again by its id", upload_id=upload_id
        )


class DecodeError(StravaError):
    """A success whose body is not what Strava documents: HTML, truncated, not JSON. Or any response of more than 64 MB.

    Attributes:
        path: the path of the call, without its query.
        body_excerpt: the beginning of the body as text, of a page the visible text; empty where it could hold a token.
    """

    def __init__(self, message: str, *, path: str = "", body_excerpt: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.body_excerpt = body_excerpt
