"""How much the events of one athlete may take: anybody can send events about anybody.

Rules, for one athlete and in one process; they count events, not the requests of a handler:

- 100 events may be unfinished, those of a backlog included.
- Until one of them was **confirmed**, 10 have their first attempt within a minute; the others wait. One is confirmed
  when ``on_event`` returns for it. An event that lacked quota, or met trouble, needs a turn again.
- After three events in an hour that Strava did not find, the athlete is **doubted**: what is not found then is not
  asked for again, and the bound of ten holds whatever was confirmed before.
- After twenty of them in an hour, one has its first attempt every two minutes, whatever was confirmed before. So a day
  of invented events about one athlete takes three quarters of what the smallest application may read in a day.
- An event that was not found at first and then was cannot be invented: it ends the doubt, and clears the count. Any
  other success could have been forged, with the id of an activity that everybody can see.

An athlete whose events are finished is remembered if there is something to remember, which is the case for connected
athletes only; of those, the ones that have been quiet longest give way.
"""

from __future__ import annotations

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
    """Where one event stands among those of its athlete.

    Attributes:
        has_turn: whether it may have its next attempt without asking for a turn.
        was_not_found: whether Strava did not find it once.
        may_be_asked_again: whether it is asked for again then, whatever becomes of the others.
    """

    has_turn: bool = False
    was_not_found: bool = False
    may_be_asked_again: bool = True


@dataclass(slots=True)
class _Owner:
    """What is known of one athlete's events.

    Attributes:
        unfinished: how many are.
        confirmed: whether one was.
        lifted: whether what they wait for has changed since that was asked last.
        turns: when the last ten had their turns.
        not_found: when the last twenty were not found.
    """

    unfinished: int = 0
    confirmed: bool = False
    lifted: bool = False
    turns: list[float] = field(default_factory=list[float])  # ten thousand empty deques would take 15 MB
    not_found: list[float] = field(default_factory=list[float])

    @property
    def is_blank(self) -> bool:
        return not (self.unfinished or self.confirmed or self.turns or self.not_found)

    def lately(self, now: float, *, ago: int) -> bool:
        """Say whether that many were not found within the last hour."""
        return len(self.not_found) >= ago and now - self.not_found[-ago] < NOT_FOUND_SECONDS


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
        """Count it no longer."""
        owner = self._busy[owner_id]
        owner.unfinished -= 1
        if owner.unfinished == 0:
            del self._busy[owner_id]
            self._keep(owner_id, owner)

    def turn(self, owner_id: int, now: float) -> float:
        """Let an event have its attempt, and return 0; or return the seconds to wait before asking again."""
        owner = self._of(owner_id)
        is_slow = owner.lately(now, ago=NOT_FOUND_BEFORE_SLOWNESS)
        if is_slow and owner.turns and now - owner.turns[-1] < SLOW_TURN_SECONDS:
            return _left(owner.turns[-1], SLOW_TURN_SECONDS, now)
        is_bounded = not owner.confirmed or owner.lately(now, ago=NOT_FOUND_BEFORE_DOUBT)
        if is_bounded and len(owner.turns) == TURNS and now - owner.turns[0] < TURN_SECONDS:
            return _left(owner.turns[0], TURN_SECONDS, now)
        _note(owner.turns, now, most=TURNS)
        return 0.0

    def is_doubted(self, owner_id: int, now: float) -> bool:
        """Say whether what is not found is not asked for again."""
        owner = self._busy.get(owner_id) or self._quiet.get(owner_id)
        return owner is not None and owner.lately(now, ago=NOT_FOUND_BEFORE_DOUBT)

    def not_found(self, owner_id: int, now: float) -> bool:
        """Count an event that Strava did not find, once; return whether it may be asked for again."""
        may_be_asked_again = not self.is_doubted(owner_id, now)
        _note(self._of(owner_id).not_found, now, most=NOT_FOUND_BEFORE_SLOWNESS)
        return may_be_asked_again

    def confirm(self, owner_id: int, *, was_not_found: bool = False) -> None:
        """Note that an event was handled; ``was_not_found`` if Strava did not find it at first."""
        owner = self._of(owner_id)
        ends_doubt = was_not_found and bool(owner.not_found)
        owner.lifted = owner.lifted or ends_doubt or not owner.confirmed
        owner.confirmed = True
        if ends_doubt:
            owner.not_found.clear()

    def take_lifted(self, owner_id: int) -> bool:
        """Return whether events of this athlete that wait are to ask again, which is said once."""
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


def _left(since: float, seconds: float, now: float) -> float:
    """Return what is left of a time; all of it at the most, whatever the clock did."""
    return min(max(since + seconds - now, 0.001), seconds)
