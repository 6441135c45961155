"""Strength workouts: the document, and its upload."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from strava_async import ApiV3, Client, InputError, RateLimiter
from strava_async.models import SportType
from strava_async.models.strength import StrengthSet, checked_strength_sport, strength_document
from strava_async.testing import Emulator, FakeClock

START = datetime(2026, 1, 5, 19, 0, tzinfo=timezone(timedelta(hours=1)))
BENCH = StrengthSet("BENCH_PRESS", repetitions=8, weight=62.5, duration=timedelta(seconds=40))


def document(**changes: Any) -> dict[str, Any]:
    return strength_document(**{"start_time": START, "elapsed_time": 1800, "sets": [BENCH], **changes})


def test_a_workout_is_written_as_the_format_has_it() -> None:
    plank = StrengthSet("PLANK", duration=59.6, start_time=START + timedelta(minutes=5))
    streams = {"time": (0, 1), "active": [True, False], "heartrate": [90, 95]}
    made = document(
        sets=iter([BENCH, plank]),
        elapsed_time=timedelta(minutes=30),
        active_time=900.4,
        total_calories=250,
        creator="Gym",
        streams=streams,
    )
    assert json.loads(json.dumps(made)) == {
        "version": "1.0",
        "start_time": "2026-01-05T18:00:00Z",
        "utc_offset": 3600,
        "elapsed_time": 1800,
        "active_time": 900,
        "total_calories": 250,
        "creator": {"name": "Gym"},
        "streams": {"time": [0, 1], "active": [True, False], "heartrate": [90, 95]},
        "sets": [
            {"exercise_type": "BENCH_PRESS", "repetitions": 8, "weight": 62.5, "duration": 40},
            {"exercise_type": "PLANK", "duration": 60, "start_time": "2026-01-05T18:05:00Z"},
        ],
    }


def test_what_is_not_given_is_left_out() -> None:
    assert set(document()) == {"version", "start_time", "utc_offset", "elapsed_time", "sets"}


def test_times_may_stand_still_and_numbers_be_of_any_size() -> None:
    assert document(streams={"time": [0, 0, 5]})["streams"] == {"time": [0, 0, 5]}
    assert document(total_calories=10**400)["total_calories"] == 10**400


def test_the_clock_on_the_wall_may_be_given_apart() -> None:
    made = document(start_time=START.astimezone(UTC), utc_offset=-3600)
    assert (made["start_time"], made["utc_offset"]) == ("2026-01-05T18:00:00Z", -3600)


def test_a_start_in_utc_has_no_offset() -> None:
    assert document(start_time=START.astimezone(UTC))["utc_offset"] == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sets": []}, "at least one set"),
        ({"start_time": START.replace(tzinfo=None)}, "start_time is a datetime without a time zone"),
        ({"elapsed_time": 0}, "elapsed_time"),
        ({"elapsed_time": 0.2}, "elapsed_time"),
        ({"elapsed_time": -5}, "elapsed_time"),
        ({"elapsed_time": float("nan")}, "elapsed_time"),
        ({"active_time": timedelta(seconds=-1)}, "active_time"),
        ({"total_calories": float("inf")}, "total_calories"),
        ({"streams": {"time": [0, 1], "heartrate": [90]}}, "time 2, heartrate 1"),
        ({"streams": {"heartrate": [90]}}, "named time"),
        ({"streams": [0, 1]}, "by name"),
        ({"streams": {"time": [0, 1], "heartrate": [90, "95"]}}, "heartrate is not a list of numbers"),
        ({"streams": {"time": [0, 1], "heartrate": [90, float("nan")]}}, "heartrate is not a list of numbers"),
        ({"streams": {"time": 5}}, "time is not a list of numbers"),
        ({"streams": {"time": "05"}}, "time is not a list of numbers"),
        ({"streams": {"time": [0, 0.5]}}, "whole seconds"),
        ({"streams": {"time": [False, True]}}, "whole seconds"),
        ({"streams": {"time": [-1, 0]}}, "whole seconds"),
        ({"streams": {"time": [0, 2, 1]}}, "do not decrease"),
        ({"utc_offset": 0.5}, "utc_offset"),
        ({"utc_offset": True}, "utc_offset"),
        ({"sets": [{"exercise_type": "PLANK"}]}, "make it a StrengthSet"),
        ({"sets": None}, "list of StrengthSet"),
        ({"start_time": "2026-01-05T19:00:00Z"}, "start_time is not a datetime"),
        ({"start_time": None}, "start_time"),
        ({"start_time": datetime.min.replace(tzinfo=START.tzinfo)}, "start_time is out of"),
        ({"elapsed_time": "1800"}, "elapsed_time"),
        ({"elapsed_time": None}, "elapsed_time"),
    ],
)
def test_an_invalid_workout_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        document(**changes)


@pytest.mark.parametrize(
    "values",
    [
        {"exercise_type": ""},
        {"exercise_type": "bench press"},
        {"exercise_type": "BENCH_PRESS\n"},
        {"exercise_type": None},
        {"repetitions": "8"},
        {"repetitions": 8.5},
        {"weight": "62.5"},
        {"weight": True},
        {"duration": "40"},
        {"start_time": "2026-01-05T19:00:00Z"},
        {"repetitions": -1},
        {"weight": float("nan")},
        {"duration": -1},
        {"start_time": START.replace(tzinfo=None)},
    ],
)
def test_an_invalid_set_is_refused_when_it_is_made(values: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        StrengthSet(**{"exercise_type": "PLANK", **values})


def test_sports_that_strava_takes_no_sets_for_are_refused_and_new_ones_are_not() -> None:
    for sport in (SportType.WORKOUT, "Crossfit", "WeightTraining", "HighIntensityIntervalTraining", "Calisthenics"):
        checked_strength_sport(sport)
    for sport in (SportType.RUN, "Yoga"):
        with pytest.raises(InputError, match="Crossfit, HighIntensity"):
            checked_strength_sport(sport)


class Gym:
    """An athlete at the emulator."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.emulator = Emulator(clock=self.clock, years=0.1)
        http_client = httpx.AsyncClient(transport=httpx.ASGITransport(app=self.emulator.app))
        self.api = ApiV3(
            self.emulator.grant()["access_token"], http_client, RateLimiter(clock=self.clock, random=lambda: 0.5)
        )
        self.client = Client(self.api)

    async def activity(self, **changes: Any) -> Any:
        arguments = {"start_time": START, "elapsed_time": 1800, "sets": [BENCH], **changes}
        async with self.clock.autojump():
            upload = await self.client.uploads.wait(await self.client.uploads.strength(**arguments))
        return await self.api.get("/activities/{id}", id=upload.activity_id)


