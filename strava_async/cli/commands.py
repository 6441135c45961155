"""The commands. A new one is a function here, decorated with ``app.command``; it returns its exit status.

Each imports what it needs when it runs, so that ``--help`` comes at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

import strava_async
from strava_async.cli.config import CONFIG, STORE, Options
from strava_async.cli.terminal import this_terminal
from strava_async.oauth.scopes import DEFAULT_SCOPE

Given = TypeVar("Given")
Value = TypeVar("Value")


def _or_else(text: str, place: Path | None) -> str:
    """Return a help whose lines click leaves as they are: it would break a path at its hyphens."""
    return f"\b\n{text} Else\n{place or 'none: there is no home directory.'}"


ClientId = Annotated[
    str | None, typer.Option(envvar="STRAVA_CLIENT_ID", show_default=False, help="The application's client id.")
]
ClientSecret = Annotated[
    str | None,
    typer.Option(
        envvar="STRAVA_CLIENT_SECRET",
        show_default=False,
        help="Its client secret. A command line can be read by every user of the machine; the other ways cannot.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        show_default=False,
        help=_or_else("A TOML file with client_id and client_secret,\nmode 600.", CONFIG),
    ),
]
Store = Annotated[
    Path | None,
    typer.Option(
        show_default=False,
        help=_or_else("The tokens, encrypted if STRAVA_TOKEN_KEY holds\na Fernet key.", STORE),
    ),
]
EmulatorUrl = Annotated[
    str | None,
    typer.Option(
        "--emulator",
        metavar="URL",
        show_default=False,
        help="A served emulator in place of Strava. Else the one that STRAVA_API_URL and STRAVA_OAUTH_URL name.",
    ),
]

# Tracebacks of typer's own kind would show local variables, and with them tokens.
app = typer.Typer(
    name="strava-async",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

webhook = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The application's webhook subscription.")
app.add_typer(webhook, name="webhook")


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


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Strava for asyncio and trio."""


@app.command()
def demo(
    file: Annotated[Path, typer.Option(help="The SQLite file to harvest into.")] = Path("strava-demo.sqlite"),
    details: Annotated[int, typer.Option(min=0, help="Of how many activities to get details and streams.")] = 200,
    speed: Annotated[float, typer.Option(min=1, help="How much faster than yours Strava's clock goes.")] = 45.0,
    seed: Annotated[int, typer.Option(help="Which athlete is invented.")] = 1,
    plain: Annotated[bool, typer.Option("--plain", help="Write lines, even on a terminal.")] = False,
) -> None:
    """Harvest an athlete's activities from a Strava in this process.

    Nothing is asked of the network. The file is kept: a second run asks only for what is missing.
    """
    from strava_async.demo.display import LiveScreen
    from strava_async.demo.plain import PlainScreen
    from strava_async.demo.run import Settings, main

    console = Console(highlight=False)
    lively = console.is_terminal and not console.is_dumb_terminal and console.encoding.startswith("utf")
    screen = LiveScreen(console) if lively and not plain else PlainScreen(_write_line)
    raise typer.Exit(main(Settings(file, details, speed, seed), screen))


