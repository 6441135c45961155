"""The commands. A new one is a function here, decorated with ``app.command``; it returns its exit status.

Each imports what it needs when it runs, so that ``--help`` is fast.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

import strava_async
from strava_async.cli.completion import connected_athletes
from strava_async.cli.config import Options
from strava_async.cli.endings import (
    ACCOUNTS_END,
    DEMO_END,
    EMULATE_END,
    LOGIN_END,
    LOGOUT_END,
    MAIN_END,
    QUOTA_END,
)
from strava_async.cli.harvest_commands import EXPORT_END, HARVEST_END, PURGE_END, export, harvest, purge
from strava_async.cli.option_types import ClientId, ClientSecret, Config, EmulatorUrl, RedisServer, Store
from strava_async.cli.terminal import OutputConsole, this_terminal
from strava_async.cli.webhook_commands import webhook
from strava_async.oauth.scopes import DEFAULT_SCOPE

Given = TypeVar("Given")
Value = TypeVar("Value")


# Typer's own tracebacks would show local variables, and with them tokens.
app = typer.Typer(
    name="strava-async",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(webhook, name="webhook")
app.command(epilog=HARVEST_END)(harvest)
app.command(epilog=EXPORT_END)(export)
app.command(epilog=PURGE_END)(purge)


def run(arguments: Sequence[str] | None) -> int:
    """Run the command that the arguments name and return its exit status."""
    try:
        status = app(arguments, prog_name="strava-async", standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return int(status or 0)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(strava_async.__version__)
        raise typer.Exit


@app.callback(epilog=MAIN_END)
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Strava for asyncio and trio.

    An application of yours is made at https://www.strava.com/settings/api. Without one, try the demo, or a Strava of
    your own: strava-async emulate.
    """


@app.command(epilog=DEMO_END)
def demo(
    file: Annotated[Path, typer.Option(help="The SQLite file to harvest into.")] = Path("strava-demo.sqlite"),
    days: Annotated[int, typer.Option(min=1, help="How far back to harvest, from 2026-06-01.")] = 120,
    speed: Annotated[float, typer.Option(min=1, help="How much faster than yours Strava's clock goes.")] = 45.0,
    seed: Annotated[int, typer.Option(help="Selects the generated athlete.")] = 1,
    plain: Annotated[bool, typer.Option("--plain", help="Write lines, even on a terminal.")] = False,
) -> None:
    """Harvest an athlete's activities from a Strava in this process.

    Makes no network requests. The file is kept: a second run fetches only what is missing.
    """
    from strava_async.demo.run import Settings, main
    from strava_async.display.panel import LiveScreen
    from strava_async.display.plain import PlainScreen

    console = OutputConsole(highlight=False)
    lively = console.is_terminal and not console.is_dumb_terminal and console.encoding.startswith("utf")
    screen = LiveScreen(console) if lively and not plain else PlainScreen(_write_line, seconds=2.0)
    raise typer.Exit(main(Settings(file, days, speed, seed), screen))


@app.command(epilog=EMULATE_END)
def emulate(
    host: Annotated[str, typer.Option(help="The interface to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
    seed: Annotated[int, typer.Option(help="Selects the generated athletes.")] = 1,
    athletes: Annotated[int, typer.Option(min=1, help="How many athletes there are.")] = 1,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="A further host name to accept in requests; may be given several times. Others are rejected.",
        ),
    ] = None,
    limits: Annotated[
        str | None,
        typer.Option(
            metavar="R,R,A,A",
            show_default=False,
            help="The quota: reads per quarter hour and per day, all requests per quarter hour and per day. "
            "Else that of a new application, 100,1000,200,2000.",
        ),
    ] = None,
) -> None:
    """Serve a Strava of your own until Ctrl-C."""
    from strava_async.cli.emulate import Settings, hosts_of, limits_of, main

    hosts = _of_option("--allow-host", hosts_of, allow_host or ())
    chosen = None if limits is None else _of_option("--limits", limits_of, limits)
    raise typer.Exit(main(Settings(host, port, seed, athletes, hosts, chosen), _write_line))


