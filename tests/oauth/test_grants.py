"""Scopes, the authorization URL, redirects, token answers."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strava_async.errors import (
    AuthorizationDeniedError,
    DecodeError,
    InputError,
    InvalidClientError,
    InvalidGrantError,
    MissingScopeError,
)
from strava_async.oauth import grants, redirect, scopes
from strava_async.oauth.grants import AccessInfo
from strava_async.oauth.redirect import parse_redirect, redirect_state
from strava_async.oauth.scopes import Scope, lacks_scope
from strava_async.oauth.token_set import TokenSet
from strava_async.stores._values import from_json, to_json

NOW = 1_700_000_000.5
ANSWER = {"access_token": "a1", "refresh_token": "r1", "expires_at": 1_800_000_000}


def access_info(answer: object) -> AccessInfo:
    return grants.access_info(answer, now=NOW, refresh_token="r0")


def url(**changes: Any) -> str:
    arguments: dict[str, Any] = {"client_id": 7, "redirect_uri": "http://localhost:8000/back?x=1", **changes}
    return redirect.authorization_url("https://www.strava.com/oauth", **arguments)


def query(address: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(address).query)


def test_the_authorization_url_holds_what_strava_asks_for() -> None:
    address = url(state="a&b=c", approval_prompt="force")
    assert address.startswith("https://www.strava.com/oauth/authorize?")
    assert query(address) == {
        "client_id": ["7"],
        "redirect_uri": ["http://localhost:8000/back?x=1"],
        "response_type": ["code"],
        "approval_prompt": ["force"],
        "scope": ["read,activity:read"],
        "state": ["a&b=c"],
    }


def test_no_state_means_no_parameter() -> None:
    assert "state" not in query(url())


@pytest.mark.parametrize(
    "scope",
    [
        "read,activity:write",
        "read activity:write",
        ["read", "activity:write"],
        [Scope.READ, Scope.ACTIVITY_WRITE, Scope.READ],
    ],
)
def test_scopes_go_out_comma_separated(scope: Any) -> None:
    assert query(url(scope=scope))["scope"] == ["read,activity:write"]


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": "read,activity:delete"},
        {"scope": ""},
        {"scope": []},
        {"approval_prompt": "maybe"},
        {"redirect_uri": "/callback"},
    ],
)
def test_what_strava_does_not_know_is_a_value_error(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        url(**changes)
    assert isinstance(caught.value, InputError)


@pytest.mark.parametrize("text", ["read,activity:read", "read activity:read", " read, activity:read "])
def test_granted_scopes_are_read_with_either_separator(text: str) -> None:
    assert scopes.parse_scope(text) == {"read", "activity:read"}


def test_a_missing_scope_is_named() -> None:
    with pytest.raises(MissingScopeError, match="activity:write") as caught:
        scopes.check_scope(frozenset({"read"}), [Scope.READ, Scope.ACTIVITY_WRITE])
    assert caught.value.missing == {"activity:write"}


def test_a_redirect_brings_code_scope_and_state() -> None:
    returned = parse_redirect("http://localhost/?state=s&code=c0de&scope=read,activity:read")
    assert (returned.code, returned.scope, returned.state) == ("c0de", {"read", "activity:read"}, "s")
    assert "c0de" not in repr(returned)


def test_a_refusal_is_an_error_of_its_own() -> None:
    with pytest.raises(AuthorizationDeniedError) as caught:
        parse_redirect("http://localhost/?state=s&error=access_denied")
    assert caught.value.error == "access_denied"


def test_a_redirect_without_code_is_refused() -> None:
    with pytest.raises(InputError):
        parse_redirect("http://localhost/?state=s")


def test_the_answer_keeps_what_is_documented() -> None:
    answer = {**ANSWER, "expires_in": 21600, "token_type": "Bearer", "scope": "read", "athlete": {"id": 5}, "new": 1}
    info = access_info(answer)
    assert info == {key: value for key, value in answer.items() if key != "new"}
    assert info.token_set() == TokenSet("a1", "r1", 1_800_000_000, frozenset({"read"}), 5)


def test_the_repr_of_an_answer_masks_the_tokens() -> None:
    text = repr(access_info({**ANSWER, "access_token": "sekret-a", "refresh_token": "sekret-r"}))
    assert "sekret" not in text
    assert "1800000000" in text


def test_a_refresh_keeps_scope_and_athlete() -> None:
    before = TokenSet("a0", "r0", 1, frozenset({"read"}), 5)
    assert access_info(ANSWER).token_set(before) == TokenSet("a1", "r1", 1_800_000_000, frozenset({"read"}), 5)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "text",
        {},
        {**ANSWER, "access_token": None},
        {**ANSWER, "access_token": ""},
        {**ANSWER, "access_token": 5},
        {**ANSWER, "access_token": "a\nb"},
    ],
)
def test_an_answer_without_usable_tokens_is_refused_without_showing_it(answer: Any) -> None:
    with pytest.raises(DecodeError) as caught:
        access_info(answer)
    assert caught.value.body_excerpt == ""
    assert "r1" not in str(caught.value)


@pytest.mark.parametrize("refresh_token", [None, "", 5, "r\n1", ["r1"]])
def test_without_a_usable_refresh_token_the_old_one_goes_on(refresh_token: Any) -> None:
    answer = {**ANSWER, "refresh_token": refresh_token}
    assert access_info(answer)["refresh_token"] == "r0"
    assert "refresh_token" not in grants.access_info(answer, now=NOW)
    assert AccessInfo(answer).token_set(TokenSet("a0", "r0")).refresh_token == "r0"
    assert AccessInfo(answer).token_set().refresh_token is None


@pytest.mark.parametrize(
    ("expires_at", "expires_in", "expected"),
    [
        (1_800_000_000, None, 1_800_000_000),
        ("1800000000", None, 1_800_000_000),
        (" 1800000000.7 ", 5, 1_800_000_000),
        (1_800_000_000.9, None, 1_800_000_000),
        (None, 21600, 1_700_021_600),
        (None, "21600", 1_700_021_600),
        (None, 0, 1_700_000_000),
        (0, 60, 1_700_000_060),
        ("soon", 60, 1_700_000_060),
        (True, 60, 1_700_000_060),
        (float("inf"), 60, 1_700_000_060),
        (float("nan"), 60, 1_700_000_060),
        (10**400, 60, 1_700_000_060),
        (1_800_000_000_000, 60, 1_700_000_060),
        (-1, 60, 1_700_000_060),
        ("\u0661\u0668", 60, 1_700_000_060),
        (1_800_000_000, 10**400, 1_800_000_000),
        (None, None, None),
        (None, 10**12, None),
        (float("inf"), float("inf"), None),
        ([], {}, None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_an_expiry_is_taken_computed_or_unknown(expires_at: Any, expires_in: Any, expected: int | None) -> None:
    info = access_info({**ANSWER, "expires_at": expires_at, "expires_in": expires_in})
    assert info.get("expires_at") == expected
    assert ("expires_at" in info) is (expected is not None)
    assert info.token_set().expires_at == expected
    assert type(info.get("expires_in", 0)) is int


@pytest.mark.parametrize(
    ("athlete_id", "expected"), [("7", 7), (7, 7), (True, None), (-1, None), (2**63, None), ("x", None)]
)
def test_whose_tokens_they_are_is_read_strictly(athlete_id: Any, expected: int | None) -> None:
    assert access_info({**ANSWER, "athlete": {"id": athlete_id}}).token_set().athlete_id == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "x"]), inner, max_size=2),
    max_leaves=4,
)
numbers_as_text = (st.integers(0, 10**20) | st.floats()).map(str)
odd_answers = st.fixed_dictionaries(
    {},
    optional={
        "access_token": st.just("a1") | json_values,
        "refresh_token": st.just("r1") | json_values,
        "expires_at": json_values | numbers_as_text,
        "expires_in": json_values | numbers_as_text,
        "scope": json_values,
        "token_type": json_values,
        "athlete": json_values,
    },
)


@given(odd_answers, st.floats(0, 4e9), st.none() | st.just(TokenSet("a0", "r0", 5, frozenset({"read"}), 7)))
def test_any_answer_is_accepted_or_a_decode_error(answer: dict[str, Any], now: float, before: TokenSet | None) -> None:
    try:
        info = grants.access_info(answer, now=now, refresh_token="r0")
    except DecodeError:
        assert answer.get("access_token") != "a1"
        return
    token = info.token_set(before)
    assert token.access_token == answer["access_token"]
    assert token.refresh_token in ("r0", answer.get("refresh_token"))
    assert token == from_json(json.loads(json.dumps(to_json(token))))
    assert AccessInfo(answer).token_set(before).access_token == answer["access_token"]
    assert "r0" not in repr(info)


@pytest.mark.parametrize(
    "values",
    [
        {"access_token": None},
        {"access_token": b"a"},
        {"refresh_token": 5},
        {"expires_at": "1800000000"},
        {"expires_at": float("nan")},
        {"expires_at": float("inf")},
        {"expires_at": 10**400},
        {"expires_at": True},
        {"scope": 5},
        {"scope": [5]},
        {"athlete_id": "7"},
        {"athlete_id": True},
    ],
)
def test_tokens_of_a_wrong_kind_are_refused_when_they_are_made(values: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        TokenSet(**{"access_token": "a", **values})


def test_tokens_take_what_means_the_same() -> None:
    values: dict[str, Any] = {"expires_at": 1_800_000_000.7, "scope": "read,activity:read"}
    assert TokenSet("a", **values) == TokenSet("a", None, 1_800_000_000, frozenset({"read", "activity:read"}))
    listed: Any = ["read"]
    assert TokenSet("a", scope=listed).scope == frozenset({"read"})


def test_a_token_set_shows_no_token() -> None:
    text = repr(TokenSet("sekret-a", "sekret-r", 5, frozenset({"read"}), 7))
    assert "sekret" not in text
    assert "7" in text


@pytest.mark.parametrize("tokens", [("with\nbreak", None), ("fine", "with space"), ("ünicode", None)])
def test_a_token_that_no_header_can_carry_is_refused_without_showing_it(tokens: tuple[str, str | None]) -> None:
    with pytest.raises(InputError) as caught:
        TokenSet(*tokens)
    assert "break" not in str(caught.value)


def resource(name: str) -> list[dict[str, str]]:
    return [{"resource": name, "field": "x", "code": "invalid"}]


@pytest.mark.parametrize("name", ["RefreshToken", "AuthorizationCode", "RequestToken"])
def test_a_400_about_the_grant_means_connect_again(name: str) -> None:
    assert isinstance(grants.grant_error(400, resource(name)), InvalidGrantError)


@pytest.mark.parametrize("status_code", [400, 401])
def test_a_refusal_of_the_application_leaves_the_grant_alone(status_code: int) -> None:
    assert isinstance(grants.grant_error(status_code, resource("Application")), InvalidClientError)


def test_a_401_without_errors_is_about_the_client() -> None:
    assert isinstance(grants.grant_error(401, []), InvalidClientError)


@pytest.mark.parametrize("status_code", [400, 403, 429, 500])
def test_anything_else_says_nothing_about_the_grant(status_code: int) -> None:
    assert grants.grant_error(status_code, resource("Something")) is None


def test_access_info_is_a_plain_dict_for_json() -> None:
    info = AccessInfo(ANSWER)
    assert isinstance(info, dict)
    assert info["access_token"] == "a1"


def test_an_error_in_a_redirect_is_shown_without_control_characters() -> None:
    with pytest.raises(AuthorizationDeniedError) as caught:
        parse_redirect("http://localhost/?error=%1b[2Jgone%0a" + "x" * 500)
    assert caught.value.error.startswith("?[2Jgone?xxx")
    assert len(caught.value.error) == 100


@pytest.mark.parametrize(
    ("granted", "any_of", "lacks"),
    [
        ({"read"}, ("activity:read", "activity:read_all"), True),
        ({"read", "activity:read_all"}, ("activity:read", "activity:read_all"), False),
        (set(), ("activity:read",), False),  # nobody said
        ({"view_private"}, ("activity:read",), False),  # a name of old may mean anything
        ({"read"}, (), False),
    ],
)
def test_a_scope_is_lacking_only_where_that_is_known(granted: set[str], any_of: tuple[str, ...], lacks: bool) -> None:
    assert lacks_scope(frozenset(granted), any_of) is lacks


def test_a_redirects_state_is_read_even_of_a_refusal() -> None:
    assert redirect_state("http://localhost/?error=access_denied&state=s%2B1") == "s+1"
    assert redirect_state("http://localhost/?code=c") is None


def test_a_new_grant_inherits_nothing_of_the_one_before() -> None:
    before = TokenSet("a", "r", 1, frozenset({"activity:read"}), 7)
    answer = AccessInfo(access_token="b", refresh_token="s", expires_at=2)
    assert answer.token_set(before).scope == {"activity:read"}
    assert AccessInfo(answer, athlete={"id": 8}).token_set(before) == TokenSet("b", "s", 2, frozenset(), 8)


@pytest.mark.parametrize("read", [parse_redirect, redirect_state])
def test_what_is_no_address_is_reported_without_showing_it(read: Any) -> None:
    with pytest.raises(InputError) as caught:
        read("http://[?code=secret-code&state=s")
    assert "secret-code" not in repr(caught.value)
    assert caught.value.__context__ is None
