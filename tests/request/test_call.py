"""From arguments to a call: paths, parameters, origins."""

import base64
from datetime import UTC, date, datetime
from enum import Enum
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strava_async._hidden import Hidden
from strava_async.errors import InputError
from strava_async.oauth.scopes import Scope
from strava_async.quota.values import QuotaClass
from strava_async.request.call import Call, Method, api_call, base_url, encode, oauth_call

API = "https://www.strava.com/api/v3"


def call(
    url: str, method: Method = "GET", api_url: str = API, files: Any = None, body: Any = None, **params: Any
) -> Call:
    return api_call(method, url, params, api_url=api_url, files=files, body=body)


def test_a_name_in_the_path_is_filled_and_the_rest_is_the_query() -> None:
    made = call("/activities/{id}", id=12345678901234567, include_all_efforts=True)
    assert made.url == f"{API}/activities/12345678901234567?include_all_efforts=true"
    assert made.path == "/activities/12345678901234567"


@pytest.mark.parametrize("url", ["/athlete", "athlete", "athlete/", "/athlete/"])
def test_slashes_at_the_ends_do_not_matter(url: str) -> None:
    assert call(url).url == f"{API}/athlete"


def test_a_base_without_prefix_works() -> None:
    assert call("/athlete", api_url="https://api-v3.strava.com").url == "https://api-v3.strava.com/athlete"


def test_a_query_in_the_url_is_kept() -> None:
    made = call("/athlete/activities?before=5", after=3)
    assert parse_qs(urlsplit(made.url).query) == {"before": ["5"], "after": ["3"]}


@pytest.mark.parametrize(
    "value", ["../athlete", "a/b", "a?b=c", "a#b", "a b", "%2e%2e/", "{id.__class__}", "ü", "a\\b"]
)
def test_no_value_changes_the_shape_of_the_path(value: str) -> None:
    parts = urlsplit(call("/gear/{id}", id=value).url)
    assert parts.path.count("/") == 4
    assert unquote(parts.path.rpartition("/")[2]) == value
    assert parts.query == ""


@pytest.mark.parametrize("value", ["..", ".", "", None])
def test_a_value_that_is_no_segment_is_refused(value: Any) -> None:
    with pytest.raises(InputError):
        call("/gear/{id}", id=value)


@pytest.mark.parametrize(
    "url",
    ["/gear/{id.__class__}", "/gear/{0}", "/gear/{}", "/gear/{id!r}", "/gear/{id", "/a/../b", "/a/%2E%2e/b", "/a#b"],
)
def test_a_path_with_tricks_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        call(url, id="b1")


def test_a_date_is_its_midnight_in_utc() -> None:
    assert call("/athlete/activities", after=date(2026, 1, 1)).url == f"{API}/athlete/activities?after=1767225600"


def test_a_name_without_a_value_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="segment_id"):
        call("/segments/{segment_id}")


@given(st.text(min_size=1))
def test_whatever_the_value_it_stays_one_segment_of_our_host(value: str) -> None:
    try:
        made = call("/gear/{id}", id=value)
    except InputError:
        return
    parts = urlsplit(made.url)
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("https", "www.strava.com", "", "")
    assert parts.path.startswith("/api/v3/gear/")
    assert unquote(parts.path.removeprefix("/api/v3/gear/")) == value


def test_an_absolute_url_of_the_apis_origin_is_accepted() -> None:
    assert call("https://www.strava.com:443/api/v3/athlete").url == f"{API}/athlete"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/api/v3/athlete",
        "http://www.strava.com/api/v3/athlete",
        "https://www.strava.com:8443/api/v3/athlete",
        "https://www.strava.com@evil.example/",
        "https://user@www.strava.com/api/v3/athlete",
        "https://www.strava.com.evil.example/",
        "https://www.strava.com\\@evil.example/",
        "//evil.example/athlete",
        "https://[::1/",
        "https://www.strava.com:port/",
    ],
)
def test_an_absolute_url_of_another_origin_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        call(url)


NAIVE = datetime(2026, 1, 6, tzinfo=UTC).replace(tzinfo=None)


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (1.5, "1.5"),
        ("a b", "a b"),
        (["time", "latlng"], "time,latlng"),
        (("a", 1), "a,1"),
        ({"b", "a"}, "a,b"),
        (datetime(2026, 1, 6, 10, tzinfo=UTC), "1767693600"),
        (Scope.READ_ALL, "read_all"),
        (Colour.RED, "red"),
    ],
)
def test_values_have_one_form_each(value: Any, text: str) -> None:
    assert encode("x", value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), NAIVE, {}, b"x", object(), "\ud800"])
def test_a_value_without_an_agreed_form_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InputError, match="when"):
        encode("when", value)


def test_none_is_left_out() -> None:
    assert call("/athlete/activities", before=None, page=1).url == f"{API}/athlete/activities?page=1"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_an_access_token_is_never_a_parameter(method: Method) -> None:
    with pytest.raises(InputError) as caught:
        call("/athlete", method, access_token="sekret")
    assert "sekret" not in str(caught.value)


@pytest.mark.parametrize("url", ["/x?client_secret=sekret", "/x?a=1&Refresh_Token=sekret"])
def test_a_secret_is_never_in_a_url(url: str) -> None:
    with pytest.raises(InputError) as caught:
        call(url)
    assert "sekret" not in str(caught.value)


