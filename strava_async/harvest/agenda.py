"""What is asked for next, of what is held and what is wanted. Pure.

Rules:

- The newest activity comes first, its detail before its streams.
- A resource is asked for when it was never asked for, when its list row changed, when ``retry_at`` has come, and when
  it is nearly as old as ``keep`` allows.
- What failed before comes after all the rest, the fewest failures first.
- What came in the future, by a clock that was wrong, is due where age or ``retry_at`` decide.
- Athletes take turns, one request each: see ``turns``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from strava_async.harvest.base import Activity, Held, Resource, State
from strava_async.harvest.kinds import OF_ACTIVITIES, RULES, Kind
from strava_async.harvest.plan import Plan

_AHEAD_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Terms:
    """By what it is decided whether something is due.

    Attributes:
        plan: what is wanted.
        now: epoch seconds.
        renew_before: what came before this instant is fetched again; None for nothing.
    """

    plan: Plan
    now: float
    renew_before: float | None


@dataclass(frozen=True, slots=True)
class Job:
    """Something to ask for.

    Attributes:
        kind: what.
        key: of what; see ``Resource.key``.
        stamp: of the list row that asks for it.
        tries: how often it failed, or was not ready, since it last came.
        activity: whose it is; None for what is of no activity.
    """

    kind: Kind
    key: str
    stamp: str = ""
    tries: int = 0
    activity: Activity | None = None


def jobs_of(held: Held, terms: Terms) -> Iterator[Job]:
    """Yield what to ask for of an activity, but for what failed before."""
    for kind in wanted_kinds(held.activity, terms.plan):
        resource = held.resources.get(kind)
        if (resource is None or resource.state != State.FAILED) and is_due(kind, held.activity, resource, terms):
            yield _job(kind, held.activity, resource)


def failed_jobs_of(held: Held, terms: Terms) -> Iterator[Job]:
    """Yield what to ask for of an activity although it failed before."""
    for kind in wanted_kinds(held.activity, terms.plan):
        resource = held.resources.get(kind)
        if resource is not None and resource.state == State.FAILED and is_due(kind, held.activity, resource, terms):
            yield _job(kind, held.activity, resource)


def other_jobs(
    athlete_id: int, gear_ids: Iterable[str], known: Mapping[tuple[Kind, str], Resource], terms: Terms
) -> Iterator[Job]:
    """Yield what to ask for of an athlete beside the activities.

    Args:
        athlete_id: whose.
        gear_ids: of the activities that are held.
        known: the resources of these kinds, by kind and key.
        terms: see there.
    """
    keys: Mapping[str, Sequence[str]] = {"gear": sorted(gear_ids), "athlete": [str(athlete_id)], "activity": []}
    for kind in Kind:
        if kind in terms.plan.kinds:
            for key in keys[RULES[kind].belongs_to]:
                resource = known.get((kind, key))
                if is_due(kind, None, resource, terms):
                    yield Job(kind, key, tries=resource.tries if resource else 0)


def is_due(kind: Kind, activity: Activity | None, resource: Resource | None, terms: Terms) -> bool:
    """Say whether a kind that is wanted is to be asked for now."""
    if resource is None:
        return True
    if activity is not None and resource.stamp != activity.stamps[kind]:
        return True
    at = due_at(kind, resource, terms)
    return at is not None and (at <= terms.now or resource.fetched_at > terms.now + _AHEAD_SECONDS)


def due_at(kind: Kind, resource: Resource, terms: Terms) -> float | None:
    """Return when a resource is due again if nothing changes; None for never. Epoch seconds."""
    if resource.retry_at is not None:
        return resource.retry_at if is_waiting(resource, terms) else terms.now
    lasts = [] if terms.renew_before is None else [terms.now - terms.renew_before]
    if RULES[kind].lasts_seconds is not None:
        lasts.append(RULES[kind].lasts_seconds or 0.0)
    return resource.fetched_at + min(lasts) if lasts else None


def dues_of(held: Held, terms: Terms) -> Iterator[float]:
    """Yield when each kind of an activity is to be asked for if nothing changes, as far as it is; epoch seconds."""
    for kind in wanted_kinds(held.activity, terms.plan):
        resource = held.resources.get(kind)
        at = None if resource is None else due_at(kind, resource, terms)
        if is_due(kind, held.activity, resource, terms):
            yield terms.now
        elif at is not None:
            yield at


def waiting_of(held: Held, terms: Terms) -> Iterator[Resource]:
    """Yield what failed or was not ready, as far as it is not yet due again."""
    for kind in wanted_kinds(held.activity, terms.plan):
        resource = held.resources.get(kind)
        if resource is not None and is_waiting(resource, terms):
            yield resource


def is_waiting(resource: Resource, terms: Terms) -> bool:
    """Say whether something failed or was not ready, and is not yet due again."""
    return resource.retry_at is not None and terms.now < resource.retry_at <= terms.now + 2 * _AHEAD_SECONDS


def wanted_kinds(activity: Activity, plan: Plan) -> Iterator[Kind]:
    """Yield the kinds of an activity that are wanted."""
    if plan.includes(activity):
        kinds = plan.kinds
        yield from (kind for kind in OF_ACTIVITIES if kind in kinds and kind not in activity.empty)


def _job(kind: Kind, activity: Activity, resource: Resource | None) -> Job:
    is_same = resource is not None and resource.stamp == activity.stamps[kind]
    tries = resource.tries if resource is not None and is_same else 0
    return Job(kind, str(activity.id), activity.stamps[kind], tries, activity)
