"""The order of a request: permit, bearer, send, settle, decide."""

import asyncio
import gzip
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from strava_async._concurrency.shield import run_shielded
from strava_async.errors import (
    DecodeError,
    InputError,
    InvalidGrantError,
    LimiterError,
    MissingScopeError,
    NotFoundError,
    QuotaExceededError,
    RateLimitedError,
    Sent,
    ServerError,
    StravaError,
    TransportError,
    UnauthorizedError,
)
from strava_async.limiter.base import Permit
from strava_async.limiter.unlimited import Unlimited
from strava_async.oauth.grants import AccessInfo
from strava_async.oauth.token_set import TokenSet
from strava_async.quota.readings import Quota
from strava_async.quota.values import Blocked, Priority, QuotaClass
from strava_async.request.call import Call, api_call, oauth_call
from strava_async.request.exchange import Exchange
from strava_async.request.options import Options, RetryPolicy
from strava_async.request.outgoing import OutgoingRequest
from strava_async.request.reply import LARGE_BODY_BYTES, Reply
from strava_async.testing.clock import FakeClock
from strava_async.tokens.source import TokenSource
from tests.concurrency.loop_end import end_everything_else

pytestmark = pytest.mark.anyio

API = "https://www.strava.com/api/v3"
GET = api_call("GET", "/athlete", {}, api_url=API)
POST = api_call("POST", "/activities", {"name": "x"}, api_url=API)
OK = Reply(200, {}, b'{"id": 1}', "application/json")
EXPIRED = Reply(
    401,
    {},
    b'{"message": "", "errors": [{"resource": "Athlete", "field": "access_token", "code": "invalid"}]}',
    "application/json",
)
LIMITED = Reply(429, {}, b'{"message": "Rate Limit Exceeded", "errors": []}', "application/json")
BROKEN = Reply(503, {}, b"<html>", "text/html")


class World:
    """Limiter, tokens and HTTP in one, writing down in which order they are asked."""

    def __init__(self, *answers: Reply | StravaError, expired: bool = False) -> None:
        self.log: list[str] = []
        self.bounds: list[tuple[float, float | None, bool]] = []
        self.answers = list(answers)
        self.seconds_per_send = 0.0
        self.clock = FakeClock()
        self.limiter = LoggingLimiter(self)
        expires_at = 1 if expired else None
        self.tokens = TokenSource(TokenSet("a0", "r0", expires_at), refresh=self.refresh, clock=self.clock)
        self.exchange = Exchange(self.limiter, self, self.clock, lambda: 0.5)
        self.refresh_error: StravaError | None = None

    async def refresh(self, tokens: TokenSet) -> AccessInfo:
        self.log.append("refresh")
        if self.refresh_error is not None:
            raise self.refresh_error
        number = int(tokens.access_token[1:]) + 1
        return AccessInfo(access_token=f"a{number}", refresh_token="r", expires_at=4_000_000_000)

    async def send(self, outgoing: OutgoingRequest) -> Reply:
        self.log.append(f"send {outgoing.bearer and outgoing.bearer.reveal()}")
        self.bounds.append((outgoing.timeout, outgoing.total, outgoing.urgent))
        await anyio.lowlevel.checkpoint()
        self.clock.advance(self.seconds_per_send)
        answer = self.answers.pop(0)
        if isinstance(answer, StravaError):
            raise answer
        return answer

    async def aclose(self) -> None: ...

    async def run(self, call: Call = GET, options: Options | None = None, check_for_errors: bool = True) -> Any:
        return await self.exchange.run(call, self.tokens, options or Options(), check_for_errors=check_for_errors)


class LoggingLimiter(Unlimited):
    """Hands out permits that write down how they end."""

    def __init__(self, world: World) -> None:
        super().__init__(clock=world.clock)
        self.world = world
        self.asked: list[dict[str, Any]] = []
        self.wait: Callable[[], Any] | None = None

    async def acquire(
        self,
        quota_class: QuotaClass = QuotaClass.READ,
        *,
        priority: Priority = Priority.NORMAL,
        max_wait: float | None = None,
        retry_of: Permit | None = None,
    ) -> Permit:
        self.world.log.append("acquire")
        self.asked.append(
            {"quota_class": quota_class, "priority": priority, "max_wait": max_wait, "retry_of": retry_of}
        )
        if self.wait is not None:
            await self.wait()
        return LoggingPermit(self.world.log)

    def blocked(self, quota_class: QuotaClass) -> Blocked | None:
        return Blocked("read_15min", 900.0)

    @property
    def quota(self) -> Quota:
        return Unlimited().quota


