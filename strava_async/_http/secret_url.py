"""URLs with a part that goes to the server and is shown to nobody else. For httpx and httpx2 alike; imports neither.

Strava wants the client secret of some calls in the query, and a URL is shown in many places: httpx logs each one at
INFO and puts it into the repr of a request; hooks, tracing and error reports read it. All of them use its text, while
what sends a request uses ``raw_path`` (httpx's transports) or ``query`` (ASGI). Only these have the whole.
"""

from __future__ import annotations

from functools import cache
from typing import Any


class QuietUrl:
    """What goes before a library's own URL class.

    Attributes:
        whole: the same URL with the quiet part, as one of the library's.
        taken: whether somebody has asked for the whole.
    """

    whole: Any
    taken = False

    @property
    def raw_path(self) -> bytes:
        """Path and query as they are sent."""
        path: bytes = self._take().raw_path
        return path

    @property
    def query(self) -> bytes:
        """The query as it is sent."""
        query: bytes = self._take().query
        return query

    @property
    def params(self) -> Any:
        """The query as it is sent, parsed."""
        return self._take().params

    def _take(self) -> Any:
        self.taken = True
        return self.whole


def quiet_url(url: Any, part: str) -> Any:
    """Return a URL of the same library with ``part`` at the end of its query, and not in its text.

    Copies of it, as ``copy_with`` makes them, lack the part.
    """
    query = url.query.decode("ascii")
    quiet = _class_for(url.__class__)(url)
    quiet.whole = url.copy_with(query=(f"{query}&{part}" if query else part).encode("ascii"))
    return quiet


@cache
def _class_for(url_class: type[Any]) -> type[Any]:
    return type("URL", (QuietUrl, url_class), {})
