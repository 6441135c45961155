"""Errors of the library as HTTP answers."""

import html
import json
import re
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, WebSocket

from strava_async import Strava, errors
from strava_async.errors import (
    ApplicationInactiveError,
    AthleteCapacityError,
    AuthorizationDeniedError,
    AuthorizationTimeoutError,
    BadRequestError,
    CrossSiteError,
    DecodeError,
    DuplicateUploadError,
    ForbiddenError,
    InputError,
    InsufficientScopeError,
    InvalidClientError,
    InvalidGrantError,
    InvalidStateError,
    MissingScopeError,
    NotFoundError,
    PaymentRequiredError,
    QuotaExceededError,
    RateLimitedError,
    ServerError,
    StravaError,
    TokenStoreError,
    TransportError,
    UnauthorizedError,
    UnverifiedWebhookError,
    UploadError,
    UploadTimeoutError,
)
from strava_async.fastapi import StravaLifespan, exception_handlers, oauth_router, problem_of

HIDDEN = "what only the operator is to know"

CASES: list[tuple[StravaError, int]] = [
    (QuotaExceededError(quota_class="read", window="read_15min", resume_at=100.0, wait_seconds=41.2), 503),
    (RateLimitedError(status_code=429, message=HIDDEN, resume_at=1_050.5), 503),
    (InvalidGrantError(HIDDEN), 401),
    (MissingScopeError(HIDDEN, missing=["activity:read"]), 403),
    (InsufficientScopeError(status_code=401, message=HIDDEN), 403),
    (AuthorizationDeniedError("access_denied"), 403),
    (InvalidStateError("expired"), 400),
    (CrossSiteError(HIDDEN), 403),
    (UnverifiedWebhookError("forged"), 403),
    (AthleteCapacityError(status_code=403, message=HIDDEN), 403),
    (ApplicationInactiveError(status_code=403, message=HIDDEN), 500),
    (ForbiddenError(status_code=403, message=HIDDEN), 403),
    (NotFoundError(status_code=404, message=HIDDEN), 404),
    (PaymentRequiredError(status_code=402, message=HIDDEN), 402),
    (UploadError(HIDDEN), 422),
    (DuplicateUploadError(HIDDEN, activity_id=1), 409),
    (UploadTimeoutError(7), 504),
    (TransportError(HIDDEN, sent="maybe"), 502),
    (TransportError(HIDDEN, sent="maybe", timed_out=True), 504),
    (ServerError(status_code=500, message=HIDDEN), 502),
    (ServerError(status_code=504, message=HIDDEN), 504),
    (TokenStoreError(HIDDEN), 503),
    (DecodeError(HIDDEN, body_excerpt=HIDDEN), 502),
    (BadRequestError(status_code=400, message=HIDDEN), 502),
    (UnauthorizedError(status_code=401, message=HIDDEN), 502),
]
TOLD_WHEN = RateLimitedError(status_code=429)
TOLD_WHEN.retry_after = 17.3
FAULTS_OF_THE_SERVICE = (InputError("wrong"), errors.AsyncOnlyError("wrong"), InvalidClientError("wrong"))


def kinds(kind: type[StravaError] = StravaError) -> Iterator[type[StravaError]]:
    for each in kind.__subclasses__():
        if each.__module__ == errors.__name__:
            yield each
            yield from kinds(each)


