"""When an access token is due to be renewed, and how long Strava is left alone about one that it does not renew."""

from __future__ import annotations

import math

from strava_async.clock import Clock
from strava_async.oauth.grants import AccessInfo, TokenSet

# Strava gave the same token again although it should be near its end, or one that is dead already: somebody's clock is
# wrong. Or it gave none. Do not ask at once.
AGAIN_SECONDS = 60.0
# What is said to live longer says nothing about Strava's clock: its tokens live six hours.
LONGEST_LIFE_SECONDS = 7 * 24 * 3600


class Expiry:
    """What is known of the end of one athlete's access token.

    Args:
        clock: by which it dies.
        leeway_seconds: it is due that long before.
    """

    def __init__(self, clock: Clock, leeway_seconds: float) -> None:
        self._clock = clock
        self._leeway = leeway_seconds
        self._skew = 0.0  # Strava's clock minus ours, as the last answer told it
        self.reset()

    def reset(self) -> None:
        """There is another token: nothing of the one before holds but what it told of Strava's clock."""
        self._not_before = self._remembered_until = -math.inf  # monotonic
        self._asked_in_vain = False
        self._refused: TokenSet | None = None

    @property
    def asked_in_vain(self) -> bool:
        """Whether Strava gave a dead token less than a minute ago, or once more the one that it refuses."""
        return self._asked_in_vain and self._clock.monotonic() < self._not_before

    @property
    def remembers(self) -> bool:
        """Whether there is something to remember for a while, so that Strava is not asked at once again."""
        return self._clock.monotonic() < self._remembered_until

    def is_due(self, token: TokenSet) -> bool:
        """Say whether it is to be renewed before it is used."""
        if not token.access_token:
            return True
        is_over = token.expires_at is not None and token.expires_at - self._leeway <= self._now()
        return (is_over or self._is_refused(token)) and self._clock.monotonic() >= self._not_before

    def is_alive(self, token: TokenSet) -> bool:
        """Say whether it can be used although it is due."""
        return self._seconds_left(token) > 0

    def note_refusal(self, token: TokenSet) -> None:
        """Strava refused the access token: it is due, and not alive, whatever its expiry."""
        self._refused = token

    def note_failure(self, token: TokenSet) -> None:
        """It cannot be renewed now: as long as it lives the next attempt has time."""
        self.remember()
        left = self._seconds_left(token)
        if left > 0:
            self._not_before = self._clock.monotonic() + min(AGAIN_SECONDS, left)

    def note_answer(self, info: AccessInfo, token: TokenSet, before: TokenSet) -> None:
        """Strava gave a token in place of the one before."""
        expires_at, expires_in = info.get("expires_at"), info.get("expires_in")
        was_refused = self._is_refused(token)
        self.reset()
        if isinstance(expires_at, int) and isinstance(expires_in, int) and 0 < expires_in <= LONGEST_LIFE_SECONDS:
            self._skew = expires_at - expires_in - self._clock.time()
        is_same = token.access_token == before.access_token
        self._asked_in_vain = self.is_due(token) or (is_same and was_refused)
        if self._asked_in_vain or is_same:
            self.remember()
            self._not_before = self._remembered_until

    def remember(self) -> None:
        """Remember for a while what came of asking."""
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
