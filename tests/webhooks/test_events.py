"""What Strava sends to a callback, as plain values: no loop, no clock, no HTTP."""

import contextlib
import copy
import dataclasses
import hashlib
import hmac
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strava_async import InputError, UnverifiedWebhookError
from strava_async.webhooks import (
    TOLERANCE_SECONDS,
    WebhookEvent,
    challenge_of,
    check_signature,
    parse_event,
)

FIELDS: dict[str, Any] = {
    "object_type": "activity",
    "object_id": 1360128428,
    "aspect_type": "create",
    "owner_id": 134815,
    "subscription_id": 120475,
    "event_time": 1516126040,
    "updates": {},
}
SECRET = "signing sekret"
NOW = 1_767_693_600.0
QUERY = {"hub.mode": "subscribe", "hub.challenge": "15f7d1a91c1f40f8", "hub.verify_token": "STRAVA"}


def body(**changes: Any) -> bytes:
    return json.dumps({**FIELDS, **changes}).encode()


def signed(content: bytes, *, at: float = NOW, secret: str = SECRET) -> str:
    mac = hmac.new(secret.encode(), b"%d.%s" % (at, content), hashlib.sha256)
    return f"t={at:.0f},v1={mac.hexdigest()}"


# -- events -----------------------------------------------------------------------------------------------------------


def test_an_event_is_read() -> None:
    event = parse_event(body(aspect_type="update", updates={"title": "Messy"}))
    assert event == WebhookEvent("activity", 1360128428, "update", 134815, 120475, 1516126040, {"title": "Messy"})


def test_types_that_are_not_known_are_kept() -> None:
    event = parse_event(body(object_type="route", aspect_type="archive", more=[1]))
    assert (event.object_type, event.aspect_type) == ("route", "archive")


def test_ids_may_be_text_and_are_the_same_ids() -> None:
    numbers = {name: value for name, value in FIELDS.items() if isinstance(value, int)}
    assert len(numbers) == 4
    event = parse_event(body(**{name: str(value) for name, value in numbers.items()}))
    assert event == parse_event(body())
    assert event.key == parse_event(body()).key
    assert parse_event(body(object_id=str(2**63 - 1))).object_id == 2**63 - 1


@pytest.mark.parametrize("updates", [None, {}])
def test_updates_may_be_missing(updates: object) -> None:
    assert parse_event(body(updates=updates)).updates == {}
    assert parse_event(json.dumps({k: v for k, v in FIELDS.items() if k != "updates"}).encode()).updates == {}


def test_an_update_that_is_no_text_is_its_json() -> None:
    updates = parse_event(body(updates={"private": True, "n": 5, "x": None, "deep": {"a": [1]}})).updates
    assert updates == {"private": "true", "n": "5", "x": "null", "deep": '{"a": [1]}'}


