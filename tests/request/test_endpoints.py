"""Which scope a call needs, as far as Strava documents it."""

import pytest

from strava_async.request.endpoints import ENDPOINTS, endpoint_of, scope_of


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/athlete/activities", ("activity:read", "activity:read_all")),
        ("POST", "/activities", ("activity:write",)),
        ("GET", "/activities/90000000001", ("activity:read", "activity:read_all")),
        ("PUT", "/activities/1", ("activity:write",)),
        ("GET", "/activities/1/streams", ("activity:read", "activity:read_all")),
        ("GET", "/segment_efforts/1/streams", ("read_all",)),
        ("GET", "/uploads/5", ("activity:write",)),
        ("PUT", "/segments/5/starred", ("profile:write",)),
        ("PUT", "/athlete", ("profile:write",)),
    ],
)
def test_a_documented_requirement_is_known(method: str, path: str, scope: tuple[str, ...]) -> None:
    assert scope_of(method, path) == scope


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/athlete"),  # shows more with profile:read_all, but needs nothing
        ("GET", "/segments/5"),  # read_all for private ones alone
        ("GET", "/segments/5/streams"),
        ("GET", "/routes/5"),
        ("GET", "/activities/{id}"),  # no call of ours has braces left
        ("GET", "/activities/5/photos"),  # not documented
        ("DELETE", "/activities/5"),
        ("GET", "/activities/x5"),
        ("GET", "/"),
        ("GET", ""),
        ("GET", "/nowhere/1/2/3"),
    ],
)
def test_nothing_is_made_up(method: str, path: str) -> None:
    if "{" in path:
        path = path.replace("{id}", "%7Bid%7D")
    assert scope_of(method, path) == ()


def test_alternatives_name_the_narrower_scope_first() -> None:
    several = [endpoint.scope for endpoint in ENDPOINTS if len(endpoint.scope) > 1]
    assert several
    assert set(several) == {("activity:read", "activity:read_all")}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_an_endpoint_is_found_by_the_call_that_goes_there(endpoint):
    path = endpoint.path.replace("{id}", "b17" if endpoint.path.startswith("/gear") else "17")
    assert endpoint_of(endpoint.method, path) is endpoint
