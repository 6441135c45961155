"""Which handler answers which method and path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from strava_async.testing.http.request import EmulatorRequest
from strava_async.testing.http.responses import Response

Handler = Callable[[EmulatorRequest], Awaitable[Response]]


class RouteTable:
    """Handlers by method and path. ``{}`` in a pattern stands for one segment."""

    def __init__(self) -> None:
        self._patterns: dict[tuple[str, int], list[tuple[list[str], Handler]]] = {}

    def add(self, method: str, pattern: str, handler: Handler) -> None:
        """Add a route; of two that fit, the one added first answers."""
        segments = pattern.split("/")
        self._patterns.setdefault((method, len(segments)), []).append((segments, handler))

    def find(self, method: str, path: str) -> tuple[Handler, tuple[str, ...]] | None:
        """Return the handler, and the segments in the places of ``{}``."""
        segments = path.split("/")
        for pattern, handler in self._patterns.get((method, len(segments)), ()):
            if all(place in ("{}", segment) for place, segment in zip(pattern, segments, strict=True)):
                return handler, tuple(s for place, s in zip(pattern, segments, strict=True) if place == "{}")
        return None
