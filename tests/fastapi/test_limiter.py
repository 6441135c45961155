"""A service whose limiter has to be entered and closed: by the lifespan, unless somebody else does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from strava_async import ApiV3, InputError, RateLimiter, SqliteRateLimiter, Strava, TokenSet
from strava_async.errors import LimiterError, StoreError, TokenStoreError
from strava_async.fastapi import StravaDep, StravaLifespan, exception_handlers
from strava_async.limiter.base import Limiter
from strava_async.testing import Emulator, FakeClock, MeterLimits
from strava_async.testing.clock import SOME_TUESDAY
from tests.limiter.meeting_double import MemoryPlace, make
from tests.limiter.patient_clock import PatientClock

pytestmark = pytest.mark.anyio

BASE = "https://strava.test"
FEW = MeterLimits(read_15min=20, overall_15min=40)


class Entered(RateLimiter):
    """A limiter that somebody else wrote, with something to enter."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []

    @property
    def is_entered(self) -> bool:
        return "entered" in self.log

    async def __aenter__(self) -> Entered:
        self.log.append("entered")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self.log.append("closed")


class ClosableAlone(RateLimiter):
    """A limiter that can be closed, and that nobody has to enter."""

    is_closed = False

    async def aclose(self) -> None:
        self.is_closed = True


# -- whose it is -------------------------------------------------------------------------------------------------------


async def test_one_that_nobody_entered_is_entered_and_closed_after_the_last_app(tmp_path: Path) -> None:
    limiter = SqliteRateLimiter(tmp_path / "quota.db", application="7")
    lifespan = StravaLifespan(Strava(1, "secret", rate_limiter=limiter))
    async with lifespan(None):
        async with lifespan(None):
            assert limiter.is_entered
        (await limiter.acquire()).release()
    with pytest.raises(InputError, match="closed"):
        await limiter.acquire()


async def test_one_that_the_caller_entered_stays_the_callers(tmp_path: Path) -> None:
    async with SqliteRateLimiter(tmp_path / "quota.db", application="7") as limiter:
        async with StravaLifespan(Strava(1, "secret", rate_limiter=limiter))(None):
            (await limiter.acquire()).release()
        (await limiter.acquire()).release()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_one_that_a_call_has_started_is_entered_and_closed(tmp_path: Path) -> None:
    limiter = SqliteRateLimiter(tmp_path / "quota.db", application="7")
    (await limiter.acquire()).release()
    async with StravaLifespan(Strava(1, "secret", rate_limiter=limiter))(None):
        assert limiter.is_entered
    with pytest.raises(InputError, match="closed"):
        await limiter.acquire()


async def test_two_applications_of_a_service_may_have_one_limiter() -> None:
    limiter = Entered()
    one, other = (StravaLifespan(Strava(client_id, "secret", rate_limiter=limiter)) for client_id in (1, 2))
    async with one(None), other(None):
        assert limiter.log == ["entered"]
    assert limiter.log == ["entered", "closed"]


async def test_one_that_others_wrote_is_closed_only_where_it_was_entered() -> None:
    alone = ClosableAlone()
    async with StravaLifespan(Strava(1, "secret", rate_limiter=alone))(None):
        pass
    assert not alone.is_closed


async def test_one_that_cannot_be_used_stops_the_start_and_closes_the_application() -> None:
    place = MemoryPlace()
    place.refuses = LimiterError("the user may not call EVALSHA: add +evalsha to its ACL")
    strava = Strava(1, "secret", rate_limiter=make(place, FakeClock()))
    with pytest.raises(LimiterError, match=r"\+evalsha"):
        async with StravaLifespan(strava)(None):
            raise AssertionError
    with pytest.raises(InputError, match="closed"):
        await strava.athlete_ids()


async def test_it_is_closed_though_the_application_fails_to_close() -> None:
    limiter = Entered()

    class Failing(Strava):
        async def aclose(self) -> None:
            await super().aclose()
            raise TokenStoreError("the disk is full")

    with suppress(TokenStoreError):
        async with StravaLifespan(Failing(1, "secret", rate_limiter=limiter))(None):
            pass
    assert limiter.log == ["entered", "closed"]


# -- what its errors become --------------------------------------------------------------------------------------------


@asynccontextmanager
async def service(limiter: Limiter) -> AsyncIterator[httpx.AsyncClient]:
    strava = Strava(1, "secret", rate_limiter=limiter)
    app = FastAPI(lifespan=StravaLifespan(strava), exception_handlers=exception_handlers)

    @app.get("/permit")
    async def permit(strava: StravaDep) -> dict[str, Any]:
        with await strava.rate_limiter.acquire(max_wait=2.0) as given:
            given.release()
        return {"remaining": strava.quota.read_15min.remaining}

    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(with_state), base_url=BASE) as browser:
            yield browser


async def test_a_spent_quota_is_503_with_the_time_to_come_back() -> None:
    clock = FakeClock()
    limiter = make(MemoryPlace(), clock)
    async with service(limiter) as browser, clock.autojump():
        assert (await browser.get("/permit")).status_code == 200
        permit = await limiter.acquire()
        fields = {"date": "Tue, 06 Jan 2026 10:00:01 GMT"}
        fields |= {f"x-{kind}ratelimit-limit": "100,1000" for kind in ("", "read")}
        permit.settle(200, fields | {f"x-{kind}ratelimit-usage": "100,100" for kind in ("", "read")})
        answer = await browser.get("/permit")
        assert answer.status_code == 503
        assert 0 < int(answer.headers["retry-after"]) <= 900
        assert answer.json()["type"].endswith("busy")


async def test_a_meeting_place_that_is_away_is_503() -> None:
    clock, place = FakeClock(), MemoryPlace()
    async with service(make(place, clock, away="wait")) as browser, clock.autojump():
        assert (await browser.get("/permit")).status_code == 200
        place.fails = StoreError("locked")
        await clock.sleep(30.0)
        answer = await browser.get("/permit")
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (503, "limiter")


# -- through the emulator ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Strava", "ApiV3"])
async def test_two_clients_of_a_machine_share_the_quota_in_a_file(tmp_path: Path, kind: str) -> None:
    clock = PatientClock(SOME_TUESDAY + 1.5)
    emulator = Emulator(years=0.1, limits=FEW, clock=clock)
    token = emulator.grant()["access_token"]
    limiters = [SqliteRateLimiter(tmp_path / "quota.db", application="7", clock=clock) for _ in range(2)]
    clock.limiters += limiters
    async with (
        clock.autojump(),
        limiters[0],
        limiters[1],
        httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app), base_url=BASE) as http_client,
    ):
        if kind == "ApiV3":
            apis = [ApiV3(token, http_client, each, api_url=f"{BASE}/api/v3", max_wait=0.3) for each in limiters]
        else:
            stravas = [
                Strava(1, "secret", rate_limiter=each, http_client=http_client, api_url=f"{BASE}/api/v3", max_wait=0.3)
                for each in limiters
            ]
            for strava in stravas:
                await strava.token_store.save(7, TokenSet(token, "refresh", expires_at=2**40))
            apis = [strava.api(7) for strava in stravas]
        for index in range(14):
            await apis[index % 2].get("/athlete")
        assert {each.processes for each in limiters} == {2}
        # What the other has in hand counts as used.
        assert all(13 <= (each.quota.read_15min.usage or 0) <= 20 for each in apis)
