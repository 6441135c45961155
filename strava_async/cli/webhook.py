"""``strava-async webhook``: the application's webhook subscription, to make, to view and to end."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial

import anyio

from strava_async.application import Strava
from strava_async.cli.config import MakeStrava, Options, application_name, find_credentials, open_strava
from strava_async.cli.reaching import reaching
from strava_async.cli.terminal import DONE, Ask, Terminal, UsageError, run
from strava_async.errors import BadRequestError, InputError, NotFoundError
from strava_async.oauth.credentials import check_text
from strava_async.subscriptions import Subscription

Work = Callable[[Strava, int], Awaitable[int]]


def subscribe(
    options: Options, callback_url: str, verify_token: str | None, terminal: Terminal, *, make: MakeStrava = Strava
) -> int:
    """Make the subscription and return the exit status.

    Args:
        options: which application.
        callback_url: where its service waits for events.
        verify_token: what the service compares; None asks for it.
        terminal: where the user is.
        make: makes the application.
    """

    def work() -> int:
        token = _verify_token(verify_token, terminal.ask)
        return _with_strava(options, terminal, make, partial(_subscribe, options, callback_url, token, terminal))

    return run("webhook subscribe", terminal, work)


def view(options: Options, terminal: Terminal, *, as_json: bool = False, make: MakeStrava = Strava) -> int:
    """Show the subscription and return the exit status."""
    shown = partial(_view, options, terminal, as_json)
    return run("webhook view", terminal, lambda: _with_strava(options, terminal, make, shown))


def unsubscribe(options: Options, subscription_id: int | None, terminal: Terminal, *, make: MakeStrava = Strava) -> int:
    """End the subscription and return the exit status; None means the one that there is."""
    ended = partial(_unsubscribe, options, subscription_id, terminal)
    return run("webhook unsubscribe", terminal, lambda: _with_strava(options, terminal, make, ended))


def _with_strava(options: Options, terminal: Terminal, make: MakeStrava, work: Work) -> int:
    client_id, client_secret = find_credentials(options, terminal.ask)

    async def main() -> int:
        async with open_strava(options, client_id, client_secret, make, tokens=False) as strava:
            with reaching(options):
                return await work(strava, client_id)

    return anyio.run(main)


def _verify_token(given: str | None, ask: Ask | None) -> str:
    if given:
        return _checked_token(given, "the verify token")
    if ask is None:
        raise UsageError("no verify token: give --verify-token or set STRAVA_VERIFY_TOKEN, as the service knows it")
    token = ask("Verify token, as the service knows it (not shown): ", True)
    return _checked_token(token.strip(), "the verify token")


def _checked_token(token: str, what: str) -> str:
    try:
        return check_text(token, what).reveal()
    except InputError as error:
        raise UsageError(str(error)) from None


async def _subscribe(
    options: Options, callback_url: str, verify_token: str, terminal: Terminal, strava: Strava, client_id: int
) -> int:
    try:
        made = await strava.webhooks.subscribe(callback_url, verify_token)
    except BadRequestError as error:
        raise _explained(error, options) from None
    except InputError as error:
        raise UsageError(str(error)) from None
    terminal.say(f"Subscribed. Events go to {callback_url}")
    terminal.say(f"  subscription  {made.id}")
    return DONE


def _explained(error: BadRequestError, options: Options) -> Exception:
    """Return what a refusal to subscribe means for the user; itself if that is not known."""
    about = {(detail.get("field"), detail.get("code")) for detail in error.errors}
    if ("", "already exists") in about:
        return InputError(f"there is a subscription already; to end it: {options.command('webhook unsubscribe')}")
    codes = [str(code) for name, code in about if name == "callback url"]
    if codes:
        return InputError(
            f"Strava asked the callback and did not get the answer that it wants ({', '.join(codes)}): the service "
            "must be running, within Strava's reach, know this verify token, and answer within 2 s"
        )
    return error


async def _view(options: Options, terminal: Terminal, as_json: bool, strava: Strava, client_id: int) -> int:
    found = await strava.webhooks.view()
    for subscription in found:
        if as_json:
            terminal.say(json.dumps(_values(subscription)))
        else:
            for name, value in _values(subscription).items():
                terminal.say(f"  {name.replace('_', ' '):<14}  {'unknown' if value is None else value}")
    if not found and not as_json:
        terminal.say(f"{_none(options, client_id)} To make one: {options.command('webhook subscribe URL')}")
    return DONE


def _values(subscription: Subscription) -> dict[str, object]:
    since = subscription.created_at
    return {
        "id": subscription.id,
        "application_id": subscription.application_id,
        "callback_url": subscription.callback_url,
        "created_at": None if since is None else since.isoformat(),
    }


async def _unsubscribe(
    options: Options, subscription_id: int | None, terminal: Terminal, strava: Strava, client_id: int
) -> int:
    if subscription_id is None:
        found = await strava.webhooks.view()
        if not found:
            terminal.say(_none(options, client_id))
            return DONE
        subscription_id = found[0].id
    try:
        await strava.webhooks.unsubscribe(subscription_id)
    except NotFoundError:
        shown = f"{options.command('webhook view')} shows the one it has"
        raise InputError(f"the application has no subscription {subscription_id}: {shown}") from None
    terminal.say(f"Subscription {subscription_id} is deleted. Events that are under way may still arrive.")
    return DONE


def _none(options: Options, client_id: int) -> str:
    return f"Application {application_name(options, client_id)} has no webhook subscription."
