"""When Strava's counter starts again at zero: it may do so some time after the hosts that write ``Date``.

Rules:

- The counter is taken to be punctual, until the numbers of a window's first seconds go on from the count before.
- A number that goes on from a count which is full is one of the window before: the counter had not turned when its
  request began. Then nothing is sent for a while, and one call probes; and so on, until a number has started again.
  From the next boundary on windows turn that late here. Where no number starts again within those first seconds, the
  window is full in truth, and the counter no later than before.
- After a full window one call probes first, and has a second for its answer: a hundred that come too early are refused,
  and refused calls are spent too.
- At midnight a step of what was learnt is taken back, to find out about a counter that has become punctual.
"""

from __future__ import annotations

import math

STEP_SECONDS = (
    0.75  # between two probes; a call starts no later than this after the turn, uncertainty of the clock apart
)
_PATIENCE_SECONDS = 1.0  # how long the answer of a probe is waited for
FIRST_SECONDS = 4.5  # of a window: in which a number may still be of the count before


class CounterTurn:
    """What is known of the turn of the counters, in seconds after the boundary by the clock of ``Date``.

    Attributes:
        probes_until: the monotonic instant until which the answer of a probe is waited for.
        early: a request that began so late found the old count; 0 while none has.
        late: one that began so late found a new count, or is going to find out.
        restarted: whether a number of this window has started again.
        failed_at: when a request began that has found the old count, full; monotonic, None once that was dealt with.
    """

    __slots__ = (
        "_before",
        "_failed",
        "_newest",
        "_until",
        "early",
        "failed_at",
        "late",
        "probes_until",
        "restarted",
    )

    def __init__(self) -> None:
        self.early = 0.0
        self.late = 0.0
        self.restarted = True
        self.failed_at: float | None = None
        self._before = (0.0, 0.0)
        self._failed = False
        self._newest = -1
        self._until = -math.inf
        self.probes_until = -math.inf

    def begin(self, turned_at: float, day: bool) -> None:
        """Begin a window at a monotonic instant, and a day too if ``day``."""
        if self._failed and not self.restarted:
            self._give_up()
        if day:
            self.early, self.late = max(0.0, self.early - STEP_SECONDS), max(0.0, self.late - STEP_SECONDS)
        self._before = (self.early, self.late)
        self._until = turned_at + FIRST_SECONDS
        self.probes_until = turned_at + _PATIENCE_SECONDS
        self.restarted = self._failed = False
        self.failed_at = None

    def is_open(self, number: int, given_at: float) -> bool:
        """Return whether a request may have found the old count, by its permit's number and when that was given."""
        return given_at < self._until and (not self.restarted or number <= self._newest)

    def is_probed(self, now: float) -> bool:
        """Return whether a probe has to find out first if the counter has turned, where the window before was full."""
        return not self.restarted and now < self.probes_until

    def saw_new(self, youngest: int) -> None:
        """Note that a request found a count that has started again; those after ``youngest`` find it too."""
        if not self.restarted:
            self.restarted = True
            self._newest = youngest

    def saw_old(self, given_at: float) -> None:
        """Note that a request found the old count, full."""
        self.failed_at = given_at
        self._failed = True

    def probe_again(self, at: float) -> None:
        """Let the next probe begin at that monotonic instant."""
        self.failed_at = None
        self.probes_until = at + _PATIENCE_SECONDS

    def learn(self, seconds: float) -> None:
        """Take in that the counter had not turned so many seconds after the boundary."""
        if seconds + STEP_SECONDS > FIRST_SECONDS:
            self._give_up()
            self._until = -math.inf
        elif seconds > self.early or self.late == 0:
            self.early = max(0.0, seconds)
            self.late = max(self.late, self.early + STEP_SECONDS)

    def _give_up(self) -> None:
        self.early, self.late = self._before