@pytest.mark.anyio
async def test_a_workout_becomes_an_activity_of_its_sport_and_times() -> None:
    gym = Gym()
    activity = await gym.activity(sport_type="Crossfit", name="Legs", description="d", external_id="w1", trainer=True)
    assert (activity["sport_type"], activity["name"], activity["description"]) == ("Crossfit", "Legs", "d")
    assert (activity["start_date"], activity["elapsed_time"]) == ("2026-01-05T18:00:00Z", 1800)
    assert (activity["external_id"], activity["trainer"]) == ("w1.json", True)


@pytest.mark.anyio
async def test_a_workout_is_weight_training_named_by_its_start_unless_told() -> None:
    activity = await Gym().activity()
    assert (activity["sport_type"], activity["external_id"]) == ("WeightTraining", "strength-2026-01-05T180000Z.json")


@pytest.mark.anyio
async def test_the_heart_rate_of_a_workout_is_a_stream_of_its_activity() -> None:
    gym = Gym()
    activity = await gym.activity(streams={"time": [0, 600, 1800], "heartrate": [90, 150, 120]})
    streams = await gym.api.get(
        "/activities/{id}/streams", id=activity["id"], keys="time,heartrate", key_by_type=True, series_type="time"
    )
    assert (streams["time"]["data"], streams["heartrate"]["data"]) == ([0, 600, 1800], [90, 150, 120])
    assert (activity["max_heartrate"], activity["elapsed_time"]) == (150, 1800)


@pytest.mark.anyio
async def test_what_cannot_be_a_workout_is_not_sent() -> None:
    gym = Gym()
    refused: list[dict[str, Any]] = [{"sets": []}, {"sport_type": "Run"}, {"streams": {"time": [object()]}}]
    for changes in refused:
        arguments: dict[str, Any] = {"start_time": START, "elapsed_time": 5, "sets": [BENCH], **changes}
        with pytest.raises(InputError):
            await gym.client.uploads.strength(**arguments)
    assert gym.emulator.count() == 0


FORMAT = {"version": "1.0", "start_time": "2026-01-03T18:00:00Z", "utc_offset": 0, "elapsed_time": 60}
SETS = {"sets": [{"exercise_type": "PLANK"}]}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "ready"),
        ({"streams": {"time": [0, 5, 99], "heartrate": [None, 0, 120]}}, "ready"),
        ({"streams": {"time": [], "heartrate": []}}, "ready"),
        ({"streams": {"time": [0, 5], "heartrate": [90]}}, "error"),
        ({"streams": {"heartrate": [90]}}, "error"),
        ({"streams": {"time": ["0"]}}, "error"),
        ({"streams": {"time": 5}}, "error"),
        ({"streams": {}}, "error"),
        ({"streams": []}, "error"),
        ({"utc_offset": None}, "error"),
        ({"elapsed_time": True}, "error"),
    ],
)
async def test_the_emulator_judges_the_format(changes: dict[str, Any], state: str) -> None:
    gym = Gym()
    content = json.dumps({**FORMAT, **SETS, **changes}).encode()
    upload = await gym.client.uploads.create(content, data_type="json")
    gym.clock.advance(2)
    assert (await gym.client.uploads.get(upload.id or 0)).state == state
