"""One renewal for any number of callers, and no token lost whoever is cancelled."""

import asyncio
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest

from strava_async.errors import InputError, InvalidGrantError, StravaError, TransportError
from strava_async.oauth import AccessInfo, TokenSet
from strava_async.testing.clock import SOME_TUESDAY, FakeClock
from strava_async.tokens import TokenSource

pytestmark = pytest.mark.anyio

NOW = int(SOME_TUESDAY)


class Strava:
    """Answers refreshes like Strava: rotates, counts, and refuses what is not the latest refresh token.

    Attributes:
        asked: the refresh tokens that came, in order.
        gate: an answer waits until it is set.
        fail_with: raised instead of answering.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.asked: list[str | None] = []
        self.gate = anyio.Event()
        self.gate.set()
        self.fail_with: Exception | None = None
        self.latest = "r0"

    async def refresh(self, tokens: TokenSet) -> AccessInfo:
        self.asked.append(tokens.refresh_token)
        await self.gate.wait()
        if self.fail_with is not None:
            raise self.fail_with
        if tokens.refresh_token != self.latest:
            raise InvalidGrantError("dead")
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


async def gather(count: int, work: Callable[[], Awaitable[object]]) -> list[object]:
    """Run the work that often at once and return values and errors."""
    results: list[object] = []

    async def one() -> None:
        try:
            results.append(await work())
        except StravaError as error:
            results.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one)
    return results


async def test_a_living_token_is_used_as_it_is() -> None:
    setting = Setting(expires_at=NOW + 3600)
    assert await setting.source.bearer() == "a0"
    assert setting.strava.asked == []


async def test_an_unknown_expiry_is_trusted() -> None:
    setting = Setting(expires_at=None)
    assert await setting.source.bearer() == "a0"


@pytest.mark.parametrize(("left", "bearer"), [(301, "a0"), (299, "a1"), (0, "a1"), (-5, "a1")])
async def test_a_token_is_renewed_before_it_dies(left: int, bearer: str) -> None:
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
    results = await gather(100, setting.source.bearer)
    assert len(setting.strava.asked) == 1
    assert all(isinstance(result, TransportError) for result in results)
    assert len({id(result) for result in results}) == 100  # each its own traceback


async def test_after_a_failure_the_next_call_tries_again() -> None:
    setting = Setting()
    setting.strava.fail_with = TransportError("down", sent="maybe")
    await gather(1, setting.source.bearer)
    setting.strava.fail_with = None
    assert await setting.source.bearer() == "a1"


async def test_a_dead_grant_is_asked_for_once_until_there_are_new_tokens() -> None:
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
    assert await gather(100, lambda: setting.source.renew("a0")) == [True] * 100
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
    await setting.source.settled()
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


async def test_replacing_waits_for_a_renewal_under_way() -> None:
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
    setting = Setting()

    async def stop_amid_renewal() -> None:
        setting.strava.gate = anyio.Event()
        caller = asyncio.create_task(setting.source.bearer())
        await asyncio.sleep(0)
        caller.cancel()

    async def use() -> str | None:
        setting.strava.gate.set()
        return await setting.source.bearer()

    asyncio.run(stop_amid_renewal())
    assert asyncio.run(use()) == "a1"
