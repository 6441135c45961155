"""What an exchange reports of its calls, in the form for which there are no hooks.

So the exchange has no branch for hooks. ``telemetry.hook_reports`` has the form that calls them, and is loaded only
where there are some.
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
    """A block around one request: its beginning and its end are reported. This one reports nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """See the class."""

    def replied(self, reply: Reply) -> None:
        """Note that the reply is there."""

    def failed(self, error: StravaError | None) -> None:
        """Note the error that the attempt ended with, where it is not raised; None for a success."""


class Report:
    """The report of one call. This one reports nothing."""

    def begin(self, attempt: int) -> None:
        """Begin the next attempt: what is reported from now on belongs to it. 1 is the first."""

    def waiting(self, reason: Literal["quota", "retry"]) -> AbstractContextManager[None]:
        """Return a block around a wait, which is reported at its end."""
        return _NOTHING

    def sending(self) -> Sending:
        """Return the block around a request."""
        return _SILENT_SENDING

    def retry(self, error: StravaError, seconds: float) -> None:
        """Report that the call is tried again after this many seconds."""


class Reports:
    """Makes the report of each call."""

    def of(self, call: Call, tokens: TokenSource | None, priority: Priority) -> Report:
        """Return the report of a call."""
        return _SILENT

    def refreshing(self, athlete_id: int | None) -> AbstractContextManager[None]:
        """Return a block around a renewal of tokens, which is reported at its end."""
        return _NOTHING


_SILENT_SENDING = Sending()
_SILENT = Report()
