"""What we signed comes back as it was, to whom it was given, and in time; nothing else is accepted."""

import base64
import hmac
import string
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strava_async.errors import InputError, InvalidStateError
from strava_async.oauth.state import MAX_DATA_BYTES, StateSigner, check_state
from strava_async.testing.clock import FakeClock

SECRET = "correct horse battery staple"
OTHER_SECRET = "incorrect horse battery staple"
BASE64URL = string.ascii_letters + string.digits + "-_"

data_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_DATA_BYTES // 4)
any_text = st.text(st.characters(exclude_categories=[]), max_size=40)


def reason(signer: StateSigner, state: str | None, session: str = "") -> str:
    with pytest.raises(InvalidStateError) as caught:
        signer.verify(state, session=session)
    return caught.value.reason


@given(data_texts, any_text)
def test_data_comes_back_to_the_session_it_was_signed_for(data: str, session: str) -> None:
    signer = StateSigner(SECRET)
    assert signer.verify(signer.sign(data, session=session), session=session) == data


@given(data_texts)
def test_a_state_needs_no_escaping(data: str) -> None:
    assert set(StateSigner(SECRET).sign(data)) <= set(BASE64URL)


@given(st.data(), data_texts)
def test_a_state_with_one_other_character_is_forged(draw: st.DataObject, data: str) -> None:
    signer = StateSigner(SECRET)
    state = signer.sign(data)
    index = draw.draw(st.integers(0, len(state) - 1))
    other = draw.draw(st.sampled_from(BASE64URL) | st.characters(exclude_categories=[]))
    mutated = state[:index] + other + state[index + 1 :]
    if mutated != state:
        assert reason(signer, mutated) == "forged"


@pytest.mark.parametrize("data", ["", "a", "ab", "abc"])
def test_no_other_last_character_spells_the_same_state(data: str) -> None:
    signer = StateSigner(SECRET)
    state = signer.sign(data)
    accepted = []
    for last in BASE64URL:
        try:
            signer.verify(state[:-1] + last)
        except InvalidStateError:
            continue
        accepted.append(last)
    assert accepted == [state[-1]]


@pytest.mark.parametrize(
    "change", ["{}=", "{}==", "={}", " {}", "{}\n", "{}A", "{}AAAA", "{0}{0}", "{}\0", "{}é", "{}\ud800"]
)
def test_a_state_with_something_added_is_forged(change: str) -> None:
    signer = StateSigner(SECRET)
    assert reason(signer, change.format(signer.sign("go"))) == "forged"


def test_a_state_cut_anywhere_is_forged() -> None:
    signer = StateSigner(SECRET)
    state = signer.sign("go on")
    assert {reason(signer, state[:length]) for length in range(1, len(state))} == {"forged"}
    assert {reason(signer, state[length:]) for length in range(1, len(state))} == {"forged"}


def test_the_standard_alphabet_of_base64_is_another_spelling() -> None:
    signer = StateSigner(SECRET, token_bytes=lambda count: b"\xff" * count)
    state = signer.sign()
    assert "_" in state
    assert reason(signer, state.replace("_", "/")) == "forged"


@given(any_text.filter(bool))
def test_any_text_is_forged(text: str) -> None:
    assert reason(StateSigner(SECRET), text) == "forged"


@pytest.mark.parametrize("state", ["A" * 56, "A" * 75, "A" * 76, "A" * 10_000_000, "{}", "null", "%00"])
def test_a_state_that_nobody_signed_is_forged(state: str) -> None:
    assert reason(StateSigner(SECRET), state) == "forged"


@pytest.mark.parametrize("state", [b"bytes", 7, ["A"], {"a": "b"}, object()])
def test_what_is_no_text_is_forged(state: str) -> None:
    assert reason(StateSigner(SECRET), state) == "forged"


@pytest.mark.parametrize("state", [None, ""])
def test_no_state_is_missing(state: str | None) -> None:
    assert reason(StateSigner(SECRET), state) == "missing"


@given(any_text, any_text)
def test_another_session_finds_it_forged(session: str, other: str) -> None:
    signer = StateSigner(SECRET)
    if session != other:
        assert reason(signer, signer.sign("go", session=session), session=other) == "forged"


def test_the_end_of_a_session_cannot_be_passed_off_as_the_beginning_of_a_state() -> None:
    # Whoever chooses a session could otherwise have a state signed for it that is good for a shorter one.
    head = b"n" * 16 + b"A" * 8
    clock = FakeClock(struct.unpack(">d", head[16:])[0])
    signer = StateSigner(SECRET, clock=clock)
    own = signer.sign("data", session="s" + head.decode())
    moved = base64.urlsafe_b64encode(head).decode() + own
    assert reason(signer, moved, session="s") == "forged"


def test_a_session_cannot_be_read_from_a_state() -> None:
    def nothing_random(count: int) -> bytes:
        return b"n" * count

    plain = StateSigner(SECRET, clock=FakeClock(), token_bytes=nothing_random).sign("d")
    bound = StateSigner(SECRET, clock=FakeClock(), token_bytes=nothing_random).sign("d", session="the cookie")
    assert len(plain) == len(bound)
    assert plain[:33] == bound[:33]  # 25 bytes in front of the MAC