@pytest.mark.anyio
@pytest.mark.parametrize(("error", "status"), CASES, ids=[type(error).__name__ for error, _ in CASES])
async def test_a_route_that_raises_answers_with_a_problem(
    error: StravaError, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI(exception_handlers=exception_handlers)

    @app.get("/")
    async def route() -> None:
        raise error

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service.test") as browser:
        answer = await browser.get("/")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    problem = answer.json()
    assert (problem["status"], bool(problem["title"])) == (status, True)
    assert problem["type"].startswith("tag:strava-async,2026:")
    assert HIDDEN not in answer.text
    assert ("retry-after" in answer.headers) == isinstance(error, QuotaExceededError | RateLimitedError)
    assert ("www-authenticate" in answer.headers) == (status == 401)
    passes = isinstance(error, QuotaExceededError | RateLimitedError | UploadTimeoutError)
    traced = not isinstance(error, TransportError | ServerError)
    assert [(each.name, each.levelname, bool(each.exc_info)) for each in caplog.records if each.levelno > 20] == (
        [("strava_async.fastapi", "ERROR", traced)] if status >= 500 and not passes else []
    )
    assert all(f"{status}: {type(error).__name__}: {error}" in line for line in caplog.messages if "answered" in line)


def test_every_kind_of_error_has_a_case_or_inherits_one() -> None:
    tried = {type(error) for error, _ in CASES} | {type(error) for error in FAULTS_OF_THE_SERVICE}
    only_bases = {errors.OAuthError, errors.FaultError}
    assert set(kinds()) - tried == only_bases | {AuthorizationTimeoutError}  # which no service waits for


@pytest.mark.anyio
@pytest.mark.parametrize("error", FAULTS_OF_THE_SERVICE, ids=lambda error: type(error).__name__)
async def test_a_fault_of_the_service_itself_reaches_its_server(error: StravaError) -> None:
    app = FastAPI(exception_handlers=exception_handlers)

    @app.get("/")
    async def route() -> None:
        raise error

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service.test") as browser:
        assert (await browser.get("/")).status_code == 500
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service.test") as browser:
        with pytest.raises(type(error)):
            await browser.get("/")


def websocket_app(accept: bool) -> FastAPI:
    app = FastAPI(exception_handlers=exception_handlers)

    @app.websocket("/")
    async def route(websocket: WebSocket) -> None:
        if accept:
            await websocket.accept()
        raise NotFoundError(status_code=404)

    return app


async def sent_to_a_websocket(app: FastAPI) -> list[str]:
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["type"])

    scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": [], "scheme": "ws"}
    try:
        await app(scope, receive, send)
    except NotFoundError:
        sent.append("raised")
    return sent


@pytest.mark.anyio
async def test_a_websocket_that_is_not_accepted_is_answered() -> None:
    sent = await sent_to_a_websocket(websocket_app(accept=False))
    assert sent == ["websocket.http.response.start", "websocket.http.response.body"]


@pytest.mark.anyio
async def test_an_error_after_a_websocket_was_accepted_reaches_the_server() -> None:
    assert await sent_to_a_websocket(websocket_app(accept=True)) == ["websocket.accept", "raised"]


def test_an_upload_that_takes_long_is_named() -> None:
    problem = problem_of(UploadTimeoutError(7))
    assert (problem.title, problem.more) == ("Not finished yet", {"upload_id": 7})


def test_the_time_to_come_back_is_never_zero_and_never_early() -> None:
    def after(wait_seconds: float) -> int | None:
        return problem_of(
            QuotaExceededError(quota_class="read", window="read_day", resume_at=0.0, wait_seconds=wait_seconds)
        ).retry_after

    assert [after(seconds) for seconds in (0.0, 0.2, 1.0, 41.2, 86_400.0)] == [1, 1, 1, 42, 86_400]


def test_a_429_says_when_to_come_back_as_far_as_it_is_known() -> None:
    error = RateLimitedError(status_code=429, resume_at=1_050.5)
    assert problem_of(error, now=1_000.0).retry_after == 51
    assert problem_of(error, now=2_000.0).retry_after == 1
    assert problem_of(error).retry_after == 60
    assert problem_of(RateLimitedError(status_code=429), now=1_000.0).retry_after == 60


def test_what_was_not_granted_is_named() -> None:
    problem = problem_of(MissingScopeError("", missing=["read_all", "activity:read"]))
    assert json.loads(bytes(problem.response().body))["missing_scope"] == ["activity:read", "read_all"]


def test_a_429_without_a_meter_says_what_strava_said() -> None:
    assert problem_of(TOLD_WHEN, now=1_000.0).retry_after == 18


def test_kinds_that_want_something_else_done_have_types_of_their_own() -> None:
    kinds_of: dict[str, set[tuple[str, str]]] = {}
    for error, _ in CASES:
        problem = problem_of(error)
        kinds_of.setdefault(problem.type, set()).add((problem.title, str(problem.status)))
    assert all(len(told) == 1 for told in kinds_of.values())
    assert len(kinds_of) == len(set[tuple[str, str]]().union(*kinds_of.values()))


