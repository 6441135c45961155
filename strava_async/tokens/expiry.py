"""When an access token is due to be renewed, and how long to wait after Strava did not renew it."""

from __future__ import annotations

import math

from strava_async.clock import Clock
from strava_async.oauth.grants import AccessInfo
from strava_async.oauth.token_set import TokenSet

# Strava answered with the same token although it is about to expire, or with one that has expired: one of the clocks is
# wrong. Or it answered with none. The next request for tokens waits that long.
AGAIN_SECONDS = 60.0
# A longer validity says nothing about Strava's clock: its tokens are valid for six hours.
LONGEST_VALIDITY_SECONDS = 7 * 24 * 3600


class Expiry:
    """What is known of the expiry of one athlete's access token.

    Args:
        clock: by which it expires.
        leeway_seconds: it is due that long before.
    """

    def __init__(self, clock: Clock, leeway_seconds: float) -> None:
        self._clock = clock
        self._leeway = leeway_seconds
        self._skew = 0.0  # Strava's clock minus the local one, by the last answer
        self.reset()

    def reset(self) -> None:
        """Forget what is known of the token before, but not the difference between Strava's clock and the local one."""
        self._not_before = self._remembered_until = -math.inf  # monotonic
        self._is_backing_off = False
        self._rejected: TokenSet | None = None

    @property
    def is_backing_off(self) -> bool:
        """Whether Strava answered within the last minute with an expired token, or again with one that it rejects."""
        return self._is_backing_off and self._clock.monotonic() < self._not_before

    @property
    def remembers(self) -> bool:
        """Whether there is something to remember, so that Strava is not asked again at once."""
        return self._clock.monotonic() < self._remembered_until

    def is_due(self, token: TokenSet) -> bool:
        """Return whether the token has to be renewed before it is used."""
        if not token.access_token:
            return True
        is_over = token.expires_at is not None and token.expires_at - self._leeway <= self._now()
        return (is_over or self._is_rejected(token)) and self._clock.monotonic() >= self._not_before

    def is_valid(self, token: TokenSet) -> bool:
        """Return whether the token can still be used although it is due."""
        return self._seconds_left(token) > 0

    def note_rejection(self, token: TokenSet) -> None:
        """Note that Strava rejected the access token: it is due, and cannot be used, whatever its expiry."""
        self._rejected = token

    def note_failure(self, token: TokenSet) -> None:
        """Note that it could not be renewed: while it is valid, the next attempt waits."""
        self.remember()
        left = self._seconds_left(token)
        if left > 0:
            self._not_before = self._clock.monotonic() + min(AGAIN_SECONDS, left)

    def note_answer(self, info: AccessInfo, token: TokenSet, before: TokenSet) -> None:
        """Note that Strava answered with a token in place of the one before."""
        expires_at, expires_in = info.get("expires_at"), info.get("expires_in")
        was_rejected = self._is_rejected(token)
        self.reset()
        if isinstance(expires_at, int) and isinstance(expires_in, int) and 0 < expires_in <= LONGEST_VALIDITY_SECONDS:
            self._skew = expires_at - expires_in - self._clock.time()
        is_same = token.access_token == before.access_token
        self._is_backing_off = self.is_due(token) or (is_same and was_rejected)
        if self._is_backing_off or is_same:
            self.remember()
            self._not_before = self._remembered_until

    def remember(self) -> None:
        """Remember for a minute what Strava answered."""
        self._remembered_until = self._clock.monotonic() + AGAIN_SECONDS

    def _is_rejected(self, token: TokenSet) -> bool:
        return self._rejected is not None and token.access_token == self._rejected.access_token

    def _seconds_left(self, token: TokenSet) -> float:
        if not token.access_token or token.expires_at is None or self._is_rejected(token):
            return 0.0
        return token.expires_at - self._now()

    def _now(self) -> float:
        """Return Strava's time."""
        return self._clock.time() + self._skew
