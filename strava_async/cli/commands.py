"""The commands. A new one is a function here, decorated with ``app.command``; it returns its exit status.

Each imports what it needs when it runs, so that ``--help`` comes at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import strava_async

# Tracebacks of typer's own kind would show local variables, and with them tokens.
app = typer.Typer(
    name="strava-async",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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
) -> None:
    """Serve a Strava of your own until Ctrl-C."""
    from strava_async.cli.emulate import Settings, main

    raise typer.Exit(main(Settings(host, port, seed, athletes), _write_line))


def _write_line(text: str) -> None:
    print(text, file=sys.stdout, flush=True)
