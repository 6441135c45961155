"""The stage of ``strava-async demo``: a Strava, an athlete who connects, and the harvest.

Strava's clock runs fast. It begins six hours before a quarter hour, when the athlete connects; the morning is passed
over, and the harvest begins minutes before that quarter hour: soon the window turns, and the access token ends.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.lowlevel
from starlette.types import ASGIApp, Receive, Scope, Send

from strava_async._http.asgi import asgi_client
from strava_async.clock import SystemClock
from strava_async.demo.frame import Books, Observer, Outcome, Screen, fitted, on_the_clock, plural
from strava_async.demo.harvest import Progress, harvest
from strava_async.demo.store import StoreError, open_store
from strava_async.errors import InputError, StravaError
from strava_async.limiter.local import RateLimiter
from strava_async.oauth.grants import TokenSet, parse_redirect
from strava_async.protocol import ApiV3
from strava_async.testing.clock import FastClock
from strava_async.testing.emulator import Emulator
from strava_async.testing.meters import MeterLimits

# Always the same day: the emulator's athletes depend on it, and a second run has to find the same one.
CONNECTED_AT = 1_780_293_600.0  # 2026-06-01 06:00:00 UTC
HARVEST_AT = CONNECTED_AT + 6 * 3_600 - 480
UPGRADED = MeterLimits(overall_15min=400, overall_day=4_000, read_15min=200, read_day=2_000)
SCOPE = ["read", "activity:read_all"]
REDIRECT_URI = "http://localhost/connected"
BASE_URL = "https://www.strava.com"
FRAME_SECONDS = 0.1

MakeEmulator = Callable[..., Emulator]

INTERRUPTED = 130
NOUNS = ("details", "stream sets")


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be chosen.

    Attributes:
        path: the file that is harvested into.
        details: of how many activities details and streams are wanted.
        speed: how much faster than the machine's Strava's clock goes.
        seed: of the athlete.
    """

    path: Path
    details: int = 200
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
    progress = Progress()
    try:
        outcome = anyio.run(run, settings, screen, progress, make)
    except KeyboardInterrupt:
        _tell(_farewell(settings.path, progress))
        return INTERRUPTED
    except (StoreError, StravaError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        _tell(f"strava-async demo: {error}")
        return 1
    screen.finish(outcome)
    return 1 if progress.missing else 0


def _tell(text: str) -> None:
    """Write to stderr; on a terminal, lines end between words, so that the name of a file stays whole."""
    if sys.stderr.isatty():
        text = fitted(text, os.get_terminal_size(sys.stderr.fileno()).columns)
    print(text, file=sys.stderr)


def _farewell(path: Path, progress: Progress) -> str:
    added = ", ".join(f"{part.added:,} {noun}" for part, noun in zip(progress.parts.values(), NOUNS, strict=True))
    return f"Stopped. {progress.new:,} activities, {added} were added to {path}; the same command goes on from there."


async def run(settings: Settings, screen: Screen, progress: Progress, make: MakeEmulator = Emulator) -> Outcome:
    """Connect an athlete and harvest, and say what has come of it.

    Raises:
        StoreError: the file cannot be used.
        StravaError: the harvest failed.
    """
    # Connecting takes no time: on a fast clock and a slow machine Strava's page would expire meanwhile.
    real = _StartedLater()
    clock = FastClock(settings.speed, start=CONNECTED_AT, clock=real)
    emulator = make(seed=settings.seed, clock=clock, limits=UPGRADED)
    limiter = RateLimiter(clock=clock)

    def tell_renewal(tokens: TokenSet) -> None:
        calls = plural(progress.asking, "call")
        screen.say(f"{on_the_clock(clock.time())} access token renewed, once for {calls}")

    async with (
        open_store(settings.path, clock) as store,
        asgi_client(_in_turn(emulator.app), BASE_URL) as http_client,
        ApiV3(http_client=http_client, rate_limiter=limiter, on_token_refresh=tell_renewal) as api,
    ):
        athlete_id = await _connect(api, emulator, screen)
        emulator.world()  # five years of activities take a moment to invent
        real.start((HARVEST_AT - clock.time()) / settings.speed)
        screen.say(f"{on_the_clock(HARVEST_AT)} the harvest begins")
        began_at = clock.time()
        observer = Observer(progress, limiter, lambda: _books(emulator), clock=clock, speed=settings.speed)
        with screen:
            async with _shown(observer, screen):
                await harvest(
                    api, store, athlete_id, before=began_at, newest=settings.details, progress=progress, notes=store
                )
            screen.show(observer.frame())
        virtual_seconds, stored = clock.time() - began_at, await store.counts()
    return Outcome(
        path=settings.path,
        stored=stored,
        size_bytes=(await anyio.Path(settings.path).stat()).st_size,
        progress=progress,
        books=_books(emulator),
        windows=observer.windows,
        real_seconds=virtual_seconds / settings.speed,
        virtual_seconds=virtual_seconds,
    )


async def _connect(api: ApiV3, emulator: Emulator, screen: Screen) -> int:
    """Let the athlete connect, as on any website; return the athlete's id."""
    state = secrets.token_urlsafe()
    url = await api.authorization_url(emulator.client_id, REDIRECT_URI, scope=SCOPE, state=state)
    redirect = parse_redirect(await emulator.approve(url))  # the emulator plays the athlete and the browser
    if redirect.state is None or not secrets.compare_digest(redirect.state, state):
        raise InputError("the state of the redirect is not the one that was sent")
    info = await api.exchange_code_for_token(emulator.client_id, emulator.client_secret, redirect.code)
    athlete, now = info["athlete"], on_the_clock(emulator.clock.time())
    screen.say(f"{now} {athlete['firstname']} {athlete['lastname']} grants {', '.join(sorted(redirect.scope))}")
    screen.say(f"{now} code exchanged; the access token lives until {on_the_clock(info['expires_at'])}")
    return int(athlete["id"])


@asynccontextmanager
async def _shown(observer: Observer, screen: Screen) -> AsyncGenerator[None, None]:
    """Show frames as long as the block lasts. Errors come out as they are, not in a group."""
    failed: list[Exception] = []

    async def show() -> None:
        try:
            while True:
                screen.show(observer.frame())
                await anyio.sleep(FRAME_SECONDS)
        except Exception as error:
            failed.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(show)
        try:
            yield
        except Exception as error:
            failed.append(error)
        group.cancel_scope.cancel()
    if failed:
        raise failed[0]


def _in_turn(app: ASGIApp) -> ASGIApp:
    """Let an application answer one request per turn of the loop, so that the display keeps moving.

    It invents what it is asked for, in this process: a hundred requests at once would stop everything for seconds.
    """
    lock = anyio.Lock()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async with lock:
            await anyio.lowlevel.checkpoint()
            await app(scope, receive, send)

    return serve


def _books(emulator: Emulator) -> Books:
    metered = [served for served in emulator.requests if not served.path.startswith("/oauth/")]
    return Books(
        requests=len(metered),
        refused=sum(served.status_code == 429 for served in metered),
        renewals=max(0, emulator.count("POST", "/oauth/token") - 1),  # the first is the exchange of the code
    )
