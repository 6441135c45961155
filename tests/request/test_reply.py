"""From status, fields and bytes to a value or an error."""

import gzip
import html
import json
import pickle
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strava_async import errors
from strava_async._hidden import Hidden
from strava_async.errors import (
    DecodeError,
    DuplicateUploadError,
    FaultError,
    InsufficientScopeError,
    MissingScopeError,
    RateLimitedError,
    StravaError,
    UnauthorizedError,
    UploadError,
)
from strava_async.quota.values import QuotaClass
from strava_async.request.call import api_call, oauth_call
from strava_async.request.faults import MAX_FAULT_BYTES, fault, upload_error
from strava_async.request.redaction import redacted
from strava_async.request.reply import MAX_BODY_BYTES, Reply, decompressed_reply
from strava_async.request.results import read, read_json, read_leniently

JSON = "application/json; charset=utf-8"
GET = api_call("GET", "/athlete", {}, api_url="https://www.strava.com/api/v3")
UPLOAD = api_call("POST", "/uploads", {}, api_url="https://www.strava.com/api/v3")
TOKEN = oauth_call(
    "https://www.strava.com/oauth/token",
    {"client_secret": "sekret-c", "refresh_token": "sekret-r", "grant_type": "refresh_token"},
    idempotent=True,
)


def reply(
    status_code: int = 200, body: bytes | str = b"", content_type: str = JSON, content_encoding: str = ""
) -> Reply:
    return Reply(status_code, {}, body.encode() if isinstance(body, str) else body, content_type, content_encoding)


def refusal(status_code: int, message: str = "", **detail: str) -> Reply:
    return reply(status_code, json.dumps({"message": message, "errors": [detail] if detail else []}))


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        ('{"id": 3329485690369457990}', JSON, {"id": 3329485690369457990}),
        ("[]", JSON, []),
        ("null", JSON, None),
        ('{"id": 1}', "", {"id": 1}),
        ('{"a": 1}', "application/vnd.api+json", {"a": 1}),
        ("<gpx/>", "application/gpx+xml", "<gpx/>"),
        ("<tcx/>", "text/xml", "<tcx/>"),
        ("hällo", "text/plain; charset=utf-8", "hällo"),
        (b"\x00\xff", "application/octet-stream", b"\x00\xff"),
        ("", JSON, {}),
        ('{"name": "\\ud800"}', JSON, {"name": "\ud800"}),
    ],
)
def test_a_success_has_the_value_of_its_media_type(body: bytes | str, content_type: str, value: Any) -> None:
    assert read(GET, reply(200, body, content_type)) == value


def test_204_is_an_empty_object() -> None:
    assert read(GET, reply(204, "ignored")) == {}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<html>maintenance</html>", "text/html"),
        ("<!DOCTYPE html><p>maintenance", JSON),
        ('{"id": 1', JSON),
        (b'{"name": "\xff\xfe"}', JSON),
        (b"\xff\xfe", "text/plain"),
        ("not json", ""),
        ("[" * 200_000, JSON),
    ],
)
def test_a_success_that_cannot_be_read_is_a_decode_error(body: bytes | str, content_type: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read(GET, reply(200, body, content_type))
    assert caught.value.path == "/athlete"
    assert caught.value.body_excerpt
    assert len(caught.value.body_excerpt) <= 200
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("packed", "coding"),
    [
        (gzip.compress(b'{"id": 1}'), "gzip"),
        (gzip.compress(b'{"id": 1}'), "X-GZIP"),
        (zlib.compress(b'{"id": 1}'), "deflate"),
        (zlib.compress(b'{"id": 1}')[2:-4], "deflate"),
        (gzip.compress(zlib.compress(b'{"id": 1}')), "deflate, gzip"),
        (b'{"id": 1}', "identity"),
    ],
)
def test_content_codings_are_undone(packed: bytes, coding: str) -> None:
    assert read(GET, reply(200, packed, content_encoding=coding)) == {"id": 1}


