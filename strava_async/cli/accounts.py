"""``strava-async accounts`` and ``strava-async logout``: who is connected, and the end of that."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import anyio
from rich.table import Table

from strava_async.application import Strava
from strava_async.cli.config import (
    MakeStrava,
    Options,
    application_name,
    find_client_id,
    find_credentials,
    open_strava,
    token_store,
)
from strava_async.cli.reaching import explained
from strava_async.cli.terminal import DONE, FAILED, Terminal, UsageError, run
from strava_async.errors import InputError, StravaError
from strava_async.oauth.token_set import TokenSet
from strava_async.stores.base import BasicTokenStore

SETTINGS_PAGE = "https://www.strava.com/settings/apps"


@dataclass(frozen=True, slots=True)
class Logout:
    """What can be chosen of a logout.

    Attributes:
        options: which application, and where its tokens are.
        athlete_id: who is logged out; None means the only one.
        everybody: all are.
        force: the tokens are deleted even if revoking them at Strava fails.
    """

    options: Options
    athlete_id: int | None = None
    everybody: bool = False
    force: bool = False


def accounts(
    options: Options, terminal: Terminal, *, as_json: bool = False, now: Callable[[], float] = time.time
) -> int:
    """List the connected athletes and return the exit status. Makes no requests."""
    return run("accounts", terminal, partial(_accounts, options, terminal, as_json, now))


def logout(settings: Logout, terminal: Terminal, *, make: MakeStrava = Strava) -> int:
    """Revoke grants at Strava, delete their tokens, and return the exit status."""
    return run("logout", terminal, partial(_logout, settings, terminal, make))


def access(token: TokenSet, now: float) -> str:
    """Return how long an access token is valid, and what happens then."""
    then = "renewed automatically" if token.refresh_token else "log in again then"
    if token.expires_at is None:
        return f"valid until an unknown time; {then}"
    if token.expires_at <= now:
        return "expired; renewed automatically" if token.refresh_token else "expired; log in again"
    return f"valid until {_local_time(token.expires_at)}; {then}"


def _local_time(at: float) -> str:
    try:
        return f"{datetime.fromtimestamp(at, UTC).astimezone():%Y-%m-%d %H:%M}"
    except (OverflowError, ValueError, OSError):
        return "the end of the calendar"


def _accounts(options: Options, terminal: Terminal, as_json: bool, now: Callable[[], float]) -> int:
    client_id = find_client_id(options, terminal.ask)
    connected = anyio.run(_connected, options, token_store(options, client_id))
    if as_json:
        for athlete_id, token in connected.items():
            terminal.say(_json(athlete_id, token))
    elif not connected:
        terminal.say(f"{_none_connected(options, client_id)} To connect somebody: {options.command('login')}")
    else:
        table = Table("Athlete", "Access token", "Granted", box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for athlete_id, token in connected.items():
            table.add_row(str(athlete_id), access(token, now()), ", ".join(sorted(token.scope)) or "unknown")
        terminal.show(table)
    return DONE


def _json(athlete_id: int, token: TokenSet) -> str:
    return json.dumps(
        {
            "athlete_id": athlete_id,
            "scope": sorted(token.scope),
            "expires_at": token.expires_at,
            "renewable": token.refresh_token is not None,
        }
    )


async def _connected(options: Options, store: BasicTokenStore) -> dict[int, TokenSet]:
    found = {athlete_id: await store.load(athlete_id) for athlete_id in await athlete_ids(options, store)}
    return {athlete_id: token for athlete_id, token in found.items() if token is not None}


async def athlete_ids(options: Options, store: BasicTokenStore) -> list[int]:
    """Return who is connected. The file is not made."""
    try:
        exists = await anyio.Path(options.store_path).exists()
    except OSError as error:
        raise UsageError(f"{options.store_path} cannot be read: {error.strerror}") from error
    return await store.athlete_ids() if exists else []


def _logout(settings: Logout, terminal: Terminal, make: MakeStrava) -> int:
    if settings.everybody and settings.athlete_id is not None:
        raise UsageError("give an athlete id or --all, not both")
    options = settings.options
    client_id, client_secret = find_credentials(options, terminal.ask)
    strava = open_strava(options, client_id, client_secret, make)

    async def work() -> int:
        async with strava:
            chosen = _chosen(settings, await athlete_ids(options, strava.token_store))
            if not chosen:
                terminal.say(_none_connected(options, client_id))
            ended = [await _end(strava, athlete_id, settings, terminal) for athlete_id in chosen]
        return DONE if all(ended) else FAILED

    return anyio.run(work)


def _none_connected(options: Options, client_id: int) -> str:
    return f"Nobody is connected to application {application_name(options, client_id)}."


def _chosen(settings: Logout, connected: list[int]) -> list[int]:
    """Return who is to be logged out."""
    if settings.athlete_id is not None:
        if settings.athlete_id not in connected:
            raise InputError(
                f"athlete {settings.athlete_id} is not connected: {settings.options.command('accounts')} lists who is"
            )
        return [settings.athlete_id]
    if len(connected) > 1 and not settings.everybody:
        raise UsageError(f"say which athlete, or --all: {', '.join(map(str, connected))}")
    return connected


async def _end(strava: Strava, athlete_id: int, settings: Logout, terminal: Terminal) -> bool:
    """Log one athlete out, and say whether the tokens are gone."""
    try:
        await strava.disconnect(athlete_id)
    except StravaError as error:
        reason = explained(error, settings.options)
    else:
        terminal.say(f"Athlete {athlete_id} is logged out: the grant is revoked, the tokens are deleted.")
        return True
    if not settings.force:
        terminal.complain(
            f"strava-async logout: athlete {athlete_id} is still connected, the tokens are kept: {reason}\n"
            "Try again later; --force deletes the tokens without Strava."
        )
        return False
    await strava.forget(athlete_id)
    terminal.say(f"The tokens of athlete {athlete_id} are deleted, but not revoked at Strava: {reason}")
    terminal.say(f"The athlete can end the grant at {SETTINGS_PAGE}")
    return True
