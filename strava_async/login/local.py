"""A login on the athlete's own machine: the browser shows Strava's page, a server on 127.0.0.1 takes the redirect.

Source:
    RFC 8252 §7.3; https://developers.strava.com/docs/authentication/ (``127.0.0.1`` is always an allowed domain).
"""

from __future__ import annotations

import inspect
import os
import secrets
import subprocess
import sys
import webbrowser
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Protocol, TypeVar

import anyio
import anyio.to_thread

from strava_async._concurrency.task_group import TaskGroup
from strava_async.client import Client
from strava_async.errors import InputError, MissingScopeError
from strava_async.login.grants import IfMissing
from strava_async.login.private_page import private_page
from strava_async.login.server import Page, redirect_server
from strava_async.oauth.redirect import Redirect

OpenUrl = Callable[[str], object]

T = TypeVar("T")

STATE_BYTES = 32

# What ``webbrowser`` starts inherits the streams of its process: so it runs in one that has none.
_OPENER = """
import os, sys, webbrowser
url = sys.stdin.read()
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
sys.exit(not webbrowser.open(url))
"""


class Application(Protocol):
    """What a login needs of ``Strava``."""

    async def authorization_url(
        self, redirect_uri: str, scope: str | Iterable[str] | None, state: str | None, approval_prompt: str
    ) -> str:
        """Return the address of Strava's page."""
        ...

    async def connect(
        self,
        code: str,
        scope: str | Iterable[str] | None,
        *,
        granted_scope: str | Iterable[str] | None,
        if_missing: IfMissing,
    ) -> Client:
        """Exchange the code and save the tokens."""
        ...


async def show_in_browser(url: str) -> None:
    """Show a page in the browser of this machine, and wait until cancelled, as ``open_url`` of a login is.

    Other users of the machine, who can read command lines, see that of a file which leads to the page, and which they
    cannot read (``private_page``). On Windows they see no command lines, and the browser gets the address itself.

    Raises:
        InputError: there is no browser, or no place for the file.
    """
    if sys.platform == "win32":
        await open_in_browser(url)
    else:
        with private_page(url) as page:
            await open_in_browser(page)
            await anyio.sleep_forever()


async def open_in_browser(url: str) -> None:
    """Open an address in the browser of this machine, as ``webbrowser`` and the variable BROWSER know it.

    Every user of the machine can see it in the browser's command line. The browser has no access to this program's
    input and output, and keeps running when this program ends. One that needs the terminal is not used: Strava's page
    needs more than text.

    Raises:
        InputError: no browser can be opened.
    """
    # Some browsers stay in the foreground until they are closed; the login does not wait for that.
    if not await anyio.to_thread.run_sync(_open, url, abandon_on_cancel=True):
        raise InputError("no browser can be opened here: open_url=print shows the address in its place")


def _open(url: str) -> bool:
    if sys.platform == "win32" or getattr(sys, "frozen", False) or not sys.executable:
        return webbrowser.open(url)  # starts no child there; or there is no interpreter to start
    environment = {name: value for name, value in os.environ.items() if name != "TERM"}
    try:
        opened = subprocess.run(
            [sys.executable, "-I", "-c", _OPENER],
            input=url.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # no Ctrl-C either, and no terminal under another name
            check=False,
        )
    except OSError:
        return False
    return opened.returncode == 0


async def log_in(
    application: Application,
    scope: str | Iterable[str],
    *,
    port: int,
    timeout: float | None,
    open_url: OpenUrl,
    if_missing: IfMissing,
    approval_prompt: str,
    new_state: Callable[[int], str] = secrets.token_urlsafe,
) -> Client:
    """Do what ``Strava.authorize_locally`` does; see there."""

    async def finish(redirect: Redirect) -> tuple[Page, Client | MissingScopeError]:
        try:
            client = await application.connect(
                redirect.code, scope, granted_scope=redirect.scope, if_missing=if_missing
            )
        except MissingScopeError as error:
            if if_missing == "revoke":
                raise
            left_out = ", ".join(sorted(error.missing))
            return Page("Connected, with less", f"You left out {left_out}. Log in again to grant that too."), error
        return Page("Connected", "You can close this page. The terminal goes on."), client

    state = new_state(STATE_BYTES)
    async with redirect_server(port) as server:
        url = await application.authorization_url(server.redirect_uri, scope, state, approval_prompt)
        result = await _while_open(
            partial(_call, open_url, url), partial(server.wait_for, state, finish, timeout=timeout)
        )
    if isinstance(result, MissingScopeError):
        raise result
    return result


async def _call(open_url: OpenUrl, url: str) -> None:
    opened = open_url(url)
    if inspect.isawaitable(opened):
        await opened


async def _while_open(opening: Callable[[], Awaitable[None]], waiting: Callable[[], Awaitable[T]]) -> T:
    """Return the result of ``waiting``; raise at once if the page cannot be opened."""
    results: list[T] = []
    async with TaskGroup() as tasks:
        tasks.start_soon(opening)
        results.append(await waiting())
        tasks.cancel_scope.cancel()
    return results[0]