@pytest.mark.parametrize(
    ("packed", "coding"),
    [(gzip.compress(b'{"id": 1}')[:-6], "gzip"), (b"plain", "gzip"), (b"x", "zstd"), (b"\x00", "deflate")],
)
def test_a_broken_content_coding_is_a_decode_error(packed: bytes, coding: str) -> None:
    with pytest.raises(DecodeError):
        read(GET, reply(200, packed, content_encoding=coding))


def test_a_reply_is_decompressed_once_and_of_one_that_cannot_be_the_reason_is_known() -> None:
    packed = reply(200, gzip.compress(b'{"id": 1}'), content_encoding="gzip")
    plain = decompressed_reply(packed)
    assert (plain.body, plain.content_encoding, plain.failure) == (b'{"id": 1}', "", None)
    broken = decompressed_reply(reply(200, b"plain", content_encoding="gzip"))
    assert (broken.body, broken.content_encoding) == (b"plain", "")
    assert "not gzip" in str(broken.failure)
    assert decompressed_reply(broken) is broken


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(400, "Bad Request", resource="Application", field="after", code="future"), errors.BadRequestError),
        (refusal(401, "Authorization Error"), UnauthorizedError),
        (refusal(402, "Payment Required"), errors.PaymentRequiredError),
        (refusal(403, "Forbidden"), errors.ForbiddenError),
        (
            refusal(403, "Forbidden", resource="Application", field="Status", code="Inactive"),
            errors.ApplicationInactiveError,
        ),
        (refusal(403, "Limit of connected athletes exceeded"), errors.AthleteCapacityError),
        (refusal(403, "Too many athletes"), errors.AthleteCapacityError),
        (
            refusal(403, "Rate Limit Exceeded", resource="Application", field="rate limit", code="exceeded"),
            RateLimitedError,
        ),
        (reply(403, "<html>request could not be satisfied</html>", "text/html"), errors.ForbiddenError),
        (refusal(404, "Resource Not Found"), errors.NotFoundError),
        (reply(404), errors.NotFoundError),
        (refusal(409), FaultError),
        (refusal(429, "Rate Limit Exceeded"), RateLimitedError),
        (refusal(500, "error"), errors.ServerError),
        (reply(502, "<html>", "text/html"), errors.ServerError),
        (reply(597), errors.ServerError),
        (reply(302), FaultError),
        (reply(304), FaultError),
        (reply(101), FaultError),
    ],
)
def test_a_status_has_its_error(answer: Reply, kind: type[FaultError]) -> None:
    error = fault(GET, answer)
    assert type(error) is kind
    assert isinstance(error, FaultError)
    assert (error.status_code, error.method, error.path) == (answer.status_code, "GET", "/athlete")


def test_a_missing_scope_is_unauthorized_and_missing_scope() -> None:
    error = fault(GET, refusal(401, resource="AccessToken", field="activity:read_permission", code="missing"))
    assert isinstance(error, InsufficientScopeError)
    assert isinstance(error, UnauthorizedError)
    assert isinstance(error, MissingScopeError)
    assert error.missing == {"activity:read"}
    assert error.status_code == 401


def test_a_429_knows_its_class() -> None:
    error = fault(UPLOAD, refusal(429))
    assert isinstance(error, RateLimitedError)
    assert error.quota_class == QuotaClass.UPLOAD


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"message": 5, "errors": null}',
        b'{"message": null, "errors": "text"}',
        b'{"errors": {"resource": "Athlete"}}',
        b'{"errors": [null, 5, "x", {"resource": null, "field": 7}]}',
        b"<html>",
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("status_code", [300, 400, 401, 403, 404, 418, 429, 500])
def test_whatever_the_body_a_refusal_has_its_error(status_code: int, body: bytes) -> None:
    error = fault(GET, reply(status_code, body))
    assert isinstance(error, FaultError)
    assert error.status_code == status_code


