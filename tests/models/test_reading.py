"""Invalid values are kept as they came, logged once, and affect nothing around them."""

import json
import logging
import math
from typing import Any

import pytest

from strava_async.errors import DecodeError
from strava_async.models import (
    DetailedActivity,
    Lap,
    LatLng,
    Photo,
    PrimaryPhoto,
    SportType,
    StravaModel,
    SummaryActivity,
    SummaryAthlete,
    SummaryClub,
    Upload,
)
from strava_async.models._reading import OnceLog, read_many, read_one

SECRET = "Kaiserstraße 5"


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def dumped(model: StravaModel) -> Any:
    return model.model_dump(mode="json", exclude_unset=True)


def field_of(model: StravaModel, name: str) -> Any:
    return getattr(model, name)


# --- values that do not fit


MISFITS = [
    (SummaryActivity, "id", "x"),
    (SummaryActivity, "distance", {"metres": 5}),
    (SummaryActivity, "moving_time", 5.5),
    (SummaryActivity, "name", 5),
    (SummaryActivity, "name", ["a"]),
    (SummaryActivity, "trainer", "perhaps"),
    (SummaryActivity, "start_date", "yesterday"),
    (SummaryActivity, "start_date", []),
    (SummaryActivity, "start_date_local", {}),
    (SummaryActivity, "start_latlng", [1]),
    (SummaryActivity, "start_latlng", [1, 2, 3]),
    (SummaryActivity, "start_latlng", ["1", "2"]),
    (SummaryActivity, "start_latlng", [1, None]),
    (SummaryActivity, "start_latlng", [10**400, 0]),
    (SummaryActivity, "start_latlng", 0),
    (SummaryActivity, "start_latlng", False),
    (SummaryActivity, "start_latlng", {}),
    (SummaryActivity, "start_latlng", {"lat": 1, "lng": 2}),
    (SummaryActivity, "start_latlng", "1,2"),
    (SummaryActivity, "sport_type", 5),
    (SummaryActivity, "sport_type", {"str": 1}),
    (SummaryActivity, "sport_type", {"str": {"str": 1}}),
    (SummaryClub, "activity_types", "Run"),
    (SummaryClub, "activity_types", ["Run", 5, None, {"str": []}]),
    (PrimaryPhoto, "urls", {"600": 5, "100": "https://x.invalid"}),
    (PrimaryPhoto, "urls", {"600": {"str": 5}}),
    (Photo, "sizes", {"600": [1, "x"], "100": 5}),
    (DetailedActivity, "laps", {"0": {"id": 1}}),
    (DetailedActivity, "laps", "many"),
]


@pytest.mark.parametrize(("kind", "name", "value"), MISFITS)
def test_a_value_that_does_not_fit_is_kept_as_it_came(kind: type[StravaModel], name: str, value: Any) -> None:
    sent = {name: value, "resource_state": 2, "other": 1}
    model = read_one(kind, encoded(sent))
    assert getattr(model, name) == value
    assert model.misfits == {name: value}
    assert model.raw == dumped(model) == json.loads(model.model_dump_json(exclude_unset=True)) == sent
    assert model.model_dump(exclude_unset=True) == sent
    assert name in model.model_fields_set


def test_what_fits_beside_it_is_typed() -> None:
    activity = read_one(SummaryActivity, encoded({"id": "x", "sport_type": "Run", "start_latlng": [1, 2], "new": 3}))
    assert (activity.sport_type, activity.start_latlng) == (SportType.RUN, LatLng(1.0, 2.0))
    assert activity.model_extra == {"new": 3}
    assert dict(activity.misfits) == {"id": "x"}


def test_an_answer_that_fits_has_no_invalid_values() -> None:
    assert read_one(Lap, b'{"id": 1}').misfits == {}


def test_nested_invalid_values_stay_in_place() -> None:
    sent: dict[str, Any] = {
        "map": {"polyline": 5},
        "segment_efforts": [{"id": 1}, {"id": "x", "segment": {"athlete_segment_stats": {"pr_date": {"date": 1}}}}],
        "photos": {"primary": {"urls": {"600": None}, "source": 1}},
        "similar_activities": {"trend": {"speeds": [1, "a", None], "direction": 0}},
    }
    activity = read_one(DetailedActivity, encoded(sent))
    assert dumped(activity) == activity.raw == sent
    assert activity.misfits == {}
    assert field_of(activity, "map").misfits == {"polyline": 5}
    efforts = field_of(activity, "segment_efforts")
    assert [effort.misfits for effort in efforts] == [{}, {"id": "x"}]
    assert efforts[1].segment.athlete_segment_stats.misfits == {"pr_date": {"date": 1}}
    assert field_of(activity, "photos").primary.source == 1
    assert field_of(activity, "similar_activities").trend.speeds == [1, "a", None]


# --- objects that are none


