"""One renewal for any number of callers, and no token lost by cancellation."""

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.lowlevel
import pytest

from strava_async.errors import (
    InputError,
    InvalidGrantError,
    MissingScopeError,
    RateLimitedError,
    ServerError,
    StravaError,
    TransportError,
)
from strava_async.oauth.grants import AccessInfo
from strava_async.oauth.token_set import TokenSet
from strava_async.stores import MemoryTokenStore
from strava_async.stores.lease import UntilReleased
from strava_async.testing.clock import SOME_TUESDAY, FakeClock
from strava_async.tokens.accounts import Accounts
from strava_async.tokens.source import TokenSource
from tests.at_once import at_once

pytestmark = pytest.mark.anyio

NOW = int(SOME_TUESDAY)


class Strava:
    """Answers refreshes like Strava: rotates, counts, and refuses what is not the latest refresh token.

    Attributes:
        asked: the refresh tokens that came, in order.
        gate: an answer waits until it is set.
        fail_with: raised instead of answering.
        answer_with: answered in place of new tokens.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.asked: list[str | None] = []
        self.gate = anyio.Event()
        self.gate.set()
        self.fail_with: Exception | None = None
        self.answer_with: AccessInfo | None = None
        self.latest = "r0"

    async def refresh(self, tokens: TokenSet) -> AccessInfo:
        self.asked.append(tokens.refresh_token)
        await self.gate.wait()
        if self.fail_with is not None:
            raise self.fail_with
        if tokens.refresh_token != self.latest:
            raise InvalidGrantError("dead")
        if self.answer_with is not None:
            return self.answer_with
        number = int(self.latest[1:]) + 1
        self.latest = f"r{number}"
        return info(f"a{number}", self.latest, int(self.clock.monotonic()) + 21_600, expires_in=21_600)


def info(access_token: str, refresh_token: str, expires_at: int, **more: int) -> AccessInfo:
    return AccessInfo(access_token=access_token, refresh_token=refresh_token, expires_at=expires_at, **more)


class Setting:
    def __init__(
        self, expires_at: int | None = NOW - 1, on_refresh: Callable[[TokenSet], object] | None = None
    ) -> None:
        self.clock = FakeClock()
        self.strava = Strava(self.clock)
        self.source = TokenSource(
            TokenSet("a0", "r0", expires_at), refresh=self.strava.refresh, on_refresh=on_refresh, clock=self.clock
        )


async def test_a_valid_token_is_used_as_it_is() -> None:
    setting = Setting(expires_at=NOW + 3600)
    assert await setting.source.bearer() == "a0"
    assert setting.strava.asked == []


async def test_an_unknown_expiry_is_trusted() -> None:
    setting = Setting(expires_at=None)
    assert await setting.source.bearer() == "a0"


@pytest.mark.parametrize(("left", "bearer"), [(301, "a0"), (299, "a1"), (0, "a1"), (-5, "a1")])
async def test_a_token_is_renewed_before_it_expires(left: int, bearer: str) -> None:
    assert await Setting(expires_at=NOW + left).source.bearer() == bearer


async def test_without_a_refresh_token_the_old_one_is_used() -> None:
    clock = FakeClock()
    source = TokenSource(TokenSet("a0", None, NOW - 5), refresh=Strava(clock).refresh, clock=clock)
    assert await source.bearer() == "a0"


async def test_without_any_token_there_is_no_bearer() -> None:
    assert await TokenSource().bearer() is None


async def test_a_refresh_token_alone_is_enough() -> None:
    clock = FakeClock()
    source = TokenSource(TokenSet("", "r0"), refresh=Strava(clock).refresh, clock=clock)
    assert await source.bearer() == "a1"


async def test_a_thousand_callers_cause_one_refresh() -> None:
    setting = Setting()
    setting.strava.gate = anyio.Event()
    async with anyio.create_task_group() as tasks:
        results: list[object] = []

        async def call() -> None:
            results.append(await setting.source.bearer())

        for _ in range(1000):
            tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        assert results == []
        setting.strava.gate.set()
    assert results == ["a1"] * 1000
    assert setting.strava.asked == ["r0"]


async def test_a_failed_refresh_fails_all_its_waiters_once() -> None:
    setting = Setting()
    setting.strava.fail_with = TransportError("down", sent="maybe")
    results = await at_once(100, setting.source.bearer)
    assert len(setting.strava.asked) == 1
    assert all(isinstance(result, TransportError) for result in results)
    assert len({id(result) for result in results}) == 100  # each its own traceback


async def test_after_a_failure_the_next_call_tries_again() -> None:
    setting = Setting()
    setting.strava.fail_with = TransportError("down", sent="maybe")
    await at_once(1, setting.source.bearer)
    setting.strava.fail_with = None
    assert await setting.source.bearer() == "a1"


async def test_an_invalid_grant_is_tried_once_until_there_are_new_tokens() -> None:
    setting = Setting()
    setting.strava.latest = "r7"
    for _ in range(3):
        with pytest.raises(InvalidGrantError):
            await setting.source.bearer()
    assert setting.strava.asked == ["r0"]
    setting.source.token = TokenSet("a7", "r7", NOW - 1)
    assert await setting.source.bearer() == "a8"


async def test_a_refused_token_is_renewed() -> None:
    setting = Setting(expires_at=NOW + 3600)
    assert await setting.source.renew("a0") is True
    assert await setting.source.bearer() == "a1"


async def test_a_stale_token_does_not_renew_what_somebody_just_renewed() -> None:
    setting = Setting(expires_at=NOW + 3600)
    await setting.source.renew("a0")
    assert await setting.source.renew("a0") is True
    assert setting.strava.asked == ["r0"]


async def test_a_hundred_refused_callers_cause_one_refresh() -> None:
    setting = Setting(expires_at=NOW + 3600)
    assert await at_once(100, lambda: setting.source.renew("a0")) == [True] * 100
    assert setting.strava.asked == ["r0"]


async def test_nothing_to_renew_with_is_said() -> None:
    assert await TokenSource(TokenSet("a0")).renew("a0") is False


async def test_the_same_token_again_is_said() -> None:
    async def same(tokens: TokenSet) -> AccessInfo:
        return info("a0", "r0", NOW + 7200)

    source = TokenSource(TokenSet("a0", "r0", NOW + 7200), refresh=same, clock=FakeClock())
    assert await source.renew("a0") is False


@pytest.mark.parametrize("is_async", [False, True])
async def test_new_tokens_are_saved_before_they_are_used(is_async: bool) -> None:
    order: list[str] = []
    save_begun, save_may_end = anyio.Event(), anyio.Event()

    async def save_async(tokens: TokenSet) -> None:
        save_begun.set()
        await save_may_end.wait()
        order.append(f"saved {tokens.refresh_token}")

    def save(tokens: TokenSet) -> None:
        order.append(f"saved {tokens.refresh_token}")

    setting = Setting(on_refresh=save_async if is_async else save)

    async def use() -> None:
        order.append(f"used {await setting.source.bearer()}")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use)
        tasks.start_soon(use)
        if is_async:
            await save_begun.wait()
            await anyio.wait_all_tasks_blocked()
            assert order == []
            save_may_end.set()
    assert order == ["saved r1", "used a1", "used a1"]


async def test_tokens_that_could_not_be_saved_are_saved_again_before_their_use() -> None:
    saved: list[TokenSet] = []
    broken = True

    def save(tokens: TokenSet) -> None:
        if broken:
            raise OSError("disk full")
        saved.append(tokens)

    setting = Setting(on_refresh=save)
    with pytest.raises(OSError, match="disk full"):
        await setting.source.bearer()
    broken = False
    assert await setting.source.bearer() == "a1"
    assert [tokens.refresh_token for tokens in saved] == ["r1"]
    assert setting.strava.asked == ["r0"]


async def test_a_callback_that_wants_the_tokens_it_is_to_save_is_told_so() -> None:
    async def use(tokens: TokenSet) -> None:
        await setting.source.bearer()

    setting = Setting(on_refresh=use)
    with pytest.raises(InputError, match="itself"):
        await setting.source.bearer()


async def test_a_cancelled_leader_does_not_stop_the_renewal() -> None:
    saved: list[str | None] = []

    async def save(tokens: TokenSet) -> None:
        await anyio.lowlevel.checkpoint()
        saved.append(tokens.refresh_token)

    setting = Setting(on_refresh=save)
    setting.strava.gate = anyio.Event()
    followers: list[object] = []

    async def follow() -> None:
        followers.append(await setting.source.bearer())

    leader = anyio.CancelScope()

    async def lead() -> None:
        with leader:
            await setting.source.bearer()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lead)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(follow)
        await anyio.wait_all_tasks_blocked()
        leader.cancel()
        await anyio.wait_all_tasks_blocked()
        setting.strava.gate.set()
    assert followers == ["a1"]
    assert saved == ["r1"]
    assert setting.strava.asked == ["r0"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_native_cancellation_of_everyone_loses_no_token() -> None:
    saved: list[str | None] = []
    setting = Setting(on_refresh=lambda tokens: saved.append(tokens.refresh_token))
    setting.strava.gate = anyio.Event()
    callers = [asyncio.create_task(setting.source.bearer()) for _ in range(5)]
    await anyio.wait_all_tasks_blocked()
    for caller in callers:
        caller.cancel()
    assert all(
        isinstance(result, asyncio.CancelledError) for result in await asyncio.gather(*callers, return_exceptions=True)
    )
    setting.strava.gate.set()
    await setting.source.wait_idle()
    assert saved == ["r1"]
    assert await setting.source.bearer() == "a1"
    assert setting.strava.asked == ["r0"]


async def test_a_cancelled_waiter_leaves_the_others_alone() -> None:
    setting = Setting()
    setting.strava.gate = anyio.Event()
    results: list[object] = []

    async def call() -> None:
        results.append(await setting.source.bearer())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0):
            await setting.source.bearer()
        tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        setting.strava.gate.set()
    assert results == ["a1", "a1"]


async def test_a_wrong_clock_does_not_ask_again_and_again() -> None:
    setting = Setting(expires_at=NOW + 3600)
    setting.clock.wall_offset = 7 * 3600.0
    assert await setting.source.bearer() == "a1"  # looked dead; the answer tells the right time
    for _ in range(3):
        assert await setting.source.bearer() == "a1"
    assert setting.strava.asked == ["r0"]


async def test_the_same_token_near_its_end_is_not_asked_for_at_once_again() -> None:
    asked: list[str | None] = []

    async def same(tokens: TokenSet) -> AccessInfo:
        asked.append(tokens.refresh_token)
        return info("a0", "r0", NOW + 100)

    clock = FakeClock()
    source = TokenSource(TokenSet("a0", "r0", NOW + 100), refresh=same, clock=clock)
    for _ in range(3):
        assert await source.bearer() == "a0"
    assert len(asked) == 1
    clock.advance(61)
    await source.bearer()
    assert len(asked) == 2


async def test_tokens_set_during_a_renewal_count() -> None:
    setting = Setting()
    setting.strava.gate = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.source.bearer)
        await anyio.wait_all_tasks_blocked()
        setting.source.token = TokenSet("b0", "s0", NOW + 9999)
        setting.strava.gate.set()
    assert setting.source.token.access_token == "b0"


async def test_replacing_waits_for_a_renewal_in_progress() -> None:
    setting = Setting()
    setting.strava.gate = anyio.Event()

    async def answer(tokens: TokenSet) -> AccessInfo:
        return info("b0", "s0", NOW + 9999)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(setting.source.bearer)
        await anyio.wait_all_tasks_blocked()

        async def replace() -> None:
            assert (await setting.source.replace(answer, save=True))["access_token"] == "b0"

        tasks.start_soon(replace)
        await anyio.wait_all_tasks_blocked()
        assert setting.source.token.access_token == "a0"
        setting.strava.gate.set()
    assert setting.source.token.access_token == "b0"


def test_a_source_outlives_the_event_loop_that_stopped_its_renewal() -> None:
    shared = Shared()

    async def stop_amid_renewal() -> None:
        await shared.kept.free.acquire()  # another process has the lock
        caller = asyncio.create_task(shared.source.bearer())
        await asyncio.sleep(0.0)
        await anyio.wait_all_tasks_blocked()
        caller.cancel()

    async def use() -> str | None:
        return await shared.source.bearer()

    asyncio.run(stop_amid_renewal())
    assert shared.strava.asked == []
    shared.kept.free = anyio.Lock()
    assert asyncio.run(use()) == "a1"


class Kept:
    """A persistence as several processes share it: what is saved, and the order of what was done with it."""

    def __init__(self, token: TokenSet | None) -> None:
        self.token = token
        self.done: list[str] = []
        self.free = anyio.Lock()
        self.fail_with: Exception | None = None
        self.loading: Callable[[], Awaitable[object]] | None = None

    @asynccontextmanager
    async def lock(self) -> AsyncGenerator[UntilReleased]:
        async with self.free:
            self.done.append("lock")
            yield UntilReleased()
            self.done.append("unlock")

    async def load(self, present: TokenSet) -> TokenSet:
        self.done.append("load")
        token = self.token
        if self.loading is not None:
            await self.loading()
        if token is None:
            raise InvalidGrantError("not connected")
        return token

    async def save(self, token: TokenSet, *, replacing: TokenSet | None) -> bool:
        if self.fail_with is not None:
            raise self.fail_with
        if self.token != replacing:
            return False
        self.done.append(f"save {token.refresh_token}")
        self.token = token
        return True


class Shared:
    """An athlete whose tokens are kept where others can change them."""

    def __init__(self, expires_at: int = NOW - 1) -> None:
        self.clock = FakeClock()
        self.strava = Strava(self.clock)
        self.kept = Kept(TokenSet("a0", "r0", expires_at, athlete_id=7))
        self.source = self.other_process()

    def other_process(self) -> TokenSource:
        return TokenSource(persistence=self.kept, refresh=self.strava.refresh, clock=self.clock)


async def test_kept_tokens_are_read_before_their_first_use_and_no_lock_is_taken() -> None:
    shared = Shared(expires_at=NOW + 3600)
    for _ in range(2):
        assert await shared.source.bearer() == "a0"
    assert shared.kept.done == ["load"]


async def test_a_thousand_first_callers_read_once() -> None:
    shared = Shared(expires_at=NOW + 3600)
    assert await at_once(1000, shared.source.bearer) == ["a0"] * 1000
    assert shared.kept.done == ["load"]


async def test_a_renewal_looks_locks_looks_again_asks_saves_and_unlocks() -> None:
    shared = Shared()
    assert await shared.source.bearer() == "a1"
    assert shared.kept.done == ["load", "lock", "load", "save r1", "unlock"]


async def test_what_another_process_renewed_is_not_renewed_again() -> None:
    shared = Shared()
    other = shared.other_process()
    results = await at_once(25, shared.source.bearer) + await at_once(25, other.bearer)
    assert results == ["a1"] * 50
    assert shared.strava.asked == ["r0"]


async def test_processes_that_renew_at_the_same_time_ask_once() -> None:
    shared = Shared()
    sources = [shared.other_process() for _ in range(4)]
    results: list[object] = []
    shared.strava.gate = anyio.Event()

    async def call(source: TokenSource) -> None:
        results.append(await source.bearer())

    async with anyio.create_task_group() as tasks:
        for source in sources:
            for _ in range(25):
                tasks.start_soon(call, source)
        await anyio.wait_all_tasks_blocked()
        assert results == []
        shared.strava.gate.set()
    assert results == ["a1"] * 100
    assert shared.strava.asked == ["r0"]


async def test_a_refused_token_that_another_process_replaced_is_read_and_not_renewed() -> None:
    shared = Shared(expires_at=NOW + 3600)
    await shared.source.bearer()
    shared.kept.token = TokenSet("b0", "s0", NOW + 3600)
    assert await shared.source.renew("a0")
    assert await shared.source.bearer() == "b0"
    assert shared.strava.asked == []


async def test_a_lost_race_reads_again_before_the_grant_is_called_invalid() -> None:
    shared = Shared()

    async def overtaken(tokens: TokenSet) -> AccessInfo:
        shared.kept.token = TokenSet("b0", "s0", NOW + 3600)  # by somebody who does not know the lock
        raise InvalidGrantError("dead")

    shared.source.refresh = overtaken
    assert await shared.source.bearer() == "b0"


async def test_a_lost_race_goes_on_with_what_it_finds_even_if_that_is_old() -> None:
    shared = Shared()
    asked: list[str | None] = []

    async def overtaken(tokens: TokenSet) -> AccessInfo:
        asked.append(tokens.refresh_token)
        if tokens.refresh_token == "r0":
            shared.kept.token = TokenSet("b0", "s0", NOW - 1)
            raise InvalidGrantError("dead")
        return info("b1", "s1", NOW + 3600)

    shared.source.refresh = overtaken
    assert await shared.source.bearer() == "b1"
    assert asked == ["r0", "s0"]


async def test_an_invalid_grant_is_tried_once_until_the_athlete_connects_again() -> None:
    shared = Shared()
    shared.strava.latest = "r7"
    for _ in range(3):
        with pytest.raises(InvalidGrantError):
            await shared.source.bearer()
    assert shared.strava.asked == ["r0"]
    shared.kept.token = TokenSet("b0", "s0", NOW + 3600)
    assert await shared.source.bearer() == "b0"


async def test_an_athlete_who_is_not_connected_is_told_each_time_until_there_are_tokens() -> None:
    shared = Shared()
    shared.kept.token = None
    for _ in range(2):
        with pytest.raises(InvalidGrantError, match="not connected"):
            await shared.source.bearer()
    shared.kept.token = TokenSet("b0", "s0", NOW + 3600)
    assert await shared.source.bearer() == "b0"


async def test_a_disconnection_elsewhere_shows_when_strava_refuses_the_token() -> None:
    shared = Shared(expires_at=NOW + 3600)
    await shared.source.bearer()
    shared.kept.token = None
    with pytest.raises(InvalidGrantError, match="not connected"):
        await shared.source.renew("a0")
    assert shared.source.token.access_token == ""


async def test_tokens_that_could_not_be_kept_are_kept_before_their_next_use() -> None:
    shared = Shared()
    shared.kept.fail_with = OSError("disk full")
    for _ in range(2):
        with pytest.raises(OSError, match="disk full"):
            await shared.source.bearer()
    assert shared.source.unsaved
    shared.kept.fail_with = None
    assert await shared.source.bearer() == "a1"
    assert not shared.source.unsaved
    assert shared.kept.token == shared.source.token
    assert shared.strava.asked == ["r0"]


@pytest.mark.parametrize("since", [TokenSet("b0", "s0", NOW + 3600), None])
async def test_pending_tokens_give_way_to_later_changes(since: TokenSet | None) -> None:
    shared = Shared()
    shared.kept.fail_with = OSError("disk full")
    with pytest.raises(OSError, match="disk full"):
        await shared.source.bearer()
    shared.kept.fail_with, shared.kept.token = None, since
    await shared.source.flush()
    assert not shared.source.unsaved
    assert shared.kept.token is since


async def test_flushing_saves_pending_tokens_without_a_request() -> None:
    shared = Shared()
    await shared.source.flush()
    assert shared.kept.done == []
    shared.kept.fail_with = OSError("disk full")
    with pytest.raises(OSError, match="disk full"):
        await shared.source.bearer()
    shared.kept.fail_with = None
    await shared.source.flush()
    assert shared.kept.done[-3:] == ["load", "save r1", "unlock"]


async def test_tokens_that_were_forgotten_while_they_were_read_are_read_again() -> None:
    shared = Shared(expires_at=NOW + 3600)

    async def reconnect() -> None:
        shared.kept.loading = None
        shared.kept.token = TokenSet("b0", "s0", NOW + 3600)
        shared.source.invalidate()

    shared.kept.loading = reconnect
    assert await shared.source.bearer() == "b0"


async def test_waiting_for_another_process_can_be_cancelled_and_the_next_takes_over() -> None:
    shared = Shared()
    results: list[object] = []
    leader = anyio.CancelScope()

    async def lead() -> None:
        with leader:
            await shared.source.bearer()

    async def follow() -> None:
        results.append(await shared.source.bearer())

    async with anyio.create_task_group() as tasks:
        await shared.kept.free.acquire()  # another process has the lock
        tasks.start_soon(lead)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(follow)
        await anyio.wait_all_tasks_blocked()
        leader.cancel()
        await anyio.wait_all_tasks_blocked()
        assert leader.cancelled_caught
        assert results == []
        shared.kept.free.release()
    assert results == ["a1"]
    assert shared.strava.asked == ["r0"]


async def test_a_cancelled_renewal_keeps_what_strava_answered() -> None:
    shared = Shared()
    shared.strava.gate = anyio.Event()
    leader = anyio.CancelScope()

    async def lead() -> None:
        with leader:
            await shared.source.bearer()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lead)
        await anyio.wait_all_tasks_blocked()
        leader.cancel()
        await anyio.wait_all_tasks_blocked()
        shared.strava.gate.set()
    await shared.source.wait_idle()
    assert shared.kept.token is not None
    assert shared.kept.token.refresh_token == "r1"


async def test_a_scope_known_to_be_missing_is_reported_after_reading_once_more() -> None:
    shared = Shared(expires_at=NOW + 3600)
    shared.kept.token = TokenSet("a0", "r0", NOW + 3600, frozenset({"read"}), 7)
    with pytest.raises(MissingScopeError, match="activity:read or activity:read_all") as caught:
        await shared.source.prepare(("activity:read", "activity:read_all"))
    assert caught.value.missing == {"activity:read"}
    assert caught.value.athlete_id == 7
    shared.kept.token = TokenSet("b0", "s0", NOW + 3600, frozenset({"read", "activity:read_all"}), 7)
    await shared.source.prepare(("activity:read", "activity:read_all"))
    assert await shared.source.bearer() == "b0"


@pytest.mark.parametrize("granted", [frozenset[str](), frozenset({"read", "view_private"})])
async def test_what_was_granted_is_not_judged_where_it_is_not_known(granted: frozenset[str]) -> None:
    await TokenSource(TokenSet("a0", scope=granted)).prepare(("activity:write",))


async def test_kept_tokens_are_prepared_before_a_call_waits_and_others_are_not() -> None:
    shared, alone = Shared(), Setting()
    await shared.source.prepare()
    await alone.source.prepare()
    assert (shared.strava.asked, alone.strava.asked) == (["r0"], [])


async def test_persistence_and_callback_exclude_each_other() -> None:
    with pytest.raises(InputError, match="either"):
        TokenSource(persistence=Kept(None), on_refresh=print)


async def test_a_refused_caller_who_finds_others_reading_renews_all_the_same() -> None:
    shared = Shared(expires_at=NOW + 3600)
    await shared.source.bearer()
    shared.kept.token = TokenSet("a0", "r0", NOW + 3600, frozenset({"read"}))
    gate = anyio.Event()
    shared.kept.loading = gate.wait
    renewed: list[bool] = []

    async def read() -> None:
        shared.source.token = shared.kept.token or TokenSet("")
        with pytest.raises(MissingScopeError):
            await shared.source.prepare(("activity:write",))

    async def renew() -> None:
        renewed.append(await shared.source.renew("a0"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(renew)
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert renewed == [True]
    assert shared.strava.asked == ["r0"]


async def test_a_replacement_that_fails_is_its_callers_affair() -> None:
    setting = Setting(expires_at=NOW + 3600)
    gate, results = anyio.Event(), list[object]()

    async def refuse(tokens: TokenSet) -> AccessInfo:
        await gate.wait()
        raise InvalidGrantError("a wrong code")

    async def replace() -> None:
        with pytest.raises(InvalidGrantError):
            await setting.source.replace(refuse, save=False)

    async def call() -> None:
        results.append(await setting.source.bearer())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(replace)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert results == ["a0"]


async def test_a_source_with_an_invalid_grant_is_freed_without_the_garbage_collector() -> None:
    async def refuse(tokens: TokenSet) -> AccessInfo:
        raise InvalidGrantError("dead")

    source = TokenSource(TokenSet("a0", "r0", 1), refresh=refuse)
    for _ in range(2):
        with suppress(InvalidGrantError):
            await source.bearer()
    reference = weakref.ref(source)
    gc.collect()  # what the test itself left behind
    gc.disable()
    try:
        await anyio.lowlevel.checkpoint()
        del source
        assert reference() is None
    finally:
        gc.enable()


async def test_pending_tokens_are_kept_although_strava_issues_the_same_again() -> None:
    shared = Shared()
    shared.kept.fail_with = OSError("disk full")
    with pytest.raises(OSError, match="disk full"):
        await shared.source.bearer()
    shared.kept.fail_with = None
    renewed = shared.source.token

    async def the_same(tokens: TokenSet) -> AccessInfo:
        return info(renewed.access_token, renewed.refresh_token or "", renewed.expires_at or 0)

    await shared.source.replace(the_same, save=True)
    assert shared.kept.token == renewed


async def test_a_new_grant_is_pending_until_it_is_saved() -> None:
    shared = Shared()
    shared.kept.loading = None
    grant = AccessInfo(info("b0", "s0", NOW + 3600), athlete={"id": 7})
    async with anyio.create_task_group() as tasks:
        await shared.kept.free.acquire()
        tasks.start_soon(shared.source.adopt_grant, grant)
        await anyio.wait_all_tasks_blocked()
        assert shared.source.unsaved
        assert shared.kept.token is not None
        assert shared.kept.token.access_token == "a0"
        shared.kept.free.release()
    assert shared.kept.token == TokenSet("b0", "s0", NOW + 3600, athlete_id=7)


async def test_waiting_for_the_end_of_a_renewal_from_inside_is_reported() -> None:
    async def close(tokens: TokenSet) -> None:
        await setting.source.wait_idle()

    setting = Setting(on_refresh=close)
    with pytest.raises(InputError, match="itself"):
        await setting.source.bearer()


async def test_renewals_that_need_each_other_are_reported() -> None:
    async def use_second(tokens: TokenSet) -> None:
        await second.source.bearer()

    async def use_first(tokens: TokenSet) -> None:
        await first.source.bearer()

    first, second = Setting(on_refresh=use_second), Setting(on_refresh=use_first)
    with pytest.raises(InputError, match="itself"):
        await first.source.bearer()


def test_a_loop_that_was_closed_amid_a_renewal_does_not_block_the_next() -> None:
    setting = Setting()

    async def never(tokens: TokenSet) -> AccessInfo:
        await anyio.sleep_forever()
        raise AssertionError

    setting.source.refresh = never
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # it says that a task is lost, and so it is
    task = loop.create_task(setting.source.bearer())
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    assert asyncio.all_tasks(loop)  # the renewal goes on without its caller

    setting.source.refresh = setting.strava.refresh
    with pytest.raises(InputError, match="another event loop"):
        asyncio.run(setting.source.bearer())
    loop.close()
    assert asyncio.run(setting.source.bearer()) == "a1"
    gc.collect()


async def test_saved_tokens_cannot_be_replaced_without_the_persistence() -> None:
    shared = Shared()
    with pytest.raises(InputError, match=r"Strava\.connect"):
        await shared.source.replace(shared.strava.refresh, save=False)
    assert shared.strava.asked == []


async def confirmed(shared: Shared) -> tuple[bool, int]:
    """Return whether the grant is valid, and how often its end was called."""
    ended: list[None] = []

    async def end(dead: TokenSet | None) -> None:
        assert dead == shared.kept.token
        ended.append(None)

    return await shared.source.verify_grant(end), len(ended)


async def test_a_confirmation_asks_although_the_token_is_good_and_keeps_what_it_gets() -> None:
    shared = Shared(expires_at=NOW + 3600)
    assert await confirmed(shared) == (True, 0)
    assert shared.strava.asked == ["r0"]
    assert shared.kept.token == shared.source.token


async def test_a_confirmation_that_lost_a_race_asks_with_what_it_finds() -> None:
    shared = Shared()
    asked: list[str | None] = []

    async def dead(tokens: TokenSet) -> AccessInfo:
        asked.append(tokens.refresh_token)
        if tokens.refresh_token == "r0":
            shared.kept.token = TokenSet("b0", "s0", NOW + 3600)
        raise InvalidGrantError("dead")

    shared.source.refresh = dead
    assert await confirmed(shared) == (False, 1)
    assert asked == ["r0", "s0"]


async def test_a_verification_drops_superseded_pending_tokens() -> None:
    shared = Shared()
    shared.kept.fail_with = OSError("disk full")
    with pytest.raises(OSError, match="disk full"):
        await shared.source.bearer()
    shared.kept.fail_with, shared.kept.token = None, TokenSet("b0", "s0", NOW + 3600)
    shared.strava.latest = "s0"
    assert await confirmed(shared) == (True, 0)
    assert shared.strava.asked == ["r0", "s0"]


async def test_there_is_nothing_to_confirm_without_a_refresh_token() -> None:
    shared = Shared(expires_at=NOW + 3600)
    shared.kept.token = TokenSet("b0", None, NOW + 3600)
    assert await confirmed(shared) == (True, 0)
    assert shared.strava.asked == []


async def test_a_renewal_without_a_refresh_token_goes_on_with_the_old_one() -> None:
    shared = Shared()
    shared.strava.answer_with = AccessInfo(access_token="a1", expires_at=NOW + 21_600)
    assert await shared.source.bearer() == "a1"
    assert shared.kept.token == TokenSet("a1", "r0", NOW + 21_600, athlete_id=7)


async def test_a_renewal_whose_expiry_is_unknown_is_kept_and_used() -> None:
    shared = Shared()
    shared.strava.answer_with = AccessInfo(access_token="a1", refresh_token="r1")
    for _ in range(3):
        assert await shared.source.bearer() == "a1"
    assert shared.kept.token == TokenSet("a1", "r1", None, athlete_id=7)
    assert shared.strava.asked == ["r0"]


@pytest.mark.parametrize("known", ["by the tokens", "by the source"])
async def test_a_renewal_that_names_another_athlete_is_refused_and_not_kept(known: str) -> None:
    shared = Shared()
    if known == "by the source":
        shared.kept.token = TokenSet("a0", "r0", NOW - 1)
        shared.source = TokenSource(
            persistence=shared.kept, refresh=shared.strava.refresh, clock=shared.clock, athlete_id=7
        )
    before = shared.kept.token
    shared.strava.answer_with = AccessInfo(info("a1", "r1", NOW + 21_600), athlete={"id": 8})
    for _ in range(2):
        with pytest.raises(InvalidGrantError, match="athlete 7"):
            await shared.source.bearer()
    assert shared.kept.token is before
    assert shared.strava.asked == ["r0"]


async def test_a_renewal_that_names_the_same_athlete_keeps_what_was_granted() -> None:
    shared = Shared()
    shared.kept.token = TokenSet("a0", "r0", NOW - 1, frozenset({"read"}), 7)
    shared.strava.answer_with = AccessInfo(info("a1", "r1", NOW + 21_600), athlete={"id": 7})
    await shared.source.bearer()
    assert shared.kept.token == TokenSet("a1", "r1", NOW + 21_600, frozenset({"read"}), 7)


async def test_a_new_grant_inherits_nothing_although_its_answer_does_not_say_whose_it_is() -> None:
    source = TokenSource(TokenSet("a0", "r0", NOW + 3600, frozenset({"activity:write"}), 7), clock=FakeClock())

    async def exchange(tokens: TokenSet) -> AccessInfo:
        return AccessInfo(access_token="b0", athlete=None)

    await source.replace(exchange, save=False)
    assert source.token == TokenSet("b0")


@pytest.mark.parametrize("expires_at", [NOW - 100, NOW, NOW + 200])
async def test_a_token_that_is_issued_expired_does_not_cause_one_renewal_per_call(expires_at: int) -> None:
    setting = Setting()
    number = 0

    async def dying(tokens: TokenSet) -> AccessInfo:
        nonlocal number
        number += 1
        return info(f"a{number}", f"r{number}", expires_at)

    setting.source.refresh = dying
    for _ in range(5):
        assert await setting.source.bearer() == "a1"
        assert await setting.source.renew("a1") is False  # Strava refuses it too
        assert await setting.source.renew("a0") is True  # who was refused with the one before can try it
    assert number == 1
    setting.clock.wall_offset = -3600.0  # no jump of the wall clock holds it for longer
    setting.clock.advance(3600.0 + 61.0)
    assert await setting.source.bearer() == "a2"


async def test_an_invalid_lifetime_says_nothing_about_the_clock() -> None:
    setting = Setting()
    for expires_in in (0, 10**9):
        setting.strava.answer_with = info("a1", "r1", NOW + 21_600, expires_in=expires_in)
        setting.source.token = TokenSet("a0", "r0", NOW - 1)
        await setting.source.bearer()
        assert await setting.source.bearer() == "a1"
        assert len(setting.strava.asked) == 1
        setting.strava.asked.clear()
        setting.strava.latest = "r0"


@pytest.mark.parametrize(
    "error",
    [TransportError("down", sent="maybe"), ServerError(status_code=503), RateLimitedError(status_code=429)],
    ids=lambda error: type(error).__name__,
)
async def test_a_token_that_cannot_be_renewed_now_is_used_until_it_expires(error: StravaError) -> None:
    setting = Setting(expires_at=NOW + 100)
    setting.strava.fail_with = error
    for _ in range(3):
        assert await at_once(5, setting.source.bearer) == ["a0"] * 5
    assert setting.strava.asked == ["r0"]
    setting.clock.advance(61.0)
    assert await setting.source.bearer() == "a0"
    assert len(setting.strava.asked) == 2
    setting.clock.advance(61.0)
    with pytest.raises(type(error)):
        await setting.source.bearer()


async def test_a_token_whose_grant_is_invalid_or_unsaved_is_not_used_although_it_has_not_expired() -> None:
    setting, shared = Setting(expires_at=NOW + 100), Shared(expires_at=NOW + 100)
    setting.strava.fail_with = InvalidGrantError("dead")
    with pytest.raises(InvalidGrantError):
        await setting.source.bearer()
    shared.kept.fail_with = TransportError("the store is far away", sent="never")
    with pytest.raises(TransportError):
        await shared.source.bearer()


async def test_a_token_that_cannot_be_renewed_now_is_not_used_when_it_has_died() -> None:
    setting = Setting(expires_at=NOW + 20)
    setting.strava.fail_with = ServerError(status_code=503)
    assert await setting.source.bearer() == "a0"
    setting.clock.advance(21.0)
    setting.strava.fail_with = None
    assert await setting.source.bearer() == "a1"


@pytest.mark.parametrize("expires_at", [NOW + 100, NOW + 9_000, None])
async def test_a_refused_token_is_not_sent_again_while_it_cannot_be_renewed(expires_at: int | None) -> None:
    setting = Setting(expires_at=expires_at)
    setting.strava.fail_with = RateLimitedError(status_code=429)
    with pytest.raises(RateLimitedError):
        await setting.source.renew("a0")
    for _ in range(3):
        with pytest.raises(RateLimitedError):
            await setting.source.bearer()
    setting.strava.fail_with = None
    assert await setting.source.bearer() == "a1"


async def test_a_refused_token_that_is_not_the_present_one_says_nothing_about_that() -> None:
    setting = Setting(expires_at=NOW + 9_000)
    assert await setting.source.renew("older")
    assert await setting.source.bearer() == "a0"
    assert not setting.strava.asked


async def test_a_refused_token_that_strava_gives_again_does_not_bring_one_renewal_per_call() -> None:
    setting = Setting(expires_at=NOW + 9_000)
    setting.strava.answer_with = info("a0", "r0", NOW + 9_000)
    for _ in range(3):
        assert await setting.source.renew("a0") is False
        assert await setting.source.bearer() == "a0"
    assert setting.strava.asked == ["r0"]
    setting.strava.answer_with = None
    setting.clock.advance(61.0)
    assert await setting.source.bearer() == "a1"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_source_that_nobody_uses_any_more_is_not_forgotten_while_it_works() -> None:
    clock = FakeClock()
    strava, store = Strava(clock), MemoryTokenStore()
    await store.save(7, TokenSet("a0", "r0", NOW - 1))
    accounts = Accounts(store, clock, strava.refresh)
    strava.gate = anyio.Event()

    async def call() -> None:
        await accounts.delete_if_revoked(accounts.source(7), 7)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    gc.collect()
    flushed: list[bool] = []

    async def flush() -> None:
        await accounts.flush()
        flushed.append(True)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flush)
        await anyio.wait_all_tasks_blocked()
        assert not flushed
        strava.gate.set()
    saved = await store.load(7)
    assert saved is not None
    assert saved.refresh_token == strava.latest == "r1"