HOSTILE_BODIES = st.one_of(
    st.binary(),
    st.binary().map(gzip.compress),
    st.text(st.characters(categories=["Cs", "Cc", "Lu", "Nd"])).map(
        lambda text: text.encode("utf-16", "surrogatepass")
    ),
    st.sampled_from(
        [b"<html>", b"\xef\xbb\xbf<html", b"[" * 100_000, b'{"errors":' * 500, b"1" * 5_000, b"NaN", b"1e999"]
    ),
    st.recursive(
        st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.booleans()),
        lambda inner: st.one_of(
            st.lists(inner),
            st.dictionaries(st.sampled_from(["message", "errors", "resource", "field", "code", "error", "id"]), inner),
        ),
    ).map(lambda value: json.dumps(value).encode()),
)
MEDIA_TYPES = st.one_of(
    st.text(), st.sampled_from(["text/html", "text/plain", JSON, "application/xml", "image/png", "+json"])
)
CODINGS = st.lists(st.sampled_from(["", "gzip", "x-gzip", "deflate", "identity", "br", "\0"]), max_size=6).map(",".join)


@given(status_code=st.integers(100, 999), body=HOSTILE_BODIES, content_type=MEDIA_TYPES, coding=CODINGS)
def test_no_bytes_leave_the_tree_of_errors(status_code: int, body: bytes, content_type: str, coding: str) -> None:
    for call in (GET, UPLOAD, TOKEN):
        answer = reply(status_code, body, content_type, content_encoding=coding)
        read_leniently(answer)
        with suppress(StravaError):
            read(call, answer)


def test_no_secret_that_an_answer_echoes_is_shown() -> None:
    echo = refusal(400, "no sekret-c here", resource="sekret-r", field="sekret-c", code="x")
    error = fault(TOKEN, echo)
    assert "sekret" not in f"{error!r} {error} {vars(error)}"
    echo = refusal(403, "no sekret-b here", resource="sekret-b")
    error = fault(GET, echo, Hidden("sekret-b"))
    assert "sekret" not in f"{error!r} {error} {vars(error)}"


SECRET = "s3kret-0123456789"
ODD_SECRET = 's3 k/r+e=t&"é\U0001f6b4'


@pytest.mark.parametrize("before", ["client_secret%3D", "client_secret%253D", "\\u003d", "\\n", "secret=", "x", ""])
@pytest.mark.parametrize("after", ["%26", "\\u0026", "x", ""])
def test_a_long_secret_is_found_wherever_it_stands(before: str, after: str) -> None:
    assert redacted(f"{before}{SECRET}{after}", (SECRET,)) == f"{before}***{after}"


@pytest.mark.parametrize("before", ["a%3D", "a%253d", "\\u003d", "\\n", "a=", ""])
def test_a_short_secret_is_found_after_what_stands_for_a_sign(before: str) -> None:
    assert redacted(f"{before}code%26x", ("code",)) == f"{before}***%26x"
    assert redacted(f"{before}encode coded", ("code",)) == f"{before}encode coded"


@pytest.mark.parametrize(
    "encode",
    [
        str,
        quote,
        quote_plus,
        lambda secret: quote(secret, safe=""),
        lambda secret: quote(secret, safe="").lower(),
        lambda secret: quote(quote(secret, safe=""), safe=""),
        lambda secret: quote(quote_plus(secret), safe=""),
        lambda secret: json.dumps(secret)[1:-1],
        lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1].replace("/", "\\/"),
        lambda secret: secret.replace("=", "\\u003D").replace("&", "\\u0026"),
        html.escape,
    ],
)
def test_an_odd_secret_is_found_in_every_form(encode: Callable[[str], str]) -> None:
    assert redacted(f"<{encode(ODD_SECRET)}>", (ODD_SECRET,)) == "<***>"


