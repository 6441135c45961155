"""How the emulator reaches the callback of a webhook subscription.

Anything that answers an HTTP request can be one::

    Emulator()                                              # over the network, as Strava does
    Emulator(callbacks={"https://service.test": app})       # an ASGI application in this process
    Emulator(callbacks=answer)                              # async def answer(method, url, content) -> CallbackReply
"""

from __future__ import annotations

import hmac
import math
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

import anyio
from starlette.types import ASGIApp

from strava_async._hidden import Hidden
from strava_async._http import HttpClient, HttpSender
from strava_async._http.asgi import asgi_client
from strava_async._http.connections import httpx_client_for
from strava_async.clock import Clock
from strava_async.errors import StravaError
from strava_async.request.call import Call
from strava_async.request.endpoints import Endpoint, Method
from strava_async.request.outgoing import OutgoingRequest
from strava_async.request.reply import decompressed_reply

ANSWER_SECONDS = 2.0
_JSON = "application/json"


class CallbackReply(NamedTuple):
    """The response of a callback.

    Attributes:
        status_code: the HTTP status.
        body: the bytes, decompressed.
    """

    status_code: int
    body: bytes = b""


class Callbacks(Protocol):
    """Makes the requests that Strava makes to callbacks."""

    async def __call__(self, method: Method, url: str, content: bytes | None) -> CallbackReply:
        """Make one request and return its response; redirects are not followed.

        Args:
            method: GET for the handshake, POST for events.
            url: the absolute URL.
            content: the body, JSON; None for none.

        Raises:
            OSError, StravaError: no response was received.
            UnicodeError: the host name is invalid.
        """
        ...


FieldsOf = Callable[[bytes], Mapping[str, str]]
"""Returns the additional header fields of a request with that body."""


def _no_fields(content: bytes) -> Mapping[str, str]:
    return {}


class NetworkCallbacks:
    """Reaches callbacks over the network.

    Args:
        fields_of: returns the additional header fields of a request with a body.
    """

    def __init__(self, fields_of: FieldsOf = _no_fields) -> None:
        self._fields_of = fields_of

    async def __call__(self, method: Method, url: str, content: bytes | None) -> CallbackReply:
        """See ``Callbacks``."""
        async with self.ready(url) as send:
            return await send(method, url, content)

    @asynccontextmanager
    async def ready(self, url: str) -> AsyncGenerator[Callbacks]:
        """Yield the function that makes requests, after loading what it needs, which takes a while at first."""
        # A client for each request: requests are too rare to keep a connection open.
        async with await httpx_client_for(url) as client:

            async def send(method: Method, url: str, content: bytes | None) -> CallbackReply:
                client.headers.update({} if content is None else self._fields_of(content))
                return await _send(client, method, url, content)

            yield send


class AsgiCallbacks:
    """Reaches callbacks that are ASGI applications in this process.

    Args:
        apps: the applications by origin, such as ``https://service.test``. Requests to other origins fail.
        fields_of: returns the additional header fields of a request with a body.
    """

    def __init__(self, apps: Mapping[str, ASGIApp], fields_of: FieldsOf = _no_fields) -> None:
        self._fields_of = fields_of
        self._apps = {origin.rstrip("/").lower(): app for origin, app in apps.items()}

    async def __call__(self, method: Method, url: str, content: bytes | None) -> CallbackReply:
        """See ``Callbacks``."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        if origin not in self._apps:
            raise ConnectionRefusedError(f"no application at {origin}")
        # Of an application that raises, Strava sees a 500.
        async with asgi_client(self._apps[origin], origin, raise_app_exceptions=False) as client:
            client.headers.update({} if content is None else self._fields_of(content))
            return await _send(client, method, url, content)


def signature_of(secret: str, clock: Clock) -> FieldsOf:
    """Return a function that signs a body in a header field, as users report of Strava; its key is not known."""

    def fields_of(content: bytes) -> Mapping[str, str]:
        at = int(clock.time())
        digest = hmac.new(secret.encode(), b"%d.%b" % (at, content), "sha256").hexdigest()
        return {"X-Strava-Signature": f"t={at},v1={digest}"}

    return fields_of


def callbacks_from(
    callbacks: Callbacks | Mapping[str, ASGIApp] | None, signing_secret: str | None, clock: Clock
) -> Callbacks:
    """Return the ``Callbacks`` for the argument of ``Emulator``."""
    fields_of = _no_fields if signing_secret is None else signature_of(signing_secret, clock)
    if callbacks is None:
        return NetworkCallbacks(fields_of)
    if isinstance(callbacks, Mapping):
        return AsgiCallbacks(callbacks, fields_of)
    if signing_secret is not None:
        raise ValueError("a callback function receives no header fields: leave out the signing_secret")
    return callbacks


async def call_callback(
    callbacks: Callbacks, method: Method, url: str, content: bytes | None = None, *, seconds: float = ANSWER_SECONDS
) -> CallbackReply | None:
    """Return the response of a callback; None if there is none in time.

    Args:
        callbacks: makes the request.
        method: see ``Callbacks``.
        url: see ``Callbacks``.
        content: see ``Callbacks``.
        seconds: how long it may take, once everything is loaded here. Real seconds, whatever the emulator's clock
            shows: a network, a thread or an application takes real time, and a clock that jumps would end it at once.
    """
    try:
        async with callbacks.ready(url) if isinstance(callbacks, NetworkCallbacks) else nullcontext(callbacks) as send:
            with anyio.move_on_after(seconds):
                return await send(method, url, content)
    except (OSError, StravaError, UnicodeError):
        pass
    return None


async def _send(client: HttpClient, method: Method, url: str, content: bytes | None) -> CallbackReply:
    # The query of a handshake holds the verify_token, which belongs in no log.
    address, _, query = url.partition("?")
    quiet = Hidden(query) if query else None
    content_type = None if content is None else _JSON
    endpoint = Endpoint(method, urlsplit(url).path, quota_class=None)
    call = Call(method, address, endpoint.path, endpoint, content, content_type, secret_query=quiet)
    outgoing = OutgoingRequest(call, None, math.inf)  # ``call_callback`` says how long
    reply = decompressed_reply(await HttpSender(client).send(outgoing))
    return CallbackReply(reply.status_code, reply.body)
