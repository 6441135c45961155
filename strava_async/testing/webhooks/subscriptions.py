"""``/push_subscriptions``: one webhook subscription per application, and the handshake with its callback.

Rules:

- The application authenticates with its id and secret; there is no bearer. No quota is spent: recorded answers
  of 2018 showed a usage of 0.
- A subscription is made after its callback has answered the handshake, while the caller waits.
- Strava's edge refuses a GET with a body, before it reaches this endpoint.

Source:
    https://developers.strava.com/docs/webhooks/; the error texts as users report them.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any
from urllib.parse import urlencode, urlsplit

from strava_async._types import is_object
from strava_async.testing.callbacks import Callbacks, call_callback
from strava_async.testing.http.access import application_of
from strava_async.testing.http.parameters import required
from strava_async.testing.http.request import EmulatorRequest
from strava_async.testing.http.responses import (
    Response,
    bad_request,
    empty_response,
    html_response,
    inactive,
    json_response,
    not_found,
)
from strava_async.testing.state.grants import Application, GrantRegistry

FIRST_SUBSCRIPTION_ID = 120_000
_URL_CHARACTERS = 255
_RESOURCE = "PushSubscription"
_REFUSED_AT_THE_EDGE = "<!DOCTYPE html><html><body><h1>403 ERROR</h1>The request could not be satisfied.</body></html>"


@dataclass(frozen=True, slots=True)
class PushSubscription:
    """A webhook subscription.

    Attributes:
        id: its id.
        application_id: the client id of its application.
        callback_url: where events go, as it was registered.
        created_at: Unix seconds.
    """

    id: int
    application_id: int
    callback_url: str
    created_at: float

    def values(self) -> dict[str, Any]:
        """Return what Strava shows of it; the instant has nine digits after the second."""
        second = datetime.fromtimestamp(int(self.created_at), UTC)
        return {
            "id": self.id,
            "resource_state": 2,
            "application_id": self.application_id,
            "callback_url": self.callback_url,
            "created_at": f"{second:%Y-%m-%dT%H:%M:%S}.{int(self.created_at % 1 * 1e9):09d}Z",
        }


class SubscriptionsApi:
    """The endpoints of webhook subscriptions.

    Args:
        registry: stores the applications.
        callbacks: reaches the callback; see ``callbacks.call_callback``.
        answer_seconds: how long the callback has to answer.
    """

    def __init__(self, registry: GrantRegistry, callbacks: Callbacks, *, answer_seconds: float) -> None:
        self._registry = registry
        self._callbacks = callbacks
        self._answer_seconds = answer_seconds
        self._ids = count(FIRST_SUBSCRIPTION_ID)
        self._by_application: dict[int, PushSubscription] = {}

    def of(self, client_id: int) -> PushSubscription | None:
        """Return the subscription of an application; None if it has none."""
        return self._by_application.get(client_id)

    def all(self) -> list[PushSubscription]:
        """Return the subscriptions of all applications."""
        return list(self._by_application.values())

    def is_current(self, subscription: PushSubscription) -> bool:
        """Return whether a subscription still exists."""
        return self.of(subscription.application_id) is subscription

    async def create(self, request: EmulatorRequest) -> Response:
        """POST /push_subscriptions: asks the callback before it answers."""
        values = await request.parameters()
        client_id = self._authenticated(values).client_id
        verify_token = required(values, "verify_token", _RESOURCE)
        callback_url = _callback_url(values)
        self._refuse_second(client_id)
        await self._verify_callback(callback_url, verify_token)
        self._refuse_second(client_id)  # another may have been made meanwhile
        made = PushSubscription(next(self._ids), client_id, callback_url, request.now)
        self._by_application[client_id] = made
        return json_response({"id": made.id}, 201)

    async def index(self, request: EmulatorRequest) -> Response:
        """GET /push_subscriptions: a list of one, or of none."""
        if await request.body():
            return html_response(_REFUSED_AT_THE_EDGE, 403)
        made = self.of(self._authenticated(request.query).client_id)
        return json_response([] if made is None else [made.values()])

    async def delete(self, request: EmulatorRequest) -> Response:
        """DELETE /push_subscriptions/{id}: the credentials may come in the body too."""
        client_id = self._authenticated(await request.parameters()).client_id
        made = self.of(client_id)
        missing = not_found(_RESOURCE)
        if made is None or made.id != request.number_in_path(missing):
            raise missing
        del self._by_application[client_id]
        return empty_response(204)

    def _authenticated(self, values: dict[str, str]) -> Application:
        application = application_of(self._registry, values)
        if not application.active:
            raise inactive()
        return application

    def _refuse_second(self, client_id: int) -> None:
        if client_id in self._by_application:
            raise bad_request(_RESOURCE, "", "already exists")

    async def _verify_callback(self, callback_url: str, verify_token: str) -> None:
        challenge = secrets.token_hex(8)
        query = urlencode({"hub.verify_token": verify_token, "hub.challenge": challenge, "hub.mode": "subscribe"})
        joint = "&" if "?" in callback_url else "?"
        reply = await call_callback(
            self._callbacks, "GET", f"{callback_url}{joint}{query}", seconds=self._answer_seconds
        )
        if reply is not None and reply.status_code != 200:
            raise bad_request(_RESOURCE, "callback url", "GET to callback URL does not return 200")
        if reply is None or not _echoes(reply.body, challenge):
            raise bad_request(_RESOURCE, "callback url", "not verifiable")


def _callback_url(values: dict[str, str]) -> str:
    url = required(values, "callback_url", _RESOURCE)
    try:
        parts = urlsplit(url)
        absolute = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        absolute = False
    if not absolute or len(url) > _URL_CHARACTERS:
        raise bad_request(_RESOURCE, "callback url")
    return url


def _echoes(body: bytes, challenge: str) -> bool:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return is_object(value) and value.get("hub.challenge") == challenge
