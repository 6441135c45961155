"""Reading an athlete's list: which page is next, when is it read again, and what a walk that ended says. Pure.

Rules:

- A page is asked for by ``before``, from the start of the oldest activity that was seen. So what is added or deleted
  meanwhile moves no page, and a walk goes on after days where it was.
- A walk begins far in the future: by a machine's clock that is behind, the newest would be missing.
- The bounds may be inclusive or exclusive: each is taken one second wider.
- The end is a page with nothing older than the one before; a short one is not. Where pages do not come newest first,
  they are counted instead, up to an empty one.
- A walk goes back 14 days before the last one, for late uploads. Once a week, and before an athlete's rows are as old
  as ``keep`` allows, it is complete. So it is after too many events, but twice a day at the most: anybody can send
  them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from strava_async.harvest.base import Row
from strava_async.harvest.kinds import WEEK_SECONDS
from strava_async.harvest.list_state import AthleteState, Walk
from strava_async.harvest.plan import Plan

DAY_SECONDS = 86_400.0
OVERLAP_SECONDS = 14 * DAY_SECONDS
FAR = 2.0**31 - 2
PER_PAGE = 200
DUE_AGAIN_SECONDS = DAY_SECONDS / 2
SHORTEST_PASS_SECONDS = 900.0


def renewal_seconds(keep: float | None) -> float | None:
    """Return the age at which something is fetched again, so that it is never as old as ``keep``; None for never."""
    return None if keep is None else keep * 6 / 7


def spare_seconds(keep: float | None) -> float:
    """Return how long after a look at it something that was not yet due then is as old as ``keep``, or nearly."""
    return math.inf if keep is None else keep - (renewal_seconds(keep) or 0.0)


def pass_seconds(keep: float | None) -> float:
    """Return after how long a run that is not at its end begins anew: in time for what is nearly as old as ``keep``."""
    return DAY_SECONDS if keep is None else max(SHORTEST_PASS_SECONDS, min(DAY_SECONDS, keep / 14))


def next_walk(state: AthleteState, plan: Plan, now: float, keep: float | None, again_seconds: float) -> Walk | None:
    """Return the walk to begin or to go on with; None if none is due.

    Args:
        state: of the athlete's list.
        plan: whether and how far back.
        now: epoch seconds.
        keep: how long rows are kept; seconds. None means that they are.
        again_seconds: how long after a walk the next one is due.
    """
    if not plan.list:
        return None
    needed = list_due_at(state, plan, keep, again_seconds)
    is_complete = _is_complete_due(state, plan, now, keep)
    if state.walk is not None and _serves(state.walk, is_complete, plan):
        return state.walk
    number = state.walks + 1
    if is_complete:
        return Walk(number, began_at=now, after=plan.since, before=FAR, is_complete=True)
    if state.listed_at is not None and state.listed_at <= now < needed:
        return None
    after = (now if state.listed_at is None else min(state.listed_at, now)) - OVERLAP_SECONDS
    after = max(after, plan.since or 0.0)
    return Walk(number, began_at=now, after=after, before=FAR, is_complete=False)


def list_due_at(state: AthleteState, plan: Plan, keep: float | None, again_seconds: float) -> float:
    """Return when the list is to be read again; epoch seconds, or 0 for at once."""
    if state.listed_at is None or state.complete_at is None or not _reaches(state.complete_after, plan.since):
        return 0.0
    return min(state.listed_at + again_seconds, state.complete_at + _complete_seconds(state, keep))


def parameters(walk: Walk) -> dict[str, Any]:
    """Return the query of a walk's next page."""
    query = {"before": int(walk.before) + 1, "per_page": PER_PAGE, "page": walk.page}
    return query if walk.after is None else {**query, "after": max(0, int(walk.after) - 1)}


def after_page(walk: Walk, rows: Sequence[Row], items: int) -> Walk | None:
    """Return how a walk goes on after a page; None if that was its end.

    Args:
        walk: as it was when the page was asked for.
        rows: those of the page that can be kept, in its order.
        items: how many were on the page.
    """
    if not items:
        return None
    starts = [row.activity.start for row in rows]
    if not starts or starts[0] < starts[-1]:
        return replace(walk, page=walk.page + 1)
    oldest = min(starts)
    if oldest < walk.before:
        return replace(walk, before=oldest, page=1)
    # As many in one second as there is room for; else it is what the page before had at its end.
    return replace(walk, page=walk.page + 1) if items >= PER_PAGE else None


def state_after(state: AthleteState, walk: Walk, rest: Walk | None) -> AthleteState:
    """Return the state of a list after a page of a walk, which goes on as ``rest``."""
    begun = replace(state, walk=rest, walks=max(state.walks, walk.number))
    if rest is not None:
        return begun
    ended = replace(begun, listed_at=walk.began_at)
    if not walk.is_complete:
        return ended
    return replace(ended, complete_at=walk.began_at, complete_after=walk.after)


def _serves(walk: Walk, is_complete: bool, plan: Plan) -> bool:
    """Say whether a walk that has begun is the one to go on with."""
    return _reaches(walk.after, plan.since) if walk.is_complete else not is_complete


def _is_complete_due(state: AthleteState, plan: Plan, now: float, keep: float | None) -> bool:
    if state.complete_at is None or not _reaches(state.complete_after, plan.since):
        return True
    return not 0 <= now - state.complete_at < _complete_seconds(state, keep)  # a clock set back counts as a week


def _complete_seconds(state: AthleteState, keep: float | None) -> float:
    longest = DUE_AGAIN_SECONDS if state.is_list_due else WEEK_SECONDS
    return min(longest, renewal_seconds(keep) or WEEK_SECONDS)


def _reaches(after: float | None, since: float | None) -> bool:
    """Say whether a walk back to ``after`` finds everything since an instant; None means the beginning."""
    return after is None or (since is not None and after <= since)
