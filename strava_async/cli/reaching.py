"""A person waits at the terminal: an unreachable server is an error at once, with its address."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urljoin

from strava_async.cli.config import MakeStrava, Options, open_strava
from strava_async.errors import StravaError, TransportError


@contextmanager
def reaching(options: Options) -> Generator[None]:
    """Add the address to network errors."""
    try:
        yield
    except TransportError as error:
        raise _named(error, options) from error


def explained(error: StravaError, options: Options) -> str:
    """Return what went wrong; for network errors, with the address."""
    if not isinstance(error, TransportError):
        return str(error)
    what = " cannot be reached" if error.sent == "never" else ""
    api = urljoin(options.api_url, "/").rstrip("/")
    where = options.origin if api == options.origin else f"{options.origin} or {api}"
    return f"{where}{what}: {error}"


async def check(options: Options, client_id: int, client_secret: str, make: MakeStrava) -> None:
    """Find out whether Strava is there, before an athlete is sent to its page. Costs one request of the read class.

    Raises:
        TransportError: it cannot be reached.
    """
    async with open_strava(options, client_id, client_secret, make, tokens=False) as strava:
        try:
            await strava.webhooks.view()
        except StravaError as error:
            # Any response shows that it is there, and a login may work.
            if isinstance(error, TransportError) and error.sent == "never":
                raise _named(error, options) from error


def _named(error: TransportError, options: Options) -> TransportError:
    return TransportError(explained(error, options), sent=error.sent, timed_out=error.timed_out)