def test_the_page_lists_the_types_of_all_problems() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "fastapi.md").read_text(encoding="utf-8")
    table = page.partition("## Errors as answers")[2].partition("\n## ")[0]
    for error, _ in CASES:
        assert f"`{problem_of(error).type.removeprefix('tag:strava-async,2026:')}`" in table


# What a browser gets

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


async def shown(
    error: StravaError, path: str = "/", *, accept: str = BROWSER["accept"], **place: Any
) -> httpx.Response:
    """Return what a browser gets from a service that is below a prefix, or has no routes to connect."""
    app = FastAPI(exception_handlers=exception_handlers, lifespan=StravaLifespan(Strava(1, "secret")))

    @app.api_route("/{rest:path}", methods=["GET", "POST"])
    async def route(rest: str) -> None:
        raise error

    for prefix in place.get("prefixes", ["/strava"]):
        app.include_router(oauth_router(Strava(1, "secret")), prefix=prefix)
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(with_state, root_path=place.get("root_path", ""))
        async with httpx.AsyncClient(transport=transport, base_url="http://service.test") as browser:
            return await browser.request(place.get("method", "GET"), path, headers={"accept": accept})


def link(answer: httpx.Response) -> str | None:
    found = re.search(r'<a href="([^"]*)">Connect with Strava</a>', answer.text)
    return found and html.unescape(found[1])


@pytest.mark.anyio
async def test_a_browser_that_is_signed_out_gets_a_page_with_the_way_back_here() -> None:
    answer = await shown(InvalidGrantError(HIDDEN), "/rides?page=2&sort=a%26b")
    assert (answer.status_code, answer.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert "<h1>Not connected</h1>" in answer.text
    assert link(answer) == "/strava/connect?next=%2Frides%3Fpage%3D2%26sort%3Da%2526b"
    assert answer.headers["www-authenticate"]
    assert answer.headers["cache-control"] == "no-store"
    assert HIDDEN not in answer.text


@pytest.mark.anyio
@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/problem+json, application/json", ""])
async def test_who_is_no_browser_gets_json(accept: str) -> None:
    answer = await shown(InvalidGrantError(HIDDEN), accept=accept)
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


@pytest.mark.anyio
async def test_what_was_not_granted_can_be_granted_now() -> None:
    answer = await shown(MissingScopeError(HIDDEN, missing=["activity:read_all"]), "/rides")
    assert (answer.status_code, link(answer)) == (403, "/strava/connect?next=%2Frides&approval_prompt=force")


@pytest.mark.anyio
async def test_other_errors_are_pages_too_and_lead_nowhere() -> None:
    error = QuotaExceededError(quota_class="read", window="read_15min", resume_at=100.0, wait_seconds=41.2)
    answer = await shown(error)
    assert (answer.status_code, answer.headers["retry-after"], link(answer)) == (503, "42", None)
    assert "Come back in 42 s." in answer.text


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "place", "address"),
    [
        ("/rides", {"prefixes": ["/a/b"]}, "/a/b/connect?next=%2Frides"),
        ("/rides", {"root_path": "/api"}, "/api/strava/connect?next=%2Fapi%2Frides"),
        ("/gr%C3%B6%C3%9Fe", {}, "/strava/connect?next=%2Fgr%25C3%25B6%25C3%259Fe"),
        ("/rides", {"method": "POST"}, "/strava/connect"),
        ("http://service.test//evil.test", {}, "/strava/connect"),
        ("/a%2F%2Fevil.test", {}, "/strava/connect"),
        ("/" + "a" * 600, {}, "/strava/connect"),
        ("/rides", {"prefixes": []}, None),
        ("/rides", {"prefixes": ["/{tenant}/strava"]}, None),
    ],
)
async def test_the_way_back_is_where_the_routes_are(path: str, place: dict[str, Any], address: str | None) -> None:
    answer = await shown(InvalidGrantError(HIDDEN), path, **place)
    assert (answer.status_code, link(answer)) == (401, address)


@pytest.mark.anyio
async def test_a_service_without_an_application_has_pages_too() -> None:
    app = FastAPI(exception_handlers=exception_handlers)

    @app.get("/")
    async def route() -> None:
        raise InvalidGrantError(HIDDEN)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service.test") as browser:
        answer = await browser.get("/", headers=BROWSER)
    assert (answer.status_code, link(answer)) == (401, None)
