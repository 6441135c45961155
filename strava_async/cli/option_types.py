"""Options that several commands have, as annotations that typer reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from strava_async.cli.config import CONFIG, STORE


def _or_else(text: str, place: Path | None) -> str:
    """Return a help text whose lines click does not wrap: it would break a path at its hyphens."""
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
RedisServer = Annotated[
    str | None,
    typer.Option(
        "--redis",
        metavar="URL",
        show_default=False,
        help="The Redis server that processes share. Else the one that STRAVA_REDIS_URL names, where a URL with a "
        "password belongs. Makes no requests.",
    ),
]