def test_of_secrets_that_begin_alike_the_longer_is_found() -> None:
    assert redacted(f"{SECRET}-more", (SECRET, f"{SECRET}-more")) == "***"


@pytest.mark.parametrize("encode", [str, lambda secret: quote(quote(secret, safe=""), safe="")])
@pytest.mark.parametrize("secret", ["0123456789abcdef" * 3, "/+=&" * 10])
def test_an_answer_full_of_secrets_shows_no_part_of_one(secret: str, encode: Callable[[str], str]) -> None:
    with pytest.raises(DecodeError) as caught:
        read(GET, reply(200, f"<html>{encode(secret) * 5_000}", "text/html"), Hidden(secret))
    assert set(caught.value.body_excerpt) == {"*"}


def test_a_token_called_token_does_not_garble_the_answer() -> None:
    error = fault(GET, refusal(401, "", resource="Athlete", field="access_token", code="invalid"), Hidden("token"))
    assert isinstance(error, UnauthorizedError)
    assert error.errors[0]["field"] == "access_token"


def test_a_broken_token_answer_shows_nothing_of_itself() -> None:
    with pytest.raises(DecodeError) as caught:
        read(TOKEN, reply(200, '{"access_token": "sekret-new'))
    assert caught.value.body_excerpt == ""
    assert "sekret" not in str(caught.value)


@pytest.mark.parametrize("at", range(180, 205))
def test_no_part_of_a_bearer_is_shown_at_the_end_of_an_excerpt(at: int) -> None:
    with pytest.raises(DecodeError) as caught:
        read(GET, reply(200, "<html>" + "." * (at - 7) + " sekret-bearer ", "text/html"), Hidden("sekret-bearer"))
    assert "sek" not in caught.value.body_excerpt


def test_a_broken_answer_does_not_show_the_bearer_it_echoes() -> None:
    with pytest.raises(DecodeError) as caught:
        read(GET, reply(200, "<html>Bearer sekret-b", "text/html"), Hidden("sekret-b"))
    assert "sekret" not in caught.value.body_excerpt


@pytest.mark.parametrize(
    ("text", "activity_id"),
    [
        ("a.fit duplicate of activity 8319193780", 8319193780),
        ("a.fit duplicate of <a href='/activities/18106372042' target='_blank'>Title</a>", 18106372042),
        ("a.fit duplicate of &lt;a href=&#39;/activities/18106372042&#39;&gt;Title&lt;/a&gt;", 18106372042),
    ],
)
def test_a_duplicate_names_the_activity_that_exists(text: str, activity_id: int) -> None:
    error = upload_error(text, upload_id=5)
    assert isinstance(error, DuplicateUploadError)
    assert error.activity_id == activity_id
    assert error.upload_id == 5
    assert "<" not in error.error


def test_a_refused_file_is_an_upload_error() -> None:
    answer = reply(400, '{"id": null, "status": "There was an error.", "error": "The file is &amp; malformed."}')
    error = fault(UPLOAD, answer)
    assert type(error) is UploadError
    assert error.error == "The file is & malformed."
    assert error.upload_id is None


@pytest.mark.parametrize("error", ["", "  ", "<br/>", "&nbsp;"])
def test_a_refusal_without_words_stays_what_its_fields_tell(error: str) -> None:
    detail = {"resource": "Upload", "field": "data", "code": "empty"}
    told = fault(UPLOAD, reply(400, json.dumps({"message": "Bad Request", "errors": [detail], "error": error})))
    assert isinstance(told, errors.BadRequestError)
    assert told.errors == (detail,)


def test_an_upload_can_be_refused_by_a_fault_too() -> None:
    error = fault(UPLOAD, refusal(400, "Bad Request", resource="Upload", field="data", code="empty"))
    assert type(error) is errors.BadRequestError


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (refusal(404, "x"), {"message": "x", "errors": []}),
        (reply(500, "<html>", "text/html"), "<html>"),
        (reply(200, '{"id": ', JSON), '{"id": '),
        (reply(503), {}),
        (reply(200, b"\xff", JSON), "\ufffd"),
    ],
)
def test_without_checks_any_body_is_a_value(answer: Reply, value: Any) -> None:
    assert read_leniently(answer) == value


