"""Errors of the library as HTTP answers."""

import json
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI

from strava_async import errors
from strava_async.errors import (
    ApplicationInactiveError,
    AthleteCapacityError,
    AuthorizationDeniedError,
    AuthorizationTimeoutError,
    BadRequestError,
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
from strava_async.fastapi import exception_handlers, problem_of

HIDDEN = "what only the operator is to know"

CASES: list[tuple[StravaError, int]] = [
    (QuotaExceededError(quota_class="read", window="read_15min", resume_at=100.0, wait_seconds=41.2), 503),
    (RateLimitedError(status_code=429, message=HIDDEN, resume_at=1_050.5), 503),
    (InvalidGrantError(HIDDEN), 401),
    (MissingScopeError(HIDDEN, missing=["activity:read"]), 403),
    (InsufficientScopeError(status_code=401, message=HIDDEN), 403),
    (AuthorizationDeniedError("access_denied"), 403),
    (InvalidStateError("expired"), 400),
    (UnverifiedWebhookError("forged"), 403),
    (AthleteCapacityError(status_code=403, message=HIDDEN), 403),
    (ApplicationInactiveError(status_code=403, message=HIDDEN), 403),
    (ForbiddenError(status_code=403, message=HIDDEN), 403),
    (NotFoundError(status_code=404, message=HIDDEN), 404),
    (PaymentRequiredError(status_code=402, message=HIDDEN), 402),
    (UploadError(HIDDEN), 422),
    (DuplicateUploadError(HIDDEN, activity_id=1), 409),
    (TransportError(HIDDEN, sent="maybe"), 502),
    (TransportError(HIDDEN, sent="maybe", timed_out=True), 504),
    (ServerError(status_code=500, message=HIDDEN), 502),
    (ServerError(status_code=504, message=HIDDEN), 504),
    (TokenStoreError(HIDDEN), 503),
    (DecodeError(HIDDEN, body_excerpt=HIDDEN), 502),
    (BadRequestError(status_code=400, message=HIDDEN), 502),
    (UnauthorizedError(status_code=401, message=HIDDEN), 502),
]
FAULTS_OF_THE_SERVICE = (InputError("wrong"), InvalidClientError("wrong"))


def kinds(kind: type[StravaError] = StravaError) -> Iterator[type[StravaError]]:
    for each in kind.__subclasses__():
        if each.__module__ == errors.__name__:
            yield each
            yield from kinds(each)


@pytest.mark.anyio
@pytest.mark.parametrize(("error", "status"), CASES, ids=[type(error).__name__ for error, _ in CASES])
async def test_a_route_that_raises_answers_with_a_problem(error: StravaError, status: int) -> None:
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
    assert HIDDEN not in answer.text
    assert ("retry-after" in answer.headers) == isinstance(error, QuotaExceededError | RateLimitedError)
    assert ("www-authenticate" in answer.headers) == (status == 401)


def test_every_kind_of_error_has_a_case_or_inherits_one() -> None:
    tried = {type(error) for error, _ in CASES} | {type(error) for error in FAULTS_OF_THE_SERVICE}
    only_bases = {errors.OAuthError, errors.FaultError}
    not_in_a_service = {AuthorizationTimeoutError, UploadTimeoutError}
    assert set(kinds()) - tried == only_bases | not_in_a_service


@pytest.mark.anyio
@pytest.mark.parametrize("error", FAULTS_OF_THE_SERVICE, ids=["InputError", "InvalidClientError"])
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
