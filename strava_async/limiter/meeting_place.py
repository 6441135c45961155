"""Where processes meet to share a quota: what the limiter needs of it."""

from __future__ import annotations

from typing import Protocol

from strava_async.quota.fleet.messages import Reply, Report


class MeetingPlace(Protocol):
    """Runs ``quota.fleet.sync`` on a state that all processes of an application see.

    One operation at a time is under way for a limiter, in its event loop. Each may be cancelled at any time, by a
    timeout of some seconds among others: then it has been carried out or not, and ends within a second.
    """

    async def check(self) -> None:
        """Find out whether the place can be used the way it is set up, and write nothing to it.

        Awaited when the limiter is entered, or before the first call of one that nobody has entered, and again in the
        next event loop. A place that finds that out in each call may have nothing to do here.

        Raises:
            StoreError: it is away, which may pass: the limiter starts all the same, as if a call had failed.
            StravaError: any other error of ours is for a person to mend, such as a missing permission. The limiter does
                not start, and raises it in ``async with`` or ``acquire``.
        """
        ...

    async def call(self, report: Report, now: int) -> Reply:
        """Tell a report, and return the reply.

        Args:
            report: of a process.
            now: the process's Unix time in milliseconds. A place that has a clock of its own goes by that.

        Raises:
            StoreError: the place is away; it says what to do.
        """
        ...

    async def close(self) -> None:
        """Close what the place itself has opened, after the last call; a second time has no effect. Never raises."""
        ...
