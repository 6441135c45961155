"""The requests of Strava to the callback of a webhook subscription: handshake and events, as plain values.

Rules:

- An event is a hint, and anybody can send one. Check it with Strava, with the athlete's tokens; for the end of a grant
  see ``Strava.forget_if_revoked``.
- Two events are the same if all their fields are the same: Strava repeats an event unchanged if no answer comes in
  time. Two changes of one activity in the same second differ in ``updates``.
- Unknown object types, aspect types and ``updates`` are kept as they came. Ids are positive and fit in 64 bits; they
  may be written as text, and are the same ids then. An object with a repeated name is rejected: parsers differ on which
  of the two counts.

Source:
    https://developers.strava.com/docs/webhooks/
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from strava_async._hidden import Hidden, hidden
from strava_async._types import bytes_of, is_object
from strava_async.errors import InputError, UnverifiedWebhookError
from strava_async.oauth.credentials import check_text

TOLERANCE_SECONDS = 300.0

_MAX_INTEGER = 2**63 - 1
_INSTANT = re.compile(r"[0-9]{1,12}")
_DIGITS = re.compile(r"[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """A change to an object of a connected athlete.

    Attributes:
        object_type: ``activity`` or ``athlete``.
        object_id: the activity's or the athlete's id.
        aspect_type: ``create``, ``update`` or ``delete``. With ``activity:read`` alone, an activity that goes private
            looks deleted, and one that goes public created.
        owner_id: the athlete's id.
        subscription_id: the subscription that it was sent for.
        event_time: when it happened; Unix seconds.
        updates: what was changed, by name: ``title``, ``type``, ``private``, ``authorized``. A value that is not a
            text is encoded as JSON.
    """

    object_type: str
    object_id: int
    aspect_type: str
    owner_id: int
    subscription_id: int
    event_time: int
    updates: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)

    @property
    def key(self) -> str:
        """A key that identifies this event: 64 characters, the same in every process; it reveals nothing."""
        fields = [self.object_type, self.object_id, self.aspect_type, self.event_time, self.owner_id]
        text = json.dumps([*fields, self.subscription_id, sorted(self.updates.items())])
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    @property
    def is_deauthorization(self) -> bool:
        """Whether it says that the athlete removed the application. It may be false; see the rules."""
        is_update = (self.object_type, self.aspect_type) == ("athlete", "update")
        return is_update and self.updates.get("authorized", "").lower() == "false"


def parse_event(body: bytes) -> WebhookEvent:
    """Return the event in the body of a POST to the callback.

    Args:
        body: JSON in UTF-8, as received.

    Raises:
        InputError: it is not an event. The message says why, and repeats nothing of it.
    """
    value = _decoded(body)
    if not is_object(value):
        raise InputError("a webhook event has to be a JSON object")
    return WebhookEvent(
        object_type=_name(value, "object_type"),
        object_id=_integer(value, "object_id"),
        aspect_type=_name(value, "aspect_type"),
        owner_id=_integer(value, "owner_id"),
        subscription_id=_integer(value, "subscription_id"),
        event_time=_integer(value, "event_time"),
        updates=_updates(value.get("updates")),
    )


def challenge_of(query: Mapping[str, str], verify_token: str | Hidden[str]) -> str:
    """Return the challenge of a handshake, to be answered within 2 s by 200 and ``{"hub.challenge": "<challenge>"}``.

    Args:
        query: the parameters of the GET.
        verify_token: the argument of ``strava.webhooks.subscribe``; compared in constant time.

    Raises:
        UnverifiedWebhookError: the token differs.
        InputError: it is not a handshake, or ``verify_token`` is empty or has white space around it.
    """
    received, expected = Hidden(query), hidden(verify_token)
    del query, verify_token
    check_text(expected, "the verify_token")
    if received.reveal().get("hub.mode") != "subscribe":
        raise InputError("a handshake needs the hub.mode subscribe")
    if not hmac.compare_digest(bytes_of(received.reveal().get("hub.verify_token", "")), bytes_of(expected.reveal())):
        raise UnverifiedWebhookError("token")
    challenge = received.reveal().get("hub.challenge")
    if not challenge:
        raise InputError("a handshake needs a hub.challenge")
    return challenge


def check_signing_secret(secret: str | bytes | Hidden[str | bytes]) -> Hidden[str | bytes]:
    """Raise InputError if it is empty, or a text with white space around it; bytes may be any. Return it hidden."""
    given: Hidden[str | bytes] = hidden(secret)
    del secret
    if isinstance(given.reveal(), str):
        check_text(given, "the signing_secret")
    elif not given.reveal():
        raise InputError("the signing_secret is empty")
    return given


def check_signature(
    header: str | None,
    body: bytes,
    secret: str | bytes | Hidden[str | bytes],
    *,
    now: float,
    tolerance_seconds: float = TOLERANCE_SECONDS,
) -> None:
    """Check the ``X-Strava-Signature`` of an event: ``t=<Unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">``.

    Strava documents neither the field nor its key. It may hold several ``v1``; one of them has to be valid.

    Args:
        header: the field's value; None if there is none.
        body: as received.
        secret: the key.
        now: Unix time.
        tolerance_seconds: how far from now ``t`` may be, either way.

    Raises:
        UnverifiedWebhookError: it is missing, malformed, forged or expired.
        InputError: the secret is empty, or a text with white space around it.
    """
    key: Hidden[str | bytes] = hidden(secret)
    del secret
    check_signing_secret(key)
    if header is None:
        raise UnverifiedWebhookError("missing")
    instant, signatures = _signature(header)
    signed = b"%s.%s" % (instant.encode("ascii"), body)
    # Hidden: a traceback that showed it would show a valid signature of the forged event.
    expected = Hidden(hmac.digest(bytes_of(key.reveal()), signed, "sha256").hex().encode("ascii"))
    if not any(hmac.compare_digest(bytes_of(signature.lower()), expected.reveal()) for signature in signatures):
        raise UnverifiedWebhookError("forged")
    if abs(now - int(instant)) > tolerance_seconds:
        raise UnverifiedWebhookError("expired")


def _signature(header: str) -> tuple[str, list[str]]:
    pairs = [part.strip().partition("=") for part in header.split(",")]
    instants = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v1"]
    if len(instants) != 1 or not _INSTANT.fullmatch(instants[0]) or not signatures:
        raise UnverifiedWebhookError("malformed")
    return instants[0], signatures


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except InputError:
        raise
    except (ValueError, RecursionError):  # its cause would show the body
        raise InputError("a webhook event has to be JSON in UTF-8, not deeply nested, without huge numbers") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise InputError("a name occurs twice in an object of the webhook event")
    return value


def _no_constant(name: str) -> NoReturn:
    raise InputError("a number of the webhook event is not a JSON number")


def _name(value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str) or not text:
        raise InputError(f"the {name} of a webhook event has to be a text")
    return text


def _integer(value: Mapping[str, Any], name: str) -> int:
    number: object = value.get(name)
    if isinstance(number, str) and _DIGITS.fullmatch(number):
        number = int(number)
    if type(number) is not int or not 0 < number <= _MAX_INTEGER:  # True is an int to Python
        raise InputError(f"the {name} of a webhook event has to be a positive integer of 64 bits")
    return number


def _updates(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not is_object(value):
        raise InputError("the updates of a webhook event have to be an object")
    return {name: text if isinstance(text, str) else json.dumps(text) for name, text in value.items()}