class LoggingPermit(Permit):
    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.ended = False

    def _end(self, how: str) -> None:
        if not self.ended:
            self.ended = True
            self.log.append(how)

    def settle(self, status_code: int, headers: Any) -> None:
        self._end(f"settle {status_code}")

    def release(self) -> None:
        self._end("release")

    def abandon(self) -> None:
        self._end("abandon")

    def __enter__(self) -> "LoggingPermit":
        return self

    def __exit__(self, *exception: object) -> None:
        self.abandon()


async def test_the_order_of_a_request() -> None:
    world = World(OK)
    assert await world.run() == {"id": 1}
    assert world.log == ["acquire", "send a0", "settle 200"]


async def test_the_token_is_chosen_after_the_wait() -> None:
    world = World(OK, expired=True)
    await world.run()
    assert world.log == ["acquire", "refresh", "send a1", "settle 200"]


async def test_an_expired_token_is_refreshed_and_the_call_made_again_with_its_own_permit() -> None:
    world = World(EXPIRED, OK)
    assert await world.run() == {"id": 1}
    assert world.log == ["acquire", "send a0", "settle 401", "refresh", "acquire", "send a1", "settle 200"]


async def test_a_second_401_is_raised() -> None:
    world = World(EXPIRED, EXPIRED)
    with pytest.raises(UnauthorizedError) as caught:
        await world.run()
    assert caught.value.attempts == 2
    assert world.log.count("refresh") == 1


async def test_an_invalid_grant_is_raised_with_the_refusal_behind_it() -> None:
    world = World(EXPIRED)
    world.refresh_error = InvalidGrantError("dead")
    with pytest.raises(InvalidGrantError) as caught:
        await world.run()
    assert isinstance(caught.value.__cause__, UnauthorizedError)


async def test_a_429_goes_back_to_its_place_in_the_queue() -> None:
    world = World(LIMITED, OK)
    await world.run(POST)
    assert world.log == ["acquire", "send a0", "settle 429", "acquire", "send a0", "settle 200"]
    first, second = world.limiter.asked
    assert first["retry_of"] is None
    assert second["retry_of"] is not None
    assert second["quota_class"] is QuotaClass.UPLOAD


async def test_a_last_429_says_which_meter_and_until_when() -> None:
    world = World(LIMITED)
    with pytest.raises(RateLimitedError) as caught:
        await world.run(options=Options(retry=RetryPolicy(max_attempts=1)))
    assert (caught.value.window, caught.value.resume_at) == ("read_15min", 900.0)
    assert caught.value.quota_class == "read"


async def test_a_server_error_waits_with_backoff() -> None:
    world = World(BROKEN, BROKEN, OK)
    async with world.clock.autojump():
        started = world.clock.monotonic()
        assert await world.run(options=Options(retry=RetryPolicy(base_seconds=4.0))) == {"id": 1}
        assert world.clock.monotonic() - started == 0.5 * 4.0 + 0.5 * 8.0
    assert world.log.count("acquire") == 3


async def test_an_ambiguous_post_is_not_sent_again() -> None:
    for answer in (BROKEN, TransportError("gone", sent="maybe")):
        world = World(answer)
        with pytest.raises((ServerError, TransportError)):
            await world.run(POST)
        assert world.log.count("send a0") == 1


async def test_what_never_left_gives_its_permit_back_and_tries_again() -> None:
    world = World(TransportError("refused", sent="never"), OK)
    async with world.clock.autojump():
        await world.run(POST)
    assert world.log == ["acquire", "send a0", "release", "acquire", "send a0", "settle 200"]


async def test_what_may_have_arrived_counts_as_spent() -> None:
    world = World(TransportError("gone", sent="maybe"))
    with pytest.raises(TransportError):
        await world.run(options=Options(retry=RetryPolicy(max_attempts=1)))
    assert world.log == ["acquire", "send a0", "abandon"]


@pytest.mark.parametrize(("sent", "end"), [("never", "release"), ("maybe", "abandon")])
async def test_a_file_that_fails_half_way_counts_as_spent(sent: Sent, end: str) -> None:
    error = InputError("the file cannot be read")
    error.sent = sent
    world = World(error)
    with pytest.raises(InputError):
        await world.run(POST)
    assert world.log == ["acquire", "send a0", end]