PAGE = """<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN" "http://www.w3.org/TR/html4/loose.dtd">
<HTML><HEAD><META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=iso-8859-1">
<TITLE>ERROR: The request could not be satisfied</TITLE><style>p {{ color: red }}</style>
<script>if (1 < 2) document.write("<b>written</b>")</script></HEAD><BODY><!-- <p>hidden -->
<H1>403 ERROR</H1>
Request   blocked&period; Bearer {secret} &amp; more</BODY></HTML>"""


@pytest.mark.parametrize("content_type", ["text/html", JSON, "", "text/plain"])
def test_a_page_in_place_of_a_fault_is_reported_with_what_it_shows(content_type: str) -> None:
    error = fault(GET, reply(403, PAGE.format(secret=SECRET), content_type), Hidden(SECRET))
    assert isinstance(error, errors.ForbiddenError)
    shown = "ERROR: The request could not be satisfied 403 ERROR Request blocked. Bearer *** & more"
    assert error.body_excerpt == shown
    assert str(error) == f"403 for GET /athlete: a page came instead of JSON: {shown}"
    assert error.message == ""


@pytest.mark.parametrize(
    ("body", "content_type", "told"),
    [
        ("", JSON, "no body came"),
        ("Bad gateway\n\n  at the edge", "text/plain", "text came instead of JSON: Bad gateway at the edge"),
        ("upstream gone", "application/octet-stream", "text came instead of JSON: upstream gone"),
        ("upstream gone", JSON, "broken JSON came: upstream gone"),
        ('{"message": "No', JSON, 'broken JSON came: {"message": "No'),
        (
            '{"Message": "User is not authorized"}',
            JSON,
            'JSON came that gives no reason: {"Message": "User is not authorized"}',
        ),
        ('["no"]', "", 'JSON came that gives no reason: ["no"]'),
        ("<p>no such page", JSON, "a page came instead of JSON: no such page"),
        ("<html><script>1</script>", "text/html", "a page came instead of JSON: <html><script>1</script>"),
        (
            '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Denied</Message></Error>',
            "application/xml",
            "XML came instead of JSON: AccessDenied Denied",
        ),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x80", "image/png", "binary data came instead of JSON"),
        (b" " * (MAX_FAULT_BYTES + 1) + b"{}", JSON, "the body is larger than any fault"),
    ],
    ids=range(12),
)
def test_what_came_in_place_of_a_fault_is_reported(body: bytes | str, content_type: str, told: str) -> None:
    assert str(fault(GET, reply(502, body, content_type))) == f"502 for GET /athlete: {told}"


@pytest.mark.parametrize("content_type", [JSON, "text/html", "text/plain", "application/octet-stream"])
def test_a_fault_is_one_whatever_it_is_called(content_type: str) -> None:
    body = refusal(401, "no", resource="Athlete", field="access_token").body
    error = fault(GET, Reply(401, {}, body, content_type))
    assert isinstance(error, UnauthorizedError)
    assert (error.errors[0]["field"], error.body_excerpt) == ("access_token", "")


def test_what_a_token_endpoint_sent_in_place_of_a_fault_is_reported_and_not_shown() -> None:
    error = fault(TOKEN, reply(503, "<html>sekret-new</html>", "text/html"))
    assert str(error) == "503 for POST /oauth/token: a page came instead of JSON"
    assert "sekret" not in f"{vars(error)}"


def test_a_page_in_place_of_a_success_is_reported_with_what_it_shows() -> None:
    with pytest.raises(DecodeError) as caught:
        read(GET, reply(200, PAGE.format(secret=SECRET), "text/html"), Hidden(SECRET))
    assert "a page came instead of JSON: ERROR: The request could not be satisfied 403 ERROR" in str(caught.value)
    assert SECRET not in f"{caught.value} {vars(caught.value)}"