@given(st.text(min_size=16, max_size=40))
def test_another_secret_finds_it_forged(secret: str) -> None:
    if secret != SECRET:
        assert reason(StateSigner(secret), StateSigner(SECRET).sign("go")) == "forged"


def test_the_first_secret_signs_and_all_verify() -> None:
    old, new = StateSigner(OTHER_SECRET), StateSigner(SECRET)
    both = StateSigner([SECRET, OTHER_SECRET])
    assert both.verify(old.sign("a")) == "a"
    assert both.verify(new.sign("b")) == "b"
    assert new.verify(both.sign("c")) == "c"
    assert reason(old, both.sign("d")) == "forged"


def test_a_secret_may_be_text_or_bytes() -> None:
    assert StateSigner(SECRET.encode()).verify(StateSigner(SECRET).sign("go")) == "go"


@pytest.mark.parametrize("secret", ["", "fifteen letters", b"fifteen letters", [], [SECRET, "short"], ["x"] * 40])
def test_a_secret_that_is_too_short_is_refused(secret: str) -> None:
    with pytest.raises(InputError, match="at least 16 bytes"):
        StateSigner(secret)


def test_a_mac_that_something_else_made_with_the_secret_is_forged() -> None:
    # The same bytes, signed with the secret itself instead of the key that is derived from it.
    clock = FakeClock()
    head = struct.pack(">16sd", b"n" * 16, clock.time())
    mac = hmac.digest(SECRET.encode(), bytes(8) + head, "sha256")
    state = base64.urlsafe_b64encode(head + mac).decode().rstrip("=")
    signer = StateSigner(SECRET, clock=clock, token_bytes=lambda count: b"n" * count)
    assert signer.sign()[:32] == state[:32]  # alike in front of the MAC
    assert reason(signer, state) == "forged"


def test_no_repr_shows_the_secret() -> None:
    signer = StateSigner(SECRET)
    assert SECRET not in repr(signer)
    assert SECRET not in repr(vars(signer))


@pytest.mark.parametrize(
    ("age", "accepted"), [(0, True), (600, True), (600.001, False), (1e9, False), (-60, True), (-60.001, False)]
)
def test_a_state_is_good_for_its_time(age: float, accepted: bool) -> None:
    clock = FakeClock()
    signer = StateSigner(SECRET, max_age_seconds=600, clock=clock)
    state = signer.sign("go")
    clock.wall_offset = age
    if accepted:
        assert signer.verify(state) == "go"
    else:
        assert reason(signer, state) == "expired"


def test_a_forged_state_is_forged_however_old() -> None:
    clock = FakeClock()
    signer = StateSigner(SECRET, clock=clock)
    state = StateSigner(OTHER_SECRET, clock=clock).sign()
    clock.wall_offset = 1e6
    assert reason(signer, state) == "forged"


@pytest.mark.parametrize("age", [0, -1, float("inf"), float("nan")])
def test_an_age_that_never_or_always_ends_is_refused(age: float) -> None:
    with pytest.raises(InputError, match="max_age_seconds"):
        StateSigner(SECRET, max_age_seconds=age)


def test_two_states_are_never_equal() -> None:
    signer = StateSigner(SECRET, clock=FakeClock())
    assert len({signer.sign("same") for _ in range(100)}) == 100


def test_a_state_is_good_until_it_expires_not_once() -> None:
    signer = StateSigner(SECRET)
    state = signer.sign("again")
    assert [signer.verify(state) for _ in range(3)] == ["again"] * 3


def test_data_is_bounded_in_bytes() -> None:
    signer = StateSigner(SECRET)
    longest = "é" * (MAX_DATA_BYTES // 2)
    assert signer.verify(signer.sign(longest)) == longest
    with pytest.raises(InputError, match="1025 bytes"):
        signer.sign(longest + "x")


def test_data_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(InputError, match="surrogate"):
        StateSigner(SECRET).sign("\ud800")


@given(any_text.filter(bool))
def test_a_plain_state_is_like_itself(state: str) -> None:
    check_state(state, state)


@given(any_text.filter(bool), any_text)
def test_a_plain_state_is_like_no_other(given_state: str, expected: str) -> None:
    if given_state != expected:
        with pytest.raises(InvalidStateError) as caught:
            check_state(given_state, expected)
        assert caught.value.reason == "forged"


@pytest.mark.parametrize("state", [None, ""])
@pytest.mark.parametrize("expected", ["expected", ""])
def test_no_plain_state_is_missing_whatever_was_expected(state: str | None, expected: str) -> None:
    with pytest.raises(InvalidStateError) as caught:
        check_state(state, expected)
    assert caught.value.reason == "missing"


@given(any_text, any_text)
def test_what_was_signed_for_one_purpose_is_forged_for_another(one: str, session: str) -> None:
    state = StateSigner(SECRET, purpose=one).sign("data", session=session)
    assert StateSigner(SECRET, purpose=one).verify(state, session=session) == "data"
    assert reason(StateSigner(SECRET, purpose=f"{one}!"), state, session) == "forged"