@pytest.mark.parametrize(
    ("object_type", "aspect_type", "updates", "expected"),
    [
        ("athlete", "update", {"authorized": "false"}, True),
        ("athlete", "update", {"authorized": False}, True),
        ("athlete", "update", {"authorized": "False"}, True),
        ("athlete", "update", {"authorized": "true"}, False),
        ("athlete", "update", {}, False),
        ("athlete", "create", {"authorized": "false"}, False),
        ("activity", "update", {"authorized": "false"}, False),
    ],
)
def test_a_deauthorization_is_known(object_type: str, aspect_type: str, updates: Any, expected: bool) -> None:
    event = parse_event(body(object_type=object_type, aspect_type=aspect_type, updates=updates))
    assert event.is_deauthorization is expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "JSON in UTF-8"),
        (b"{", "JSON in UTF-8"),
        (b"\xff\xfe", "JSON in UTF-8"),
        (b"\xef\xbb\xbf" + body(), "JSON in UTF-8"),
        (body().decode().encode("utf-16"), "JSON in UTF-8"),
        (b"[" * 60_000, "JSON in UTF-8"),
        (b'{"updates":' * 20_000, "JSON in UTF-8"),
        (b'{"object_id":' + b"9" * 5_000 + b"}", "JSON in UTF-8"),
        (b"[]", "a JSON object"),
        (b"null", "a JSON object"),
        (b'"text"', "a JSON object"),
        (body().replace(b"1360128428", b"NaN"), "is not a JSON number"),
        (body(updates={"a": 1}).replace(b": 1}", b": -Infinity}"), "is not a JSON number"),
        (body()[:-1] + b', "owner_id": 1}', "occurs twice"),
        (body(updates={"a": "1"}).replace(b'"a": "1"', b'"a": "1", "a": "2"'), "occurs twice"),
        (body(object_id=True), "object_id"),
        (body(object_id=""), "object_id"),
        (body(object_id="05"), "object_id"),
        (body(object_id="+5"), "object_id"),
        (body(object_id=" 5"), "object_id"),
        (body(object_id="5\n"), "object_id"),
        (body(object_id="1_0"), "object_id"),
        (body(object_id="5.0"), "object_id"),
        (body(object_id="\N{ARABIC-INDIC DIGIT FIVE}"), "object_id"),
        (body(object_id=str(2**63)), "object_id"),
        (body(owner_id="0"), "owner_id"),
        (body(owner_id="-1"), "owner_id"),
        (body(object_id=5.0), "object_id"),
        (body(object_id=0), "object_id"),
        (body(object_id=2**63), "object_id"),
        (body(owner_id=-1), "owner_id"),
        (body(owner_id=None), "owner_id"),
        (body(subscription_id=None), "subscription_id"),
        (body(event_time=False), "event_time"),
        (body(object_type=None), "object_type"),
        (body(object_type=""), "object_type"),
        (body(aspect_type=["create"]), "aspect_type"),
        (body(updates=[]), "updates"),
        (body(updates="title"), "updates"),
    ],
)
def test_what_is_no_event_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        parse_event(content)


def test_a_refusal_repeats_nothing_of_the_body() -> None:
    for content in (b'{"owner_id": "sekret"}', b"sekret", b'{"sekret":1,"sekret":2}', b"\xffsekret"):
        with pytest.raises(InputError) as caught:
            parse_event(content)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        assert "sekret" not in str(caught.value)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_event_or_an_input_error(content: bytes) -> None:
    with contextlib.suppress(InputError):
        parse_event(content)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional={name: JSON_VALUES | st.just(value) for name, value in FIELDS.items()}))
def test_any_object_is_a_whole_event_or_an_input_error(value: dict[str, Any]) -> None:
    try:
        event = parse_event(json.dumps(value).encode())
    except InputError:
        return
    assert len(event.key) == 64
    assert all(isinstance(text, str) for text in event.updates.values())
    assert min(event.object_id, event.owner_id, event.subscription_id, event.event_time) > 0
    assert parse_event(json.dumps(dataclasses.asdict(event)).encode()) == event


def test_half_a_surrogate_pair_does_no_harm() -> None:
    event = parse_event(body(object_type="\ud800", updates={"title": "\udfff"}))
    assert event.object_type == "\ud800"
    assert len(event.key) == 64


def test_an_event_travels() -> None:
    event = parse_event(body(updates={"title": "x"}))
    assert pickle.loads(pickle.dumps(event)) == copy.deepcopy(event) == event
    assert hash(event) == hash(parse_event(body(updates={"title": "x"})))


# -- the key ----------------------------------------------------------------------------------------------------------


def test_a_repeated_event_has_the_same_key_in_every_process() -> None:
    event = parse_event(body(updates={"b": "2", "a": "1"}))
    assert event.key == parse_event(body(updates={"a": "1", "b": "2"})).key
    assert WebhookEvent("activity", 1, "create", 2, 3, 4).key == (
        hashlib.sha256(b'["activity", 1, "create", 4, 2, 3, []]').hexdigest()
    )


@pytest.mark.parametrize("name", FIELDS)
def test_events_that_differ_in_anything_have_different_keys(name: str) -> None:
    other: Any = {"title": "x"} if name == "updates" else FIELDS[name] * 2
    assert parse_event(body(**{name: other})).key != parse_event(body()).key


def test_a_key_does_not_depend_on_where_one_text_ends() -> None:
    first = parse_event(body(updates={"a": "b", "c": "d"}))
    second = parse_event(body(updates={"a": 'b", "c": "d'}))
    assert first.key != second.key