async def test_a_refresh_that_fails_gives_the_permit_back() -> None:
    world = World(expired=True)
    world.refresh_error = TransportError("down", sent="maybe")
    with pytest.raises(TransportError):
        await world.run()
    assert world.log == ["acquire", "refresh", "release"]


async def test_a_missing_thing_is_raised_at_once() -> None:
    world = World(Reply(404, {}, b""))
    with pytest.raises(NotFoundError):
        await world.run()
    assert len(world.limiter.asked) == 1


async def test_without_checks_the_body_comes_back_after_the_usual_retries() -> None:
    world = World(BROKEN, Reply(404, {}, b'{"message": "no"}', "application/json"))
    async with world.clock.autojump():
        assert await world.run(check_for_errors=False) == {"message": "no"}
    world = World(Reply(200, {}, b'{"cut": ', "application/json"))
    assert await world.run(check_for_errors=False) == '{"cut": '


async def test_without_checks_no_reply_is_still_an_error() -> None:
    world = World(TransportError("gone", sent="maybe"))
    with pytest.raises(TransportError):
        await world.run(POST, check_for_errors=False)


async def test_oauth_calls_spend_no_quota_and_carry_no_bearer() -> None:
    world = World(OK)
    call = oauth_call("https://www.strava.com/oauth/token", {"client_secret": "s"}, idempotent=True)
    await world.exchange.run(call, None, Options())
    assert world.log == ["send None"]


async def test_all_attempts_share_one_budget_of_waiting() -> None:
    world = World(LIMITED, LIMITED, OK)

    async def wait() -> None:
        await world.clock.sleep(4.0)

    world.limiter.wait = wait
    async with world.clock.autojump():
        await world.run(options=Options(max_wait=10.0, priority=Priority.BACKGROUND))
    assert [asked["max_wait"] for asked in world.limiter.asked] == [10.0, 6.0, 2.0]
    assert {asked["priority"] for asked in world.limiter.asked} == {Priority.BACKGROUND}


async def test_a_call_without_its_permit_in_time_is_not_sent() -> None:
    world = World()

    async def refuse() -> None:
        raise QuotaExceededError(quota_class="read", window="read_15min", resume_at=900.0, wait_seconds=90.0)

    world.limiter.wait = refuse
    with pytest.raises(QuotaExceededError):
        await world.run()
    assert world.log == ["acquire"]


async def test_a_limiter_that_fails_is_asked_once_and_nothing_is_sent() -> None:
    world = World()

    async def fail() -> None:
        raise LimiterError("the file of the quota is locked")

    world.limiter.wait = fail
    with pytest.raises(LimiterError):
        await world.run()
    assert world.log == ["acquire"]


async def test_cancelled_while_sending_the_permit_counts_as_spent() -> None:
    world = World()
    hanging = Hanging()
    world.exchange = Exchange(world.limiter, hanging, world.clock, lambda: 0.5)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.run)
        await hanging.reached.wait()
        tasks.cancel_scope.cancel()
    assert world.log == ["acquire", "abandon"]


async def test_cancelled_while_waiting_for_a_token_the_permit_is_given_back() -> None:
    world = World(expired=True)
    asked, answer = anyio.Event(), anyio.Event()

    async def refresh(tokens: TokenSet) -> AccessInfo:
        asked.set()
        await answer.wait()
        return AccessInfo(access_token="a1", refresh_token="r1", expires_at=4_000_000_000)

    world.tokens.refresh = refresh
    scope = anyio.CancelScope()

    async def call() -> None:
        with scope:
            await world.run()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await asked.wait()
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        answer.set()
    await world.tokens.wait_idle()
    assert world.log == ["acquire", "release"]
    assert world.tokens.token.access_token == "a1"


class Hanging:
    """A sender whose requests never end."""

    def __init__(self) -> None:
        self.reached = anyio.Event()

    async def send(self, outgoing: OutgoingRequest) -> Reply:
        self.reached.set()
        await anyio.sleep_forever()
        return OK

    async def aclose(self) -> None: ...


async def test_large_bodies_are_decoded_one_per_turn_of_the_loop() -> None:
    large = Reply(200, {}, b"[" + b"1," * 60_000 + b"1]", "application/json")
    world = World(*[large] * 5)
    turns: list[int] = []
    order: list[str] = []

    async def count_turns() -> None:
        while True:
            await anyio.lowlevel.checkpoint()
            turns.append(1)
            order.append("turn")

    async def get() -> None:
        await world.run()
        order.append("decoded")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count_turns)
        async with anyio.create_task_group() as calls:
            for _ in range(5):
                calls.start_soon(get)
        tasks.cancel_scope.cancel()
    first, last = order.index("decoded"), len(order) - 1 - order[::-1].index("decoded")
    assert order[first:last].count("turn") >= 3


