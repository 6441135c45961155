"""The decision table, line by line."""

from typing import Any

import pytest

from strava_async.errors import (
    BadRequestError,
    DecodeError,
    InputError,
    RateLimitedError,
    ServerError,
    StravaError,
    TransportError,
    UnauthorizedError,
)
from strava_async.retry import Attempt, Decision, RetryPolicy, Step, decide

EXPIRED = UnauthorizedError(
    status_code=401, errors=[{"resource": "Athlete", "field": "access_token", "code": "invalid"}]
)
REFRESH, RAISE = Decision(Step.REFRESH), Decision(Step.RAISE)
POLICY = RetryPolicy(max_attempts=3, base_seconds=1.0, max_seconds=10.0)


def attempt(number: int = 1, *, idempotent: bool = True, replayable: bool = True, refreshable: bool = True) -> Attempt:
    return Attempt(number, idempotent, replayable, refreshable)


def test_an_expired_token_is_refreshed_even_for_a_post() -> None:
    assert decide(attempt(idempotent=False), EXPIRED, POLICY, 0.5) == REFRESH


def test_a_token_is_refreshed_once_per_call() -> None:
    assert decide(attempt(refreshable=False), EXPIRED, POLICY, 0.5) == RAISE


def test_a_used_up_stream_is_not_sent_again_after_a_refresh() -> None:
    assert decide(attempt(replayable=False), EXPIRED, POLICY, 0.5) == RAISE


def test_the_refresh_does_not_count_against_the_attempts() -> None:
    assert decide(attempt(3), EXPIRED, POLICY, 0.5) == REFRESH


@pytest.mark.parametrize(
    ("resource", "field"),
    [("AccessToken", "activity:read_permission"), ("Application", "internal"), ("Application", ""), ("Athlete", "id")],
)
def test_every_other_401_is_raised(resource: str, field: str) -> None:
    error = UnauthorizedError(status_code=401, errors=[{"resource": resource, "field": field, "code": "invalid"}])
    assert decide(attempt(), error, POLICY, 0.5) == RAISE


def test_a_401_without_errors_is_raised() -> None:
    error = UnauthorizedError(status_code=401)
    assert decide(attempt(), error, POLICY, 0.5) == RAISE


def test_after_a_429_the_limiter_does_the_waiting() -> None:
    error = RateLimitedError(status_code=429)
    assert decide(attempt(idempotent=False), error, POLICY, 0.5) == Decision(Step.WAIT, 0.0)


def test_a_used_up_stream_is_not_sent_again_after_a_429() -> None:
    error = RateLimitedError(status_code=429)
    assert decide(attempt(replayable=False), error, POLICY, 0.5) == RAISE


@pytest.mark.parametrize(
    "error", [ServerError(status_code=503), ServerError(status_code=597), TransportError("gone", sent="maybe")]
)
def test_what_may_have_arrived_is_repeated_only_if_that_does_no_harm(error: StravaError) -> None:
    assert decide(attempt(), error, POLICY, 0.5) == Decision(Step.WAIT, 0.5)
    assert decide(attempt(idempotent=False), error, POLICY, 0.5) == RAISE
    assert decide(attempt(replayable=False), error, POLICY, 0.5) == RAISE


def test_what_never_left_is_repeated_whatever_it_is() -> None:
    error = TransportError("refused", sent="never")
    assert decide(attempt(idempotent=False, replayable=False), error, POLICY, 0.5) == Decision(Step.WAIT, 0.5)


@pytest.mark.parametrize("error", [BadRequestError(status_code=400), DecodeError("HTML")])
def test_anything_else_is_raised(error: StravaError) -> None:
    assert decide(attempt(), error, POLICY, 0.5) == RAISE


@pytest.mark.parametrize(
    "error", [RateLimitedError(status_code=429), ServerError(status_code=500), TransportError("gone", sent="never")]
)
def test_the_last_attempt_is_the_last(error: StravaError) -> None:
    assert decide(attempt(3), error, POLICY, 0.5) == RAISE


def test_one_attempt_means_no_retry() -> None:
    error = ServerError(status_code=500)
    assert decide(attempt(), error, RetryPolicy(max_attempts=1), 0.5) == RAISE


def test_the_backoff_doubles_up_to_its_maximum() -> None:
    assert [POLICY.backoff(number, 1.0) for number in (1, 2, 3, 4, 5, 6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_the_jitter_is_full() -> None:
    assert POLICY.backoff(3, 0.0) == 0.0
    assert POLICY.backoff(3, 0.25) == 1.0


def test_the_backoff_does_not_overflow() -> None:
    assert POLICY.backoff(100_000, 0.5) == 5.0


@pytest.mark.parametrize("arguments", [{"max_attempts": 0}, {"base_seconds": -1.0}, {"max_seconds": float("nan")}])
def test_a_policy_that_makes_no_sense_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        RetryPolicy(**arguments)


@pytest.mark.parametrize("sent", ["never", "maybe"])
def test_what_ends_the_same_way_again_is_raised(sent: Any) -> None:
    error = TransportError("its certificate is refused", sent=sent, permanent=True)
    assert decide(attempt(), error, POLICY, 0.5) == RAISE
