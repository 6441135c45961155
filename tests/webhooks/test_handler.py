"""One attempt to handle a webhook event: the checks, the calls, and what an error means."""

import logging
import threading
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import anyio
import anyio.to_thread
import pytest

from strava_async import (
    ForbiddenError,
    InputError,
    InvalidClientError,
    InvalidGrantError,
    LimiterError,
    NotFoundError,
    QuotaExceededError,
    RateLimitedError,
    ServerError,
    TokenStoreError,
    TransportError,
)
from strava_async.testing import FakeClock
from strava_async.webhooks import MemoryEventStore, WebhookEvent
from strava_async.webhooks.handler import DENIED_SECONDS, EventHandler
from strava_async.webhooks.owners import SLOW_TURN_SECONDS, TURN_SECONDS, Owners
from strava_async.webhooks.pending import AttemptResult, GrantState, Outcome, PendingEvent, Retry, WaitReason
from strava_async.webhooks.retry import (
    KEPT_SECONDS,
    MAX_QUOTA_SECONDS,
    MIN_QUOTA_SECONDS,
    NOT_FOUND_SECONDS,
    QUOTA_AGE_SECONDS,
    TROUBLE_SECONDS,
    UNKNOWN_QUOTA_SECONDS,
)

pytestmark = pytest.mark.anyio

CREATED = WebhookEvent("activity", 5, "create", 7, 9, 1)
RENAMED = WebhookEvent("activity", 5, "update", 7, 9, 1, {"title": "x"})
REMOVED = WebhookEvent("athlete", 7, "update", 7, 9, 1, {"authorized": "false"})

NOT_FOUND = NotFoundError(status_code=404)
UNREACHABLE = TransportError("no reply", sent="maybe")
TROUBLE = [UNREACHABLE, ServerError(status_code=503), TokenStoreError("busy"), LimiterError("away")]
RETRIED = [*TROUBLE, TimeoutError(), ConnectionRefusedError("the database is down")]
DROPPED, HANDLED, FAILED = Outcome.DROPPED, Outcome.HANDLED, Outcome.FAILED
AFTER_TROUBLE = [Retry(seconds, WaitReason.TROUBLE) for seconds in TROUBLE_SECONDS]
AFTER_NOT_FOUND = [Retry(seconds, WaitReason.NOT_FOUND) for seconds in NOT_FOUND_SECONDS]


def turn(seconds: float) -> Retry:
    return Retry(seconds, WaitReason.OWNER_TURN)


def after_quota(seconds: float) -> Retry:
    return Retry(seconds, WaitReason.QUOTA)


def no_quota(wait_seconds: float = 900.0) -> QuotaExceededError:
    return QuotaExceededError(quota_class="read", window="read_15min", resume_at=0.0, wait_seconds=wait_seconds)


class Handling(EventHandler):
    """Confirms what was handled, as the queue does when it removes it from the store."""

    def __init__(self, world: "World", owners: Owners, **arguments: Any) -> None:
        super().__init__(world, bounds=MemoryEventStore(world.clock, max_unfinished=1, owners=owners), **arguments)
        self.owners = owners

    async def attempt(self, pending: PendingEvent, is_last: bool) -> AttemptResult:
        result = await super().attempt(pending, is_last)
        if result is HANDLED and not pending.event.is_deauthorization:
            self.owners.confirm(pending.event.owner_id, was_not_found=pending.standing.was_not_found)
        return result


class World:
    """Athletes and their grants, and an application; each step raises or returns what is laid out for it, in order."""

    def __init__(self, **steps: list[Any]) -> None:
        self.clock = FakeClock()
        self.owners = Owners()
        self.calls: list[tuple[str, object]] = []
        self.steps = steps
        self.threads: set[int] = set()

    def step(self, name: str, argument: object, default: object) -> Any:
        self.calls.append((name, argument))
        self.threads.add(threading.get_ident())
        left = self.steps.get(name, [])
        result = left.pop(0) if left else default
        if isinstance(result, BaseException):
            raise result
        return result

    async def slow_step(self, name: str, argument: object) -> Any:
        """As ``step``; one that is laid out as a scope is cut off by its cancellation."""
        result = self.step(name, argument, True)
        if isinstance(result, anyio.CancelScope):
            result.cancel()
            await anyio.sleep_forever()
        return result

    async def is_connected(self, athlete_id: int) -> bool:
        return bool(self.step("is_connected", athlete_id, True))

    async def forget_if_revoked(self, athlete_id: int) -> bool:
        return bool(await self.slow_step("forget_if_revoked", athlete_id))

    async def on_event(self, event: WebhookEvent) -> None:
        self.step("on_event", event, None)

    def on_event_in_a_thread(self, event: WebhookEvent) -> None:
        self.step("on_event", event, None)

    async def on_disconnect(self, athlete_id: int) -> None:
        self.step("on_disconnect", athlete_id, None)

    async def claim(self, event: WebhookEvent) -> bool:
        claimed: bool = await self.slow_step("claim", event)
        return claimed

    def handling(self, **changes: Any) -> EventHandler:
        arguments: dict[str, Any] = {"on_event": self.on_event, "on_disconnect": self.on_disconnect, "claim": None}
        return Handling(self, self.owners, **{**arguments, **changes})

    def job(self, event: WebhookEvent) -> PendingEvent:
        return PendingEvent(event, self.clock.time(), self.clock.monotonic())

    def asked(self) -> list[str]:
        return [name for name, _ in self.calls]


