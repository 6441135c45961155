"""What is used of a caller's HTTP client."""

from __future__ import annotations

from typing import Any, Protocol


class HttpClient(Protocol):
    """What is used of an ``httpx.AsyncClient``, or an ``httpx2.AsyncClient``."""

    @property
    def is_closed(self) -> bool:
        """Whether ``aclose`` was called."""
        ...

    def build_request(self, method: str, url: str, *, content: Any, headers: Any, extensions: Any) -> Any:
        """Return a request with the client's own settings merged in."""
        ...

    async def send(self, request: Any, *, stream: bool, auth: Any, follow_redirects: bool) -> Any:
        """Return the response as soon as its fields are there."""
        ...

    async def aclose(self) -> None:
        """Close the pool."""
        ...
