"""``Hooks``, by which a program observes its requests, and the events that they receive.

=========  ==================  ============================================================
hook       receives            when
=========  ==================  ============================================================
request    ``RequestEvent``    an attempt is about to be sent: it has its permit and its token
response   ``ResponseEvent``   the attempt has ended: with an answer, an error or a cancellation
wait       ``WaitEvent``       a wait for quota, or between two attempts, is over
retry      ``RetryEvent``      a call will be tried again
refresh    ``RefreshEvent``    a renewal of tokens has ended
=========  ==================  ============================================================

Rules:

- A hook is a plain function, called on the thread of the event loop; the call waits for it. It should be quick.
- An exception in a hook does not affect the call. The first of each hook is logged to ``strava_async.hooks``; only a
  ``BaseException`` that is not an ``Exception``, such as ``KeyboardInterrupt``, propagates.
- Each ``request`` is followed by one ``response``, even if the call is cancelled. Both have the same ``RequestEvent``.
- No event holds a token, a secret, a query, or an identity other than the athlete's id.
- All seconds are measured by the client's clock.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Generic, Literal, TypeVar

from strava_async.errors import InputError, StravaError
from strava_async.quota.values import Priority, QuotaClass

E = TypeVar("E")
WaitReason = Literal["quota", "retry"]

_logger = logging.getLogger("strava_async.hooks")


@dataclass(frozen=True, slots=True, eq=False)
class RequestEvent:
    """An attempt of a call: one HTTP request. Its ``ResponseEvent`` has the same object.

    Attributes:
        method: the HTTP method.
        endpoint: the path as Strava's reference writes it: ``/activities/{id}``. For an address that is not in
            ``endpoints`` it is the path as it was passed, with ``{id}`` for each name in braces, and for each segment
            that holds a digit.
        quota_class: what it spends; None for the OAuth endpoints, which spend nothing.
        attempt: 1 for the first request of the call; a retry and the request after a renewal count on.
        priority: the call's rank in the queue for quota.
        athlete_id: the athlete for whom it is made; None where that is not known, and for the application's own
            requests.
        server_address: the host that it is sent to.
        server_port: the port of that host.
    """

    method: str
    endpoint: str
    quota_class: QuotaClass | None
    attempt: int
    priority: Priority
    athlete_id: int | None
    server_address: str
    server_port: int


@dataclass(frozen=True, slots=True, eq=False)
class ResponseEvent:
    """The end of an attempt. The limiter has read the answer by now.

    Attributes:
        request: the attempt.
        status_code: the HTTP status; None if no answer came.
        error: what went wrong, including a refusal and a body that cannot be read; None for a success.
        seconds: from sending to the last byte of the answer, or to the failure. It includes a wait for a free
            connection, but no decoding.
        body_bytes: the size of the answer's body on the wire: compressed, if it came compressed.
    """

    request: RequestEvent
    status_code: int | None
    error: BaseException | None
    seconds: float
    body_bytes: int

    @property
    def cancelled(self) -> bool:
        """Whether it ended because the call was cancelled."""
        return _is_cancellation(self.error)


@dataclass(frozen=True, slots=True, eq=False)
class WaitEvent:
    """The end of a wait: for a permit, or between two attempts. One of less than a millisecond is not reported.

    Attributes:
        request: the attempt that waited for its permit ("quota"), or the one that failed before the wait ("retry").
        reason: ``quota`` or ``retry``.
        seconds: how long it took.
        error: what ended it early, such as QuotaExceededError; None if the call continues.
    """

    request: RequestEvent
    reason: WaitReason
    seconds: float
    error: BaseException | None

    @property
    def cancelled(self) -> bool:
        """Whether it ended because the call was cancelled."""
        return _is_cancellation(self.error)


@dataclass(frozen=True, slots=True, eq=False)
class RetryEvent:
    """A call will be tried again.

    Attributes:
        request: the attempt that failed.
        error: how it failed.
        seconds: the backoff that follows; 0 where the limiter makes it wait (429), and after a renewal of the token.
    """

    request: RequestEvent
    error: StravaError
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class RefreshEvent:
    """A renewal of an athlete's tokens has ended: one for all calls that wait for them.

    Attributes:
        athlete_id: whose tokens; None where that is not known.
        seconds: how long it took, retries included.
        error: what went wrong, such as InvalidGrantError; None if the tokens came.
    """

    athlete_id: int | None
    seconds: float
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class Hooks:
    """Functions that receive an event when something happens; None for those not needed.

    Attributes:
        request: receives a ``RequestEvent`` before an attempt is sent: it has its permit and its token.
        response: receives a ``ResponseEvent`` when the attempt has ended.
        wait: receives a ``WaitEvent`` when a wait for quota, or between two attempts, is over.
        retry: receives a ``RetryEvent`` when a call will be tried again.
        refresh: receives a ``RefreshEvent`` when a renewal of tokens has ended.

    Raises:
        InputError: a hook is not a function, or is an ``async`` one.
    """

    request: Callable[[RequestEvent], object] | None = None
    response: Callable[[ResponseEvent], object] | None = None
    wait: Callable[[WaitEvent], object] | None = None
    retry: Callable[[RetryEvent], object] | None = None
    refresh: Callable[[RefreshEvent], object] | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            hook: object = getattr(self, field.name)
            if hook is not None and (not callable(hook) or inspect.iscoroutinefunction(hook)):
                raise InputError(f"the hook {field.name} has to be a plain function: it is called, not awaited")

    @classmethod
    def combined(cls, *hooks: Hooks) -> Hooks:
        """Return hooks that call those given, one after the other; none of them can keep the next from being called."""
        return cls(
            request=chain(*(each.request for each in hooks)),
            response=chain(*(each.response for each in hooks)),
            wait=chain(*(each.wait for each in hooks)),
            retry=chain(*(each.retry for each in hooks)),
            refresh=chain(*(each.refresh for each in hooks)),
        )


def chain(*hooks: Callable[[E], object] | None) -> Callable[[E], None]:
    """Return a function that calls the hooks one after the other, and raises none of their exceptions."""
    guarded = [_Guarded(hook) for hook in hooks if hook is not None]

    def call(event: E) -> None:
        for hook in guarded:
            hook(event)

    return call


class _Guarded(Generic[E]):
    """A hook that raises no ``Exception``."""

    def __init__(self, hook: Callable[[E], object]) -> None:
        self._hook = hook
        self._failed = False

    def __call__(self, event: E) -> None:
        try:
            self._hook(event)
        except Exception:
            if not self._failed:
                self._failed = True
                name = getattr(self._hook, "__qualname__", type(self._hook).__qualname__)
                _logger.exception("the hook %s failed; it stays in use, and further failures are not logged", name)


def _is_cancellation(error: BaseException | None) -> bool:
    return error is not None and not isinstance(error, Exception)
