"""What Strava documents about its endpoints: which scope each needs.

Rules:

- Where several scopes are named, one of them is enough: the wider ones include what the narrower ones open.
- Only what Strava states as a requirement is here. Endpoints that show more with a wider scope, or need one for private
  items alone, need none.

Source:
    the endpoint descriptions of https://developers.strava.com/docs/reference/
"""

from __future__ import annotations

from strava_async.oauth import Scope

_READ_ACTIVITIES = (Scope.ACTIVITY_READ, Scope.ACTIVITY_READ_ALL)
_WRITE_ACTIVITIES = (Scope.ACTIVITY_WRITE,)

SCOPES: dict[tuple[str, str], tuple[Scope, ...]] = {
    ("PUT", "/athlete"): (Scope.PROFILE_WRITE,),
    ("GET", "/athlete/zones"): (Scope.PROFILE_READ_ALL,),
    ("GET", "/athlete/activities"): _READ_ACTIVITIES,
    ("POST", "/activities"): _WRITE_ACTIVITIES,
    ("GET", "/activities/{id}"): _READ_ACTIVITIES,
    ("PUT", "/activities/{id}"): _WRITE_ACTIVITIES,
    ("GET", "/activities/{id}/laps"): _READ_ACTIVITIES,
    ("GET", "/activities/{id}/zones"): _READ_ACTIVITIES,
    ("GET", "/activities/{id}/comments"): _READ_ACTIVITIES,
    ("GET", "/activities/{id}/kudos"): _READ_ACTIVITIES,
    ("GET", "/activities/{id}/streams"): _READ_ACTIVITIES,
    ("GET", "/segment_efforts/{id}/streams"): (Scope.READ_ALL,),
    ("PUT", "/segments/{id}/starred"): (Scope.PROFILE_WRITE,),
    ("POST", "/uploads"): _WRITE_ACTIVITIES,
    ("GET", "/uploads/{id}"): _WRITE_ACTIVITIES,
}


def scope_of(method: str, path: str) -> tuple[Scope, ...]:
    """Return the scopes of which a call needs one; empty if none is documented.

    Args:
        method: the HTTP method.
        path: below the API, such as ``/activities/123/laps``.
    """
    segments = path.split("/")
    if len(segments) > 2 and segments[2].isdecimal():
        segments[2] = "{id}"
        path = "/".join(segments)
    return SCOPES.get((method, path), ())
