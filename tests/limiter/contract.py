"""What every limiter does. Derive a class named ``Test...`` from one of these and override ``limiter``.

``LimiterContract`` is for any, ``MeteredLimiterContract`` for one that counts and lets calls wait,
``ClosableLimiterContract`` for one that has something to close as well. The clock is a ``FakeClock``; take it.
"""

from __future__ import annotations

import json
import math
from email.utils import formatdate

import anyio
import httpx
import pytest

from strava_async import ApiV3
from strava_async.errors import InputError, LimiterError, QuotaExceededError
from strava_async.limiter.base import ClosableLimiter, Limiter
from strava_async.limiter.unlimited import Unlimited
from strava_async.quota.readings import Meter
from strava_async.quota.values import Priority, QuotaClass
from strava_async.testing.clock import SOME_TUESDAY, FakeClock

METERS = ("read_15min", "read_day", "overall_15min", "overall_day")
NONSENSE: list[dict[str, str]] = [
    {},
    {"X-RateLimit-Limit": ",", "X-RateLimit-Usage": "٣,٣", "Date": "yesterday"},
    {"x-readratelimit-usage": "9" * 5_000, "retry-after": "-1", "age": "x"},
]


def answer(clock: FakeClock, read: int, overall: int) -> dict[str, str]:
    """Return the fields of an answer of now, of an application with Strava's documented limits."""
    return {
        "date": formatdate(math.floor(clock.time()), usegmt=True),
        "x-ratelimit-limit": "200,2000",
        "x-ratelimit-usage": f"{overall},{overall}",
        "x-readratelimit-limit": "100,1000",
        "x-readratelimit-usage": f"{read},{read}",
    }


def meters(limiter: Limiter) -> dict[str, Meter]:
    quota = limiter.quota
    return {name: getattr(quota, name) for name in METERS}


@pytest.mark.anyio
class LimiterContract:
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock(SOME_TUESDAY + 1.5)

    @pytest.fixture
    def limiter(self, clock: FakeClock) -> Limiter:
        raise NotImplementedError("override the fixture")

    async def test_its_clock_is_the_one_passed_in(self, limiter: Limiter, clock: FakeClock) -> None:
        assert limiter.clock is clock

    async def test_meters_end_at_the_next_natural_boundary(self, limiter: Limiter) -> None:
        ends = {name: meter.resets_at for name, meter in meters(limiter).items()}
        quarter, day = SOME_TUESDAY + 900, SOME_TUESDAY + 14 * 3_600
        assert ends == {"read_15min": quarter, "read_day": day, "overall_15min": quarter, "overall_day": day}

    @pytest.mark.parametrize("quota_class", QuotaClass)
    @pytest.mark.parametrize("priority", Priority)
    async def test_whatever_is_asked_for_gets_a_permit(
        self, limiter: Limiter, quota_class: QuotaClass, priority: Priority
    ) -> None:
        assert limiter.blocked(quota_class) is None
        permit = await limiter.acquire(quota_class, priority=priority, max_wait=2.0, retry_of=None)
        with permit as entered:
            assert entered is permit

    @pytest.mark.parametrize("first", ["settle", "release", "abandon"])
    async def test_only_the_first_end_of_a_permit_counts(self, limiter: Limiter, clock: FakeClock, first: str) -> None:
        def end(name: str) -> None:
            permit.settle(200, answer(clock, 1, 1)) if name == "settle" else getattr(permit, name)()

        permit = await limiter.acquire()
        end(first)
        ended = meters(limiter)
        for again in ("release", "abandon", "settle"):
            end(again)
        with permit:
            pass
        assert meters(limiter) == ended

    async def test_an_error_passes_through_the_block_of_a_permit_and_ends_it(self, limiter: Limiter) -> None:
        before = {name: meter.reserved for name, meter in meters(limiter).items()}
        with pytest.raises(ZeroDivisionError), await limiter.acquire():
            raise ZeroDivisionError
        assert {name: meter.reserved for name, meter in meters(limiter).items()} == before

    @pytest.mark.parametrize("headers", NONSENSE)
    @pytest.mark.parametrize("status_code", [0, 200, 429, 999])
    async def test_settling_never_raises(self, limiter: Limiter, status_code: int, headers: dict[str, str]) -> None:
        (await limiter.acquire()).settle(status_code, headers)

    @pytest.mark.parametrize("kind", ["own", "another limiter's"])
    async def test_an_earlier_permit_of_the_call_is_taken_whosever_it_is(self, limiter: Limiter, kind: str) -> None:
        earlier = await (limiter if kind == "own" else Unlimited()).acquire()
        earlier.release()
        (await limiter.acquire(retry_of=earlier)).release()

    async def test_many_at_once_leave_nothing_behind(self, limiter: Limiter, clock: FakeClock) -> None:
        before = meters(limiter)

        async def call() -> None:
            (await limiter.acquire()).release()

        async with clock.autojump(), anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(call)
        assert meters(limiter) == before

    async def test_a_client_takes_it(self, limiter: Limiter, clock: FakeClock) -> None:
        def reply(request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, json={"id": 7}, headers=answer(clock, 1, 1))

        async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as http_client:
            api = ApiV3("token", http_client, limiter)
            assert await api.get("/athlete") == {"id": 7}
            assert (api.quota, api.clock) == (limiter.quota, clock)
        assert {meter.reserved for meter in meters(limiter).values()} == {0}


