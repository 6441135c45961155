"""Bounds on the events of one athlete, because anybody can send events about anybody.

Rules, for one athlete, in all processes that share an event store; they count events, not the requests of a handler:

- 100 events may be unfinished, those of a backlog included.
- Until one of them was **confirmed**, 10 have their first attempt within a minute; the others wait. One is confirmed
  when ``on_event`` returns for it. An event that lacked quota, or failed for
  a temporary reason, needs a turn again.
- After three events in an hour that Strava did not find, the athlete is **doubted**: a 404 is not tried again then,
  and the bound of ten holds whatever was confirmed before.
- After twenty of them in an hour, one has its first attempt every two minutes, whatever was confirmed before. So a day
  of forged events about one athlete costs three quarters of the daily reads of the smallest application.
- An event that was not found at first and then was cannot be forged: it ends the doubt, and clears the count. Any other
  success could be that of a forged event, with the id of an activity that everybody can see.

An athlete without unfinished events is remembered while there is something to remember, which is the case for connected
athletes only. Beyond ten thousand, those without events for longest are forgotten.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field

MOST_UNFINISHED = 100
TURNS = 10
TURN_SECONDS = 60.0
NOT_FOUND_BEFORE_DOUBT = 3
NOT_FOUND_BEFORE_SLOWNESS = 20
SLOW_TURN_SECONDS = 120.0
NOT_FOUND_SECONDS = 3600.0
REMEMBERED_OWNERS = 10_000


@dataclass(slots=True)
class Standing:
    """The state of one event in the bounds of its athlete.

    Attributes:
        has_turn: whether it may have its next attempt without another turn.
        was_not_found: whether Strava did not find it once.
        retries_not_found: whether that 404 may be tried again, even if the athlete is doubted later.
    """

    has_turn: bool = False
    was_not_found: bool = False
    retries_not_found: bool = True


@dataclass(slots=True)
class OwnerState:
    """What is known of one athlete's events. Pure; all instants are of one clock, which the caller reads.

    Attributes:
        confirmed: whether one was.
        turns: when the last ten had their turns.
        not_found: when the last twenty were not found.
    """

    confirmed: bool = False
    turns: list[float] = field(default_factory=list[float])  # a deque each would take 15 MB for ten thousand athletes
    not_found: list[float] = field(default_factory=list[float])

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing to remember."""
        return not (self.confirmed or self.turns or self.not_found)

    def turn(self, now: float, *, unless_doubted: bool = False) -> float:
        """Take a turn and return 0; or return the seconds after which it may be asked again.

        Args:
            now: the instant.
            unless_doubted: whether a doubted athlete gets none; then it returns infinity.
        """
        if unless_doubted and self.is_doubted(now):
            return math.inf
        if self._had_not_found(now, NOT_FOUND_BEFORE_SLOWNESS) and self.turns:
            waits = _remaining(self.turns[-1], SLOW_TURN_SECONDS, now)
            if waits:
                return waits
        is_bounded = not self.confirmed or self.is_doubted(now)
        if is_bounded and len(self.turns) == TURNS and (waits := _remaining(self.turns[0], TURN_SECONDS, now)):
            return waits
        _note(self.turns, now, most=TURNS)
        return 0.0

    def is_doubted(self, now: float) -> bool:
        """Say whether a 404 is not to be tried again."""
        return self._had_not_found(now, NOT_FOUND_BEFORE_DOUBT)

    def note_not_found(self, now: float) -> bool:
        """Count an event that Strava did not find, once per event; return whether that may be tried again."""
        retries_not_found = not self.is_doubted(now)
        _note(self.not_found, now, most=NOT_FOUND_BEFORE_SLOWNESS)
        return retries_not_found

    def confirm(self, *, was_not_found: bool) -> bool:
        """Note that an event was handled.

        Args:
            was_not_found: whether Strava did not find it at first.

        Returns:
            whether a bound was lifted, so that events that wait may ask again.
        """
        ends_doubt = was_not_found and bool(self.not_found)
        is_lifted = ends_doubt or not self.confirmed
        self.confirmed = True
        if ends_doubt:
            self.not_found.clear()
        return is_lifted

    def _had_not_found(self, now: float, count: int) -> bool:
        """Say whether that many were not found within the last hour."""
        return len(self.not_found) >= count and now - self.not_found[-count] < NOT_FOUND_SECONDS