def test_a_post_sends_a_form() -> None:
    made = call("/activities", "POST", name="Morning & Run", distance=1000)
    assert made.url == f"{API}/activities"
    assert made.content == b"name=Morning+%26+Run&distance=1000"
    assert made.content_type == "application/x-www-form-urlencoded"
    assert not made.idempotent


def test_a_post_with_files_sends_parts() -> None:
    made = call("/uploads", "POST", files={"file": ("a.fit", b"123")}, data_type="fit", trainer=True)
    assert made.fields == {"data_type": "fit", "trainer": "true"}
    assert made.content is None
    assert made.replayable


@pytest.mark.parametrize(
    "files", [{"file": BytesIO(b"1")}, {"file": ("a.fit", BytesIO(b"1"))}, [("file", ("a.fit", BytesIO(b"1"), "x/y"))]]
)
def test_a_stream_can_be_sent_once(files: Any) -> None:
    assert not call("/uploads", "POST", files=files).replayable


def test_files_from_an_iterator_are_all_sent() -> None:
    made = call("/uploads", "POST", files=iter([("file", b"1"), ("more", BytesIO(b"2"))]))
    assert made.files is not None
    assert [name for name, _ in made.files] == ["file", "more"]
    assert not made.replayable
    assert call("/uploads", "POST", files=iter([])).content == b""


@pytest.mark.parametrize("files", ["abc", 5, [("file",)], {1: b"x"}, BytesIO(b"x")])
def test_files_without_names_are_bad_input(files: Any) -> None:
    with pytest.raises(InputError, match=r"^files are "):
        call("/uploads", "POST", files=files)


def test_a_put_sends_json_and_the_rest_in_the_query() -> None:
    made = call("/activities/{id}", "PUT", body={"name": "Köln", "gear_id": None}, id=5, x=1)
    assert made.content == b'{"name":"K\\u00f6ln","gear_id":null}'
    assert made.content_type == "application/json"
    assert made.url.endswith("/activities/5?x=1")
    assert made.idempotent


@pytest.mark.parametrize("body", [{"when": object()}, {"x": float("nan")}])
def test_a_body_that_is_no_json_is_refused(body: Any) -> None:
    with pytest.raises(InputError):
        call("/activities/5", "PUT", body=body)


@pytest.mark.parametrize(
    ("method", "url", "expected"),
    [
        ("GET", "/activities", QuotaClass.READ),
        ("POST", "/activities", QuotaClass.UPLOAD),
        ("POST", "uploads/", QuotaClass.UPLOAD),
        ("POST", f"{API}/uploads", QuotaClass.UPLOAD),
        ("POST", "/activities/5/upload_media", QuotaClass.UPLOAD),
        ("GET", "/uploads/5", QuotaClass.READ),
        ("PUT", "/activities/5", QuotaClass.READ),
        ("POST", "/clubs/5/join", QuotaClass.READ),
    ],
)
def test_only_new_activities_and_files_spend_the_overall_meters_alone(
    method: Method, url: str, expected: QuotaClass
) -> None:
    assert call(url, method).quota_class is expected


def test_an_oauth_call_spends_no_quota_and_shows_no_secret() -> None:
    form = {"client_id": "7", "client_secret": "sekret", "grant_type": "refresh_token", "refresh_token": "r3fresh"}
    made = oauth_call("https://www.strava.com/oauth/token", form, idempotent=True)
    assert made.quota_class is None
    assert set(made.secrets.reveal()) == {"sekret", "r3fresh"}
    assert "sekret" not in repr(made)
    assert "sekret" not in made.url


def test_revoking_uses_the_basic_scheme() -> None:
    made = oauth_call("https://x/oauth/revoke", {"token": "t"}, idempotent=True, credentials=(7, Hidden("sekret")))
    assert made.basic is not None
    assert base64.b64decode(made.basic.reveal().removeprefix("Basic ")) == b"7:sekret"
    assert made.basic.reveal() not in repr(made)


@pytest.mark.parametrize("url", ["www.strava.com", "ftp://x/", "https://", "https://x/?a=1", "https://u:p@x/", "/api"])
def test_a_base_has_to_be_a_plain_http_url(url: str) -> None:
    with pytest.raises(InputError):
        base_url(url)


def test_a_base_loses_the_slash_at_its_end() -> None:
    assert base_url("http://127.0.0.1:8000/api/v3/") == "http://127.0.0.1:8000/api/v3"


@pytest.mark.parametrize(
    ("method", "content"),
    [
        ("post", {}),
        ("PATCH", {}),
        ("POST", {"body": {"name": "x"}}),
        ("POST", {"form": {"name": "x"}}),
        ("GET", {"body": {}}),
        ("PUT", {"files": {"file": b"x"}}),
    ],
)
def test_what_a_method_cannot_send_is_refused(method: Any, content: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        api_call(method, "/activities", {}, api_url="https://strava.test/api/v3", **content)


def test_a_put_can_send_a_form() -> None:
    call = api_call("PUT", "/athlete", {}, api_url="https://strava.test/api/v3", form={"weight": 70.5, "ftp": None})
    assert (call.content, call.content_type) == (b"weight=70.5", "application/x-www-form-urlencoded")
    assert call.url == "https://strava.test/api/v3/athlete"