@app.command(epilog=LOGIN_END)
def login(
    client_id: ClientId = None,
    client_secret: ClientSecret = None,
    config: Config = None,
    store: Store = None,
    emulator: EmulatorUrl = None,
    scope: Annotated[str, typer.Option(help="Scopes to request, comma-separated.")] = ",".join(DEFAULT_SCOPE),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port for the redirect; 0 takes a free one.")] = 0,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the redirect.")] = 300.0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Paste the redirect, from any browser.")] = False,
    remember: Annotated[bool, typer.Option("--remember", help="Write id and secret to the config file.")] = False,
    all_or_nothing: Annotated[
        bool, typer.Option("--all-or-nothing", help="Keep nothing if something is not granted.")
    ] = False,
) -> None:
    """Connect an athlete, in the browser of this machine or another."""
    from strava_async.cli.login import Settings, main

    options = _application(client_id, client_secret, config, store, emulator)
    settings = Settings(options, scope, port, timeout, not no_browser, remember, all_or_nothing)
    raise typer.Exit(main(settings, this_terminal()))


@app.command(epilog=ACCOUNTS_END)
def accounts(
    client_id: ClientId = None,
    client_secret: ClientSecret = None,
    config: Config = None,
    store: Store = None,
    emulator: EmulatorUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write a line of JSON for each, without tokens.")] = False,
) -> None:
    """List the connected athletes. Makes no requests; the client secret is not needed."""
    from strava_async.cli.accounts import accounts as list_accounts

    options = _application(client_id, client_secret, config, store, emulator)
    raise typer.Exit(list_accounts(options, this_terminal(), as_json=as_json))


@app.command(epilog=LOGOUT_END)
def logout(
    athlete_id: Annotated[
        int | None,
        typer.Argument(min=1, autocompletion=connected_athletes, help="Which one; not needed if there is only one."),
    ] = None,
    client_id: ClientId = None,
    client_secret: ClientSecret = None,
    config: Config = None,
    store: Store = None,
    emulator: EmulatorUrl = None,
    everybody: Annotated[bool, typer.Option("--all", help="Log out all athletes of the application.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Delete tokens even if revoking them fails.")] = False,
) -> None:
    """Revoke an athlete's grant at Strava, and delete the tokens."""
    from strava_async.cli.accounts import Logout
    from strava_async.cli.accounts import logout as log_out

    options = _application(client_id, client_secret, config, store, emulator)
    raise typer.Exit(log_out(Logout(options, athlete_id, everybody, force), this_terminal()))


@app.command(epilog=QUOTA_END)
def quota(
    file: Annotated[
        Path | None, typer.Option(show_default=False, help="The file of a SqliteRateLimiter. Makes no requests.")
    ] = None,
    redis: RedisServer = None,
    strava: Annotated[bool, typer.Option("--strava", help="Ask Strava, which costs one read of the quota.")] = False,
    application: Annotated[
        str | None, typer.Option(show_default=False, help="Whose quota. Else the file's only one, or the client id's.")
    ] = None,
    athlete: Annotated[
        int | None,
        typer.Option(
            min=1,
            show_default=False,
            autocompletion=connected_athletes,
            help="With whose token to ask Strava. Else anyone's.",
        ),
    ] = None,
    client_id: ClientId = None,
    client_secret: ClientSecret = None,
    config: Config = None,
    store: Store = None,
    emulator: EmulatorUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write a line of JSON.")] = False,
) -> None:
    """Show the four meters, and which process holds what.

    Reads where the processes meet: a file, or Redis. Without either it asks Strava, which costs one read of the quota.
    """
    from strava_async.cli.quota import QuotaSettings
    from strava_async.cli.quota import quota as show_quota

    options = _application(client_id, client_secret, config, store, emulator)
    settings = QuotaSettings(options, file, redis, application, strava, athlete, as_json)
    raise typer.Exit(show_quota(settings, this_terminal()))


def _application(
    client_id: str | None, client_secret: str | None, config: Path | None, store: Path | None, emulator: str | None
) -> Options:
    token_key = os.environ.get("STRAVA_TOKEN_KEY")
    return Options(client_id, client_secret, config, store, emulator, token_key, os.environ)


def _of_option(option: str, read: Callable[[Given], Value], given: Given) -> Value:
    try:
        return read(given)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _write_line(text: str) -> None:
    print(text, file=sys.stdout, flush=True)
