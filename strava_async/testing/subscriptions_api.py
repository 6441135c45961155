"""``/push_subscriptions``: one webhook subscription per application, and the handshake with its callback.

Rules:

- The application proves itself by id and secret; there is no bearer. Nothing is counted to its quota: recorded answers
  of 2018 showed a usage of 0.
- A subscription is made after its callback has answered the handshake, while the caller waits.
- A GET with a body is refused before it gets here, by what stands in front of Strava.

Source:
    https://developers.strava.com/docs/webhooks/; the words of the refusals as practitioners report them.
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
from strava_async.testing.accounts import Accounts, Application
from strava_async.testing.callbacks import Callbacks, ask
from strava_async.testing.gate import application_of
from strava_async.testing.replies import (
    Answer,
    bad_request,
    empty_answer,
    html_answer,
    inactive,
    json_answer,
    not_found,
)
from strava_async.testing.values import required
from strava_async.testing.visit import Visit

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
        accounts: where applications are kept.
        callbacks: reaches the callback; see ``callbacks.ask``.
        answer_seconds: how long the callback has to answer.
    """

    def __init__(self, accounts: Accounts, callbacks: Callbacks, *, answer_seconds: float) -> None:
        self._accounts = accounts
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

    def stands(self, subscription: PushSubscription) -> bool:
        """Say whether a subscription has not been deleted."""
        return self.of(subscription.application_id) is subscription

    async def create(self, visit: Visit) -> Answer:
        """POST /push_subscriptions: asks the callback before it answers."""
        values = await visit.parameters()
        client_id = self._authenticated(values).client_id
        verify_token = required(values, "verify_token", _RESOURCE)
        callback_url = _callback_url(values)
        self._refuse_second(client_id)
        await self._shake_hands(callback_url, verify_token)
        self._refuse_second(client_id)  # another may have been made meanwhile
        made = PushSubscription(next(self._ids), client_id, callback_url, visit.now)
        self._by_application[client_id] = made
        return json_answer({"id": made.id}, 201)

    async def index(self, visit: Visit) -> Answer:
        """GET /push_subscriptions: a list of one, or of none."""
        if await visit.body():
            return html_answer(_REFUSED_AT_THE_EDGE, 403)
        made = self.of(self._authenticated(visit.query).client_id)
        return json_answer([] if made is None else [made.values()])

    async def delete(self, visit: Visit) -> Answer:
        """DELETE /push_subscriptions/{id}: the credentials may come in the body too."""
        client_id = self._authenticated(await visit.parameters()).client_id
        made = self.of(client_id)
        missing = not_found(_RESOURCE)
        if made is None or made.id != visit.number_in_path(missing):
            raise missing
        del self._by_application[client_id]
        return empty_answer(204)

    def _authenticated(self, values: dict[str, str]) -> Application:
        application = application_of(self._accounts, values)
        if not application.active:
            raise inactive()
        return application

    def _refuse_second(self, client_id: int) -> None:
        if client_id in self._by_application:
            raise bad_request(_RESOURCE, "", "already exists")

    async def _shake_hands(self, callback_url: str, verify_token: str) -> None:
        challenge = secrets.token_hex(8)
        query = urlencode({"hub.verify_token": verify_token, "hub.challenge": challenge, "hub.mode": "subscribe"})
        joint = "&" if "?" in callback_url else "?"
        reply = await ask(self._callbacks, "GET", f"{callback_url}{joint}{query}", seconds=self._answer_seconds)
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
