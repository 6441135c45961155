"""A client for an ASGI application in this process, where there is no server."""

from __future__ import annotations

from typing import Any

import httpx


def asgi_client(app: Any, base_url: str, *, raise_app_exceptions: bool = True) -> httpx.AsyncClient:
    """Return an httpx client whose requests are answered by an ASGI application in this process, without a socket.

    Args:
        app: the application.
        base_url: what relative URLs are relative to.
        raise_app_exceptions: False answers 500 where the application raises, as a server does.
    """
    transport = httpx.ASGITransport(app, raise_app_exceptions=raise_app_exceptions)
    return httpx.AsyncClient(transport=transport, base_url=base_url, trust_env=False)
