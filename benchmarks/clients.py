"""The clients that are compared. Each is a way to get the decoded value of a path.

A bare client does what a user of the HTTP library writes: a token among the client's fields, ``raise_for_status``, the
body decoded once, by orjson where it is installed. It has the library's own settings.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

Get = Callable[..., Awaitable[Any]]  # (path, **params)

BARE = {
    "httpx": ("httpx", "AsyncClient"),
    "httpx2": ("httpx2", "AsyncClient"),
}
KINDS = (*BARE, "aiohttp", "api", "api-httpx2")


@asynccontextmanager
async def open_client(kind: str, url: str, token: str, limiter: Any = None) -> AsyncIterator[Get]:
    """Open a client of a kind.

    Args:
        kind: one of ``KINDS``; ``api`` is ``ApiV3`` over the HTTP client that it makes for itself.
        url: the base of the API.
        token: the bearer.
        limiter: for ``ApiV3``: to be shared.
    """
    if kind == "api":
        async with import_module("strava_async").ApiV3(token, None, limiter, api_url=url) as api:
            yield api.get
    elif kind == "api-httpx2":
        async with import_module("httpx2").AsyncClient() as client:
            yield import_module("strava_async").ApiV3(token, client, limiter, api_url=url).get
    elif kind == "aiohttp":
        async with import_module("aiohttp").ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
            yield _over_aiohttp(session, url, _decoder())
    else:
        module, name = BARE[kind]
        client_type = getattr(import_module(module), name)
        async with client_type(headers={"Authorization": f"Bearer {token}"}) as client:
            yield _bare(client, url, _decoder())


def _bare(client: Any, url: str, decode: Callable[[bytes], Any]) -> Get:
    async def get(path: str, **params: Any) -> Any:
        response = await client.get(f"{url}{path}", params=params or None)
        return decode(response.raise_for_status().content)

    return get


def _over_aiohttp(session: Any, url: str, decode: Callable[[bytes], Any]) -> Get:
    async def get(path: str, **params: Any) -> Any:
        async with session.get(f"{url}{path}", params=params or None) as response:
            response.raise_for_status()
            return decode(await response.read())

    return get


def _decoder() -> Callable[[bytes], Any]:
    try:
        loads: Callable[[bytes], Any] = import_module("orjson").loads
    except ImportError:
        return json.loads
    return loads
