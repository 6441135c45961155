"""Open, closing, closed: what may begin when."""

import pytest

from strava_async import InputError
from strava_async.request.lifecycle import Lifecycle, Stage


def refusals(lifecycle: Lifecycle) -> list[str]:
    refused: list[str] = []
    for check in (lifecycle.check_operations, lifecycle.check_requests):
        try:
            check()
        except InputError:
            refused.append(check.__name__)
    return refused


@pytest.mark.parametrize(
    ("stage", "refused"),
    [
        (Stage.OPEN, []),
        (Stage.CLOSING, ["check_operations"]),
        (Stage.CLOSED, ["check_operations", "check_requests"]),
    ],
)
def test_each_stage_lets_less_begin(stage: Stage, refused: list[str]) -> None:
    lifecycle = Lifecycle()
    lifecycle.advance(stage)
    assert refusals(lifecycle) == refused


def test_closing_once_more_opens_nothing_again() -> None:
    lifecycle = Lifecycle()
    lifecycle.advance(Stage.CLOSED)
    lifecycle.advance(Stage.CLOSING)
    assert lifecycle.stage is Stage.CLOSED
