"""The decision table, line by line."""

from typing import Any

import pytest

from strava_async.errors import (
    BadRequestError,
    DecodeError,
    FaultError,
    InputError,
    RateLimitedError,
    ServerError,
    StravaError,
    TransportError,
    UnauthorizedError,
)
from strava_async.request.options import RetryPolicy
from strava_async.request.pause import Pause
from strava_async.request.retry import Attempt, Decision, Step, decide

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
    error = RateLimitedError(status_code=429, window="read_15min")
    assert decide(attempt(idempotent=False), error, POLICY, 0.5) == Decision(Step.WAIT, 0.0)


@pytest.mark.parametrize(("jitter", "number", "seconds"), [(0.0, 1, 0.5), (0.5, 1, 0.75), (0.0, 2, 1.0), (1.0, 2, 2.0)])
def test_a_429_that_no_limiter_answers_for_backs_off(jitter: float, number: int, seconds: float) -> None:
    error = RateLimitedError(status_code=429)
    assert decide(attempt(number, idempotent=False), error, POLICY, jitter) == Decision(Step.WAIT, seconds)


def after(error: FaultError, seconds: float) -> FaultError:
    error.retry_after = seconds
    return error


def test_what_a_429_asks_for_comes_on_top_of_the_backoff() -> None:
    error = after(RateLimitedError(status_code=429), 10.0)
    assert decide(attempt(), error, POLICY, 0.0) == Decision(Step.WAIT, 10.5)


def test_a_429_that_asks_for_more_than_the_longest_wait_is_raised() -> None:
    for seconds in (10.1, 1e9):
        assert decide(attempt(), after(RateLimitedError(status_code=429), seconds), POLICY, 0.5) == RAISE


@pytest.mark.parametrize(("asked", "seconds"), [(0.0, 0.5), (7.0, 7.5), (10.0, 10.5), (1e9, 10.5)])
def test_what_a_503_asks_for_is_waited_for_up_to_the_longest_wait(asked: float, seconds: float) -> None:
    error = after(ServerError(status_code=503), asked)
    assert decide(attempt(), error, POLICY, 0.5) == Decision(Step.WAIT, seconds)
    assert decide(attempt(idempotent=False), error, POLICY, 0.5) == RAISE


def left(pause: Pause, now: float) -> float | None:
    """Return the error for a caller; None if it may send a request."""
    try:
        pause.check(now)
    except (RateLimitedError, ServerError) as error:
        return error.retry_after
    return None


def test_an_endpoint_that_refused_is_left_alone_as_long_as_it_said() -> None:
    pause = Pause()
    assert left(pause, 0.0) is None
    pause.note(after(RateLimitedError(status_code=429, method="POST", path="/oauth/token"), 60.0), POLICY, 100.0)
    with pytest.raises(RateLimitedError, match=r"429 for POST /oauth/token: .* may be sent in 20\.0 s") as caught:
        pause.check(140.0)
    assert (caught.value.retry_after, caught.value.attempts) == (20.0, 0)
    assert left(pause, 160.0) is None


def test_no_endpoint_is_left_alone_for_ever() -> None:
    pause = Pause()
    pause.note(after(RateLimitedError(status_code=429), 1e9), POLICY, 0.0)
    assert (left(pause, 1.0), left(pause, 900.0)) == (899.0, None)


def test_a_refusal_that_says_less_does_not_end_a_pause_sooner() -> None:
    pause = Pause()
    pause.note(after(RateLimitedError(status_code=429), 600.0), POLICY, 0.0)
    pause.note(RateLimitedError(status_code=429, attempts=1), POLICY, 1.0)  # of a call that was on its way
    assert left(pause, 10.0) == 590.0


def test_without_a_word_the_pause_goes_on_where_the_backoff_ended() -> None:
    pause = Pause()
    refused = RateLimitedError(status_code=429, attempts=2)
    pauses: list[float | None] = []
    for _ in range(4):
        pause.note(refused, POLICY, 0.0)
        pauses.append(left(pause, 0.0))
    assert pauses == [2.0, 4.0, 8.0, 10.0]
    pause.note(None, POLICY, 0.0)
    pause.note(refused, POLICY, 100.0)
    assert left(pause, 100.0) == 2.0


def test_a_503_is_left_alone_only_if_it_says_so() -> None:
    pause = Pause()
    pause.note(ServerError(status_code=503), POLICY, 0.0)
    pause.note(TransportError("gone", sent="maybe"), POLICY, 0.0)
    assert left(pause, 0.0) is None
    pause.note(after(ServerError(status_code=503), 30.0), POLICY, 0.0)
    with pytest.raises(ServerError, match="503"):
        pause.check(1.0)


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
def test_an_invalid_policy_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        RetryPolicy(**arguments)


@pytest.mark.parametrize("sent", ["never", "maybe"])
def test_what_ends_the_same_way_again_is_raised(sent: Any) -> None:
    error = TransportError("its certificate is refused", sent=sent, permanent=True)
    assert decide(attempt(), error, POLICY, 0.5) == RAISE
