"""Whether a store can be used, as the log says it: one WARNING when it is away, one INFO when it is back."""

from __future__ import annotations

import logging

from strava_async.errors import StravaError

_logger = logging.getLogger("strava_async.webhooks")


class StoreHealth:
    """What the calls of a store have shown.

    Attributes:
        is_away: whether the last one has failed.
    """

    def __init__(self) -> None:
        self.is_away = False

    def note_failure(self, error: Exception) -> None:
        """Note that a call has raised an error."""
        if not self.is_away:
            self.is_away = True
            is_known = isinstance(error, StravaError)  # else its message may hold what must not be logged
            why = str(error) if is_known else f"{type(error).__name__}"
            text = "the store of the webhook events is away, and new ones are answered with 503: %s"
            _logger.warning(text, why, exc_info=None if is_known else error)

    def note_success(self) -> None:
        """Note that a call has succeeded."""
        if self.is_away:
            self.is_away = False
            _logger.info("the store of the webhook events is back")
