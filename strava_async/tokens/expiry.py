"""When an access token is due to be renewed, and how long to wait after Strava did not renew it."""

from __future__ import annotations

import math

from strava_async.clock import Clock
from strava_async.oauth.grants import AccessInfo
from strava_async.oauth.token_set import TokenSet

# Strava answered with the same token although it is about to expire, or with one that has expired: somebody's clock is
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
        self._skew = 0.0  # Strava's clock minus ours, as the last answer told it
        self.reset()

    def reset(self) -> None:
        """Forget what is known of the token before, but not the difference between Strava's clock and ours."""
        self._not_before = self._remembered_until = -math.inf  # monotonic
        self._asked_in_vain = False
        self._refused: TokenSet | None = None

    @property
    def asked_in_vain(self) -> bool:
        """Whether Strava answered a minute ago or less with an expired token, or again with one that it refuses."""
        return self._asked_in_vain and self._clock.monotonic() < self._not_before

    @property
    def remembers(self) -> bool:
        """Whether there is something to remember, so that Strava is not asked again at once."""
        return self._clock.monotonic() < self._remembered_until

    def is_due(self, token: TokenSet) -> bool:
        """Return whether the token has to be renewed before it is used."""
        if not token.access_token:
            return True
        is_over = token.expires_at is not None and token.expires_at - self._leeway <= self._now()
        return (is_over or self._is_refused(token)) and self._clock.monotonic() >= self._not_before

    def is_valid(self, token: TokenSet) -> bool:
        """Return whether the token can still be used although it is due."""
        return self._seconds_left(token) > 0

    def note_refusal(self, token: TokenSet) -> None:
        """Note that Strava refused the access token: it is due, and cannot be used, whatever its expiry."""
        self._refused = token

    def note_failure(self, token: TokenSet) -> None:
        """Note that it could not be renewed: until it expires, the next attempt has time."""
        self.remember()
        left = self._seconds_left(token)
        if left > 0:
            self._not_before = self._clock.monotonic() + min(AGAIN_SECONDS, left)

    def note_answer(self, info: AccessInfo, token: TokenSet, before: TokenSet) -> None:
        """Note that Strava answered with a token in place of the one before."""
        expires_at, expires_in = info.get("expires_at"), info.get("expires_in")
        was_refused = self._is_refused(token)
        self.reset()
        if isinstance(expires_at, int) and isinstance(expires_in, int) and 0 < expires_in <= LONGEST_VALIDITY_SECONDS:
            self._skew = expires_at - expires_in - self._clock.time()
        is_same = token.access_token == before.access_token
        self._asked_in_vain = self.is_due(token) or (is_same and was_refused)
        if self._asked_in_vain or is_same:
            self.remember()
            self._not_before = self._remembered_until

    def remember(self) -> None:
        """Remember for a minute what Strava answered."""
        self._remembered_until = self._clock.monotonic() + AGAIN_SECONDS

    def _is_refused(self, token: TokenSet) -> bool:
        return self._refused is not None and token.access_token == self._refused.access_token

    def _seconds_left(self, token: TokenSet) -> float:
        if not token.access_token or token.expires_at is None or self._is_refused(token):
            return 0.0
        return token.expires_at - self._now()

    def _now(self) -> float:
        """Return Strava's time."""
        return self._clock.time() + self._skew
