"""Which application receives which events.

Rules:

- Of an activity: that it was created or deleted, and changes of its title, type or privacy. Nothing else.
- Of an athlete: that the grant has ended. Whether an application without ``activity:read`` receives that is not
  documented; here it does.
- Activities are for applications with ``activity:read``. Those that only the athlete may see need
  ``activity:read_all``; without that, one that goes private looks deleted, and one that goes public looks new.

Source:
    https://developers.strava.com/docs/webhooks/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from strava_async.testing.state.catalogue import is_private

READ, READ_ALL = "activity:read", "activity:read_all"

Event = dict[str, Any]


class Change(NamedTuple):
    """The ``aspect_type`` and the ``updates`` of an event."""

    kind: str
    updates: dict[str, str]


DEAUTHORIZED = Change("update", {"authorized": "false"})
_CREATED, _DELETED = Change("create", {}), Change("delete", {})


class ActivityState(NamedTuple):
    """The properties of an activity whose changes make an event.

    Attributes:
        title: its name.
        sport_type: its sport.
        type: the sport's older name, which the event names; that it is this one is a guess.
        private: only the athlete may see it.
    """

    title: str
    sport_type: str
    type: str
    private: bool


def state_of(activity: dict[str, Any]) -> ActivityState:
    """Return these properties, given the activity's summary."""
    return ActivityState(activity["name"], activity["sport_type"], activity["type"], is_private(activity))


def visible_change(before: ActivityState | None, after: ActivityState | None, scope: Iterable[str]) -> Change | None:
    """Return what an application receives of a change to an activity; None if nothing.

    Args:
        before: None if there was no activity.
        after: None if there is none any more.
        scope: what the application was granted.
    """
    granted = set(scope)
    if not granted & {READ, READ_ALL}:
        return None
    if READ_ALL not in granted:
        before = None if before is None or before.private else before
        after = None if after is None or after.private else after
    if before is None or after is None:
        return None if before is after else _CREATED if before is None else _DELETED
    updates = _updates(before, after)
    return Change("update", updates) if updates else None


def _updates(before: ActivityState, after: ActivityState) -> dict[str, str]:
    updates: dict[str, str] = {}
    if after.title != before.title:
        updates["title"] = after.title
    if after.sport_type != before.sport_type:
        updates["type"] = after.type
    if after.private != before.private:
        updates["private"] = "true" if after.private else "false"
    return updates
