"""A person waits at the terminal: what cannot be reached is told at once, by its address."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urljoin

from strava_async.cli.config import MakeStrava, Options, open_strava
from strava_async.errors import StravaError, TransportError


@contextmanager
def reaching(options: Options) -> Generator[None]:
    """Have errors of the network name the address that was given."""
    try:
        yield
    except TransportError as error:
        raise _named(error, options) from error


def explained(error: StravaError, options: Options) -> str:
    """Return what went wrong; of the network, with the address."""
    if not isinstance(error, TransportError):
        return str(error)
    what = " cannot be reached" if error.sent == "never" else ""
    api = urljoin(options.api_url, "/").rstrip("/")
    where = options.origin if api == options.origin else f"{options.origin} or {api}"
    return f"{where}{what}: {error}"


async def check(options: Options, client_id: int, client_secret: str, make: MakeStrava) -> None:
    """Find out whether Strava is there, before somebody is sent to its page. Costs one request of the read class.

    Raises:
        TransportError: it cannot be reached.
    """
    async with open_strava(options, client_id, client_secret, make, tokens=False) as strava:
        try:
            await strava.webhooks.view()
        except StravaError as error:
            # Whatever else it answers: it is there, and a login may work.
            if isinstance(error, TransportError) and error.sent == "never":
                raise _named(error, options) from error


def _named(error: TransportError, options: Options) -> TransportError:
    return TransportError(explained(error, options), sent=error.sent, timed_out=error.timed_out)
