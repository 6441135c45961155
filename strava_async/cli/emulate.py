"""``strava-async emulate``: a Strava behind a socket, and what a program needs to know of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from strava_async.oauth import authorization_url
from strava_async.testing.emulator import Emulator
from strava_async.testing.server import serve

REDIRECT_URI = "http://localhost:3000/callback"
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be chosen.

    Attributes:
        host: the interface to listen on.
        port: 0 takes a free one.
        seed: of the athletes.
        athletes: how many there are.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    seed: int = 1
    athletes: int = 1


def main(settings: Settings, write: Callable[[str], None]) -> int:
    """Serve until Ctrl-C and return the exit status: 130 after Ctrl-C, 1 if the port cannot be had."""
    try:
        anyio.run(_serve, settings, write)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        print(f"strava-async emulate: {error.strerror or error}", file=sys.stderr)
    return 1


async def _serve(settings: Settings, write: Callable[[str], None]) -> None:
    emulator = Emulator(seed=settings.seed, athletes=settings.athletes)
    async with serve(emulator, host=settings.host, port=settings.port) as url:
        write(_directions(emulator, url))
        await anyio.sleep_forever()


def _directions(emulator: Emulator, url: str) -> str:
    page = authorization_url(
        f"{url}/oauth", client_id=emulator.client_id, redirect_uri=REDIRECT_URI, scope="read,activity:read_all"
    )
    token = emulator.grant()["access_token"]
    return f"""\
A Strava is served at {url} until Ctrl-C. Its athletes, tokens and secrets are made up and forgotten at the end.

  client id      {emulator.client_id}
  client secret  {emulator.client_secret}
  API            {url}/api/v3
  OAuth          {url}/oauth

To play an athlete, who records activities and removes applications:
  {url}/

Where an athlete connects:
  {page}

To connect one from another terminal; accounts, logout and webhook take the same options:
  strava-async login --emulator {url} --client-id {emulator.client_id} --client-secret {emulator.client_secret}

To send events to a service of yours, which is asked at once:
  strava-async webhook subscribe http://localhost:3000/webhook --emulator {url} --client-id {emulator.client_id} \
    --client-secret {emulator.client_secret} --verify-token TOKEN

An access token, to try it at once:
  curl -H "Authorization: Bearer {token}" "{url}/api/v3/athlete/activities?per_page=3"

In Python:
  api = ApiV3(
      "{token}",
      api_url="{url}/api/v3",
      oauth_url="{url}/oauth",
  )"""
