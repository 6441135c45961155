"""One quota for many processes, as one of them sees it: the units in hand, and when to ask for more. Pure.

Rules:

- A unit is the right to start one request. It is good until a second before the lease ends, by the process's own clock,
  and in the window that it was granted in.
- One call is under way at a time; what comes up meanwhile goes with the next.
- Who waits asks at once, unless the last reply said that there is nothing, or when to ask again. A kind of request that
  the last call did not ask for asks at once as well, unless nothing is left for its class.
- Answers are told as soon as the last reply wished, and everything every three seconds while anything is out.
- What has changed something is confirmed by another call two seconds later: so writes that were lost are noticed also
  where the process has nothing else to ask or to tell.
- Who shares the quota gives units back that it has not used for a second, whether or not it knows of others who wait.
- That nothing waits any more, though no request was started, is told within a second.
- Where calls fail, they are tried again, less and less often. After as long as a lease lasts the meeting
  place is **away**.
- Whatever happened, and whatever the replies say: a process to which nothing happens calls after 0.2 s, 0.3 s and
  0.45 s at the earliest, and then once in 0.7 s, as long as it waits for what it does not get; and once in 3 s while
  anything is out. What happens adds two calls at most: it is told, and confirmed. That is an answer, a call that waits
  or does not any more, a request that starts, a turn. Calls of a process with several requests out are 20 ms apart.
  So somebody who waits sees room within a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from strava_async.quota.fleet.messages import NONE, OVERALL, READ, Reply, Spent, Wants

SPARE_SECONDS = 1.0  # of a lease that are not used: clocks differ, and a call takes time
RENEW_SECONDS = 3.0
GAP_SECONDS = 0.02  # between two calls of a process that has several requests out
NEW_SECONDS = 0.1  # between a call that came to nothing, and one for another kind of request
EMPTY_SECONDS = (0.2, 0.3, 0.45, 0.7)  # between calls that come to nothing, one after the other
IDLE_SECONDS = 1.0
CONFIRM_SECONDS = 2.0  # the writes that a promoted replica does not know are not as old
HEARD_SECONDS = 10.0  # away, and without an answer for so long, one request at a time
UNMET_PROCESSES = 8
_MAX_POLL_SECONDS = 30.0
_JITTER, _MOST_JITTER_SECONDS = 0.3, 1.0
_FIRST_RETRY_SECONDS, _MAX_RETRY_SECONDS = 0.25, 2.0  # all are back before books are taken to be healed


class Lease:
    """The units of a process.

    Args:
        seconds: how long a lease lasts.
        random: numbers in [0, 1), for the jitter.

    Attributes:
        free: units in hand, for each budget; a read takes one of each.
        until: the monotonic instant at which they are void.
        heals: whether books that were lost are being put together, as last told.
        at: the instant of the last reply, on the clock of the meeting place.
        seen: its sequence number.
        count: of calls.
        acknowledged: the count of the last one that had a reply.
        failures: calls in a row without a reply.
        away_at: the monotonic instant at which the meeting place is away; inf while it answers.
        starts: requests started since the last call.
        alone: whether the meeting place was away, which no call that it answered has told. Others may have started
            requests then, though this process did not.
        reserved_until: the monotonic instant until which the reserve holds background calls back, as last told.
        on_news: called when the next call may be due earlier than before; it only takes note.
    """

    def __init__(self, seconds: float, random: Callable[[], float]) -> None:
        self.seconds = seconds
        self.free = [0, 0]
        self.until = -math.inf
        self.heals = False
        self.at = 0
        self.seen = 0
        self.count = 0
        self.acknowledged = 0
        self.failures = 0
        self.away_at = math.inf
        self.starts = 0
        self.alone = self._alone_since = False
        self.reserved_until = -math.inf
        self.on_news: Callable[[], object] = _nothing
        self._random = random
        self._owed = [0, 0]  # started without a unit since the last call, whose reply does not know of them
        self._processes = self._processes_before = 0  # the most that were told of in a window; zero for not yet
        self._wants = Wants()
        self._asked_at = self._last_at = -math.inf
        self._started_at = self._granted_at = -math.inf
        self._poll_at = -math.inf
        self._polls = 0
        self._empties = 0  # calls in a row that asked for units, and got none
        self._is_empty = False
        self._shares = False  # whether there are others, as last told
        self._tell_seconds = 0.0
        self._tell_at = math.inf
        self._is_news = False
        self._confirm_at = math.inf
        self._retry_at = -math.inf

    @property
    def processes(self) -> int:
        """How many share the quota: the most that replies of this window and of the one before told of.

        As long as no reply has come, some are assumed.
        """
        return max(self._processes, self._processes_before) or UNMET_PROCESSES

    # -- units --------------------------------------------------------------------------------------------------------

    def start(self, reads: bool, now: float) -> None:
        """Take a unit for a request; where the meeting place is away there may be none."""
        free = self.free
        if free[OVERALL]:
            free[OVERALL] -= 1
        else:
            self._owed[OVERALL] += 1
        if reads:
            if free[READ]:
                free[READ] -= 1
            else:
                self._owed[READ] += 1
        self.starts += 1
        if now >= self.away_at:
            self.alone = self._alone_since = True
        self._started_at = now

    def put_back(self, reads: bool, now: float) -> None:
        """Take back the unit of a request that was not sent."""
        if now < self.until:
            self.free[OVERALL] += 1
            self.free[READ] += reads
        self.note_news(now)

    def drop(self, *, reads_alone: bool = False) -> None:
        """Give up the units in hand, or those for reads: they are not this window's, or there is no room for them."""
        self.free[OVERALL] = max(0, self.free[OVERALL] - self.free[READ]) if reads_alone else 0
        self.free[READ] = 0

    def note_news(self, now: float) -> None:
        """Note that there is something to tell."""
        if now + self._tell_seconds < self._tell_at:
            self._tell_at = now + self._tell_seconds
            self.on_news()

    def note_turn(self, at: float) -> None:
        """Note that a window has begun: who waits asks at that monotonic instant."""
        self.drop()
        if self._processes:
            self._processes, self._processes_before = 0, self._processes
        self._poll_at, self._is_empty, self._polls, self._empties = at, False, 0, 0
        self.reserved_until = -math.inf

    def note_sleep(self, seconds: float) -> None:
        """Note so many seconds that the monotonic clock has missed: for the others the lease went on."""
        self.until -= seconds
        self.away_at -= seconds
        self.reserved_until -= seconds
        self._asked_at -= seconds
        self._last_at -= seconds
        self._started_at -= seconds
        self._granted_at -= seconds
        self._poll_at -= seconds
        self._retry_at -= seconds
        self._tell_at -= seconds
        self._confirm_at -= seconds
        self.on_news()

    def is_away(self, now: float) -> bool:
        """Return whether calls have failed for as long as a lease lasts."""
        return now >= self.away_at

    # -- when to ask --------------------------------------------------------------------------------------------------

    def due(self, wants: Wants, out: int, now: float) -> float:
        """Return the monotonic instant at which the next call is due; inf for none as long as nothing happens.

        Args:
            wants: what waits.
            out: permits out.
            now: monotonic.
        """
        at = min(self._tell_at, self._confirm_at)
        holds = self.free[OVERALL] > 0
        if wants.total:
            at = min(at, self._new_at(now) if self._is_new(wants) else self._poll_at)
        if out or holds:
            at = min(at, self._last_at + min(RENEW_SECONDS, self.seconds / 3))
        if not wants.total and self._shares:
            if holds:
                at = min(at, self._idle_at())
            if self._wants.total:
                at = min(at, self._last_at + IDLE_SECONDS)
        if self.failures:
            return max(at, self._retry_at)
        return max(at, self._last_at + GAP_SECONDS) if out > 1 else at

    def _new_at(self, now: float) -> float:
        """Return when to ask for a kind of request that the last call did not ask for."""
        return max(now, self._last_at + NEW_SECONDS) if self._empties else now

    def _idle_at(self) -> float:
        """Return from when on units in hand are idle, where nothing waits."""
        return max(self._granted_at, self._started_at) + IDLE_SECONDS

    def _is_new(self, wants: Wants) -> bool:
        """Say whether something waits that the last call did not ask for, and may be had."""
        last = self._wants
        if self._is_empty:
            return bool((wants.reads and not last.reads) or (wants.uploads and not last.uploads))
        return any(count and not before for count, before in zip(wants, last, strict=True))

    # -- calls --------------------------------------------------------------------------------------------------------

    def begin_call(self, wants: Wants, now: float) -> int:
        """Begin a call; return how many units more than those that wait for one can soon be used."""
        soon = 1 + 2 * self.starts
        is_idle = now >= self._idle_at() and (not self.starts or self._shares)
        if is_idle and not wants.total:
            self.drop()
            soon = 0
        if now >= self.away_at:
            self.alone = True
        self.count += 1
        self._wants = wants
        self._asked_at = now
        self._is_news = self._tell_at < math.inf or self.starts > 0
        self._tell_at = self._confirm_at = math.inf
        self.starts = 0
        self._owed = [0, 0]
        self._alone_since = False
        return soon

    def take(self, reply: Reply, granted: Spent, wants: Wants, now: float) -> None:
        """Take in the reply to the call that was begun last.

        Args:
            reply: the reply.
            granted: what of it is of use: nothing where the window has turned meanwhile.
            wants: what the call asked for.
            now: monotonic.
        """
        self.acknowledged, self.seen, self.at = self.count, reply.sequence, reply.at
        self.failures, self.away_at, self.alone = 0, math.inf, self._alone_since
        self._last_at = now
        self._processes, self.heals = max(self._processes, reply.processes), reply.heals
        if now >= self.until:
            self.drop()
        self.until = self._asked_at + self.seconds - SPARE_SECONDS
        if now < self.until:
            self.free[READ] += max(0, granted.read - self._owed[READ])
            self.free[OVERALL] += max(0, granted.overall - self._owed[OVERALL])
        if granted.overall:
            self._granted_at = now
        if self._is_news or granted.overall:
            self._confirm_at = now + CONFIRM_SECONDS
        unmet = wants.total > granted.overall
        self._shares = reply.processes > 1
        self._tell_seconds = reply.tell_ms / 1_000
        self.reserved_until = now + reply.reserved_ms / 1_000 if reply.reserved_ms else -math.inf
        self._polls = self._polls + 1 if reply.backs_off and not granted.overall else 0
        self._empties = self._empties + 1 if unmet and not granted.overall else 0
        self._is_empty = unmet and reply.poll_ms == NONE
        if not unmet:
            self._wants, self._poll_at = Wants(), -math.inf
        elif self._is_empty:
            self._poll_at = math.inf
        else:
            seconds = reply.poll_ms / 1_000
            if self._polls > 1:
                seconds = min(_MAX_POLL_SECONDS, seconds * 2.0 ** min(self._polls - 1, 10))
            if self._empties:
                seconds = max(seconds, EMPTY_SECONDS[min(self._empties, len(EMPTY_SECONDS)) - 1])
            # Never earlier: some of these waits end at an instant that is known.
            self._poll_at = now + seconds + min(seconds, _MOST_JITTER_SECONDS) * _JITTER * self._random()

    def fail(self, now: float) -> None:
        """Note that the call that was begun last has had no reply; it may have been carried out."""
        # The others may hold all that there is, until their leases are over too.
        if not self.failures:
            self.away_at = max(self.until, self._asked_at + self.seconds - SPARE_SECONDS)
        self.failures += 1
        self._last_at = now
        pause = min(_MAX_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2.0 ** min(self.failures - 1, 10))
        self._retry_at = now + pause * (0.5 + self._random())
        self._tell_at = min(self._tell_at, now)


def _nothing() -> None:
    pass
