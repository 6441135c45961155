"""The life of an ``ApiV3`` or a ``Strava`` with all its views: open, closing, closed.

======== =============================================== =====================================================
stage    what may begin                                  what ``aclose`` waits for, before the next stage
======== =============================================== =====================================================
OPEN     everything                                      it has not been called
CLOSING  requests, which work in flight may still need;  operations: an athlete is being connected or
         no operation of an application                  disconnected; then renewals, and tokens to be saved
CLOSED   nothing                                         token requests: the response may be the only one
======== =============================================== =====================================================

Stages only advance: closing again, after an error, does what is left.
"""

from __future__ import annotations

from enum import IntEnum

from strava_async._concurrency.shield import InFlight
from strava_async.errors import InputError


class Stage(IntEnum):
    """See the table above."""

    OPEN = 0
    CLOSING = 1
    CLOSED = 2


class Lifecycle:
    """Which stage it is, and what is in flight.

    Attributes:
        operations: what ``Strava`` does for athletes in more than one step.
        token_requests: requests to the token endpoint.
    """

    __slots__ = ("_stage", "operations", "token_requests")

    def __init__(self) -> None:
        self._stage = Stage.OPEN
        self.operations = InFlight()
        self.token_requests = InFlight()

    @property
    def stage(self) -> Stage:
        """The stage now."""
        return self._stage

    def advance(self, stage: Stage) -> None:
        """Enter a stage, unless it is past."""
        self._stage = max(self._stage, stage)

    def check_operations(self) -> None:
        """Raise InputError if no further operation may begin."""
        if self._stage is not Stage.OPEN:
            raise InputError("this Strava object is closed; make a new one")

    def check_requests(self) -> None:
        """Raise InputError if no further request may begin."""
        if self._stage is Stage.CLOSED:
            raise InputError("the HTTP client is closed; make a new one")
