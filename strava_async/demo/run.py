"""``strava-async demo``: an emulator, an athlete who connects, and a harvest.

Strava's clock runs fast. It begins six hours before a quarter hour, when the athlete connects; the morning is
skipped, and the harvest begins minutes before that quarter hour: soon the window turns, and the access token expires.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from strava_async._http.asgi import asgi_client
from strava_async.application import Strava
from strava_async.clock import SystemClock
from strava_async.display.frame import Heading, Result, Row, Screen
from strava_async.display.observer import Observer
from strava_async.display.watch import shown
from strava_async.display.wording import clock_time, fitted, noun, plural, span
from strava_async.errors import StravaError
from strava_async.harvest.outcome import Outcome, Progress
from strava_async.harvest.plan import Plan
from strava_async.harvest.run import Harvest
from strava_async.harvest.store_sqlite import SqliteHarvestStore
from strava_async.limiter.local import RateLimiter
from strava_async.telemetry.hooks import Hooks, RefreshEvent
from strava_async.testing.clock import FastClock
from strava_async.testing.emulator import Emulator
from strava_async.testing.meters import MeterLimits

# Always the same day: the emulator's athletes depend on it, and a second run has to find the same one.
CONNECTED_AT = 1_780_293_600.0  # 2026-06-01 06:00:00 UTC
HARVEST_AT = CONNECTED_AT + 6 * 3_600 - 480
NEW_APPLICATION = MeterLimits(overall_15min=200, overall_day=2_000, read_15min=100, read_day=1_000)
SCOPE = "read,activity:read_all"
REDIRECT_URI = "http://localhost/connected"
BASE_URL = "https://www.strava.com"
KEEP = timedelta(days=7)

MakeEmulator = Callable[..., Emulator]

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be chosen.

    Attributes:
        path: the file that is harvested into.
        days: how far back activities are harvested.
        speed: how much faster than the machine's Strava's clock goes.
        seed: of the athlete.
    """

    path: Path
    days: int = 120
    speed: float = 45.0
    seed: int = 1


class _StartedLater(SystemClock):
    """The machine's clock, which stands still until it is started."""

    def __init__(self) -> None:
        self._started_at: float | None = None
        self._ahead = 0.0

    def monotonic(self) -> float:
        return 0.0 if self._started_at is None else super().monotonic() - self._started_at + self._ahead

    def start(self, ahead: float) -> None:
        """Let it go from now on, as if that many seconds had passed."""
        self._started_at, self._ahead = super().monotonic(), ahead