# A kilobyte or two that come to more than 64 MB, in codings of codings; and one that comes to a little less.
BOMB = gzip.compress(gzip.compress(bytes(65 << 20), mtime=0), mtime=0)
ALMOST = gzip.compress(gzip.compress(b" " * (60 << 20) + b"{}", mtime=0), mtime=0)


@pytest.mark.parametrize("status_code", [200, 404, 503])
@pytest.mark.parametrize("check_for_errors", [True, False])
async def test_a_body_beyond_all_measure_is_not_asked_for_again(status_code: int, check_for_errors: bool) -> None:
    bomb = Reply(status_code, {}, BOMB, "application/json", "gzip, gzip")
    world = World(bomb, OK)
    with pytest.raises(DecodeError, match="larger than 64 MB") as caught:
        await world.run(check_for_errors=check_for_errors)
    assert caught.value.path == "/athlete"
    assert world.log == ["acquire", "send a0", f"settle {status_code}"]


@pytest.mark.parametrize("padded", [False, True], ids=["small", "large"])
async def test_a_body_is_unpacked_in_turns_with_others(padded: bool) -> None:
    # A few bytes may come to much: it does not depend on what came.
    body = ALMOST + (bytes(LARGE_BODY_BYTES) if padded else b"")
    world = World(Reply(200, {}, body, "application/json", "gzip, gzip"))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(others)
        assert await world.run() == {}
        tasks.cancel_scope.cancel()
    assert turns >= 60


async def test_cancelled_while_a_body_is_unpacked_the_next_is_read() -> None:
    world = World(Reply(200, {}, ALMOST, "application/json", "gzip, gzip"), OK)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.run)
        while f"settle {200}" not in world.log:
            await anyio.lowlevel.checkpoint()
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    with anyio.fail_after(30):
        assert await world.run() == {"id": 1}


async def test_a_scope_that_was_not_granted_costs_neither_a_permit_nor_a_request() -> None:
    world = World(OK)
    world.tokens.token = TokenSet("a0", "r0", None, frozenset({"read"}))
    with pytest.raises(MissingScopeError):
        await world.run(POST)
    assert world.log == []
    assert await world.run() == {"id": 1}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("first", ["asyncio", "trio"])
@pytest.mark.parametrize("second", ["asyncio", "trio"])
async def test_large_bodies_are_decoded_in_the_loop_that_came_after_a_closed_one(first: str, second: str) -> None:
    """The queue that decodes them one at a time belongs to an event loop, which the exchange outlives."""
    await anyio.to_thread.run_sync(_decode_in_two_loops, first, second)


def _decode_in_two_loops(first: str, second: str) -> None:
    large = Reply(200, {}, b'{"id": 1}' + b" " * LARGE_BODY_BYTES, "application/json")
    exchanges: list[Exchange] = []

    async def ask() -> Any:
        clock = FakeClock()
        exchanges.append(
            exchanges[0] if exchanges else Exchange(Unlimited(clock=clock), _Sender(large), clock, lambda: 0.5)
        )
        return await exchanges[0].run(GET, None, Options())

    if first == "trio":
        assert anyio.run(ask, backend="trio") == {"id": 1}
    else:
        loop = asyncio.new_event_loop()
        task = loop.create_task(ask())
        loop.run_until_complete(asyncio.sleep(0))  # as far as the middle of its decoding
        loop.close()
        assert not task.done()
        task._log_destroy_pending = False

    async def ask_in_time() -> Any:
        with anyio.fail_after(5):
            return await ask()

    assert anyio.run(ask_in_time, backend=second) == {"id": 1}


