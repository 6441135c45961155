"""The webhook subscription of an application: where Strava sends its events to.

An application has one subscription or none. It is managed with the application's credentials; no athlete's token goes
along.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from strava_async._hidden import hidden
from strava_async._types import is_list, is_object
from strava_async.errors import BadRequestError, DecodeError, InputError, InvalidClientError, UnauthorizedError
from strava_async.oauth.credentials import check_client_id, check_secret, check_text
from strava_async.protocol import ApiV3

MAX_URL_CHARACTERS = 255
_PATH = "/push_subscriptions"
# An unknown id, and a wrong secret, as the token endpoint was seen to refuse them.
_CREDENTIALS_REFUSED = {("Application", "client_id"), ("Application", "")}


@dataclass(frozen=True, slots=True)
class Subscription:
    """A webhook subscription, as far as Strava told of it.

    Attributes:
        id: its id; events carry it as ``subscription_id``.
        application_id: the application's id; None if not told.
        callback_url: where events go; None if not told, as in the answer to ``subscribe``.
        created_at: since when; with a time zone. None if not told.
        resource_state: how much of it was told, by Strava's measure; None if not told.
    """

    id: int
    application_id: int | None = None
    callback_url: str | None = None
    created_at: datetime | None = None
    resource_state: int | None = None


class Webhooks:
    """The webhook subscription of one application; ``Strava.webhooks``.

    Each call costs one request of the read class, and waits for it if need be. Whether Strava counts them is not known:
    recorded answers of 2018 came with a usage of 0. If it does not, one unit is left over until the next answer tells.
    The other way round, other calls would run into the limit.

    The client secret travels in the query where Strava wants it there, and shows in no log or URL. An ``http_client``
    whose transport takes URLs as text, as httpx-aiohttp's does, cannot keep it so: with such a one ``view`` and
    ``unsubscribe`` raise InputError.

    Args:
        api: makes the requests; it has no token.
        client_id: the application's id.
        client_secret: the application's secret.

    Source:
        https://developers.strava.com/docs/webhooks/
    """

    def __init__(self, api: ApiV3, client_id: int | str, client_secret: str) -> None:
        secret = hidden(client_secret)
        del client_secret
        self._api = api
        check_client_id(client_id)
        self._credentials: dict[str, Any] = {"client_id": client_id, "client_secret": check_secret(secret)}

    async def subscribe(self, callback_url: str, verify_token: str) -> Subscription:
        """Subscribe to the events of all athletes of the application.

        Strava asks the callback **before it answers**: ``GET callback_url?hub.mode=subscribe&hub.challenge=…&
        hub.verify_token=…``, which has to be answered within 2 s with 200 and ``{"hub.challenge": "<the same>"}``. So
        the server there must be running, and must not wait for this call.

        The request is not sent again once it may have reached Strava: after an error that leaves its fate open, ask
        ``view``.

        Args:
            callback_url: absolute, http or https, at most 255 characters. It is registered as it is.
            verify_token: a text of your choice, without white space around it; the callback compares it, to know that
                the question is this one.

        Returns:
            the subscription; often Strava tells the id alone.

        Raises:
            InputError: the URL or the text cannot be used; nothing was sent.
            BadRequestError: the callback did not answer as it should (``errors`` names ``callback url``), or there is
                a subscription (``already exists``); one has to be deleted before another is made.
            InvalidClientError: the client id or secret is wrong.
            TransportError, ServerError: no usable answer came; the subscription may have been made.
            StravaError: as in ``ApiV3.post``.
        """
        secret = hidden(verify_token)
        del verify_token
        _check_callback(callback_url)
        check_text(secret, "the verify_token")
        with _explaining_refusals():
            answer = await self._api.post(_PATH, callback_url=callback_url, verify_token=secret, **self._credentials)
        return _subscription(answer)

    async def view(self) -> list[Subscription]:
        """Return the subscription of the application: a list of one, or an empty one.

        Raises:
            InvalidClientError: the client id or secret is wrong.
            DecodeError: the answer is not the documented list.
            StravaError: as in ``ApiV3.get``.
        """
        with _explaining_refusals():
            answer = await self._api.get(_PATH, **self._credentials)
        if not is_list(answer):
            raise DecodeError("the subscriptions are no list", path=_PATH)
        return [_subscription(entry) for entry in answer]

    async def unsubscribe(self, subscription_id: int) -> None:
        """Delete the subscription. Events that are under way may still arrive.

        Args:
            subscription_id: its ``id``.

        Raises:
            InputError: that is no id.
            NotFoundError: the application has no such subscription. After more than one of its ``attempts``, it may
                have been the first that deleted it.
            InvalidClientError: the client id or secret is wrong.
            StravaError: as in ``ApiV3.delete``.
        """
        if type(subscription_id) is not int or subscription_id <= 0:
            raise InputError(f"no subscription has the id {subscription_id!r}")
        with _explaining_refusals():
            await self._api.delete(f"{_PATH}/{subscription_id}", **self._credentials)


def _check_callback(url: str) -> None:
    if len(url) > MAX_URL_CHARACTERS:
        raise InputError(f"the callback_url has {len(url)} characters; Strava takes {MAX_URL_CHARACTERS}")
    try:
        parts = urlsplit(url)
        absolute = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        absolute = False
    if not absolute:
        raise InputError("the callback_url is not an absolute http or https URL")


@contextmanager
def _explaining_refusals() -> Generator[None, None, None]:
    """Raise InvalidClientError where the refusal is about the credentials."""
    try:
        yield
    except (BadRequestError, UnauthorizedError) as error:
        about = {(detail.get("resource"), detail.get("field")) for detail in error.errors}
        if about.isdisjoint(_CREDENTIALS_REFUSED):
            raise
        message = "Strava does not accept the client id or the client secret"
        raise InvalidClientError(message, errors=error.errors) from error


def _subscription(value: Any) -> Subscription:
    if not is_object(value) or type(value.get("id")) is not int:
        raise DecodeError("a subscription has no id", path=_PATH)
    callback_url = value.get("callback_url")
    return Subscription(
        id=value["id"],
        application_id=_integer(value.get("application_id")),
        callback_url=callback_url if isinstance(callback_url, str) else None,
        created_at=_instant(value.get("created_at")),
        resource_state=_integer(value.get("resource_state")),
    )


def _integer(value: Any) -> int | None:
    return value if type(value) is int else None


def _instant(value: Any) -> datetime | None:
    """Return an ISO 8601 instant to the microsecond; without a zone it is UTC. None if it is none."""
    try:
        instant = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