# -- before the handler -----------------------------------------------------------------------------------------------


async def test_an_event_of_a_connected_athlete_goes_to_the_handler() -> None:
    world = World()
    assert await world.handling().attempt(world.job(CREATED), False) is HANDLED
    assert world.calls == [("is_connected", 7), ("on_event", CREATED)]


@pytest.mark.parametrize("event", [CREATED, REMOVED])
async def test_an_event_of_somebody_else_is_dropped_and_claimed_by_nobody(event: WebhookEvent) -> None:
    world = World(is_connected=[False])
    assert await world.handling(claim=world.claim).attempt(world.job(event), False) is DROPPED
    assert world.asked() == ["is_connected"]


async def test_an_event_that_another_process_has_is_dropped() -> None:
    world = World(claim=[False])
    assert await world.handling(claim=world.claim).attempt(world.job(CREATED), False) is DROPPED
    assert world.asked() == ["is_connected", "claim"]


async def test_what_was_claimed_is_not_claimed_again() -> None:
    world = World(on_event=[UNREACHABLE])
    handling, job = world.handling(claim=world.claim), world.job(CREATED)
    assert await handling.attempt(job, False) == AFTER_TROUBLE[0]
    assert await handling.attempt(job, False) is HANDLED
    assert world.asked() == ["is_connected", "claim", "on_event", "is_connected", "on_event"]


async def test_a_claim_that_raises_is_asked_again_later() -> None:
    world = World(claim=[OSError("the database is away"), True])
    handling, job = world.handling(claim=world.claim), world.job(CREATED)
    assert await handling.attempt(job, False) == AFTER_TROUBLE[0]
    assert "on_event" not in world.asked()
    assert await handling.attempt(job, False) is HANDLED


async def test_a_claim_without_an_answer_is_no_claim(caplog: pytest.LogCaptureFixture) -> None:
    world = World(claim=[None])
    assert await world.handling(claim=world.claim).attempt(world.job(CREATED), True) is FAILED
    assert "claim has to return" in caplog.text
    assert "on_event" not in world.asked()


async def test_a_store_that_fails_is_asked_again_later() -> None:
    world = World(is_connected=[TokenStoreError("busy"), OSError("gone")])
    handling, job = world.handling(), world.job(CREATED)
    assert [await handling.attempt(job, False) for _ in range(3)] == [*AFTER_TROUBLE[:2], HANDLED]
    assert world.asked().count("on_event") == 1


async def test_an_athlete_who_left_while_an_event_waited_costs_nothing_more() -> None:
    world = World(is_connected=[True, False], on_event=[UNREACHABLE])
    handling, job = world.handling(), world.job(CREATED)
    assert await handling.attempt(job, False) == AFTER_TROUBLE[0]
    assert await handling.attempt(job, False) is DROPPED
    assert world.asked().count("on_event") == 1


# -- what the handler may be ------------------------------------------------------------------------------------------


async def test_a_plain_handler_runs_in_a_thread_and_an_async_one_does_not() -> None:
    world = World()
    await world.handling(on_event=world.on_event).attempt(world.job(CREATED), False)
    assert world.threads == {threading.get_ident()}
    world.threads.clear()
    ran: list[int] = []
    await world.handling(on_event=lambda event: ran.append(threading.get_ident())).attempt(world.job(CREATED), False)
    assert threading.get_ident() not in ran
    assert len(ran) == 1


