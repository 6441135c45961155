"""``strava-async emulate``: the emulator on a socket, and the instructions for using it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import anyio

from strava_async.cli.terminal import this_terminal
from strava_async.testing.emulator import Emulator
from strava_async.testing.http.hosts import AllowedHosts, is_loopback
from strava_async.testing.meters import MeterLimits
from strava_async.testing.pages.home import SAMPLE_REDIRECT_URI
from strava_async.testing.server import serve

INTERRUPTED = 130

_DIRECTIONS = """\
A Strava is served at {url} until Ctrl-C.
Its athletes, tokens and secrets are made up, and forgotten at the end.

  client id      {client_id}
  client secret  {client_secret}
  API            {url}/api/v3
  OAuth          {url}/oauth

To play an athlete, who records activities and removes applications:
  {url}/

To connect an athlete from another terminal; accounts, harvest, logout and
webhook take the same {options}:
  strava-async login --emulator {url}{credentials}

The page where an athlete connects, which leads to a service of yours at
{redirect_uri}:
  {url}/emulator/connect

To send events to a service of yours, which is called at once:
  strava-async webhook subscribe http://localhost:3000/webhook \\
    --emulator {url} --verify-token TOKEN{credentials}

An access token, to try it at once. It is of another application, {other_id}, so
that nobody is connected to yours yet:
  curl -H "Authorization: Bearer {token}" \\
    "{url}/api/v3/athlete/activities?per_page=3"

In Python:
  from strava_async import ApiV3

  api = ApiV3(
      "{token}",
      api_url="{url}/api/v3",
      oauth_url="{url}/oauth",
  )"""


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be chosen.

    Attributes:
        host: the interface to listen on.
        port: 0 takes a free one.
        seed: of the athletes.
        athletes: how many there are.
        allowed_hosts: see ``serve``.
        limits: the quota of each application; None means that of a new one.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    seed: int = 1
    athletes: int = 1
    allowed_hosts: tuple[str, ...] = ()
    limits: MeterLimits | None = None


def limits_of(text: str) -> MeterLimits:
    """Return the limits that a text names: reads per quarter hour and day, then all requests per quarter hour and day.

    Raises:
        ValueError: these are not four numbers.
    """
    numbers = [part.strip() for part in text.split(",")]
    if len(numbers) != 4 or not all(part.isascii() and part.isdecimal() and len(part) <= 15 for part in numbers):
        raise ValueError("four numbers are needed, such as 100,1000,200,2000")
    read_15min, read_day, overall_15min, overall_day = map(int, numbers)
    return MeterLimits(overall_15min, overall_day, read_15min, read_day)


def hosts_of(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names as they are.

    Raises:
        ValueError: one of them is not a valid host name.
    """
    hosts = tuple(names)
    AllowedHosts("", hosts)
    return hosts


def main(settings: Settings, write: Callable[[str], None]) -> int:
    """Serve until Ctrl-C and return the exit status: 130 after Ctrl-C, 1 if the port cannot be used."""
    complain = this_terminal().complain
    if not is_loopback(settings.host):
        complain(_warning(settings.host))
    try:
        anyio.run(_serve, settings, write)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        complain(f"strava-async emulate: {error.strerror or error}")
    return 1


async def _serve(settings: Settings, write: Callable[[str], None]) -> None:
    emulator = Emulator(seed=settings.seed, athletes=settings.athletes, limits=settings.limits)
    hosts = settings.allowed_hosts
    async with serve(emulator, host=settings.host, port=settings.port, allowed_hosts=hosts) as url:
        write(directions(emulator, url, settings))
        await anyio.sleep_forever()


def _warning(host: str) -> str:
    where = "every interface" if host in ("", "0.0.0.0", "::", "[::]") else host
    return (
        f"strava-async emulate: warning: it listens on {where}, and anyone who reaches this machine there can use it: "
        "its secrets are the same everywhere. It answers requests for localhost, for the address that they were sent "
        "to, and for each --allow-host NAME."
    )


def directions(emulator: Emulator, url: str, settings: Settings) -> str:
    """Return how to use a served emulator, in lines that fit into 80 columns.

    The access token is of a second application: the first would not ask an athlete who is connected already.
    """
    other = emulator.register_application(limits=settings.limits)
    token = emulator.grant(client_id=other.client_id)["access_token"]
    # Without a seed the commands know both.
    known = settings.seed == Settings().seed
    ids = f"--client-id {emulator.client_id} --client-secret {emulator.client_secret}"
    credentials = "" if known else f" \\\n    {ids}"
    options = "option" if known else "options"
    return _DIRECTIONS.format(
        url=url,
        client_id=emulator.client_id,
        client_secret=emulator.client_secret,
        options=options,
        credentials=credentials,
        redirect_uri=SAMPLE_REDIRECT_URI,
        other_id=other.client_id,
        token=token,
    )
