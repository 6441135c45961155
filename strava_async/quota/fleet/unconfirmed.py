"""The unconfirmed requests of a process that shares its quota, as it tells them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from strava_async.quota.budget import Budget
from strava_async.quota.entry import Completion
from strava_async.quota.fleet.messages import NONE, OVERALL, READ, Unconfirmed


class UnconfirmedRequests:
    """Knows of the unconfirmed requests in the meters when they have surely arrived, once they were told.

    Args:
        read: the read budget.
        overall: the overall budget.

    Attributes:
        until: that instant, on the clock of the meeting place.
    """

    def __init__(self, read: Budget, overall: Budget) -> None:
        self._budgets = (read, overall)
        self.until: dict[Completion, int] = {}

    def were_told(self, telling: Mapping[Completion, int], at: int) -> None:
        """Note that those which ``tell`` returned were told at an instant."""
        for completion, ms in telling.items():
            self.until[completion] = at + ms

    def tell(self, now: float) -> tuple[tuple[Unconfirmed, ...], dict[Completion, int]]:
        """Return the unconfirmed requests, and those that were never told, with the milliseconds until they arrived."""
        days = [budget.day.unconfirmed for budget in self._budgets]
        quarters = [budget.quarter.unconfirmed for budget in self._budgets]
        if not any((*days, *quarters)):
            self.until.clear()
            return (), {}
        counts = [Counter(days[budget]) | Counter(quarters[budget]) for budget in (READ, OVERALL)]
        in_window = {*quarters[READ], *quarters[OVERALL]}
        telling: dict[Completion, int] = {}
        until: dict[Completion, int] = {}
        # Together where they are alike: what is told does not grow with their number.
        alike: dict[tuple[bool, bool], Unconfirmed] = {}
        for completion in dict.fromkeys([*counts[READ], *counts[OVERALL]]):
            at, ms = self.until.get(completion, NONE), 0
            if at == NONE:
                telling[completion] = ms = int(max(0.0, completion.arrived_at - now) * 1_000)
            else:
                until[completion] = at
            key = (completion in in_window, at == NONE)
            known = alike.get(key, Unconfirmed(0, 0, at, key[0], ms))
            alike[key] = Unconfirmed(
                known.read + counts[READ][completion],
                known.overall + counts[OVERALL][completion],
                max(known.until, at),
                key[0],
                max(known.ms, ms),
            )
        self.until = until
        return tuple(alike.values()), telling
