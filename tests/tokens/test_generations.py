"""The generation of a grant: made by connecting, the same through renewals, and changed by ending sessions alone."""

import copy
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import anyio
import pytest

from strava_async import AccessInfo, InputError, InvalidGrantError, MissingScopeError, TokenSet, TokenStoreError
from strava_async.oauth.token_set import are_same_tokens
from strava_async.tokens.generations import ended, may_continue
from strava_async.tokens.source import TokenSource
from tests.test_application import FussyStore, Setting, cancel_while_waiting, held, setting
from tests.tokens.test_source import NOW, Shared, info

__all__ = ["setting"]  # a fixture

pytestmark = pytest.mark.anyio


def counted() -> Callable[[int], str]:
    """Return what makes g1, g2 and so on."""
    numbers: Iterator[int] = iter(range(1, 1_000))
    return lambda size: f"g{next(numbers)}"


async def kept_generation(setting: Setting) -> str | None:
    kept = await setting.store.load(setting.marianne)
    return kept and kept.generation


# Made by connecting


async def test_connecting_makes_a_generation_that_only_another_grant_changes(setting: Setting) -> None:
    strava = setting.strava(new_secret=counted())
    for end, generation in ((None, "g1"), (None, "g1"), (strava.disconnect, "g3"), (strava.forget, "g4")):
        if end is not None:
            await end(setting.marianne)
            assert await strava.generation(setting.marianne) is None
        await strava.connect(await setting.code(strava))
        assert await strava.generation(setting.marianne) == await kept_generation(setting) == generation


@pytest.mark.parametrize("scope", ["read", "read,activity:read"])
async def test_who_grants_something_else_keeps_the_generation(setting: Setting, scope: str) -> None:
    strava = setting.strava(new_secret=counted())
    await strava.connect(await setting.code(strava))
    await strava.connect(await setting.code(strava, scope=scope))
    assert await kept_generation(setting) == "g1"


async def test_tokens_that_have_nothing_in_common_are_another_grant(setting: Setting) -> None:
    strava = setting.strava(new_secret=counted())
    await strava.connect(await setting.code(strava))
    setting.emulator.disconnect(setting.marianne)
    await strava.connect(await setting.code(strava))
    assert await kept_generation(setting) == "g2"


async def test_who_connects_again_when_all_tokens_are_due_keeps_the_generation(setting: Setting) -> None:
    strava = setting.strava(new_secret=counted())
    await strava.connect(await setting.code(strava))
    for rotates in (True, False):
        setting.emulator.quirks.rotate_refresh_tokens = rotates
        setting.clock.advance(6 * 3600)
        before = await setting.store.load(setting.marianne)
        await strava.connect(await setting.code(strava))
        after = await setting.store.load(setting.marianne)
        assert before is not None
        assert after is not None
        assert before.access_token != after.access_token
        assert after.generation == "g1"


async def test_athletes_have_generations_of_their_own_that_nobody_guesses(setting: Setting) -> None:
    strava = setting.strava()
    made: set[str | None] = set()
    for athlete_id in setting.emulator.athlete_ids:
        await strava.connect(await setting.code(strava, athlete_id))
        made.add(await strava.generation(athlete_id))
    assert len(made) == len(setting.emulator.athlete_ids)
    assert all(generation and len(generation) >= 16 for generation in made)


async def test_a_generation_that_no_store_could_keep_is_reported_before_the_code_is_spent(setting: Setting) -> None:
    strava = setting.strava(new_secret=lambda size: "a b")
    code = await setting.code(strava)
    with pytest.raises(InputError, match="generation"):
        await strava.connect(code)
    await setting.strava().connect(code)


async def test_a_grant_that_is_revoked_at_once_leaves_no_generation(setting: Setting) -> None:
    strava = setting.strava(new_secret=counted())
    await strava.connect(await setting.code(strava))
    code = await setting.code(strava, ticked=["read"])
    with pytest.raises(MissingScopeError):
        await strava.connect(code, "activity:read", if_missing="revoke")
    assert await strava.generation(setting.marianne) is None


async def test_a_grant_that_waits_for_the_store_keeps_the_generation_of_the_one_that_it_continues(
    setting: Setting,
) -> None:
    strava = setting.strava(new_secret=counted())
    await strava.connect(await setting.code(strava))
    code = await setting.code(strava)
    setting.store.full = True
    with pytest.raises(TokenStoreError):
        await strava.connect(code)
    setting.store.full = False
    assert await strava.generation(setting.marianne) == "g1"
    await strava.aclose()
    assert await kept_generation(setting) == "g1"