class MeteredLimiterContract(LimiterContract):
    @pytest.fixture
    async def spent(self, limiter: Limiter, clock: FakeClock) -> Limiter:
        """Return the limiter without anything left of this quarter hour's reads; override it if no number tells it."""
        (await limiter.acquire()).settle(200, answer(clock, 100, 100))
        return limiter

    async def test_a_permit_out_is_reserved_and_one_released_costs_nothing(
        self, limiter: Limiter, clock: FakeClock
    ) -> None:
        (await limiter.acquire()).settle(200, answer(clock, 1, 1))
        before = meters(limiter)
        permit = await limiter.acquire()
        assert {name: meter.reserved for name, meter in meters(limiter).items()} == dict.fromkeys(METERS, 1)
        permit.release()
        assert meters(limiter) == before

    @pytest.mark.parametrize("quota_class", QuotaClass)
    async def test_an_abandoned_permit_is_spent(
        self, limiter: Limiter, clock: FakeClock, quota_class: QuotaClass
    ) -> None:
        (await limiter.acquire()).settle(200, answer(clock, 1, 1))
        before = {name: meter.remaining for name, meter in meters(limiter).items()}
        (await limiter.acquire(quota_class)).abandon()
        cost = {name: (before[name] or 0) - (meter.remaining or 0) for name, meter in meters(limiter).items()}
        reads = int(quota_class is QuotaClass.READ)
        assert cost == {"read_15min": reads, "read_day": reads, "overall_15min": 1, "overall_day": 1}

    async def test_what_blocks_is_named_with_its_end(self, spent: Limiter, clock: FakeClock) -> None:
        blocked = spent.blocked(QuotaClass.READ)
        assert blocked is not None
        assert blocked.window in METERS
        assert clock.time() < blocked.resume_at <= SOME_TUESDAY + 900

    @pytest.mark.parametrize("max_wait", [0, 0.0, 10.0])
    async def test_a_call_that_cannot_start_in_time_fails_at_once(
        self, spent: Limiter, clock: FakeClock, max_wait: float
    ) -> None:
        blocked, before, now = spent.blocked(QuotaClass.READ), meters(spent), clock.monotonic()
        assert blocked is not None
        async with clock.autojump():
            with pytest.raises(QuotaExceededError) as caught:
                await spent.acquire(max_wait=max_wait)
        assert clock.monotonic() == now
        assert (caught.value.quota_class, caught.value.window) == (QuotaClass.READ, blocked.window)
        assert caught.value.resume_at == blocked.resume_at
        assert caught.value.wait_seconds == pytest.approx(blocked.resume_at - clock.time(), abs=1)
        assert meters(spent) == before

    @pytest.mark.parametrize("max_wait", [None, 905.0])
    async def test_others_wait_for_the_next_window(
        self, spent: Limiter, clock: FakeClock, max_wait: float | None
    ) -> None:
        async with clock.autojump():
            (await spent.acquire(max_wait=max_wait)).settle(200, answer(clock, 1, 1))
        assert SOME_TUESDAY + 900 <= clock.time() <= SOME_TUESDAY + 901
        assert spent.quota.read_15min.resets_at == SOME_TUESDAY + 1_800

    @pytest.mark.parametrize("count", [1, 50])
    async def test_waiting_calls_that_are_cancelled_leave_nothing_behind(
        self, spent: Limiter, clock: FakeClock, count: int
    ) -> None:
        before = meters(spent)
        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(spent.acquire)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert meters(spent) == before
        async with clock.autojump():
            (await spent.acquire()).settle(200, answer(clock, 1, 1))
        assert {meter.reserved for meter in meters(spent).values()} == {0}


class ClosableLimiterContract(MeteredLimiterContract):
    @pytest.fixture
    def closable(self, limiter: Limiter) -> ClosableLimiter:
        raise NotImplementedError("override the fixture: return the limiter under the type that it has")

    async def test_a_snapshot_is_something_that_json_can_hold(self, closable: ClosableLimiter) -> None:
        snapshot = closable.snapshot()
        assert json.loads(json.dumps(snapshot)) == snapshot

    async def test_calls_that_wait_fail_once_it_is_closed_and_later_ones_are_a_mistake(
        self, closable: ClosableLimiter, spent: Limiter
    ) -> None:
        failed: list[str] = []

        async def call(name: str) -> None:
            with pytest.raises(LimiterError):
                await spent.acquire()
            failed.append(name)

        async with anyio.create_task_group() as tasks:
            for name in ("first", "second"):
                tasks.start_soon(call, name)
            await anyio.wait_all_tasks_blocked()
            await closable.aclose()
        assert sorted(failed) == ["first", "second"]
        with pytest.raises(InputError):
            await spent.acquire()

    async def test_permits_may_be_ended_after_it_was_closed_twice(self, closable: ClosableLimiter) -> None:
        permit = await closable.acquire()
        await closable.aclose()
        await closable.aclose()
        permit.settle(200, {})
