"""The reports of an exchange, as events for hooks."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager
from functools import lru_cache
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from strava_async.clock import Clock
from strava_async.errors import StravaError
from strava_async.quota.values import Priority
from strava_async.request.call import Call
from strava_async.request.reply import Reply
from strava_async.request.reports import Report, Reports, Sending
from strava_async.telemetry.hooks import (
    Hooks,
    RefreshEvent,
    RequestEvent,
    ResponseEvent,
    RetryEvent,
    WaitEvent,
    WaitReason,
    chain,
)
from strava_async.tokens.source import TokenSource

SHORTEST_WAIT_SECONDS = 0.001
_PORTS = {"http": 80, "https": 443}


class HookReports(Reports):
    """Makes the report of each call.

    Args:
        hooks: receive the events; their exceptions do not affect a call.
        clock: measures the seconds.
    """

    def __init__(self, hooks: Hooks, clock: Clock) -> None:
        self.clock = clock
        self.request = chain(hooks.request)
        self.response = chain(hooks.response)
        self.wait = chain(hooks.wait)
        self.retry = chain(hooks.retry)
        self.refresh = chain(hooks.refresh)

    def of(self, call: Call, tokens: TokenSource | None, priority: Priority) -> Report:
        """Return the report of a call."""
        return _CallReport(self, call, tokens, priority)

    def refreshing(self, athlete_id: int | None) -> AbstractContextManager[None]:
        """Return a block around a renewal of tokens, which is reported at its end."""
        return _Refreshing(self, athlete_id)


class _CallReport(Report):
    def __init__(self, hooks: HookReports, call: Call, tokens: TokenSource | None, priority: Priority) -> None:
        self._hooks = hooks
        self._call = call
        self._tokens = tokens
        self._priority = priority
        self._server = _server("/".join(call.url.split("/", 3)[:3]))

    def begin(self, attempt: int) -> None:
        self._request = RequestEvent(
            method=self._call.method,
            endpoint=self._call.endpoint.path,
            quota_class=self._call.quota_class,
            attempt=attempt,
            priority=self._priority,
            athlete_id=None if self._tokens is None else self._tokens.token.athlete_id,
            server_address=self._server[0],
            server_port=self._server[1],
        )

    def waiting(self, reason: WaitReason) -> AbstractContextManager[None]:
        return _Waiting(self._hooks, self._request, reason)

    def sending(self) -> Sending:
        return _Sending(self._hooks, self._request)

    def retry(self, error: StravaError, seconds: float) -> None:
        self._hooks.retry(RetryEvent(self._request, error, seconds))


class _Timed(AbstractContextManager[None]):
    """A block that is reported at its end, with how long it took and what it raised."""

    def __init__(self, hooks: HookReports) -> None:
        self._hooks = hooks

    def __enter__(self) -> None:
        self._began = self._hooks.clock.monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._report(self._hooks.clock.monotonic() - self._began, error)

    @abstractmethod
    def _report(self, seconds: float, error: BaseException | None) -> None: ...


class _Waiting(_Timed):
    def __init__(self, hooks: HookReports, request: RequestEvent, reason: WaitReason) -> None:
        super().__init__(hooks)
        self._request = request
        self._reason: WaitReason = reason

    def _report(self, seconds: float, error: BaseException | None) -> None:
        if error is not None or seconds >= SHORTEST_WAIT_SECONDS:
            self._hooks.wait(WaitEvent(self._request, self._reason, seconds, error))


class _Refreshing(_Timed):
    def __init__(self, hooks: HookReports, athlete_id: int | None) -> None:
        super().__init__(hooks)
        self._athlete_id = athlete_id

    def _report(self, seconds: float, error: BaseException | None) -> None:
        self._hooks.refresh(RefreshEvent(self._athlete_id, seconds, error))


class _Sending(Sending):
    def __init__(self, hooks: HookReports, request: RequestEvent) -> None:
        self._hooks = hooks
        self._request = request
        self._ended: float | None = None
        self._status_code: int | None = None
        self._body_bytes = 0
        self._error: StravaError | None = None

    def __enter__(self) -> Self:
        self._began = self._hooks.clock.monotonic()
        self._hooks.request(self._request)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        ended = self._hooks.clock.monotonic() if self._ended is None else self._ended
        self._hooks.response(
            ResponseEvent(self._request, self._status_code, error or self._error, ended - self._began, self._body_bytes)
        )

    def replied(self, reply: Reply) -> None:
        self._ended = self._hooks.clock.monotonic()
        self._status_code = reply.status_code
        self._body_bytes = len(reply.body)

    def failed(self, error: StravaError | None) -> None:
        self._error = error


@lru_cache(maxsize=64)
def _server(origin: str) -> tuple[str, int]:
    parts = urlsplit(origin)
    return parts.hostname or "", parts.port or _PORTS[parts.scheme]