async def test_a_grant_that_waits_for_the_store_may_be_renewed_meanwhile(setting: Setting) -> None:
    strava = setting.strava(new_secret=counted())
    await strava.connect(await setting.code(strava))
    setting.emulator.disconnect(setting.marianne)
    code = await setting.code(strava, scope="read")
    setting.store.full = True
    with pytest.raises(TokenStoreError):
        await strava.connect(code)
    setting.store.full = False
    api = strava.api(setting.marianne)
    await api.refresh_access_token(setting.emulator.client_id, setting.emulator.client_secret, api.refresh_token or "")
    kept = await setting.store.load(setting.marianne)
    assert kept is not None
    assert (kept.generation, kept.scope) == ("g2", {"read"})
    assert await setting.is_alive(kept)


# Carried through renewals


async def test_a_renewal_and_a_forced_one_keep_what_is_kept(setting: Setting) -> None:
    strava = setting.strava(new_secret=counted())
    await strava.connect(await setting.code(strava, scope="read,activity:read"))
    for _ in range(2):
        setting.clock.advance(6 * 3600)
        await strava.api(setting.marianne).get("/athlete")
    setting.clock.advance(6 * 3600)
    setting.emulator.quirks.scope_in_token_answer = False
    kept = await setting.store.load(setting.marianne)
    assert kept is not None
    api = setting.strava().api(setting.marianne)  # of another process, which has read nothing yet
    await api.refresh_access_token(setting.emulator.client_id, setting.emulator.client_secret, kept.refresh_token or "")
    after = await setting.store.load(setting.marianne)
    assert after is not None
    assert after.access_token != kept.access_token
    assert (after.generation, after.scope, after.athlete_id) == ("g1", {"read", "activity:read"}, setting.marianne)


async def test_a_renewal_does_not_bring_an_old_generation_back() -> None:
    shared = Shared()
    source, other = shared.source, shared.other_process()
    shared.kept.token = replace(shared.kept.token or TokenSet(""), generation="g1")
    await source.bearer()
    await other.change_generation("g2")
    shared.clock.advance(6 * 3600)
    assert await source.bearer() == "a2"
    assert shared.kept.token.generation == source.token.generation == "g2"
    await other.change_generation("g3")
    await source.replace(shared.strava.refresh, save=True)
    assert shared.kept.token.access_token == source.token.access_token == "a3"
    assert shared.kept.token.generation == source.token.generation == "g3"


async def test_sessions_are_ended_after_a_renewal_in_progress_in_this_or_another_process() -> None:
    for here in (True, False):
        shared = Shared()
        shared.strava.gate = anyio.Event()
        ending = shared.source if here else shared.other_process()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shared.source.bearer)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(ending.change_generation, "g2")
            await anyio.wait_all_tasks_blocked()
            assert shared.kept.token == TokenSet("a0", "r0", NOW - 1, athlete_id=7)
            shared.strava.gate.set()
        assert shared.kept.token is not None
        assert (shared.kept.token.access_token, shared.kept.token.generation) == ("a1", "g2")
        assert shared.strava.asked == ["r0"]


async def test_pending_tokens_are_not_lost_because_sessions_were_ended_meanwhile() -> None:
    shared = Shared()
    shared.kept.fail_with = OSError("disk full")
    with pytest.raises(OSError, match="disk full"):
        await shared.source.bearer()
    shared.kept.fail_with = None
    await shared.other_process().change_generation("g2")
    await shared.source.flush()
    assert shared.kept.token is not None
    assert (shared.kept.token.refresh_token, shared.kept.token.generation) == ("r1", "g2")


async def test_ending_sessions_saves_pending_tokens_first() -> None:
    shared = Shared()
    shared.kept.fail_with = OSError("disk full")
    with pytest.raises(OSError, match="disk full"):
        await shared.source.bearer()
    with pytest.raises(OSError, match="disk full"):
        await shared.source.change_generation("g2")
    shared.kept.fail_with = None
    assert await shared.source.change_generation("g2")
    assert not shared.source.unsaved
    assert shared.kept.token is not None
    assert (shared.kept.token.refresh_token, shared.kept.token.generation) == ("r1", "g2")