@app.command()
def emulate(
    host: Annotated[str, typer.Option(help="The interface to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
    seed: Annotated[int, typer.Option(help="Which athletes are invented.")] = 1,
    athletes: Annotated[int, typer.Option(min=1, help="How many athletes there are.")] = 1,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="What else this machine is called by those who ask; may be given several times. Others are refused.",
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


@app.command()
def login(
    client_id: ClientId = None,
    client_secret: ClientSecret = None,
    config: Config = None,
    store: Store = None,
    emulator: EmulatorUrl = None,
    scope: Annotated[str, typer.Option(help="What to ask for, with commas between.")] = ",".join(DEFAULT_SCOPE),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the answer comes; 0 takes a free port.")] = 0,
    timeout: Annotated[float, typer.Option(min=1, help="How many seconds to wait for the answer.")] = 300.0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Take the answer from the keyboard.")] = False,
    remember: Annotated[bool, typer.Option("--remember", help="Write id and secret to the config file.")] = False,
    all_or_nothing: Annotated[
        bool, typer.Option("--all-or-nothing", help="Keep nothing if something is not granted.")
    ] = False,
) -> None:
    """Connect an athlete: in the browser of this machine, or in any other."""
    from strava_async.cli.login import Settings, main

    options = _application(client_id, client_secret, config, store, emulator)
    settings = Settings(options, scope, port, timeout, not no_browser, remember, all_or_nothing)
    raise typer.Exit(main(settings, this_terminal()))


@app.command()
def accounts(
    client_id: ClientId = None,
    client_secret: ClientSecret = None,
    config: Config = None,
    store: Store = None,
    emulator: EmulatorUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write a line of JSON for each, without tokens.")] = False,
) -> None:
    """List the connected athletes. Nothing is asked of the network, and the client secret is not needed."""
    from strava_async.cli.accounts import accounts as list_accounts

    options = _application(client_id, client_secret, config, store, emulator)
    raise typer.Exit(list_accounts(options, this_terminal(), as_json=as_json))


@app.command()
def logout(
    athlete_id: Annotated[int | None, typer.Argument(min=1, help="Who; not needed if there is only one.")] = None,
    client_id: ClientId = None,
    client_secret: ClientSecret = None,
    config: Config = None,
    store: Store = None,
    emulator: EmulatorUrl = None,
    everybody: Annotated[bool, typer.Option("--all", help="Log out all athletes of the application.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Delete tokens even if Strava cannot be told.")] = False,
) -> None:
    """Revoke an athlete's grant at Strava, and delete the tokens."""
    from strava_async.cli.accounts import Logout
    from strava_async.cli.accounts import logout as log_out

    options = _application(client_id, client_secret, config, store, emulator)
    raise typer.Exit(log_out(Logout(options, athlete_id, everybody, force), this_terminal()))


@webhook.command()
def subscribe(
    callback_url: Annotated[str, typer.Argument(metavar="URL", help="Where the service waits for events.")],
    client_id: ClientId = None,
    client_secret: ClientSecret = None,
    config: Config = None,
    emulator: EmulatorUrl = None,
    verify_token: Annotated[
        str | None,
        typer.Option(
            envvar="STRAVA_VERIFY_TOKEN",
            show_default=False,
            help="The text that the service compares; the same as there. Else it is asked for.",
        ),
    ] = None,
) -> None:
    """Let Strava send the events of all connected athletes to a service, which must be running."""
    from strava_async.cli.webhook import subscribe as subscribe_webhook

    options = Options(client_id, client_secret, config, emulator=emulator, environment=os.environ)
    raise typer.Exit(subscribe_webhook(options, callback_url, verify_token, this_terminal()))


@webhook.command()
def view(
    client_id: ClientId = None,
    client_secret: ClientSecret = None,
    config: Config = None,
    emulator: EmulatorUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write a line of JSON; nothing if there is none.")] = False,
) -> None:
    """Show the subscription."""
    from strava_async.cli.webhook import view as view_webhook

    options = Options(client_id, client_secret, config, emulator=emulator, environment=os.environ)
    raise typer.Exit(view_webhook(options, this_terminal(), as_json=as_json))


@webhook.command()
def unsubscribe(
    subscription_id: Annotated[
        int | None, typer.Argument(metavar="ID", min=1, help="Which; not needed, there is only one.")
    ] = None,
    client_id: ClientId = None,
    client_secret: ClientSecret = None,
    config: Config = None,
    emulator: EmulatorUrl = None,
) -> None:
    """Delete the subscription: no more events."""
    from strava_async.cli.webhook import unsubscribe as unsubscribe_webhook

    options = Options(client_id, client_secret, config, emulator=emulator, environment=os.environ)
    raise typer.Exit(unsubscribe_webhook(options, subscription_id, this_terminal()))


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