class Handler:
    def __init__(self, world: World) -> None:
        self.world = world

    async def __call__(self, event: WebhookEvent) -> None:
        await self.world.on_event(event)


@pytest.mark.parametrize(
    "made",
    [
        lambda world: world.on_event,
        lambda world: partial(world.on_event),
        lambda world: Handler(world),
        lambda world: lambda event: world.on_event(event),
        lambda world: world.on_event_in_a_thread,
        lambda world: partial(world.on_event_in_a_thread),
    ],
)
async def test_whatever_can_be_called_is_a_handler(made: Callable[[World], Callable[..., object]]) -> None:
    world = World()
    assert await world.handling(on_event=made(world)).attempt(world.job(CREATED), False) is HANDLED
    assert world.asked() == ["is_connected", "on_event"]


async def test_a_plain_handler_that_raises_is_an_error_like_any_other() -> None:
    world = World(on_event=[UNREACHABLE])
    handling = world.handling(on_event=world.on_event_in_a_thread)
    assert await handling.attempt(world.job(CREATED), False) == AFTER_TROUBLE[0]


async def test_an_event_that_waited_for_a_week_is_given_up_but_no_deauthorization(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    old, removed = world.job(CREATED), world.job(REMOVED)
    world.clock.advance(KEPT_SECONDS + 1)
    assert await world.handling().attempt(old, False) is FAILED
    assert world.calls == []
    assert "kept for more than seven days" in caplog.text
    assert await world.handling().attempt(removed, False) is HANDLED


# -- the athlete's turn -----------------------------------------------------------------------------------------------


def created(number: int) -> WebhookEvent:
    return WebhookEvent("activity", number, "create", 7, 9, 1)


async def first_attempts(
    world: World, handling: EventHandler, how_many: int
) -> list[tuple[PendingEvent, AttemptResult]]:
    jobs = [world.job(created(number)) for number in range(1, how_many + 1)]
    return [(job, await handling.attempt(job, False)) for job in jobs]


async def test_ten_of_an_athlete_are_attempted_within_a_minute_until_one_was_handled() -> None:
    world = World(on_event=[KeyError("not handled")] * 10)
    handling = world.handling(claim=world.claim)
    ended = await first_attempts(world, handling, 12)
    assert [end for _, end in ended] == [FAILED] * 10 + [turn(TURN_SECONDS)] * 2
    assert world.asked().count("on_event") == world.asked().count("claim") == 10
    world.clock.advance(TURN_SECONDS)
    assert await handling.attempt(ended[10][0], False) is HANDLED
    assert [end for _, end in await first_attempts(world, handling, 40)] == [HANDLED] * 40


async def test_of_an_athlete_who_is_not_connected_no_event_waits() -> None:
    world = World(is_connected=[False] * 200)
    ended = await first_attempts(world, world.handling(), 200)
    assert {end for _, end in ended} == {DROPPED}


async def test_a_deauthorization_needs_no_turn_and_confirms_none() -> None:
    world = World(on_event=[KeyError("x")] * 99, forget_if_revoked=[False])
    handling = world.handling()
    await first_attempts(world, handling, 11)
    assert await handling.attempt(world.job(REMOVED), False) is DROPPED
    assert world.asked().count("forget_if_revoked") == 1
    assert world.owners.turn(7, world.clock.monotonic()) > 0


async def test_what_quota_or_trouble_stopped_needs_a_turn_again() -> None:
    world = World(on_event=[no_quota(900)] * 10 + [UNREACHABLE] * 10)
    handling = world.handling()
    waited = [job for job, _ in await first_attempts(world, handling, 10)]
    world.clock.advance(900)
    assert [await handling.attempt(job, False) for job in waited] == [AFTER_TROUBLE[0]] * 10
    world.clock.advance(5)
    assert [await handling.attempt(job, False) for job in waited] == [turn(TURN_SECONDS - 5)] * 10


async def test_what_waits_for_its_turn_at_the_last_attempt_has_failed_without_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(on_event=[KeyError("x")] * 10)
    handling = world.handling()
    await first_attempts(world, handling, 10)
    assert await handling.attempt(world.job(created(11)), True) is FAILED
    assert world.asked().count("on_event") == 10
    assert "'activity' 11: failed, its athlete has too many" in caplog.text


async def test_after_three_events_that_were_not_found_the_next_is_looked_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(on_event=[NOT_FOUND] * 99)
    handling = world.handling()
    ended = await first_attempts(world, handling, 5)
    assert [end for _, end in ended] == [AFTER_NOT_FOUND[0]] * 5  # it waits for the results of the others
    for pause, after in pairwise(NOT_FOUND_SECONDS):
        world.clock.advance(pause)
        expected = [Retry(after, WaitReason.NOT_FOUND)] * 3 + [turn(after)] * 2
        assert [await handling.attempt(job, False) for job, _ in ended] == expected
    world.clock.advance(NOT_FOUND_SECONDS[-1])
    assert [await handling.attempt(job, False) for job, _ in ended] == [FAILED] * 5
    looked_at = [event.object_id for name, event in world.calls if name == "on_event"]
    assert {number: looked_at.count(number) for number in range(1, 6)} == {1: 4, 2: 4, 3: 4, 4: 1, 5: 1}
    told = [record for record in caplog.records if "that Strava does not know" in record.getMessage()]
    assert [record.levelname for record in told] == ["WARNING"]


async def test_a_404_among_other_errors_of_a_handler_counts_like_one_alone(caplog: pytest.LogCaptureFixture) -> None:
    world = World(on_event=[ExceptionGroup("tasks", [UNREACHABLE, NOT_FOUND])] * 4)
    await first_attempts(world, world.handling(), 4)
    assert [record.levelname for record in caplog.records if "that Strava does not know" in record.getMessage()] == [
        "WARNING"
    ]


async def test_of_a_burst_that_strava_shows_late_nothing_is_lost() -> None:
    world = World(on_event=[NOT_FOUND] * 8)
    handling = world.handling()
    jobs = [job for job, _ in await first_attempts(world, handling, 8)]
    world.clock.advance(NOT_FOUND_SECONDS[0])
    ends = [await handling.attempt(job, False) for job in reversed(jobs)]  # the first three come last
    assert ends == [turn(NOT_FOUND_SECONDS[1])] * 5 + [HANDLED] * 3
    world.clock.advance(NOT_FOUND_SECONDS[1])
    assert [await handling.attempt(job, False) for job in jobs[3:]] == [HANDLED] * 5


async def test_a_success_that_could_be_forged_does_not_bring_the_others_another_look() -> None:
    world = World(on_event=[NOT_FOUND] * 4)
    handling = world.handling()
    jobs = [job for job, _ in await first_attempts(world, handling, 4)]
    assert await handling.attempt(world.job(created(99)), False) is HANDLED
    world.clock.advance(NOT_FOUND_SECONDS[0])
    assert await handling.attempt(jobs[3], False) == turn(NOT_FOUND_SECONDS[1])


async def test_after_twenty_that_were_not_found_the_next_waits_for_two_minutes() -> None:
    world = World(on_event=[NOT_FOUND] * 99)
    handling = world.handling()
    for _ in range(2):
        await first_attempts(world, handling, 10)
        world.clock.advance(TURN_SECONDS)
    assert await handling.attempt(world.job(created(99)), False) == turn(SLOW_TURN_SECONDS - TURN_SECONDS)
    assert world.asked().count("on_event") == 20


# -- its time ---------------------------------------------------------------------------------------------------------


async def test_a_handler_that_is_cut_off_counts_as_trouble_that_passes(caplog: pytest.LogCaptureFixture) -> None:
    world = World()

    async def hang(_: object) -> None:
        await anyio.sleep_forever()

    async with world.clock.autojump():
        handling = world.handling(on_event=hang)
        assert await handling.attempt(world.job(CREATED), False) == AFTER_TROUBLE[0]
        strict = world.handling(on_event=hang, retry_on=())
        assert await strict.attempt(world.job(CREATED), False) is FAILED
    assert "HandlerTimeoutError in on_event, to be tried again in 5 s" in caplog.text
    assert "HandlerTimeoutError('it took longer than 60 s')" in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_handler_whose_thread_is_left_behind_has_failed(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    begun, release = threading.Event(), threading.Event()
    ends: list[AttemptResult] = []

    def hang(_: object) -> None:
        begun.set()
        release.wait(20)

    async def attempt() -> None:
        ends.append(await handling.attempt(world.job(CREATED), False))

    handling = world.handling(on_event=hang, handler_seconds=30)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attempt)
            await anyio.to_thread.run_sync(begun.wait, 20)
            world.clock.advance(30)
        assert ends == [FAILED]
        assert handling.threads_left_behind == 1
    finally:
        release.set()
    assert "'create' of 'activity' 5: on_event: its thread was left behind after 30 s" in caplog.text
    assert "not tried again: ThreadLeftBehindError" in caplog.text


async def test_a_claim_that_is_cut_off_counts_as_made() -> None:
    world = World()

    async def hang(_: object) -> bool:
        return bool(await anyio.sleep_forever())

    async with world.clock.autojump():
        handling, job = world.handling(claim=hang), world.job(CREATED)
        assert await handling.attempt(job, False) == AFTER_TROUBLE[0]
        assert await handling.attempt(job, False) is HANDLED


async def test_an_on_disconnect_that_is_cut_off_is_called_again() -> None:
    world = World(forget_if_revoked=[True])
    world.steps["is_connected"] = [True, False]
    calls: list[int] = []

    async def hang_once(athlete_id: int) -> None:
        calls.append(athlete_id)
        if len(calls) == 1:
            await anyio.sleep_forever()

    async with world.clock.autojump():
        handling, job = world.handling(on_disconnect=hang_once), world.job(REMOVED)
        assert await handling.attempt(job, False) == AFTER_TROUBLE[0]
        assert await handling.attempt(job, False) is HANDLED
    assert calls == [7, 7]


# -- what an error of the handler means -------------------------------------------------------------------------------


async def attempts(world: World, event: WebhookEvent, how_often: int) -> list[AttemptResult]:
    handling, job = world.handling(), world.job(event)
    return [await handling.attempt(job, False) for _ in range(how_often)]


async def test_what_was_just_created_may_not_be_found_yet(caplog: pytest.LogCaptureFixture) -> None:
    world = World(on_event=[NOT_FOUND] * 4)
    assert await attempts(world, CREATED, 4) == [*AFTER_NOT_FOUND, FAILED]
    assert caplog.text.count("is not tried again") == 1


async def test_what_was_changed_should_be_found() -> None:
    assert await attempts(World(on_event=[NOT_FOUND]), RENAMED, 1) == [FAILED]


@pytest.mark.parametrize("error", RETRIED)
async def test_trouble_is_waited_for_longer_and_longer_and_not_for_ever(error: Exception) -> None:
    world = World(on_event=[error] * 9)
    assert await attempts(world, CREATED, 9) == [*AFTER_TROUBLE, FAILED]


async def test_what_counts_as_trouble_is_the_applications_to_say() -> None:
    world = World(on_event=[KeyError("no connection"), OSError("not named")])
    handling, job = world.handling(retry_on=(KeyError,)), world.job(CREATED)
    assert [await handling.attempt(job, False) for _ in range(2)] == [AFTER_TROUBLE[0], FAILED]


@pytest.mark.parametrize(
    "arguments",
    [{"on_event": None}, {"on_disconnect": 5}, {"claim": "yes"}, {"retry_on": [OSError]}, {"retry_on": (5,)}],
)
async def test_what_cannot_be_called_or_caught_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        World().handling(**arguments)


async def test_kinds_of_errors_are_counted_each_by_itself() -> None:
    world = World(on_event=[NOT_FOUND, UNREACHABLE, NOT_FOUND, ServerError(status_code=500)])
    assert await attempts(world, CREATED, 5) == [
        *[AFTER_NOT_FOUND[0], AFTER_TROUBLE[0], AFTER_NOT_FOUND[1], AFTER_TROUBLE[1]],
        HANDLED,
    ]


async def test_quota_is_waited_for_until_there_is_some() -> None:
    world = World(on_event=[no_quota(900), no_quota(0), no_quota(1e12), no_quota(float("nan"))])
    pauses = [900, MIN_QUOTA_SECONDS, MAX_QUOTA_SECONDS, MIN_QUOTA_SECONDS]
    assert await attempts(world, CREATED, 5) == [*map(after_quota, pauses), HANDLED]


async def test_a_429_is_waited_for_until_it_ends() -> None:
    world = World()
    now = world.clock.time()
    told = RateLimitedError(status_code=429, resume_at=now + 300)
    world.steps["on_event"] = [told, RateLimitedError(status_code=429)]
    assert await attempts(world, CREATED, 2) == [after_quota(300), after_quota(UNKNOWN_QUOTA_SECONDS)]


async def test_quota_does_not_use_up_the_attempts_but_two_days_end_it() -> None:
    world = World(on_event=[no_quota()] * 200)
    handling, job = world.handling(), world.job(CREATED)
    for _ in range(100):
        assert await handling.attempt(job, False) == after_quota(900)
        world.clock.advance(900)
    world.clock.advance(QUOTA_AGE_SECONDS + 1)
    assert await handling.attempt(job, False) is FAILED


async def test_a_wall_clock_that_jumps_makes_no_event_old() -> None:
    world = World(on_event=[no_quota()] * 2)
    handling, job = world.handling(), world.job(CREATED)
    world.clock.wall_offset = QUOTA_AGE_SECONDS * 9
    assert await handling.attempt(job, False) == after_quota(900)
    world.clock.wall_offset = -QUOTA_AGE_SECONDS * 9
    world.clock.advance(QUOTA_AGE_SECONDS + 1)
    assert await handling.attempt(job, False) is FAILED


async def test_an_invalid_grant_ends_an_event_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    assert await attempts(World(on_event=[InvalidGrantError("dead")]), CREATED, 1) == [DROPPED]
    assert "athlete 7 has to connect again" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        ForbiddenError(status_code=403, message="one\nline \ud800"),
        ExceptionGroup("tasks", [ForbiddenError(status_code=403), NOT_FOUND]),
    ],
)
async def test_an_error_of_our_tree_that_ends_an_event_is_one_line(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    assert await attempts(World(on_event=[error]), RENAMED, 1) == [FAILED]
    [record] = caplog.records
    assert record.exc_info is None
    assert "not tried again: " in record.getMessage()
    assert "ForbiddenError('403" in record.getMessage()
    assert caplog.text.count("\n") == 1
    caplog.text.encode()


@pytest.mark.parametrize(
    "error", [ValueError("a defect"), ExceptionGroup("tasks", [UNREACHABLE, KeyError("a defect")])]
)
async def test_any_other_error_is_logged_and_not_tried_again(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    assert await attempts(World(on_event=[error]), CREATED, 1) == [FAILED]
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.name == "strava_async.webhooks"
    assert record.exc_info is not None
    assert record.exc_info[1] is error


async def test_a_group_of_errors_waits_for_the_longest() -> None:
    group = ExceptionGroup("tasks", [UNREACHABLE, ExceptionGroup("inner", [no_quota(900)])])
    assert await attempts(World(on_event=[group]), CREATED, 1) == [after_quota(900)]


async def test_a_group_with_an_error_that_does_not_pass_is_not_tried_again() -> None:
    group = ExceptionGroup("tasks", [UNREACHABLE, ValueError("a defect")])
    assert await attempts(World(on_event=[group]), CREATED, 1) == [FAILED]


async def test_the_last_attempt_is_the_last(caplog: pytest.LogCaptureFixture) -> None:
    for error in (UNREACHABLE, NOT_FOUND, no_quota()):
        world = World(on_event=[error])
        assert await world.handling().attempt(world.job(CREATED), True) is FAILED
    assert caplog.text.count("is not tried again") == 3


async def test_a_log_line_is_one_line_and_has_no_text_of_an_error(caplog: pytest.LogCaptureFixture) -> None:
    hostile = WebhookEvent("act\nivity" + "x" * 1_000, 5, "\ud800create", 7, 9, 1, {"title": "sekret"})
    world = World(on_event=[TransportError("sekret", sent="maybe")])
    await world.handling().attempt(world.job(hostile), False)
    assert caplog.text.count("\n") == 1
    assert "sekret" not in caplog.text
    caplog.text.encode()


async def test_what_the_applications_own_functions_raise_has_a_traceback_the_first_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(claim=[ValueError("a"), KeyError("b")], on_disconnect=[ValueError("c"), ValueError("d")])
    world.steps["is_connected"] = [True, True, True, False, False]
    handling, job = world.handling(claim=world.claim), world.job(REMOVED)
    for _ in range(5):
        await handling.attempt(job, False)
    traced = [record.exc_info is not None for record in caplog.records if record.levelname == "WARNING"]
    assert traced == [True, False, True, False]
    assert "KeyError in is_connected or claim, to be tried again in 30 s" in caplog.text
    assert "ValueError in on_disconnect, to be tried again" in caplog.text


class Panic(BaseException):
    """As pyo3's PanicException."""


@pytest.mark.parametrize("error", [SystemExit(1), Panic()])
async def test_a_thread_that_exits_or_panics_is_an_error(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(on_event=[error])
    handling = world.handling(on_event=world.on_event_in_a_thread)
    assert await handling.attempt(world.job(CREATED), False) is FAILED
    assert type(error).__name__ in caplog.text
    assert "Traceback" in caplog.text


async def test_an_on_disconnect_that_panics_is_called_again() -> None:
    world = World(on_disconnect=[Panic()])
    assert await world.handling().attempt(world.job(REMOVED), False) == AFTER_TROUBLE[0]


async def test_an_async_handler_that_exits_ends_the_service() -> None:
    world = World(on_event=[SystemExit(1)])
    with pytest.raises(SystemExit):
        await world.handling().attempt(world.job(CREATED), False)


async def test_a_thread_that_hangs_does_not_hold_up_the_end() -> None:
    begun, release, done = threading.Event(), threading.Event(), anyio.Event()

    def hang(event: WebhookEvent) -> None:
        begun.set()
        release.wait(10)

    async def attempt() -> None:
        try:
            await world.handling(on_event=hang).attempt(world.job(CREATED), False)
        finally:
            done.set()

    world = World()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(attempt)
        await anyio.to_thread.run_sync(begun.wait, 10)
        tasks.cancel_scope.cancel()
        with anyio.move_on_after(3, shield=True):
            await done.wait()
        ended_first = done.is_set()
        release.set()
    assert ended_first


async def test_handlers_do_not_wait_for_the_threads_of_the_service() -> None:
    world, limiter = World(), anyio.to_thread.current_default_thread_limiter()
    borrowers = [object() for _ in range(int(limiter.total_tokens))]
    for borrower in borrowers:
        limiter.acquire_on_behalf_of_nowait(borrower)
    try:
        with anyio.fail_after(5):
            handling = world.handling(on_event=world.on_event_in_a_thread)
            assert await handling.attempt(world.job(CREATED), False) is HANDLED
    finally:
        for borrower in borrowers:
            limiter.release_on_behalf_of(borrower)


# -- the end of a grant -----------------------------------------------------------------------------------------------


async def test_a_deauthorization_that_strava_confirms_is_reported_once_and_is_no_event() -> None:
    world = World()
    assert await world.handling().attempt(world.job(REMOVED), False) is HANDLED
    assert world.calls == [("is_connected", 7), ("forget_if_revoked", 7), ("on_disconnect", 7)]


async def test_a_false_deauthorization_is_logged_and_reported_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    world = World(forget_if_revoked=[False])
    assert await world.handling().attempt(world.job(REMOVED), False) is DROPPED
    assert world.asked() == ["is_connected", "forget_if_revoked", "is_connected"]
    assert "athlete 7 removed the application; Strava does not" in caplog.text


async def test_of_a_false_deauthorization_strava_is_asked_once_a_minute() -> None:
    world = World(forget_if_revoked=[False, True])
    handling, waiting = world.handling(), world.job(REMOVED)
    assert await handling.attempt(world.job(REMOVED), False) is DROPPED
    assert await handling.attempt(waiting, False) is DROPPED  # it came before Strava was asked
    world.clock.advance(1)
    true = world.job(REMOVED)
    assert await handling.attempt(true, False) == Retry(DENIED_SECONDS - 1, WaitReason.DENIED)
    other = WebhookEvent("athlete", 8, "update", 8, 9, 1, {"authorized": "false"})
    assert world.asked().count("forget_if_revoked") == 1
    world.clock.advance(DENIED_SECONDS - 1)
    assert await handling.attempt(true, False) is HANDLED
    assert await handling.attempt(world.job(other), False) is HANDLED


async def test_a_deauthorization_after_a_false_one_does_not_wait_at_the_end_of_the_service() -> None:
    world = World(forget_if_revoked=[False, True])
    handling = world.handling()
    assert await handling.attempt(world.job(REMOVED), False) is DROPPED
    world.clock.advance(1)
    assert await handling.attempt(world.job(REMOVED), True) is HANDLED


async def test_a_grant_that_somebody_else_ended_meanwhile_is_theirs_to_tell(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "strava_async")
    world = World(forget_if_revoked=[False], is_connected=[True, False])
    assert await world.handling().attempt(world.job(REMOVED), False) is DROPPED
    assert world.asked() == ["is_connected", "forget_if_revoked", "is_connected"]
    assert "athlete 7 is not connected" in caplog.text
    assert "Strava does not" not in caplog.text


async def test_without_on_disconnect_the_tokens_are_deleted_all_the_same() -> None:
    world = World()
    assert await world.handling(on_disconnect=None).attempt(world.job(REMOVED), False) is HANDLED
    assert world.asked() == ["is_connected", "forget_if_revoked"]


@pytest.mark.parametrize("error", [*TROUBLE, InvalidClientError("wrong"), RuntimeError("a store")])
async def test_what_could_not_be_found_out_is_asked_again(error: Exception) -> None:
    world = World(forget_if_revoked=[error])
    assert await attempts(world, REMOVED, 2) == [AFTER_TROUBLE[0], HANDLED]
    assert world.asked().count("on_disconnect") == 1


async def test_what_could_not_be_found_out_in_the_last_attempt_is_not_tried_again() -> None:
    world = World(forget_if_revoked=[UNREACHABLE])
    assert await world.handling().attempt(world.job(REMOVED), True) is FAILED


@pytest.mark.parametrize(("connected", "asked"), [(True, 2), (False, 1)])
async def test_a_deletion_that_was_cut_off_is_reported_by_whether_the_tokens_are_there(
    connected: bool, asked: int
) -> None:
    world = World(is_connected=[True, connected])
    with anyio.CancelScope() as scope:
        world.steps["forget_if_revoked"] = [scope]
        handling, job = world.handling(), world.job(REMOVED)
        await handling.attempt(job, False)
    assert job.grant_state is GrantState.UNKNOWN
    assert await handling.attempt(job, False) is HANDLED
    assert world.asked().count("forget_if_revoked") == asked
    assert world.asked().count("on_disconnect") == 1


async def test_a_store_that_fails_after_a_deletion_was_cut_off_does_not_end_it() -> None:
    world = World(is_connected=[OSError("away")] * 12)
    handling, job = world.handling(), PendingEvent(REMOVED, 0.0, 0.0, grant_state=GrantState.UNKNOWN)
    assert [await handling.attempt(job, False) for _ in range(12)] == [*AFTER_TROUBLE, *[AFTER_TROUBLE[-1]] * 4]


async def test_a_claim_that_was_cut_off_may_have_been_made_so_it_is_not_asked_again() -> None:
    world = World()
    with anyio.CancelScope() as scope:
        world.steps["claim"] = [scope]
        handling, job = world.handling(claim=world.claim), world.job(CREATED)
        await handling.attempt(job, False)
    assert await handling.attempt(job, False) is HANDLED
    assert world.asked().count("claim") == 1


async def test_a_retry_says_whether_quota_is_what_the_event_lacks() -> None:
    errors = [no_quota(), UNREACHABLE, RateLimitedError(status_code=429), ExceptionGroup("", [no_quota(1), NOT_FOUND])]
    world = World(on_event=errors, is_connected=[True] * 4 + [OSError("the store is away")])
    results = await attempts(world, CREATED, 5)
    reasons = [result.reason for result in results if isinstance(result, Retry)]
    quota, trouble = WaitReason.QUOTA, WaitReason.TROUBLE
    assert reasons == [quota, trouble, quota, quota, trouble]


async def test_on_disconnect_alone_is_called_again_until_it_works() -> None:
    world = World(is_connected=[True] + [False] * 20, on_disconnect=[ValueError("a defect")] * 20)
    handling, job = world.handling(), world.job(REMOVED)
    pauses = [await handling.attempt(job, False) for _ in range(20)]
    assert pauses == [*AFTER_TROUBLE, *[AFTER_TROUBLE[-1]] * 12]
    world.steps["is_connected"] = [False]
    assert await handling.attempt(job, False) is HANDLED
    assert world.asked().count("forget_if_revoked") == 1
    assert world.asked().count("on_disconnect") == 21


async def test_a_store_that_fails_before_on_disconnect_does_not_end_it() -> None:
    world = World(is_connected=[True, *[OSError("away")] * 12, False], on_disconnect=[ValueError("a defect")])
    handling, job = world.handling(), world.job(REMOVED)
    results = [await handling.attempt(job, False) for _ in range(14)]
    assert results[-1] is HANDLED
    assert not any(isinstance(result, Outcome) for result in results[:-1])


async def test_who_has_connected_again_is_not_reported_as_disconnected() -> None:
    world = World(is_connected=[True, True], on_disconnect=[ValueError("a defect")])
    assert await attempts(world, REMOVED, 2) == [AFTER_TROUBLE[0], DROPPED]
    assert world.asked().count("on_disconnect") == 1


async def test_an_on_disconnect_that_is_left_over_at_the_end_is_named(caplog: pytest.LogCaptureFixture) -> None:
    world = World(on_disconnect=[ValueError("a defect")])
    assert await world.handling().attempt(world.job(REMOVED), True) is FAILED
    assert "on_disconnect(7) is left to be called" in caplog.text
