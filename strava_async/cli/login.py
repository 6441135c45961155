"""``strava-async login``: an athlete connects, in the browser of this machine or in any other."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio

from strava_async.application import Strava
from strava_async.cli.accounts import access
from strava_async.cli.config import MakeStrava, Options, find_credentials, open_strava, python_of
from strava_async.cli.config_file import make_directory, read_config, write_config
from strava_async.cli.places import needed
from strava_async.cli.reaching import check, reaching
from strava_async.cli.terminal import DONE, FAILED, Terminal, UsageError, run
from strava_async.client import Client
from strava_async.errors import InputError, InvalidStateError, MissingScopeError, StravaError
from strava_async.login.grants import IfMissing
from strava_async.login.local import show_in_browser
from strava_async.oauth.redirect import Redirect, authorization_url, parse_redirect, redirect_state
from strava_async.oauth.scopes import scope_names
from strava_async.oauth.state import check_state
from strava_async.stores.sqlite import SqliteTokenStore

REDIRECT_URI = "http://127.0.0.1/callback"  # nothing listens there; the address bar shows what Strava sent
STATE_BYTES = 32
TRIES = 3
NAME_SECONDS = 10

Connect = Callable[[Strava], Awaitable[Client]]
OpenUrl = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be chosen.

    Attributes:
        options: which application, and where its tokens are kept.
        scope: what is requested.
        port: of the server that takes the redirect; 0 takes a free one.
        timeout: seconds until the athlete has to be back.
        browser: the redirect is taken from this machine's browser; else it is pasted.
        remember: write the client id and secret to the configuration file.
        all_or_nothing: keep nothing if the athlete leaves a scope out.
    """

    options: Options
    scope: str
    port: int = 0
    timeout: float = 300.0
    browser: bool = True
    remember: bool = False
    all_or_nothing: bool = False

    @property
    def if_missing(self) -> IfMissing:
        """What happens to the tokens if a scope was left out."""
        return "revoke" if self.all_or_nothing else "keep"


def main(
    settings: Settings, terminal: Terminal, *, make: MakeStrava = Strava, open_url: OpenUrl = show_in_browser
) -> int:
    """Log in and return the exit status: 0, 1 if not all was granted or it failed, 2 for wrong use, 130 after Ctrl-C.

    Args:
        settings: see there.
        terminal: where the user is.
        make: makes the application.
        open_url: shows a page in the browser.
    """
    return run("login", terminal, partial(_login, settings, terminal, make, open_url))


def _login(settings: Settings, terminal: Terminal, make: MakeStrava, open_url: OpenUrl) -> int:
    options = settings.options
    scope = _scope(settings.scope)
    config = _config_to_write(options) if settings.remember else None
    client_id, client_secret = find_credentials(options, terminal.ask)
    strava = open_strava(options, client_id, client_secret, make)
    anyio.run(check, options, client_id, client_secret, make)
    make_directory(options.store_path.parent)
    if isinstance(strava.token_store, SqliteTokenStore):
        # Before the athlete decides: tokens that cannot be saved would be lost when this process ends.
        anyio.run(strava.token_store.check_writable)
    if settings.browser:
        connect = partial(_connect_here, settings, scope, terminal, open_url)
    else:
        # Before there is an event loop: nothing else has to run, and Ctrl-C ends a plain read at once.
        redirect = _pasted(settings, scope, client_id, terminal)
        connect = partial(_connect_redirect, settings, scope, redirect)
    status = anyio.run(_conclude, strava, connect, settings, terminal)
    if config is not None:  # after the exchange: Strava has accepted them
        write_config(config, client_id, client_secret)
        terminal.say(f"The client id and secret are kept in {config}")
    return status


def _scope(text: str) -> tuple[str, ...]:
    try:
        return scope_names(text)
    except InputError as error:
        raise UsageError(f"--scope: {error}") from error


def _config_to_write(options: Options) -> Path:
    """Return the configuration file, after checking that it is not another program's."""
    path = options.config_path
    if path is None:
        if options.emulator_url is not None:
            raise UsageError("--remember with an emulator needs --config: the default file is about Strava")
        path = needed(path, "--config")
    read_config(path)
    return path