@pytest.mark.parametrize("value", [5, "x", True, [], [1], ["map"]])
def test_something_else_in_place_of_an_object_is_an_empty_model(value: Any) -> None:
    activity = read_one(SummaryActivity, encoded({"id": 1, "map": value}))
    found = field_of(activity, "map")
    assert found.model_fields_set == set()
    assert found.raw == value
    assert dumped(activity) == {"id": 1, "map": value}


@pytest.mark.parametrize("value", [None, 5, "x", [], [{"id": 1}]])
def test_a_body_that_is_no_object_is_an_empty_model(value: Any) -> None:
    athlete = read_one(SummaryAthlete, encoded(value))
    assert athlete.model_fields_set == set()
    assert athlete.raw == dumped(athlete) == value
    assert athlete.model_dump(exclude_unset=True) == {}


def test_items_of_a_list_inside_that_are_no_objects_are_empty_models() -> None:
    sent: dict[str, Any] = {"laps": [None, {"id": 1}, 5, [], {"id": "x"}]}
    activity = read_one(DetailedActivity, encoded(sent))
    laps = field_of(activity, "laps")
    assert [lap.id for lap in laps] == [None, 1, None, None, "x"]
    assert [lap.raw for lap in laps] == sent["laps"]
    assert dumped(activity) == sent


# --- lists


def test_one_bad_item_spoils_no_other() -> None:
    sent = [{"id": 1}, None, {"id": "x", "name": "a"}, 5, {"id": 4, "map": {"id": 5}}]
    laps = read_many(SummaryActivity, encoded(sent))
    assert [lap.raw for lap in laps] == [dumped(lap) for lap in laps] == sent
    assert [lap.id for lap in laps] == [1, None, "x", None, 4]
    assert [dict(lap.misfits) for lap in laps] == [{}, {}, {"id": "x"}, {}, {}]


def test_an_object_in_place_of_a_list_is_its_only_item() -> None:
    (lap,) = read_many(Lap, b'{"id": 1}')
    assert (lap.id, lap.raw) == (1, {"id": 1})


@pytest.mark.parametrize("value", [5, "x", True])
def test_something_else_in_place_of_a_list_is_one_empty_model(value: Any) -> None:
    (lap,) = read_many(Lap, encoded(value))
    assert (lap.model_fields_set, lap.raw) == (set(), value)


def test_null_in_place_of_a_list_and_an_empty_list_are_no_items() -> None:
    assert read_many(Lap, b"null") == read_many(Lap, b"[]") == []


# --- no JSON


@pytest.mark.parametrize("text", [b"", b" ", b"<html>", b'{"id": 1', b'{"id": 1} x', b'"\xff"', b"{'id': 1}"])
def test_a_body_that_is_no_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"Expecting|Extra data|decode"):
        read_one(Lap, text)
    with pytest.raises(ValueError, match=r"Expecting|Extra data|decode"):
        read_many(Lap, text)


# --- odd JSON


def test_half_a_surrogate_pair_is_replaced_and_is_in_raw() -> None:
    text = rb'{"name": "\ud83d", "new": "\ude00", "map": {"id": "\ud83d"}, "description": "\ud83d\ude00 fine"}'
    activity = read_one(DetailedActivity, text)
    assert (activity.name, activity.description) == ("\ufffd", "\U0001f600 fine")
    assert field_of(activity, "map").id == "\ufffd"
    assert activity.raw == json.loads(text)
    assert json.loads(activity.model_dump_json(exclude_unset=True)) == {
        "name": "\ufffd",
        "new": "\ufffd",
        "map": {"id": "\ufffd"},
        "description": "\U0001f600 fine",
    }


def test_a_field_whose_name_is_half_a_surrogate_pair_is_in_raw() -> None:
    text = rb'{"\ud83d": 1, "id": 5, "map": {"\ude00": {"\ude01": 2}}, "new": [{"\ude02": 3}]}'
    activity = read_one(SummaryActivity, text)
    assert activity.id == 5
    assert activity.raw == json.loads(text)
    assert json.loads(activity.model_dump_json(exclude_unset=True))["\ufffd"] == 1


def test_what_is_no_number_is_a_float_all_the_same() -> None:
    activity = read_one(SummaryActivity, b'{"distance": NaN, "average_speed": Infinity, "new": -Infinity, "id": 1}')
    assert activity.distance is not None
    assert math.isnan(activity.distance)
    assert (activity.average_speed, activity.id) == (math.inf, 1)
    assert field_of(activity, "new") == -math.inf
    assert read_one(SummaryActivity, b'{"id": NaN, "name": "a"}').name == "a"


@pytest.mark.parametrize("number", [2**63, -(2**64), 10**400, -(10**4000)])
def test_huge_numbers_are_exact(number: int) -> None:
    activity = read_one(SummaryActivity, encoded({"id": number, "new": number, "distance": number, "name": "a"}))
    assert (activity.id, field_of(activity, "new"), activity.name) == (number, number, "a")
    assert activity.raw["distance"] == dumped(activity)["distance"] == number


