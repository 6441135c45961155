"""A Strava of the emulator's, an application with its athletes, and a harvest's file."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from strava_async import Clock, RateLimiter, RetryPolicy, Strava, TokenSet
from strava_async._concurrency import threads
from strava_async._http.asgi import asgi_client
from strava_async.harvest import Harvest, Kind, Plan, SqliteHarvestStore
from strava_async.harvest.fetch import plain_body
from strava_async.limiter import Limiter
from strava_async.testing import Emulator, FakeClock, MeterLimits

ONE = RetryPolicy(max_attempts=1)
ROOM = MeterLimits(10**6, 10**6, 10**6, 10**6)
EVERYTHING = Plan()
LIST = "/athlete/activities"


class MachineClock:
    """The clock of a machine that can be set, which Strava's is not.

    Attributes:
        offset: what it is wrong by, in seconds.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.offset = 0.0
        self._clock = clock
        self.monotonic, self.sleep = clock.monotonic, clock.sleep

    def time(self) -> float:
        return self._clock.time() + self.offset


class World:
    """One process's harvest after the other, against one Strava.

    Args:
        path: of the file.
        athletes: how many are connected.
        limits: the quota.
        clock: the emulator's, if it is not this world's.
        years: how far back activities go.
        emulator: more of its arguments.
    """

    def __init__(
        self,
        path: Path,
        *,
        athletes: int = 1,
        limits: MeterLimits = ROOM,
        years: float = 0.1,
        clock: Clock | None = None,
        **emulator: Any,
    ) -> None:
        self.clock = FakeClock(is_busy=lambda: threads.busy() > 0)
        self.machine = MachineClock(self.clock)
        self.emulator = Emulator(
            clock=clock or self.clock, limits=limits, years=years, athletes=athletes, longest_seconds=120, **emulator
        )
        self.ids = self.emulator.athlete_ids
        self.tokens = {one: self.token(one) for one in self.ids}
        self.store = SqliteHarvestStore(path, clock=self.machine)
        self.path = path
        self._served = 0
        self._acts: dict[int, Callable[[], Awaitable[object]]] = {}

    def before(self, number: int, act: Callable[[], Awaitable[object]]) -> None:
        """Do something before the request of that number from now on is served: the harvest waits for both."""
        self._acts[self._served + number] = act

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._served += 1
        act = self._acts.pop(self._served, None)
        if act is not None:
            await act()
        await self.emulator.app(scope, receive, send)

    def token(self, athlete_id: int, **grant_arguments: Any) -> TokenSet:
        """Return new tokens; for the arguments see ``Emulator.grant``."""
        grant = self.emulator.grant(athlete_id, **grant_arguments)
        return TokenSet(grant["access_token"], grant["refresh_token"], grant["expires_at"], athlete_id=athlete_id)

    @asynccontextmanager
    async def strava(
        self,
        retry: RetryPolicy = ONE,
        app: Callable[[ASGIApp], ASGIApp] = lambda app: app,
        limiter: Limiter | None = None,
    ) -> AsyncGenerator[Strava]:
        """Open an application, as another process would; ``app`` puts something before the emulator."""
        async with (
            self.clock.autojump(),
            asgi_client(app(self._serve), "https://www.strava.com") as http_client,
        ):
            strava = Strava(
                self.emulator.client_id,
                self.emulator.client_secret,
                http_client=http_client,
                rate_limiter=limiter or RateLimiter(clock=self.machine),
                retry=retry,
            )
            for athlete_id, token in self.tokens.items():
                await strava.token_store.save(athlete_id, token)
            yield strava
            for athlete_id in list(self.tokens):
                saved = await strava.token_store.load(athlete_id)
                if saved is None:
                    del self.tokens[athlete_id]
                else:
                    self.tokens[athlete_id] = saved

    @asynccontextmanager
    async def harvest(
        self, plan: Plan = EVERYTHING, *, keep: timedelta | None = None, retry: RetryPolicy = ONE
    ) -> AsyncGenerator[Harvest]:
        """Open a harvest, as another process would."""
        async with self.strava(retry) as strava:
            yield Harvest(strava, self.store, keep=keep, plan=plan)

    def asked(self) -> list[str]:
        """Return the paths of the requests since the last call, but for those for tokens."""
        paths = [served.path for served in self.emulator.requests]
        self.emulator.requests.clear()
        return [path.removeprefix("/api/v3") for path in paths if path.startswith("/api/v3")]

    def activities(self, athlete_id: int | None = None) -> list[dict[str, Any]]:
        """Return what the list shows, newest first."""
        return list(self.emulator.world(athlete_id).activities)[::-1]

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            return db.execute(query, values).fetchall()

    def execute(self, query: str, *values: object) -> None:
        with contextlib.closing(sqlite3.connect(self.path)) as db, db:
            db.execute(query, values)

    async def bodies(self, kind: Kind, athlete_id: int | None = None) -> dict[int, Any]:
        """Return the JSON of each resource of a kind that is stored, by key."""
        athlete_id = self.ids[0] if athlete_id is None else athlete_id
        found: dict[int, Any] = {}
        for (key,) in self.rows("select id from resources where kind = ? and athlete_id = ?", kind, athlete_id):
            resource = await self.store.read(athlete_id, kind, key)
            body = None if resource is None else plain_body(resource)
            found[int(key)] = None if body is None else json.loads(body)
        return found

    async def assert_complete(self) -> None:
        """Compare the file with the emulator: rows, details and stream sets of every athlete."""
        for athlete_id in self.ids:
            world = self.emulator.world(athlete_id)
            listed = {a["id"]: a for a in self.activities(athlete_id)}
            expected = {number: shown(activity) for number, activity in listed.items()}
            rows = self.rows("select id, body from activities where athlete_id = ?", athlete_id)
            assert not differing("rows", {key: shown(json.loads(body)) for key, body in rows}, expected)
            details = await self.bodies(Kind.DETAIL, athlete_id)
            assert not differing("details", {key: shown(body) for key, body in details.items()}, expected)
            streams = await self.bodies(Kind.STREAMS, athlete_id)
            for number in listed:
                assert (streams.get(number) or {}).keys() == (world.streams(number) or {}).keys()


def traces(directory: Path, *activity_ids: int) -> list[bytes]:
    """Return what is in a directory's files of activities and nothing else: their ids, and pieces of what came."""
    found = [b"%d" % number for number in activity_ids]
    for path in directory.rglob("*.sqlite"):
        with contextlib.closing(sqlite3.connect(path)) as db:
            for number in activity_ids:
                for (body,) in db.execute("select body from resources where activity_id = ?", (number,)):
                    middle = len(body or b"") // 2
                    found += [body[middle - 12 : middle + 12]] if middle > 40 else []
    return found


def shown(activity: dict[str, Any]) -> list[Any]:
    return [activity[name] for name in ("id", "name", "sport_type", "private", "distance", "start_date", "gear_id")]


def differing(what: str, found: dict[int, Any], expected: dict[int, Any]) -> list[Any]:
    """Return where two differ, and print it."""
    both = [(key, found.get(key), expected.get(key)) for key in found.keys() | expected.keys()]
    wrong = [each for each in both if each[1] != each[2]]
    print(what, *wrong, sep="\n")
    return wrong


def needed(world: World) -> Iterator[str]:
    """Yield the paths of details and stream sets that Strava has, or is asked for in vain."""
    for athlete_id in world.ids:
        for activity in world.activities(athlete_id):
            yield f"/activities/{activity['id']}"
            if not activity["manual"]:
                yield f"/activities/{activity['id']}/streams"
