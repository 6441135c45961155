"""The reports of an exchange, told to hooks."""

from __future__ import annotations

import re
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
from strava_async.request.endpoints import endpoint_of
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
    in_turn,
)
from strava_async.tokens.source import TokenSource

SHORTEST_WAIT_SECONDS = 0.001
_PORTS = {"http": 80, "https": 443}


class HookReports(Reports):
    """Makes the report of each call.

    Args:
        hooks: are told; none of them can break a call.
        clock: measures.
    """

    def __init__(self, hooks: Hooks, clock: Clock) -> None:
        self.clock = clock
        self.request = in_turn(hooks.request)
        self.response = in_turn(hooks.response)
        self.wait = in_turn(hooks.wait)
        self.retry = in_turn(hooks.retry)
        self.refresh = in_turn(hooks.refresh)

    def of(self, call: Call, tokens: TokenSource | None, priority: Priority) -> Report:
        """Return what the call tells on its way."""
        return _CallReport(self, call, tokens, priority)

    def refreshing(self, athlete_id: int | None) -> AbstractContextManager[None]:
        """Return a block around a renewal of tokens, at whose end it is told."""
        return _Refreshing(self, athlete_id)


class _CallReport(Report):
    def __init__(self, to: HookReports, call: Call, tokens: TokenSource | None, priority: Priority) -> None:
        self._to = to
        self._call = call
        self._tokens = tokens
        self._priority = priority
        self._endpoint = endpoint_name(call.method, call.path)
        self._server = _server("/".join(call.url.split("/", 3)[:3]))

    def begin(self, attempt: int) -> None:
        self._request = RequestEvent(
            method=self._call.method,
            endpoint=self._endpoint,
            quota_class=self._call.quota_class,
            attempt=attempt,
            priority=self._priority,
            athlete_id=None if self._tokens is None else self._tokens.token.athlete_id,
            server_address=self._server[0],
            server_port=self._server[1],
        )

    def waiting(self, reason: WaitReason) -> AbstractContextManager[None]:
        return _Waiting(self._to, self._request, reason)

    def sending(self) -> Sending:
        return _Sending(self._to, self._request)

    def retry(self, error: StravaError, seconds: float) -> None:
        self._to.retry(RetryEvent(self._request, error, seconds))


class _Timed(AbstractContextManager[None]):
    """A block that is told of at its end, with how long it took and what it raised."""

    def __init__(self, to: HookReports) -> None:
        self._to = to

    def __enter__(self) -> None:
        self._began = self._to.clock.monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._tell(self._to.clock.monotonic() - self._began, error)

    @abstractmethod
    def _tell(self, seconds: float, error: BaseException | None) -> None: ...


class _Waiting(_Timed):
    def __init__(self, to: HookReports, request: RequestEvent, reason: WaitReason) -> None:
        super().__init__(to)
        self._request = request
        self._reason: WaitReason = reason

    def _tell(self, seconds: float, error: BaseException | None) -> None:
        if error is not None or seconds >= SHORTEST_WAIT_SECONDS:
            self._to.wait(WaitEvent(self._request, self._reason, seconds, error))


class _Refreshing(_Timed):
    def __init__(self, to: HookReports, athlete_id: int | None) -> None:
        super().__init__(to)
        self._athlete_id = athlete_id

    def _tell(self, seconds: float, error: BaseException | None) -> None:
        self._to.refresh(RefreshEvent(self._athlete_id, seconds, error))


class _Sending(Sending):
    def __init__(self, to: HookReports, request: RequestEvent) -> None:
        self._to = to
        self._request = request
        self._ended: float | None = None
        self._status_code: int | None = None
        self._body_bytes = 0
        self._error: StravaError | None = None

    def __enter__(self) -> Self:
        self._began = self._to.clock.monotonic()
        self._to.request(self._request)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        ended = self._to.clock.monotonic() if self._ended is None else self._ended
        self._to.response(
            ResponseEvent(self._request, self._status_code, error or self._error, ended - self._began, self._body_bytes)
        )

    def replied(self, reply: Reply) -> None:
        self._ended = self._to.clock.monotonic()
        self._status_code = reply.status_code
        self._body_bytes = len(reply.body)

    def failed(self, error: StravaError | None) -> None:
        self._error = error


def endpoint_name(method: str, path: str) -> str:
    """Return the endpoint that a path leads to, so that many paths make few names; see ``RequestEvent``."""
    # Clubs have names in place of numbers too.
    known = endpoint_of(method, path) or endpoint_of(method, re.sub(r"^(/[^/]+)/[^/]+", r"\1/{id}", path))
    if known is not None:
        return known.path
    return "/".join("{id}" if re.search("[0-9]", segment) else segment for segment in path.split("/"))


@lru_cache(maxsize=64)
def _server(origin: str) -> tuple[str, int]:
    parts = urlsplit(origin)
    return parts.hostname or "", parts.port or _PORTS[parts.scheme]