async def _connect_here(
    settings: Settings, scope: tuple[str, ...], terminal: Terminal, open_url: OpenUrl, strava: Strava
) -> Client:
    async def show(url: str) -> None:
        terminal.say(f"Strava's page opens in the browser; if not, open it there yourself:\n\n  {url}\n")
        terminal.say(f"Waiting for your answer for {settings.timeout:g} s; Ctrl-C ends it.")
        try:
            await open_url(url)
        except InputError:
            terminal.complain("No browser can be opened here. If there is none on this machine, use --no-browser.")

    return await strava.authorize_locally(
        scope, port=settings.port, timeout=settings.timeout, open_url=show, if_missing=settings.if_missing
    )


async def _connect_redirect(settings: Settings, scope: tuple[str, ...], redirect: Redirect, strava: Strava) -> Client:
    return await strava.connect(redirect.code, scope, granted_scope=redirect.scope, if_missing=settings.if_missing)


def _pasted(settings: Settings, scope: tuple[str, ...], client_id: int, terminal: Terminal) -> Redirect:
    """Return the redirect that the user pastes."""
    state = secrets.token_urlsafe(STATE_BYTES)
    url = authorization_url(
        settings.options.oauth_url, client_id=client_id, redirect_uri=REDIRECT_URI, scope=scope, state=state
    )
    terminal.say(
        f"Open this page in any browser, and decide there:\n\n  {url}\n\n"
        f"The browser then says that it cannot reach {REDIRECT_URI}, which is as it should be. "
        "Paste the whole address from its address bar here, and press Enter:"
    )
    for _ in range(TRIES):
        line = terminal.read_line()
        if not line:
            raise InputError("the input ended before an address was pasted")
        redirect = _redirect(line.strip(), state)
        if isinstance(redirect, Redirect):
            return redirect
        terminal.complain(redirect)
    raise InputError(f"none of {TRIES} addresses was valid: begin again")


def _redirect(pasted: str, state: str) -> Redirect | str:
    """Return the redirect in an address, or what is wrong with it, without showing it."""
    try:
        check_state(redirect_state(pasted), state)
        return parse_redirect(pasted)
    except InvalidStateError as error:
        if error.reason != "missing":
            return "That address belongs to another login (its state differs). Paste the one that this page led to:"
    except ValueError:  # an InputError, or no address at all
        pass
    return f"That is not the address: it begins with {REDIRECT_URI}? and holds a state and a code. Paste it whole:"


async def _conclude(strava: Strava, connect: Connect, settings: Settings, terminal: Terminal) -> int:
    async with strava:
        with reaching(settings.options):
            return await _connected(strava, connect, settings, terminal)


async def _connected(strava: Strava, connect: Connect, settings: Settings, terminal: Terminal) -> int:
    try:
        client = await connect(strava)
    except MissingScopeError as error:
        if error.athlete_id is None:
            raise
        left_out = ", ".join(sorted(error.missing))
        if settings.all_or_nothing:
            raise InputError(f"nothing is kept, because {left_out} was not granted; begin again to grant it") from None
        client = strava.client(error.athlete_id)
        await _report(client, strava, settings, terminal, f"Connected without {left_out}", "bold yellow")
        terminal.say("To grant that too, log in again and leave every box ticked.")
        return FAILED
    await _report(client, strava, settings, terminal, "Connected", "bold green")
    return DONE


async def _report(
    client: Client, strava: Strava, settings: Settings, terminal: Terminal, title: str, style: str
) -> None:
    token = await strava.token_store.load(client.athlete_id)
    terminal.say(f"\n{title}", style)
    terminal.say(f"  athlete       {await _name(client)}")
    if token is not None:
        terminal.say(f"  granted       {', '.join(sorted(token.scope))}")
        terminal.say(f"  access token  {access(token, time.time())}")
    terminal.say(f"  kept in       {settings.options.store_path}")
    terminal.say(f"  in Python     {await python_of(settings.options, strava.token_store, client.athlete_id)}")


async def _name(client: Client) -> str:
    """Return the athlete's name and id. Costs a request; if it fails, the login does not."""
    found = ""
    try:
        with anyio.move_on_after(NAME_SECONDS):
            athlete = await client.api.get("/athlete")
            found = f"{athlete['firstname']} {athlete['lastname']} "
    except (StravaError, LookupError, TypeError):
        pass
    return f"{found}({client.athlete_id})"
