"""How many requests a harvest takes and when it will be done, by the four meters and not by a speed. Pure.

Rules:

- Time goes in quarter hours of UTC. In each, as much is sent as is due and as every meter has room for.
- Of a day's quota, what background work leaves to others is left: it shrinks to nothing towards midnight.
- What was sent is due again when it is nearly as old as ``keep`` allows; and so is what is held already.
- A list is read once a day, and once a week completely.
- It is done when nothing is due. What comes due faster than the quota allows is never done.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from strava_async.harvest.kinds import WEEK_SECONDS
from strava_async.harvest.listing import DAY_SECONDS, PER_PAGE
from strava_async.quota.readings import Meter, Quota
from strava_async.quota.reserve import DAY, needed
from strava_async.quota.values import QUARTER_SECONDS

# For an athlete whose list is not known, where no other's is.
ACTIVITIES_GUESSED = 500
RESERVE = 0.2  # what limiters leave to others unless they were told otherwise
# Limits of a new application, as long as Strava has not said others.
_READ_15MIN, _READ_DAY, _OVERALL_15MIN, _OVERALL_DAY = 100, 1_000, 200, 2_000
_LONGEST_SECONDS = 1_000 * DAY_SECONDS


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a harvest will take.

    Attributes:
        requests: how many will be sent until it is done.
        done_at: when it is done; epoch seconds. None if that is never the case: quota does not suffice for ``keep``.
            As long as ``unlisted`` is not 0, that is a guess.
        unlisted: of how many athletes the list is not complete yet: as much is assumed for each as the others need on
            average, or what 500 activities need if there are no others.
        quota_is_known: whether Strava has said how large the quota is; else that of a new application is assumed.
    """

    requests: int
    done_at: float | None
    unlisted: int
    quota_is_known: bool


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done.

    Attributes:
        dues: when each request is due, those that are due now included; epoch seconds.
        athletes: how many lists are read each day.
        activities: how many are on them.
        renewal_seconds: how long after it was sent a request is due again; None for never.
    """

    dues: Iterable[float]
    athletes: int
    activities: int
    renewal_seconds: float | None


class _Room:
    """A meter through time.

    Args:
        meter: as it is now.
        limit: if Strava has not said one.
        seconds: how long its window is.
        reserve: the share of a quarter hour's quota that is left to others; see ``quota.reserve``.
    """

    def __init__(self, meter: Meter, limit: int, seconds: float, reserve: float) -> None:
        self._limit = limit if meter.limit is None else meter.limit
        self._reserve = reserve
        self._seconds = seconds
        self._ends = meter.resets_at
        self.left = self._limit if meter.remaining is None else meter.remaining + meter.reserved

    def at(self, now: float) -> int:
        """Return what may be sent of it until the end of the quarter hour."""
        if now >= self._ends:
            self._ends = (now // self._seconds + 1) * self._seconds
            self.left = self._limit
        if self._seconds == QUARTER_SECONDS:
            return self.left  # at its end, nothing is reserved
        rest = self._ends - (now // QUARTER_SECONDS + 1) * QUARTER_SECONDS
        return max(0, self.left - math.ceil(needed(DAY, self._reserve, self._limit, int(rest), 0.0)))


def estimated(work: Work, quota: Quota, now: float, *, unlisted: int, reserve: float = RESERVE) -> Estimate:
    """Return how many requests the work takes from now on, and when it is done.

    Args:
        work: what is to be done.
        quota: the meters now.
        now: epoch seconds.
        unlisted: see ``Estimate``.
        reserve: the limiter's.
    """
    rooms = [
        _Room(quota.read_15min, _READ_15MIN, QUARTER_SECONDS, reserve),
        _Room(quota.read_day, _READ_DAY, DAY_SECONDS, reserve),
        _Room(quota.overall_15min, _OVERALL_15MIN, QUARTER_SECONDS, reserve),
        _Room(quota.overall_day, _OVERALL_DAY, DAY_SECONDS, reserve),
    ]
    is_known = all(meter.limit is not None for meter in (quota.read_15min, quota.read_day))
    requests, done_at = _through_time(work, rooms, now)
    return Estimate(requests, done_at, unlisted, is_known)


def _through_time(work: Work, rooms: list[_Room], now: float) -> tuple[int, float | None]:
    dues = list(work.dues)
    heapq.heapify(dues)
    again: deque[tuple[float, int]] = deque()  # in the order of their instants
    backlog = requests = days = 0
    at = now
    while at < now + _LONGEST_SECONDS:
        while dues and dues[0] <= at:
            heapq.heappop(dues)
            backlog += 1
        while again and again[0][0] <= at:
            backlog += again.popleft()[1]
        if at >= now + (days + 1) * DAY_SECONDS:
            days += 1
            is_complete = days * DAY_SECONDS % WEEK_SECONDS == 0
            backlog += 2 * work.athletes + (work.activities // PER_PAGE if is_complete else 0)
        room = min(each.at(at) for each in rooms)
        sent = min(room, backlog)
        for each in rooms:
            each.left -= sent
        backlog -= sent
        requests += sent
        if sent and work.renewal_seconds is not None:
            again.append((at + work.renewal_seconds, sent))
        if not backlog:
            return requests, at
        at = (at // QUARTER_SECONDS + 1) * QUARTER_SECONDS
    return requests, None
