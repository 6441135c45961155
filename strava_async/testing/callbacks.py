"""How the emulator reaches the callback of a webhook subscription.

Whatever can answer an HTTP request will do::

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
from strava_async.request.call import Call, Method
from strava_async.request.reply import opened_reply

ANSWER_SECONDS = 2.0
_JSON = "application/json"


class CallbackReply(NamedTuple):
    """What a callback answers.

    Attributes:
        status_code: the HTTP status.
        body: the bytes, unpacked.
    """

    status_code: int
    body: bytes = b""


class Callbacks(Protocol):
    """Makes the requests that Strava makes to callbacks."""

    async def __call__(self, method: Method, url: str, content: bytes | None) -> CallbackReply:
        """Make one request and return its answer; a redirect is one, and not followed.

        Args:
            method: GET for the handshake, POST for events.
            url: the whole address.
            content: the body, JSON; None for none.

        Raises:
            OSError, StravaError: there is no answer.
            UnicodeError: there can be none, because the host name is not one.
        """
        ...


FieldsOf = Callable[[bytes], Mapping[str, str]]
"""Gives the further header fields of a request with that body."""


def _no_fields(content: bytes) -> Mapping[str, str]:
    return {}


class NetworkCallbacks:
    """Reaches callbacks over the network.

    Args:
        fields_of: gives further header fields of a request with a body.
    """

    def __init__(self, fields_of: FieldsOf = _no_fields) -> None:
        self._fields_of = fields_of

    async def __call__(self, method: Method, url: str, content: bytes | None) -> CallbackReply:
        """See ``Callbacks``."""
        async with self.ready(url) as send:
            return await send(method, url, content)

    @asynccontextmanager
    async def ready(self, url: str) -> AsyncGenerator[Callbacks]:
        """Hand over what makes a request there, with all loaded that it needs: the first time that takes a while."""
        # A connection of its own for each: what asks so rarely has nothing to keep, and nothing to close.
        async with await httpx_client_for(url) as client:

            async def send(method: Method, url: str, content: bytes | None) -> CallbackReply:
                client.headers.update({} if content is None else self._fields_of(content))
                return await _send(client, method, url, content)

            yield send


class AsgiCallbacks:
    """Reaches callbacks that are ASGI applications in this process.

    Args:
        apps: the applications by origin, such as ``https://service.test``. Nobody answers at other origins.
        fields_of: gives further header fields of a request with a body.
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
    """Return what signs a body in a header field, as some have seen Strava do; its key is not known."""

    def fields_of(content: bytes) -> Mapping[str, str]:
        at = int(clock.time())
        digest = hmac.new(secret.encode(), b"%d.%b" % (at, content), "sha256").hexdigest()
        return {"X-Strava-Signature": f"t={at},v1={digest}"}

    return fields_of


def reaching(
    callbacks: Callbacks | Mapping[str, ASGIApp] | None, signing_secret: str | None, clock: Clock
) -> Callbacks:
    """Return what reaches the callbacks that an emulator was given."""
    fields_of = _no_fields if signing_secret is None else signature_of(signing_secret, clock)
    if callbacks is None:
        return NetworkCallbacks(fields_of)
    if isinstance(callbacks, Mapping):
        return AsgiCallbacks(callbacks, fields_of)
    if signing_secret is not None:
        raise ValueError("callbacks that are a function are given no header fields: leave out the signing_secret")
    return callbacks


async def ask(
    callbacks: Callbacks, method: Method, url: str, content: bytes | None = None, *, seconds: float = ANSWER_SECONDS
) -> CallbackReply | None:
    """Return what a callback answers; None if it does not, or not in time.

    Args:
        callbacks: makes the request.
        method: see ``Callbacks``.
        url: see ``Callbacks``.
        content: see ``Callbacks``.
        seconds: how long it may take, from when all is loaded here that it needs. They are real ones whatever the
            emulator's clock shows: the time that a network, a thread or an application takes is real, and a clock that
            jumps would end it at once.
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
    call = Call(method, address, urlsplit(url).path, None, content, content_type, secret_query=quiet)
    reply = opened_reply(await HttpSender(client).send(call, None, math.inf))  # ``ask`` says how long
    return CallbackReply(reply.status_code, reply.body)
