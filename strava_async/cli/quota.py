"""``strava-async quota``: the four meters, and who holds what, from where processes meet or from Strava itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio

from strava_async.application import Strava
from strava_async.cli.accounts import athlete_ids
from strava_async.cli.config import MakeStrava, Options, find_client_id, find_credentials, open_strava
from strava_async.cli.places import expanded
from strava_async.cli.quota_rows import QuotaRows, rows_of_fleet, rows_of_quota
from strava_async.cli.quota_table import draw
from strava_async.cli.reaching import reaching
from strava_async.cli.redis_url import RedisUrl, needing_redis, redis_url
from strava_async.cli.terminal import DONE, Terminal, UsageError, run
from strava_async.errors import InputError, RateLimitedError
from strava_async.limiter.sqlite_place import SqlitePlace, applications
from strava_async.stores._values import check_application

_MOST_NAMES = 20


@dataclass(frozen=True, slots=True)
class QuotaSettings:
    """What can be chosen. Its repr shows no URL: a password may be in it.

    Attributes:
        options: which application, and where its tokens are.
        file: the file in which the processes of this machine meet.
        redis: the URL of the server on which they meet, from the command line; from the environment it is used where
            nothing else is chosen.
        application: whose quota, where a file or a server has that of several.
        strava: Strava is asked, although the environment names a server.
        athlete_id: for whom Strava is asked; None means anyone who is connected.
        as_json: the result is a line of JSON.
    """

    options: Options
    file: Path | None = None
    redis: str | None = field(default=None, repr=False)
    application: str | None = None
    strava: bool = False
    athlete_id: int | None = None
    as_json: bool = False


def quota(
    settings: QuotaSettings, terminal: Terminal, *, make: MakeStrava = Strava, now: Callable[[], float] = time.time
) -> int:
    """Show the quota and return the exit status. Asks Strava, which costs one read, only where no place is chosen."""
    return run("quota", terminal, partial(_quota, settings, terminal, make, now))


def _quota(settings: QuotaSettings, terminal: Terminal, make: MakeStrava, now: Callable[[], float]) -> int:
    chosen = [name for name, given in _sources(settings).items() if given]
    if len(chosen) > 1:
        raise UsageError(f"give one of {', '.join(chosen)}")
    if settings.application is not None:
        _check_application(settings.application)
    if settings.file is not None:
        place, rows = _from_file(settings, expanded(settings.file, "--file"), now)
    elif not settings.strava and (url := redis_url(settings.redis, settings.options.environment)) is not None:
        place, rows = _from_redis(settings, url)
    else:
        place, rows = _from_strava(settings, terminal, make)
    if settings.as_json:
        terminal.say(json.dumps(rows.as_json()))
    else:
        draw(rows, place, terminal)
    return DONE


def _check_application(name: str) -> None:
    try:
        check_application(name)
    except InputError as error:
        raise UsageError(f"--application: {error}") from None


def _sources(settings: QuotaSettings) -> dict[str, bool]:
    given = {"--file": settings.file is not None, "--redis": settings.redis is not None, "--strava": settings.strava}
    return {**given, "--athlete": settings.athlete_id is not None and not settings.strava}


# -- a file ------------------------------------------------------------------------------------------------------------


def _from_file(settings: QuotaSettings, path: Path, now: Callable[[], float]) -> tuple[str, QuotaRows]:
    application = settings.application or anyio.run(_name_in, path, settings.options.client_id)
    fleet = anyio.run(SqlitePlace(path, application).read)
    return f"{path}, application {application}", rows_of_fleet(fleet, now())


async def _name_in(path: Path, client_id: str | None) -> str:
    """Return the name of the only application in a file, or the client id if it is one of them."""
    names = await applications(path)
    if client_id in names:
        return str(client_id)
    if len(names) > 1:
        some = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
        raise UsageError(f"{path} has several applications: say which with --application: {some}")
    if not names:
        raise InputError(f"no process has shared its quota in {path} yet")
    return names[0]


# -- Redis -------------------------------------------------------------------------------------------------------------


def _from_redis(settings: QuotaSettings, url: RedisUrl) -> tuple[str, QuotaRows]:
    with needing_redis("a quota on Redis needs"):
        from strava_async.cli.redis import read_fleet
    application = settings.application or str(find_client_id(settings.options, None))
    fleet, now = anyio.run(read_fleet, url, application)
    return f"Redis, application {application}", rows_of_fleet(fleet, now)


# -- Strava ------------------------------------------------------------------------------------------------------------


def _from_strava(settings: QuotaSettings, terminal: Terminal, make: MakeStrava) -> tuple[str, QuotaRows]:
    options = settings.options
    try:
        client_id, client_secret = find_credentials(options, terminal.ask)
    except UsageError as error:
        raise UsageError(f"{error}. To ask nobody: --file or --redis, where processes share the quota") from None
    strava = open_strava(options, client_id, client_secret, make)

    async def ask() -> QuotaRows:
        async with strava:
            with reaching(options):
                athlete_id = settings.athlete_id or await _anyone(options, strava)
                with suppress(RateLimitedError):  # its answer has the numbers too
                    await strava.api(athlete_id).get("/athlete")
            return rows_of_quota(strava.rate_limiter.quota, strava.rate_limiter.clock.time())

    return f"{options.origin}, application {client_id}", anyio.run(ask)


async def _anyone(options: Options, strava: Strava) -> int:
    connected = await athlete_ids(options, strava.token_store)
    if not connected:
        raise UsageError(
            "Strava answers only for an athlete, and nobody is connected: give --file or --redis, "
            f"or connect somebody: {options.command('login')}"
        )
    return connected[0]
