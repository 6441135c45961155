"""What the views of one ``ApiV3``, or of one ``Strava``, have in common.

A view is a small object that holds a core, the tokens of an athlete and its own options. So all views of an
application share one pool, one limiter and one set of credentials, and are closed together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

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


class Core:
    """The parts that are made once. They do not change.

    Args:
        sender: moves the bytes.
        limiter: grants permits; None makes a ``RateLimiter``.
        reports: makes what receives the events of the exchange, given the clock.
        clock: measures time; None means the limiter's.
        random: returns jitter from [0, 1); None means the limiter's.
        api_url: the base of the API.
        oauth_url: the base of the OAuth endpoints.
        credentials: the application's, as far as they are known.
        options: how calls and renewals are made.

    Attributes:
        api_url: without a slash at its end; so is ``oauth_url``.
        exchange: turns calls into values.
        token_endpoint: requests tokens.
        renew: its ``renew``, for token sources.
        options: those that the first object was made with; renewals keep them.
        lifecycle: open, closing or closed.

    Raises:
        InputError: a URL or an option is invalid.
    """

    def __init__(
        self,
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
    ) -> None:
        self.options: Final = checked(options)
        self.api_url: Final = base_url(api_url)
        self.oauth_url: Final = base_url(oauth_url)
        self.limiter: Final = RateLimiter(clock=clock, random=random) if limiter is None else limiter
        self.clock: Final = clock or self.limiter.clock
        self.sender: Final = sender
        self.credentials: Final = credentials
        self.lifecycle: Final = Lifecycle()
        events = reports(self.clock)
        self.exchange: Final = Exchange(self.limiter, sender, self.clock, random or jitter_of(self.limiter), events)
        self.token_endpoint: Final = TokenEndpoint(
            self.exchange,
            self.oauth_url,
            credentials,
            self.options,
            lifecycle=self.lifecycle,
            clock=self.clock,
            reports=events,
        )
        self.renew: Final[Refresh] = self.token_endpoint.renew

    def renew_by_default(self, tokens: TokenSource) -> None:
        """Let a source renew its tokens with the credentials, if they are known and it has no way of its own."""
        if tokens.refresh is None and self.credentials.are_known:
            tokens.refresh = self.renew

    async def close(self) -> None:
        """Close the connections, after the responses that hold tokens have arrived."""
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