BOMB = gzip.compress(bytes(MAX_BODY_BYTES + 1), mtime=0)
STACKED = gzip.compress(BOMB, mtime=0)


@pytest.mark.parametrize(
    ("body", "coding"), [(BOMB, "gzip"), (STACKED, "gzip, gzip"), (bytes(MAX_BODY_BYTES + 1), "")], ids=range(3)
)
@pytest.mark.parametrize("status_code", [200, 404, 503])
def test_a_body_beyond_all_measure_is_a_decode_error_whatever_the_status(
    status_code: int, body: bytes, coding: str
) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match="larger than 64 MB") as caught:
            read(GET, reply(status_code, body, content_encoding=coding))
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.path == "/athlete"
    assert peak < MAX_BODY_BYTES * 9 // 8 + (4 << 20)
    assert now < 1 << 20  # what holds the error holds nothing of the body


def test_what_could_not_be_decompressed_is_not_tried_again() -> None:
    plain = decompressed_reply(reply(200, BOMB, content_encoding="gzip"))
    assert (plain.body, plain.content_encoding, plain.is_too_large) == (b"", "", True)
    for again in (
        read,
        lambda call, answer: read_json(call, answer, None, lambda plain: json.loads(plain.body)),
        fault,
    ):
        with pytest.raises(DecodeError, match="larger than 64 MB"):
            raise_if_error(again(GET, plain))
    with pytest.raises(DecodeError, match="larger than 64 MB"):
        read_leniently(plain)


def raise_if_error(value: Any) -> None:
    if isinstance(value, Exception):
        raise value


def test_a_broken_coding_is_reported() -> None:
    for body, why in ((b"plain", "it is not gzip, or is damaged"), (gzip.compress(b"{}")[:-1], "it is truncated")):
        with pytest.raises(DecodeError, match=why):
            read(GET, reply(200, body, content_encoding="gzip"))
    refused = fault(GET, reply(503, b"not packed at all", "text/plain", "gzip"))
    assert str(refused) == "503 for GET /athlete: text came instead of JSON: not packed at all"


@pytest.mark.parametrize("coding", ["gzip", "br", "gzip, gzip"])
def test_no_body_is_none_whatever_its_coding(coding: str) -> None:
    assert read(GET, reply(200, b"", content_encoding=coding)) == {}
    assert read(GET, reply(204, b"garbage", content_encoding=coding)) == {}
    assert (
        read_json(
            GET, reply(204, b"garbage", content_encoding=coding), None, lambda plain: plain.body + plain.sent.body
        )
        == b""
    )


@pytest.mark.parametrize(
    "error",
    [
        fault(GET, refusal(429, "x", resource="a", field="b", code="c")),
        fault(GET, refusal(401, resource="AccessToken", field="read_permission", code="missing")),
        upload_error("x duplicate of activity 5"),
        errors.QuotaExceededError(quota_class="read", window="read_15min", resume_at=5.0, wait_seconds=2.0),
        errors.TransportError("gone", sent="maybe"),
        errors.AuthorizationDeniedError("access_denied"),
    ],
)
def test_errors_survive_pickling(error: StravaError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "Tue, 06 Jan 2026 10:00:30 GMT"}, 10.0),
        ({"retry-after": "Tue, 06 Jan 2026 10:00:30 GMT", "date": "Tue, 06 Jan 2026 10:00:00 GMT"}, 30.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_a_wait_that_an_answer_asks_for_counts_from_its_own_date(
    headers: dict[str, str], seconds: float | None
) -> None:
    now = datetime(2026, 1, 6, 10, 0, 20, tzinfo=UTC).timestamp()
    assert Reply(503, headers, b"").retry_after(now) == seconds