class _Sender:
    """Has one answer for everybody."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    async def send(self, outgoing: OutgoingRequest) -> Reply:
        return self.reply

    async def aclose(self) -> None: ...


async def test_what_a_person_waits_for_is_urgent_and_so_is_what_is_about_tokens() -> None:
    world = World(OK, OK, OK)
    await world.run(GET, Options(timeout=3.0))
    await world.run(GET, Options(timeout=3.0, total=5.0, priority=Priority.INTERACTIVE))
    about_tokens = oauth_call("https://strava.test/oauth/token", {}, idempotent=True)
    await world.exchange.run(about_tokens, None, Options(priority=Priority.BACKGROUND))
    assert world.bounds == [(3.0, None, False), (3.0, 5.0, True), (30.0, None, True)]


async def test_a_failure_that_is_permanent_is_not_tried_again_and_gives_its_permit_back() -> None:
    world = World(TransportError("its certificate is refused", sent="never", permanent=True))
    with pytest.raises(TransportError) as caught:
        await world.run()
    assert caught.value.attempts == 1
    assert world.log == ["acquire", "send a0", "release"]


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({}, 0.0),
        ({"retry-after": "7"}, 7.0 + 7.0),
        ({"retry-after": "Tue, 06 Jan 2026 10:00:09 GMT"}, 9.0),
        ({"retry-after": "Tue, 06 Jan 2026 12:00:09 GMT", "date": "Tue, 06 Jan 2026 12:00:01 GMT"}, 8.0 + 8.0),
        ({"retry-after": "Tue, 06 Jan 2026 09:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, 0.0),
    ],
)
@pytest.mark.parametrize(("status_code", "jitter"), [(429, 0.75), (503, 0.5)])
async def test_calls_without_quota_back_off_and_wait_as_long_as_they_are_told(
    status_code: int, jitter: float, fields: dict[str, str], asked: float
) -> None:
    refused = Reply(status_code, fields, b"{}", "application/json")
    world = World(refused, refused, OK)
    call = oauth_call("https://www.strava.com/oauth/revoke", {"token": "t"}, idempotent=True)
    async with world.clock.autojump():
        started = world.clock.monotonic()
        await world.exchange.run(call, None, Options(retry=RetryPolicy(base_seconds=1.0)))
        assert world.clock.monotonic() - started == asked + jitter * 1.0 + jitter * 2.0
    assert "acquire" not in world.log


async def test_where_nothing_keeps_the_quota_a_429_backs_off() -> None:
    world = World(LIMITED, OK)
    world.exchange = Exchange(Unlimited(clock=world.clock), world, world.clock, lambda: 0.0)
    async with world.clock.autojump():
        started = world.clock.monotonic()
        await world.run()
        assert world.clock.monotonic() - started == 0.25


async def test_a_retry_after_that_is_too_long_is_raised_and_not_waited_for() -> None:
    world = World(Reply(429, {"retry-after": "3600"}, b"", ""))
    call = oauth_call("https://www.strava.com/oauth/token", {"client_secret": "s"}, idempotent=True)
    with pytest.raises(RateLimitedError) as caught:
        await world.exchange.run(call, None, Options())
    assert (caught.value.retry_after, caught.value.attempts) == (3600.0, 1)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_renewal_that_waits_to_ask_again_ends_with_the_event_loop(backend: str) -> None:
    world = World(BROKEN)
    ended: list[bool] = []
    at_once: list[bool] = []
    call = oauth_call("https://www.strava.com/oauth/token", {"client_secret": "s"}, idempotent=True)

    async def work() -> None:
        await world.exchange.run(call, None, Options(retry=RetryPolicy(base_seconds=3600.0, max_seconds=3600.0)))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_shielded, work, lambda: ended.append(True))
            while not world.clock.sleeping:
                await anyio.lowlevel.checkpoint()
            await end_everything_else(tasks)
            at_once.extend(ended)

    anyio.run(main, backend=backend)
    assert at_once == [True]
    assert world.log == ["send None"]


async def test_attempts_share_the_time_that_a_call_has_and_none_begins_without_three_seconds() -> None:
    world = World(*[BROKEN] * 9)
    world.seconds_per_send = 8.0
    patient = RetryPolicy(max_attempts=9, base_seconds=4.0, max_seconds=4.0)
    async with world.clock.autojump():
        with pytest.raises(ServerError) as caught:
            await world.run(options=Options(patient, total=20.0, within=25.0))
    assert [total for _, total, _ in world.bounds] == [20.0, 15.0, 5.0]
    assert caught.value.attempts == 3


async def test_a_wait_that_a_call_has_no_time_for_is_not_begun() -> None:
    world = World(Reply(429, {"retry-after": "23"}, b"{}", "application/json"), OK)
    call = oauth_call("https://www.strava.com/oauth/token", {}, idempotent=True)
    with pytest.raises(RateLimitedError) as caught:
        await world.exchange.run(call, None, Options(within=25.0))
    assert caught.value.retry_after == 23.0
    assert world.log == ["send None"]
