"""What a program can see of the requests made for it: ``Hooks``, and the events that they are given.

Rules:

- A hook is a plain function, called on the event loop's thread while the call stands still. It should be quick.
- What a hook raises breaks no call. It is logged to ``strava_async.hooks``, the first time that this hook fails; only
  what is no ``Exception``, such as ``KeyboardInterrupt``, passes.
- Each ``request`` is followed by one ``response``, even if the call is cancelled.
- No event holds a token, a secret, a query, or an identity other than the athlete's id.
- All seconds are those of the clock that the client was given.
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
        endpoint: where it goes, as Strava's reference names it: ``/activities/{id}``. Of an address that is not in
            ``endpoints`` it is the path, with ``{id}`` for each segment that holds a digit.
        quota_class: what it spends; None for the OAuth endpoints, which spend nothing.
        attempt: 1 for the first request of the call, whatever the reason for the next.
        priority: the call's rank in the queue for quota.
        athlete_id: for whom it is made; None where that is not known, and for the application's own requests.
        server_address: the host that it goes to.
        server_port: the port there.
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
    """The end of an attempt. The quota knows by now what the answer said.

    Attributes:
        request: the attempt.
        status_code: the HTTP status; None if no answer came.
        error: what went wrong, a refusal or a body that cannot be read included; None for a success.
        seconds: from sending to the last byte of the answer, or to the failure. A wait for a free connection is part of
            it, the decoding is not.
        body_bytes: the size of the answer's body as it came, packed or not.
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
    """The end of a wait: for a permit, or between two attempts. Less than a millisecond is no wait.

    Attributes:
        request: the attempt that waited for its permit ("quota"), or that failed before ("retry").
        reason: ``quota`` or ``retry``.
        seconds: how long it took.
        error: what ended it in place of its purpose, such as QuotaExceededError; None if the call goes on.
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
        error: how.
        seconds: the backoff that follows; 0 after a 429 whose wait is one for quota, and after a renewal of the token.
    """

    request: RequestEvent
    error: StravaError
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class RefreshEvent:
    """Strava was asked for an athlete's next tokens: once for all calls that wait for them.

    Attributes:
        athlete_id: whose; None where that is not known.
        seconds: how long it took, retries included.
        error: what went wrong, such as InvalidGrantError; None if the tokens came.
    """

    athlete_id: int | None
    seconds: float
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class Hooks:
    """Functions to be called when something happens; None for what is of no interest.

    Attributes:
        request: an attempt is about to be sent: it has its permit and its token.
        response: it has ended.
        wait: a wait is over.
        retry: a call will be tried again.
        refresh: a renewal of tokens has ended.

    Raises:
        InputError: a hook is no function, or an ``async`` one.
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
                raise InputError(f"the hook {field.name} is to be a plain function: it is called, not awaited")

    @classmethod
    def combined(cls, *hooks: Hooks) -> Hooks:
        """Return hooks that call those given, one after the other; none of them can keep the next from being called."""
        return cls(
            request=in_turn(*(each.request for each in hooks)),
            response=in_turn(*(each.response for each in hooks)),
            wait=in_turn(*(each.wait for each in hooks)),
            retry=in_turn(*(each.retry for each in hooks)),
            refresh=in_turn(*(each.refresh for each in hooks)),
        )


def in_turn(*hooks: Callable[[E], object] | None) -> Callable[[E], None]:
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
                _logger.exception("the hook %s failed; it is called again, but this is not said again", name)


def _is_cancellation(error: BaseException | None) -> bool:
    return error is not None and not isinstance(error, Exception)