def test_an_answer_may_be_deep() -> None:
    deep: Any = 1
    for _ in range(230):
        deep = [deep]
    activity = read_one(SummaryActivity, encoded({"id": 5, "new": deep, "map": {"id": deep}}))
    assert (activity.id, field_of(activity, "new"), field_of(activity, "map").id) == (5, deep, deep)


def test_of_a_field_that_comes_twice_the_last_counts() -> None:
    lap = read_one(Lap, b'{"id": 1, "id": 2}')
    assert lap.id == lap.raw["id"] == 2


@pytest.mark.parametrize(
    "name",
    [
        "raw",
        "misfits",
        "model_dump",
        "with_source",
        "__class__",
        "__dict__",
        "_origin",
        "_misfits",
        "__pydantic_extra__",
        "",
        "a b",
    ],
)
@pytest.mark.parametrize("other", [{}, {"id": "x"}])
def test_a_field_may_have_the_name_of_anything(name: str, other: dict[str, Any]) -> None:
    sent = other | {name: {"id": 1}, "map": {name: 5}}
    activity = read_one(SummaryActivity, encoded(sent))
    assert isinstance(activity, SummaryActivity)
    assert (activity.model_extra or {})[name] == {"id": 1}
    assert activity.raw == dumped(activity) == activity.model_dump(exclude_unset=True) == sent
    assert activity.misfits == other


# --- telling


def test_on_invalid_raise_names_the_fields_but_shows_no_values() -> None:
    sent: dict[str, Any] = {
        "start_latlng": SECRET,
        "gear": {"name": [SECRET]},
        "laps": [{"id": SECRET}],
        "name": SECRET,
    }
    sent["photos"] = {"primary": {"urls": {SECRET: 5}}}
    with pytest.raises(DecodeError) as caught:
        read_one(DetailedActivity, encoded(sent), on_invalid="raise")
    assert "DetailedActivity.start_latlng is a string" in str(caught.value)
    assert "DetailedActivity.gear.name is a list" in str(caught.value)
    assert "DetailedActivity.laps[].id is a string" in str(caught.value)
    assert "DetailedActivity.photos.primary.urls[] is a number" in str(caught.value)
    assert SECRET not in f"{caught.value!r}{caught.value.__dict__}"
    assert caught.value.__cause__ is None


def test_no_traceback_of_a_refused_answer_shows_values() -> None:
    with pytest.raises(DecodeError) as caught:
        read_one(DetailedActivity, encoded({"start_latlng": SECRET}), on_invalid="raise")
    link: BaseException | None = caught.value
    while link is not None:
        assert SECRET not in str(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


@pytest.mark.parametrize("value", [{"id": 1}, 5, [None], [{"id": "x"}]])
def test_on_invalid_raise_takes_lists_at_their_word(value: Any) -> None:
    with pytest.raises(DecodeError, match="Lap"):
        read_many(Lap, encoded(value), on_invalid="raise")


def test_on_invalid_raise_lets_pass_what_fits_and_what_is_new() -> None:
    assert read_one(Upload, b'{"id": 1, "new": 2}', on_invalid="raise").id == 1
    assert [lap.id for lap in read_many(Lap, b'[{"id": 1}]', on_invalid="raise")] == [1]


class OnlyHere(StravaModel):
    """Of which nothing was said before."""

    name: str | None = None


def test_a_kind_of_invalid_value_is_logged_once_and_without_its_value(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="strava_async.models"):
        for _ in range(3):
            read_many(OnlyHere, encoded([{"name": [SECRET]}, {"name": [1]}, {"name": {}}]))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "OnlyHere.name is a list" in caplog.messages[0]
    assert "OnlyHere.name is an object" in caplog.messages[1]
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("value", "words"),
    [("x", "a string"), (True, "a boolean"), ([], "a list"), (5.5, "a number")],
)
def test_the_kind_of_an_invalid_value_is_named(value: Any, words: str) -> None:
    with pytest.raises(DecodeError, match=f"Lap is {words}"):
        read_one(Lap, encoded(value), on_invalid="raise")


def test_an_endless_variety_of_invalid_values_fills_no_memory() -> None:
    said = OnceLog(at_most=2)
    assert [said.is_new(text) for text in ("a", "b", "a", "c", "b")] == [True, True, False, False, False]


def test_one_invalid_value_on_a_page_leaves_the_other_items_as_they_were() -> None:
    items = [{"id": number, "map": {"id": f"a{number}"}} for number in range(20)]
    odd = [*items[:7], {"id": 7, "distance": {}}, *items[8:]]
    assert [*read_many(SummaryActivity, encoded(odd))[:7]] == read_many(SummaryActivity, encoded(items))[:7]
    assert [activity.raw for activity in read_many(SummaryActivity, encoded(odd))] == odd