@dataclass(slots=True)
class _Owner:
    """An athlete in the memory of one process.

    Attributes:
        unfinished: how many events are.
        state: of the bounds.
        lifted: whether a bound was lifted since ``take_lifted``.
    """

    unfinished: int = 0
    state: OwnerState = field(default_factory=OwnerState)
    lifted: bool = False

    @property
    def is_blank(self) -> bool:
        return not self.unfinished and self.state.is_blank


class Owners:
    """Counts the events of each athlete. All instants are monotonic.

    Args:
        most_unfinished: how many events of one athlete may be unfinished.
        remembered: how many athletes are remembered without unfinished events.
    """

    def __init__(self, *, most_unfinished: int = MOST_UNFINISHED, remembered: int = REMEMBERED_OWNERS) -> None:
        self.most_unfinished = most_unfinished
        self._remembered = remembered
        self._busy: dict[int, _Owner] = {}
        self._quiet: OrderedDict[int, _Owner] = OrderedDict()

    @property
    def known(self) -> int:
        """How many athletes are remembered."""
        return len(self._busy) + len(self._quiet)

    def has_room(self, owner_id: int) -> bool:
        """Say whether another event of this athlete may be unfinished."""
        owner = self._busy.get(owner_id)
        return owner is None or owner.unfinished < self.most_unfinished

    def enter(self, owner_id: int) -> None:
        """Count an unfinished event."""
        owner = self._busy.get(owner_id)
        if owner is None:
            owner = self._busy[owner_id] = self._quiet.pop(owner_id) if owner_id in self._quiet else _Owner()
        owner.unfinished += 1

    def leave(self, owner_id: int) -> None:
        """Count an event that is finished."""
        owner = self._busy[owner_id]
        owner.unfinished -= 1
        if owner.unfinished == 0:
            del self._busy[owner_id]
            self._keep(owner_id, owner)

    def turn(self, owner_id: int, now: float, *, unless_doubted: bool = False) -> float:
        """See ``OwnerState.turn``."""
        return self._of(owner_id).state.turn(now, unless_doubted=unless_doubted)

    def is_doubted(self, owner_id: int, now: float) -> bool:
        """Say whether a 404 is not to be tried again."""
        owner = self._busy.get(owner_id) or self._quiet.get(owner_id)
        return owner is not None and owner.state.is_doubted(now)

    def not_found(self, owner_id: int, now: float) -> bool:
        """Count an event that Strava did not find, once per event; return whether that may be tried again."""
        return self._of(owner_id).state.note_not_found(now)

    def confirm(self, owner_id: int, *, was_not_found: bool = False) -> None:
        """Note that an event was handled; ``was_not_found`` if Strava did not find it at first."""
        owner = self._of(owner_id)
        owner.lifted = owner.state.confirm(was_not_found=was_not_found) or owner.lifted

    def take_lifted(self, owner_id: int) -> bool:
        """Return whether a bound was lifted since the last call, so that events that wait may ask again."""
        owner = self._busy.get(owner_id) or self._quiet.get(owner_id)
        if owner is None or not owner.lifted:
            return False
        owner.lifted = False
        return True

    def _of(self, owner_id: int) -> _Owner:
        owner = self._busy.get(owner_id) or self._quiet.get(owner_id)
        if owner is None:
            owner = _Owner()
            self._keep(owner_id, owner, blank_too=True)
        return owner

    def _keep(self, owner_id: int, owner: _Owner, *, blank_too: bool = False) -> None:
        if owner.is_blank and not blank_too:
            return
        self._quiet[owner_id] = owner
        while len(self._quiet) > self._remembered:
            self._quiet.popitem(last=False)


def _note(instants: list[float], now: float, *, most: int) -> None:
    instants.append(now)
    del instants[:-most]


def _remaining(since: float, seconds: float, now: float) -> float:
    """Return how much of a period is left, 0 if nothing; at most all of it, even if the clock was set back."""
    return 0.0 if now - since >= seconds else min(max(since + seconds - now, 0.001), seconds)
