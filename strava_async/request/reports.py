"""What an exchange reports of its calls, in the form in which nobody listens.

So the exchange reads, and runs, as if there were no hooks. ``_hook_reports`` has the form that tells them; it is
loaded only where there are some.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Literal, Self

from strava_async.errors import StravaError
from strava_async.quota.values import Priority
from strava_async.request.call import Call
from strava_async.request.reply import Reply
from strava_async.tokens.source import TokenSource

_NOTHING = nullcontext()


class Sending:
    """A block around one request, at whose end its response is told. Of this one, nothing is told."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """See the class."""

    def replied(self, reply: Reply) -> None:
        """Note that the answer is there."""

    def failed(self, error: StravaError | None) -> None:
        """Note the error that the attempt ended with, where it is not raised; None if it ended well."""


class Report:
    """What one call tells. This one tells nothing."""

    def begin(self, attempt: int) -> None:
        """Note that the next attempt begins: what is told from now on is about it. 1 is the first."""

    def waiting(self, reason: Literal["quota", "retry"]) -> AbstractContextManager[None]:
        """Return a block around a wait, at whose end it is told."""
        return _NOTHING

    def sending(self) -> Sending:
        """Return the block around a request; it is told at the beginning."""
        return _SILENT_SENDING

    def retry(self, error: StravaError, seconds: float) -> None:
        """Tell that the call is tried again after so many seconds."""


class Reports:
    """Makes the report of each call."""

    def of(self, call: Call, tokens: TokenSource | None, priority: Priority) -> Report:
        """Return what the call reports on its way."""
        return _SILENT

    def refreshing(self, athlete_id: int | None) -> AbstractContextManager[None]:
        """Return a block around a renewal of tokens, at whose end it is told."""
        return _NOTHING


_SILENT_SENDING = Sending()
_SILENT = Report()
