"""Which endpoint a call goes to, and what Strava documents about it."""

from typing import Any

import pytest

from strava_async.quota.values import QuotaClass
from strava_async.request.call import api_call, oauth_call
from strava_async.request.endpoints import ENDPOINTS, Endpoint, Endpoints, Method, endpoint_of

API = "https://www.strava.com/api/v3"


def endpoint(url: str, method: Method = "GET", **params: Any) -> Endpoint:
    return api_call(method, url, params, api_url=API).endpoint


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
def test_a_documented_requirement_is_known(method: Method, path: str, scope: tuple[str, ...]) -> None:
    assert endpoint(path, method).scope == scope


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/athlete"),  # shows more with profile:read_all, but needs nothing
        ("GET", "/segments/5"),  # read_all for private ones alone
        ("GET", "/segments/5/streams"),
        ("GET", "/routes/5"),
        ("GET", "/activities/%7Bid%7D"),
        ("GET", "/activities/5/photos"),  # not documented
        ("DELETE", "/activities/5"),
        ("GET", "/activities/x5"),
        ("GET", "/activities/following"),
        ("GET", "/"),
        ("GET", ""),
        ("GET", "/nowhere/1/2/3"),
    ],
)
def test_nothing_is_made_up(method: Method, path: str) -> None:
    assert endpoint(path, method).scope == ()


def test_alternatives_name_the_narrower_scope_first() -> None:
    several = [each.scope for each in ENDPOINTS if len(each.scope) > 1]
    assert several
    assert set(several) == {("activity:read", "activity:read_all")}


@pytest.mark.parametrize("name", [name for name in vars(Endpoints) if name.isupper()])
def test_an_endpoint_is_named_after_the_method_and_found_by_template_and_by_path(name: str) -> None:
    listed: Endpoint = getattr(Endpoints, name)
    _, tag, method = listed.client_method.split(".")
    assert name == f"{tag}_{method}".upper()
    assert endpoint_of(listed.method, listed.path) is listed
    renamed = listed.path.replace("{id}", "{whose_id}")
    assert endpoint(renamed, listed.method, **({"whose_id": "b17"} if renamed != listed.path else {})) is listed
    filled = listed.path.replace("{id}", "b17" if listed.path.startswith("/gear") else "17")
    assert endpoint(filled, listed.method) is listed
    assert endpoint(f"{API}{filled}", listed.method) is listed


def test_every_endpoint_is_listed_once() -> None:
    assert len({(each.method, each.path) for each in ENDPOINTS}) == len(ENDPOINTS)
    assert len({each.client_method for each in ENDPOINTS}) == len(ENDPOINTS)


def test_a_parameter_may_complete_the_address_of_a_listed_endpoint() -> None:
    assert endpoint("/{kind}/{id}/streams", kind="routes", id=5) is Endpoints.STREAMS_ROUTE
    assert endpoint("/{what}", "POST", what="uploads").quota_class is QuotaClass.UPLOAD


@pytest.mark.parametrize(
    ("method", "path", "template"),
    [
        ("GET", "/activities/123", "/activities/{id}"),
        ("GET", "/activities/123/laps", "/activities/{id}/laps"),
        ("GET", "/segments/explore", "/segments/explore"),
        ("GET", "/gear/b123", "/gear/{id}"),
        ("GET", "/clubs/the-fast-ones", "/clubs/{id}"),
        ("GET", "/clubs/the-fast-ones/group_events", "/clubs/{id}/group_events"),
        ("GET", "/partners/77/media/a%20b", "/partners/{id}/media/{id}"),
        ("GET", "/partners/{name}/x{more}", "/partners/{id}/{id}"),
        ("DELETE", "/activities/123", "/activities/{id}"),
    ],
)
def test_many_paths_make_few_endpoints(method: Method, path: str, template: str) -> None:
    assert endpoint(path, method, **({"name": "a", "more": "b"} if "{" in path else {})).path == template


def test_an_oauth_endpoint_spends_nothing_and_needs_no_scope() -> None:
    made = oauth_call("https://www.strava.com/oauth/token", {}, idempotent=True).endpoint
    assert (made.path, made.quota_class, made.scope) == ("/oauth/token", None, ())
