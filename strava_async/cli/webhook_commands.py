"""The commands of ``strava-async webhook``; see ``commands``."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from strava_async.cli.config import Options
from strava_async.cli.endings import EVENTS_END, SUBSCRIBE_END, UNSUBSCRIBE_END, VIEW_END, WEBHOOK_END
from strava_async.cli.option_types import ClientId, ClientSecret, Config, EmulatorUrl, RedisServer
from strava_async.cli.terminal import this_terminal

webhook = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The application's webhook subscription, and its events.",
    epilog=WEBHOOK_END,
)


@webhook.command(epilog=SUBSCRIBE_END)
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
            help="The verify token that the service expects. Prompted for if not given.",
        ),
    ] = None,
) -> None:
    """Let Strava send the events of all connected athletes to a service, which must be running."""
    from strava_async.cli.webhook import subscribe as subscribe_webhook

    options = Options(client_id, client_secret, config, emulator=emulator, environment=os.environ)
    raise typer.Exit(subscribe_webhook(options, callback_url, verify_token, this_terminal()))


@webhook.command(epilog=VIEW_END)
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


@webhook.command(epilog=UNSUBSCRIBE_END)
def unsubscribe(
    subscription_id: Annotated[
        int | None, typer.Argument(metavar="ID", min=1, help="Which one; not needed, since there is only one.")
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


@webhook.command(epilog=EVENTS_END)
def events(
    file: Annotated[
        Path | None, typer.Option(show_default=False, help="The file of a SqliteEventStore. Never made here.")
    ] = None,
    redis: RedisServer = None,
    application: Annotated[
        str | None, typer.Option(show_default=False, help="Whose events, on Redis. Else the client id's.")
    ] = None,
    client_id: ClientId = None,
    config: Config = None,
    retry: Annotated[
        str | None, typer.Option(metavar="KEY", show_default=False, help="Let this event be tried now.")
    ] = None,
    drop: Annotated[
        str | None, typer.Option(metavar="KEY", show_default=False, help="Remove this event without handling it.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it without a question.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many events to list, the oldest first.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Write a line of JSON.")] = False,
) -> None:
    """List the events that a service has not finished: whose, since when, and what failed.

    Reads where the service keeps them: a file, or Redis. Makes no requests. A KEY is what the list shows of it.
    """
    from strava_async.cli.webhook_events import EventsSettings
    from strava_async.cli.webhook_events import events as show_events

    logging.getLogger("strava_async").addHandler(logging.NullHandler())  # what a service logs of its store
    options = Options(client_id, None, config, environment=os.environ)
    settings = EventsSettings(options, file, redis, application, retry, drop, yes, limit, as_json)
    raise typer.Exit(show_events(settings, this_terminal()))