def main(settings: Settings, screen: Screen, make: MakeEmulator = Emulator) -> int:
    """Run the demo and return the exit status: 0, 1 for an error or if something is missing, 130 after Ctrl-C.

    Args:
        settings: see there.
        screen: shows the harvest.
        make: makes the Strava.
    """
    demo = Demo(settings, screen, make)
    try:
        result = anyio.run(demo.run)
    except KeyboardInterrupt:
        _complain(_farewell(settings.path, demo.observer.progress))
        return INTERRUPTED
    except (StravaError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        _complain(f"strava-async demo: {error}")
        return 1
    screen.finish(result)
    return 0 if result.outcome.complete else 1


def _complain(text: str) -> None:
    """Write to stderr; on a terminal, lines end between words, so that the name of a file stays whole."""
    if sys.stderr.isatty():
        text = fitted(text, os.get_terminal_size(sys.stderr.fileno()).columns)
    print(text, file=sys.stderr)


def _farewell(path: Path, progress: Progress | None) -> str:
    stored = progress.counts.stored.items() if progress is not None else ()
    added = ", ".join(f"{count:,} {noun(kind)}" for kind, count in stored) or "nothing"
    return f"Stopped. Added to {path}: {added}; the same command goes on from there."


class Demo:
    """One run.

    Args:
        settings: see there.
        screen: shows the harvest.
        make: makes the Strava.

    Attributes:
        observer: observes the harvest.
    """

    def __init__(self, settings: Settings, screen: Screen, make: MakeEmulator = Emulator) -> None:
        self._settings = settings
        self._screen = screen
        # The clock stands still at first: on a fast clock and a slow machine Strava's page would expire.
        self._real = _StartedLater()
        self._clock = FastClock(settings.speed, start=CONNECTED_AT, clock=self._real)
        self._emulator = make(seed=settings.seed, clock=self._clock, limits=NEW_APPLICATION)
        # Nobody else is there to leave quota to.
        self._limiter = RateLimiter(clock=self._clock, reserve=0.0)
        heading = Heading("demo", str(settings.path), UTC, f"{settings.speed:g} × as fast as yours")
        self.observer = Observer(heading, self._limiter, real_time=SystemClock().monotonic, note=self._traffic)

    async def run(self) -> Result:
        """Connect an athlete, harvest, and return the result.

        Raises:
            StravaError: the file cannot be used, or the application is at fault.
        """
        settings, clock = self._settings, self._clock
        store = SqliteHarvestStore(settings.path, clock=clock)
        async with (
            asgi_client(_one_at_a_time(self._emulator.app), BASE_URL) as http_client,
            Strava(
                self._emulator.client_id,
                self._emulator.client_secret,
                http_client=http_client,
                rate_limiter=self._limiter,
                hooks=Hooks(refresh=self._say_renewed),
            ) as strava,
        ):
            await self._connect(strava)
            self._emulator.world()  # five years of activities take a moment to invent
            self._real.start((HARVEST_AT - clock.time()) / settings.speed)
            self._say("the harvest begins")
            plan = Plan(since=HARVEST_AT - settings.days * 86_400)
            harvest = Harvest(strava, store, keep=KEEP, plan=plan)
            began_at = clock.time()
            async with shown(self.observer, self._screen, estimate=harvest.estimate):
                outcome = await harvest.run(on_progress=self.observer.note_progress)
            return await self._result(outcome, clock.time() - began_at)

    async def _connect(self, strava: Strava) -> None:
        """Let the athlete connect, as on any website."""
        state = secrets.token_urlsafe()
        url = await strava.authorization_url(REDIRECT_URI, SCOPE, state)
        redirect = await self._emulator.approve(url)  # the emulator plays the athlete and the browser
        client = await strava.connect_redirect(redirect, SCOPE, state=state)
        athlete = self._emulator.world().profile  # not asked for: the requests that are told are the harvest's
        token = await strava.token_store.load(client.athlete_id)
        if token is not None and token.expires_at is not None:
            granted = ", ".join(sorted(token.scope))
            self._say(f"{athlete['firstname']} {athlete['lastname']} grants {granted}")
            self._say(f"code exchanged; the access token is valid until {clock_time(token.expires_at, UTC)}")

    async def _result(self, outcome: Outcome, seconds: float) -> Result:
        _, refused, renewals = self._counted()
        size = await anyio.to_thread.run_sync(_size, self._settings.path)
        rows = [
            Row("429s", f"{refused}"),
            Row("token renewals", f"{renewals}"),
            Row("windows waited for", f"{self.observer.windows}"),
            Row("time", f"{seconds / self._settings.speed:.0f} s", f"{span(seconds)} on Strava's clock"),
            Row("file", f"{size / 1e6:.1f} MB"),
        ]
        return Result(outcome, self.observer.frame(), rows)

    def _say(self, text: str) -> None:
        self._screen.say(f"{clock_time(self._clock.time(), UTC)} {text}")

    def _say_renewed(self, event: RefreshEvent) -> None:
        progress = self.observer.progress
        if event.error is None:
            calls = plural(max(1, progress.asking if progress is not None else 0), "call")
            self._say(f"access token renewed, once for {calls}")

    def _counted(self) -> tuple[int, int, int]:
        """Return what the emulator has counted: requests that spend quota, 429s among them, and token renewals."""
        metered = [served for served in self._emulator.requests if not served.path.startswith("/oauth/")]
        renewals = self._emulator.count("POST", "/oauth/token") - 1  # the first is the exchange of the code
        return len(metered), sum(served.status_code == 429 for served in metered), max(0, renewals)

    def _traffic(self) -> str:
        requests, refused, renewals = self._counted()
        return f"{plural(requests, 'request')} so far; 429s: {refused}; token renewals: {renewals}"


def _size(path: Path) -> int:
    """Return how large a file of SQLite's is, with what is not merged yet."""
    return sum(os.path.getsize(name) for name in (path, f"{path}-wal") if os.path.exists(name))


def _one_at_a_time(app: ASGIApp) -> ASGIApp:
    """Let an application serve one request at a time, so that the display keeps moving.

    It generates its data in this process: many requests at once would block the event loop for seconds.
    """
    lock = anyio.Lock()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async with lock:
            await anyio.lowlevel.checkpoint()
            await app(scope, receive, send)

    return serve
