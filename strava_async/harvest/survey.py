"""What is left to do in a store: the count behind an estimate."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from strava_async.harvest.agenda import Terms, dues_of
from strava_async.harvest.base import Activity
from strava_async.harvest.estimate import ACTIVITIES_GUESSED, Work
from strava_async.harvest.kinds import OF_ACTIVITIES
from strava_async.harvest.list_state import AthleteState
from strava_async.harvest.listing import PER_PAGE, next_walk, renewal_seconds
from strava_async.harvest.session import Session
from strava_async.harvest.tally import AthleteTally

_LOOKED_AT = 500


@dataclass(frozen=True, slots=True)
class Survey:
    """What is left.

    Attributes:
        work: all of it.
        unlisted: see ``Estimate``.
    """

    work: Work
    unlisted: int


async def surveyed(session: Session, athlete_ids: Sequence[int]) -> Survey:
    """Look at everything that is held of some athletes."""
    dues, activities, unlisted = array("d"), 0, 0
    terms = session.terms
    for athlete_id in athlete_ids:
        state = await session.store.state(athlete_id) or AthleteState()
        held = await _look(session, athlete_id, terms, dues)
        activities += held
        unlisted += session.plan.list and state.complete_at is None
        dues.extend([terms.now] * (len(state.checks) + _pages(session, state, held, terms)))
    listed = len(athlete_ids) - unlisted
    if unlisted:
        each, requests = _guessed(session, activities, len(dues), listed)
        activities += unlisted * each
        dues.extend([terms.now] * (unlisted * requests))
    work = Work(dues, len(athlete_ids) if session.plan.list else 0, activities, renewal_seconds(session.keep))
    return Survey(work, unlisted)


async def tallied(session: Session, athlete_id: int) -> AthleteTally:
    """Count what is wanted and what is held of an athlete."""
    terms, tally = session.terms, AthleteTally()
    last: Activity | None = None
    while held := await session.store.scan(athlete_id, last, _LOOKED_AT):
        last = held[-1].activity
        tally.count(held, terms)
    kinds = [kind for kind in session.plan.kinds if kind not in OF_ACTIVITIES]
    resources = await session.store.resources(athlete_id, kinds=kinds) if kinds else []
    tally.count_others(athlete_id, {(each.kind, each.key): each for each in resources}, terms)
    return tally


async def _look(session: Session, athlete_id: int, terms: Terms, dues: array[float]) -> int:
    """Add what is due of an athlete; return how many activities are held."""
    last: Activity | None = None
    count = 0
    while held := await session.store.scan(athlete_id, last, _LOOKED_AT):
        last = held[-1].activity
        count += len(held)
        for each in held:
            dues.extend(dues_of(each, terms))
    return count


def _pages(session: Session, state: AthleteState, held: int, terms: Terms) -> int:
    """Return how many pages of an athlete's list are read now."""
    walk = next_walk(state, session.plan, terms.now, session.keep, 0.0)
    if walk is None or state.complete_at is None:
        return 0
    return 2 + (held // PER_PAGE if walk.is_complete else 0)


def _guessed(session: Session, activities: int, requests: int, listed: int) -> tuple[int, int]:
    """Return the activities and requests of an athlete whose list is not known."""
    if listed:
        return activities // listed, requests // listed
    kinds = len(session.plan.kinds & set(OF_ACTIVITIES))
    return ACTIVITIES_GUESSED, ACTIVITIES_GUESSED * kinds + ACTIVITIES_GUESSED // PER_PAGE + 2