async def test_what_is_known_of_a_token_holds_when_its_generation_changes() -> None:
    shared = Shared(expires_at=NOW + 9_000)
    assert await shared.source.bearer() == "a0"
    shared.strava.answer_with = info("a0", "r0", NOW + 9_000)
    assert not await shared.source.renew("a0")
    await shared.other_process().change_generation("g2")
    await shared.source.prepare(("read",))  # nothing is known of the scope: no reason to read
    assert await shared.source.change_generation("g3")
    for _ in range(3):
        assert not await shared.source.renew("a0")
    assert shared.strava.asked == ["r0"]


async def test_a_generation_that_was_not_kept_is_not_used() -> None:
    shared = Shared(expires_at=NOW + 9_000)
    shared.kept.token = replace(shared.kept.token or TokenSet(""), generation="g1")
    await shared.source.bearer()
    shared.kept.fail_with = OSError("disk full")
    with pytest.raises(OSError, match="disk full"):
        await shared.source.change_generation("g2")
    assert not shared.source.unsaved
    assert shared.source.token.generation == shared.kept.token.generation == "g1"


async def test_tokens_that_were_forgotten_while_their_generation_was_read_are_not_used(setting: Setting) -> None:
    entered, release = anyio.Event(), anyio.Event()

    class SlowStore(FussyStore):
        async def load(self, athlete_id: int) -> TokenSet | None:
            token = await super().load(athlete_id)
            if not entered.is_set():
                entered.set()
                await release.wait()
            return token

    setting.store = SlowStore()
    await setting.connected(setting.marianne)
    strava = setting.strava()
    api = strava.api(setting.marianne)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(strava.generation, setting.marianne)
        await entered.wait()
        await strava.forget(setting.marianne)
        release.set()
    with pytest.raises(InvalidGrantError):
        await api.get("/athlete")


# Ended


async def test_a_grant_that_strava_calls_invalid_ends_its_generation_once() -> None:
    shared = Shared()
    shared.kept.token = replace(shared.kept.token or TokenSet(""), generation="g1")
    shared.strava.fail_with = InvalidGrantError("dead")
    for source in (shared.source, shared.other_process(), shared.source):
        with pytest.raises(InvalidGrantError, match="dead"):
            await source.bearer()
        assert shared.kept.token is not None
        assert shared.kept.token.generation == ended("g1")
    assert shared.kept.done.count("save r0") == 1
    assert shared.strava.asked == ["r0", "r0"]  # once in each process
    assert await shared.source.change_generation("g9")
    assert shared.kept.token.generation == ended("g9")
    await shared.source.adopt_grant(info("b0", "s0", NOW + 9 * 3600), "g2")
    assert shared.kept.token.generation == "g2"


async def test_a_store_that_cannot_keep_the_end_of_a_grant_does_not_hide_it() -> None:
    shared = Shared()
    shared.kept.token = replace(shared.kept.token or TokenSet(""), generation="g1")
    shared.strava.fail_with, shared.kept.fail_with = InvalidGrantError("dead"), OSError("disk full")
    with pytest.raises(InvalidGrantError, match="dead"):
        await shared.source.bearer()
    assert not shared.source.unsaved


async def test_a_callback_gets_no_tokens_when_the_grant_is_invalid() -> None:
    async def refuse(tokens: TokenSet) -> AccessInfo:
        raise InvalidGrantError("dead")

    seen: list[TokenSet] = []
    source = TokenSource(TokenSet("a0", "r0", 1, generation="g1"), refresh=refuse, on_refresh=seen.append)
    with pytest.raises(InvalidGrantError):
        await source.bearer()
    assert seen == []


async def test_ending_the_sessions_of_nobody_does_nothing(setting: Setting) -> None:
    strava = setting.strava()
    await strava.end_sessions(setting.marianne)
    assert await strava.athlete_ids() == []
    with pytest.raises(InputError):
        await strava.end_sessions(-1)
    with pytest.raises(InputError):
        await strava.generation(0)
    with pytest.raises(InvalidGrantError):
        await strava.api(setting.marianne).tokens.change_generation("g1")


async def test_a_cancelled_end_of_sessions_is_carried_to_its_end(setting: Setting) -> None:
    strava = setting.strava(new_secret=counted())
    await strava.connect(await setting.code(strava))
    async with held(setting.store, setting.marianne) as release:
        await cancel_while_waiting(lambda: strava.end_sessions(setting.marianne), release)
    await strava.aclose()
    assert await kept_generation(setting) in ("g1", "g2")
    assert await setting.is_alive(await setting.store.load(setting.marianne))


