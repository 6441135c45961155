"""``total``: what one attempt may take, of an API, an application and a service. In time of trio's that jumps."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest
import trio
import trio.testing

from strava_async import ApiV3, InputError, RetryPolicy, Strava, TransportError, Unlimited
from strava_async.fastapi import StravaLifespan

ONCE = RetryPolicy(max_attempts=1)
CREDENTIALS: dict[str, Any] = {"client_id": 7, "client_secret": "s"}


async def never(request: httpx.Request) -> httpx.Response:
    await anyio.sleep_forever()
    raise AssertionError


async def taken(work: Callable[[], Awaitable[Any]]) -> tuple[float, str]:
    """Return the seconds that work takes which ends with a TransportError, and what it says of being sent."""
    began = anyio.current_time()
    with pytest.raises(TransportError) as caught:
        await work()
    assert caught.value.timed_out
    return round(anyio.current_time() - began, 3), caught.value.sent


def in_no_time(test: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(never)) as client:
            await test(client)

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))


def test_an_attempt_ends_with_its_total_and_the_next_has_one_of_its_own() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        api = ApiV3("t", client, Unlimited(), total=7.0, retry=RetryPolicy(max_attempts=2, base_seconds=0.0))
        assert await taken(lambda: api.get("/athlete")) == (14.0, "maybe")
        view = api.with_options(total=3.0, retry=ONCE)
        assert await taken(lambda: view.get("/athlete")) == (3.0, "maybe")
        unbounded = view.with_options(total=None)
        with trio.move_on_after(1e6):
            await unbounded.get("/athlete")
        assert anyio.current_time() > 1e6

    in_no_time(test)


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({}, 20.0),
        ({"timeout": 8.0}, 8.0),
        ({"timeout": 0.5}, 3.0),
        ({"timeout": 0.5, "total": 1.0}, 1.0),
        ({"total": 5.0}, 5.0),
        ({"total": 500.0}, 20.0),
    ],
)
def test_what_is_about_tokens_never_lasts(options: dict[str, float], seconds: float) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        api = ApiV3("t", client, Unlimited(), retry=ONCE, **options, **CREDENTIALS)
        assert await taken(lambda: api.exchange_code_for_token(7, "s", "code")) == (seconds, "maybe")
        assert await taken(lambda: api.refresh_access_token(7, "s", "r")) == (seconds, "maybe")
        assert await taken(lambda: api.revoke()) == (seconds, "maybe")
        expired = ApiV3(
            "t", client, Unlimited(), refresh_token="r", token_expires=1, retry=ONCE, **options, **CREDENTIALS
        )
        assert await taken(lambda: expired.get("/athlete")) == (seconds, "maybe")

    in_no_time(test)


def test_closing_waits_no_longer_than_a_renewal_may_take() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        api = ApiV3("t", client, Unlimited(), refresh_token="r", token_expires=1, retry=ONCE, **CREDENTIALS)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(taken, lambda: api.get("/athlete"))
            await trio.testing.wait_all_tasks_blocked()
            began = anyio.current_time()
            await api.aclose()
            assert anyio.current_time() - began <= 20.0

    in_no_time(test)


def test_a_scope_of_trio_is_left_although_a_renewal_is_shielded() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        api = ApiV3("t", client, Unlimited(), refresh_token="r", token_expires=1, retry=ONCE, **CREDENTIALS)
        began = anyio.current_time()
        with trio.move_on_after(2) as scope:
            await api.get("/athlete")
        assert scope.cancelled_caught
        assert anyio.current_time() - began == pytest.approx(20.0)

    in_no_time(test)


def test_an_application_passes_it_on_and_a_service_has_one() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        strava = Strava(7, "s", http_client=client, rate_limiter=Unlimited(), retry=ONCE, total=6.0)
        assert await taken(lambda: strava.connect("code")) == (6.0, "maybe")
        assert await taken(lambda: strava.with_options(total=4.0).webhooks.view()) == (4.0, "maybe")

    in_no_time(test)


@pytest.mark.parametrize(("given", "seconds"), [({}, 20.0), ({"total": 9.0}, 9.0), ({"total": None}, 30.0)])
def test_a_service_has_one(given: dict[str, Any], seconds: float) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        strava = Strava(7, "s", http_client=client, rate_limiter=Unlimited(), total=30.0)
        async with StravaLifespan(strava, retry=ONCE, **given)(None) as state:
            (kits,) = state.values()
            assert await taken(kits.alone.strava.webhooks.view) == (seconds, "maybe")

    in_no_time(test)


@pytest.mark.parametrize("total", [0.0, -1.0, float("nan"), float("inf")])
def test_an_invalid_total_is_reported(total: float) -> None:
    with pytest.raises(InputError, match="total"):
        ApiV3(total=total)
    with pytest.raises(InputError, match="total"):
        Strava(7, "s").with_options(total=total)
