"""What ``Accounts`` does with an athlete's tokens besides having them renewed: a new grant is saved, one is verified.

It all runs in the single flight of the ``TokenSource``, so a renewal waits for it, and it waits for a renewal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from strava_async._concurrency.single_flight import SingleFlight
from strava_async._hidden import Hidden
from strava_async.oauth.grants import AccessInfo
from strava_async.oauth.token_set import TokenSet
from strava_async.tokens.grant import Grant
from strava_async.tokens.state import Unread, Unsaved

if TYPE_CHECKING:
    from strava_async.stores.base import Lease

T = TypeVar("T")


class AccountMethods:
    """The methods of ``TokenSource`` for the tokens of an account; requests use none of them.

    Args:
        flight: runs one piece of work at a time, for all callers.
        grant: the tokens, and their state.
    """

    def __init__(self, flight: SingleFlight, grant: Grant) -> None:
        self._flight = flight
        self._grant = grant

    @property
    def unsaved(self) -> bool:
        """Whether there are tokens that could not be saved yet."""
        return isinstance(self._grant.state, Unsaved)

    async def adopt_grant(self, info: AccessInfo, generation: str = "") -> None:
        """Save the tokens of a new grant in place of whatever is saved, and use them from then on.

        They are ``pending`` at once, and until they are saved. Waits for a renewal in progress first. Once begun, it
        completes even if the caller is cancelled.

        Args:
            info: Strava's answer.
            generation: of the grant, unless it continues the saved one and takes over its generation; see
                ``generations``.

        Raises:
            Exception: what the persistence raises; see ``flush``.
        """
        grant = Hidden(info)
        del info
        await self._flight.alone(partial(self._run, lambda: self._grant.override(grant, generation)))

    async def change_generation(self, generation: str) -> bool:
        """Save another generation with the tokens that are saved.

        Waits for a renewal in progress first. Once begun, it completes even if the caller is cancelled.

        Returns:
            whether it was saved. False for a persistence that does not keep generations.

        Raises:
            InvalidGrantError: the athlete is not connected.
            Exception: what the persistence raises; the generation is the one before.
        """
        return await self._exclusively(lambda _: self._grant.change_generation(generation))

    async def verify_grant(self, end: Callable[[TokenSet | None], Awaitable[None]]) -> bool:
        """Find out from Strava whether the grant is valid, by renewing the tokens even if they are valid.

        Costs no quota. Waits for a renewal in progress first. Once begun, it completes even if the caller is
        cancelled.

        Args:
            end: called if the grant is dead, under the lock, with the tokens that are saved; or with None if there are
                none.

        Returns:
            whether it is valid. True also for tokens that nothing can renew: there is no way to tell.

        Raises:
            StravaError: it could not be determined.
        """
        return await self._exclusively(lambda lease: self._grant.verify(lease, end))

    def offer(self, saved: TokenSet, before: TokenSet) -> None:
        """Take tokens that were just read, if they would be read before the next use anyway.

        Args:
            saved: the tokens that were read.
            before: the tokens here when the reading began; if others are here now, what was read may be out of date.
        """
        state = self._grant.state
        if isinstance(state, Unread) and state.token is before and self._flight.current is None:
            self._grant.hold(saved)

    def invalidate(self) -> None:
        """Forget the tokens; what is saved is read before the next use."""
        self._grant.invalidate()

    def pending(self, saved: TokenSet | None) -> TokenSet | None:
        """Return the tokens that are yet to replace those that are saved; None if there are none."""
        return self._grant.unsaved(saved)

    async def flush(self) -> None:
        """Save the tokens that could not be saved before; nothing happens if there are none."""
        while self.unsaved and not await self._flight.share(self._save_unsaved):
            pass

    async def _exclusively(self, work: Callable[[Lease], Awaitable[T]]) -> T:
        return await self._flight.alone(partial(self._run, lambda: self._grant.exclusively(work)))

    async def _run(self, work: Callable[[], Awaitable[T]]) -> T:
        # Work in the flight keeps a reference to this object, which may hold the only tokens when its caller has left.
        return await work()

    async def _save_unsaved(self) -> None:
        await self._grant.exclusively(lambda _: self._grant.save_unsaved())