async def test_a_hundred_ends_renewals_and_connections_at_once_leave_one_valid_grant(setting: Setting) -> None:
    objects = [setting.strava(new_secret=counted()) for _ in range(3)]
    await objects[0].connect(await setting.code(objects[0]))
    setting.clock.advance(6 * 3600)
    codes = [await setting.code(strava) for strava in objects]
    async with anyio.create_task_group() as tasks:
        for number in range(99):
            strava = objects[number % 3]
            tasks.start_soon(strava.end_sessions, setting.marianne)
            tasks.start_soon(strava.api(setting.marianne).get, "/athlete")
        for strava, code in zip(objects, codes, strict=True):
            tasks.start_soon(strava.connect, code)
    found = {await strava.generation(setting.marianne) for strava in objects}
    assert found == {await kept_generation(setting)}
    assert found.isdisjoint({"", "g1", None})
    assert await setting.is_alive(await setting.store.load(setting.marianne))


# The value


@pytest.mark.parametrize("odd", [None, 1, b"a", "a b", "\u00e9", "a\n", "\ud800", "a" * 65])
def test_what_is_no_generation_is_reported_and_not_shown(odd: Any) -> None:
    with pytest.raises(InputError, match="generation") as raised:
        TokenSet("a", generation=odd)
    assert repr(odd) not in str(raised.value)


def test_an_answer_carries_the_generation_of_what_was_known() -> None:
    before = TokenSet("a0", "r0", NOW, athlete_id=7, generation="g1")
    assert AccessInfo(access_token="a1").token_set(before).generation == "g1"
    assert AccessInfo(access_token="a1", athlete={"id": 7}).token_set(before).generation == "g1"
    assert AccessInfo(access_token="a1", athlete={"id": 8}).token_set(before).generation == ""
    assert AccessInfo(access_token="a1", generation="g9").token_set().generation == ""


def test_pickled_tokens_come_back_those_of_before_there_were_generations_too() -> None:
    token = TokenSet("a", "r", 1, frozenset({"read"}), 7, "g1")
    assert pickle.loads(pickle.dumps(token)) == copy.copy(token) == token
    before = TokenSet.__new__(TokenSet)
    before.__setstate__(["a", "r", 1, frozenset({"read"}), 7])
    assert before == replace(token, generation="")


def test_tokens_are_the_same_whatever_their_generation() -> None:
    one = TokenSet("a", "r", 1, frozenset({"read"}), 7, "g1")
    assert are_same_tokens(one, replace(one, generation="g2"))
    assert not are_same_tokens(one, replace(one, refresh_token="s", generation="g2"))
    assert not are_same_tokens(one, None)
    assert are_same_tokens(None, None)
    assert "g1" not in repr(one)


SIX_HOURS = 6 * 3600


@pytest.mark.parametrize(
    ("kept", "came", "continues"),
    [
        (TokenSet("a", "r"), TokenSet("a", "s"), True),
        (TokenSet("a", "r"), TokenSet("b", "r"), True),
        (TokenSet("a", "r", NOW), TokenSet("b", "s", NOW + SIX_HOURS), True),
        (TokenSet("a", "r", NOW), TokenSet("b", "s", NOW + 5 * 3600), True),  # in the first second of the last hour
        (TokenSet("a", "r", NOW), TokenSet("b", "s", NOW + 30 * 86_400), True),
        (TokenSet("a", "r", NOW), TokenSet("b", "s", NOW + 4 * 3600), False),  # the one before had two hours left
        (TokenSet("a", "r", NOW), TokenSet("b", "s", NOW), False),
        (TokenSet("a", "r", NOW + SIX_HOURS), TokenSet("b", "s", NOW), False),
        (TokenSet("a", "r"), TokenSet("b", "s", NOW + SIX_HOURS), False),
        (TokenSet("a", "r", NOW), TokenSet("b", "s"), False),
        (TokenSet("a"), TokenSet("b"), False),
        (TokenSet(""), TokenSet(""), False),
    ],
)
def test_tokens_continue_a_grant_unless_a_valid_grant_could_not_have_brought_them(
    kept: TokenSet, came: TokenSet, continues: bool
) -> None:
    assert may_continue(replace(kept, generation="g1"), came) == continues
    assert not may_continue(kept, came)
    assert not may_continue(replace(kept, generation=ended("g1")), came)


def test_an_ended_generation_is_a_generation_and_no_other() -> None:
    for generation in ("g1", "a" * 64):
        assert TokenSet("a", generation=ended(generation)).generation not in ("", generation)
        assert ended(ended(generation)) == ended(generation)
    assert ended("") == ""
