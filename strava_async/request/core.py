"""What the views of one ``ApiV3``, or of one ``Strava``, have in common.

A view is a small object that holds a core, the tokens of an athlete and its own options. So all views of an
application share one pool, one limiter and one set of credentials, and are closed together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from strava_async.clock import Clock
from strava_async.limiter.base import Limiter, jitter_of
from strava_async.limiter.local import RateLimiter
from strava_async.request.exchange import Exchange
from strava_async.request.lifecycle import Lifecycle, Stage
from strava_async.request.options import Options, checked
from strava_async.request.reports import Reports
from strava_async.request.sender import Sender
from strava_async.request.templates import base_url
from strava_async.request.token_endpoint import Credentials, TokenEndpoint
from strava_async.tokens.holder import Refresh
from strava_async.tokens.source import TokenSource


class PooledSender(Sender, Protocol):
    """A sender with connections of its own, and with what they need loaded on demand."""

    async def prepare(self) -> None:
        """Load what the first request needs."""
        ...


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Core:
    """The parts that are made once.

    Attributes:
        api_url: the base of the API, without a slash at its end.
        oauth_url: the base of the OAuth endpoints, without a slash at its end.
        limiter: hands out permits.
        clock: what time is measured by.
        sender: moves the bytes.
        exchange: turns calls into values.
        credentials: the application's, as far as they are known.
        token_endpoint: asks for tokens.
        renew: its ``renew``, for token sources.
        options: those that the first object was made with; renewals keep them.
        lifecycle: open, closing or closed.
    """

    api_url: str
    oauth_url: str
    limiter: Limiter
    clock: Clock
    sender: PooledSender
    exchange: Exchange
    credentials: Credentials
    token_endpoint: TokenEndpoint
    renew: Refresh
    options: Options
    lifecycle: Lifecycle

    def renew_by_default(self, tokens: TokenSource) -> None:
        """Let a source renew its tokens with the credentials, if they are known and it has no way of its own."""
        if tokens.refresh is None and self.credentials.are_known:
            tokens.refresh = self.renew

    async def close(self) -> None:
        """Close the connections, after the answers that hold tokens have arrived."""
        self.lifecycle.advance(Stage.CLOSED)
        await self.lifecycle.token_requests.wait_idle()
        await self.sender.aclose()


class View:
    """What an ``ApiV3`` holds: the core, which it shares, and what is its own.

    Args:
        core: the shared parts.
        tokens: where its bearer comes from.
        options: how its calls are made.
        owns_core: whether closing it closes the core.
    """

    def __init__(self, core: Core, tokens: TokenSource, options: Options, *, owns_core: bool) -> None:
        self._core = core
        self._tokens = tokens
        self._options = options
        self._owns_core = owns_core


def make_core(
    sender: PooledSender,
    limiter: Limiter | None,
    reports: Callable[[Clock], Reports],
    *,
    clock: Clock | None,
    random: Callable[[], float] | None,
    api_url: str,
    oauth_url: str,
    credentials: Credentials,
    options: Options,
) -> Core:
    """Return a new core.

    Args:
        sender: moves the bytes.
        limiter: hands out permits; None makes a ``RateLimiter``.
        reports: makes what receives the events of the exchange, given the clock.
        clock: what time is measured by; None means the limiter's.
        random: returns jitter from [0, 1); None means the limiter's.
        api_url: the base of the API.
        oauth_url: the base of the OAuth endpoints.
        credentials: the application's, as far as they are known.
        options: how calls and renewals are made.

    Raises:
        InputError: a URL or an option is invalid.
    """
    options = checked(options)
    api, oauth = base_url(api_url), base_url(oauth_url)
    limiter = RateLimiter(clock=clock, random=random) if limiter is None else limiter
    clock = clock or limiter.clock
    events, lifecycle = reports(clock), Lifecycle()
    exchange = Exchange(limiter, sender, clock, random or jitter_of(limiter), events)
    token_endpoint = TokenEndpoint(
        exchange, oauth, credentials, options, lifecycle=lifecycle, clock=clock, reports=events
    )
    return Core(
        api_url=api,
        oauth_url=oauth,
        limiter=limiter,
        clock=clock,
        sender=sender,
        exchange=exchange,
        credentials=credentials,
        token_endpoint=token_endpoint,
        renew=token_endpoint.renew,
        options=options,
        lifecycle=lifecycle,
    )