# -- the handshake ----------------------------------------------------------------------------------------------------


def test_the_challenge_is_returned_for_the_right_token() -> None:
    assert challenge_of(QUERY, "STRAVA") == "15f7d1a91c1f40f8"


@pytest.mark.parametrize("token", ["", "STRAV", "STRAVA ", "strava", "ü", "\ud800", None])
def test_another_token_is_unverified(token: str | None) -> None:
    query = {k: v for k, v in {**QUERY, "hub.verify_token": token}.items() if v is not None}
    with pytest.raises(UnverifiedWebhookError, match="verify_token") as caught:
        challenge_of(query, "STRAVA")
    assert caught.value.reason == "token"


def test_a_token_may_be_any_text() -> None:
    assert challenge_of({**QUERY, "hub.verify_token": "schlüssel"}, "schlüssel") == "15f7d1a91c1f40f8"


@pytest.mark.parametrize(
    "changes", [{"hub.mode": "unsubscribe"}, {"hub.mode": ""}, {"hub.challenge": ""}, {"hub.challenge": None}]
)
def test_what_is_no_handshake_is_refused(changes: dict[str, Any]) -> None:
    query = {k: v for k, v in {**QUERY, **changes}.items() if v is not None}
    with pytest.raises(InputError):
        challenge_of(query, "STRAVA")


def test_an_empty_verify_token_lets_nobody_in() -> None:
    with pytest.raises(InputError):
        challenge_of({**QUERY, "hub.verify_token": ""}, "")


# -- the signature ----------------------------------------------------------------------------------------------------


def test_a_right_signature_passes() -> None:
    check_signature(signed(body()), body(), SECRET, now=NOW)
    check_signature(signed(body()), body(), SECRET.encode(), now=NOW)


def test_one_of_several_signatures_has_to_be_right() -> None:
    instant, right = signed(body()).split(",")
    check_signature(f"{instant}, v1={'0' * 64}, {right}, v0=x", body(), SECRET, now=NOW)
    check_signature(f"{right.upper().replace('V1', 'v1')},{instant}", body(), SECRET, now=NOW)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "missing"),
        ("", "malformed"),
        ("v1=00", "malformed"),
        ("t=1767693600", "malformed"),
        ("t=,v1=00", "malformed"),
        ("t=1e9,v1=00", "malformed"),
        ("t=-1,v1=00", "malformed"),
        ("t=١,v1=00", "malformed"),
        ("t=1767693600,t=1767693601,v1=00", "malformed"),
        ("t=" + "9" * 5_000 + ",v1=00", "malformed"),
        ("t=1767693600,v1=", "forged"),
        ("t=1767693600,v1=ü", "forged"),
        (signed(body(), secret="another"), "forged"),
        (signed(b"{}"), "forged"),
        (signed(body()).replace("t=1767693600", "t=1767693601"), "forged"),
        (signed(body(), at=NOW - TOLERANCE_SECONDS - 1), "expired"),
        (signed(body(), at=NOW + TOLERANCE_SECONDS + 1), "expired"),
    ],
)
def test_any_other_signature_is_unverified(header: str | None, reason: str) -> None:
    with pytest.raises(UnverifiedWebhookError) as caught:
        check_signature(header, body(), SECRET, now=NOW)
    assert caught.value.reason == reason
    assert pickle.loads(pickle.dumps(caught.value)).reason == reason


@pytest.mark.parametrize("seconds", [-TOLERANCE_SECONDS, TOLERANCE_SECONDS])
def test_clocks_may_differ_by_the_tolerance(seconds: float) -> None:
    check_signature(signed(body(), at=NOW + seconds), body(), SECRET, now=NOW)
    with pytest.raises(UnverifiedWebhookError):
        check_signature(signed(body(), at=NOW + seconds), body(), SECRET, now=NOW, tolerance_seconds=299)


def test_an_empty_secret_lets_nobody_in() -> None:
    with pytest.raises(InputError):
        check_signature(signed(body(), secret=""), body(), "", now=NOW)


@given(st.text(max_size=100))
def test_any_header_is_checked_without_another_error(header: str) -> None:
    with pytest.raises(UnverifiedWebhookError):
        check_signature(header, b"", SECRET, now=NOW)
