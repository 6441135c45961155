"""The models: what the fields make of what Strava sends, and how it comes back out."""

import ast
import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

import polyline
import pytest
from pydantic import TypeAdapter, ValidationError, field_serializer

from strava_async import models
from strava_async.models import (
    ActivityStats,
    ActivityType,
    ActivityZone,
    AthleteSegmentStats,
    Comment,
    DetailedActivity,
    DetailedAthlete,
    GroupEvent,
    Lap,
    LatLng,
    Photo,
    PolylineMap,
    PrEffort,
    Route,
    SportType,
    StravaModel,
    SummaryActivity,
    SummaryClub,
    SummarySegment,
    Upload,
    ZoneRange,
    Zones,
    ZoneType,
)
from strava_async.models._reading import read_many, read_one
from tests.models.answers import Answered, answers

MODELS = [
    value
    for name in models.__all__
    if isinstance(value := getattr(models, name), type) and issubclass(value, StravaModel) and value is not StravaModel
]
Model = TypeVar("Model", bound=StravaModel)
LINE = "_p~iF~ps|U_ulLnnqC_mqNvxq`@"
POINTS = [LatLng(38.5, -120.2), LatLng(40.7, -120.95), LatLng(43.252, -126.453)]


def read(kind: type[Model], **fields: Any) -> Model:
    return read_one(kind, json.dumps(fields).encode(), on_invalid="raise")


# --- sports and other open enumerations


def test_a_known_sport_is_a_member() -> None:
    activity = read(SummaryActivity, sport_type="EMountainBikeRide", type="EBikeRide")
    assert activity.sport_type is SportType.E_MOUNTAIN_BIKE_RIDE
    assert activity.type is ActivityType.E_BIKE_RIDE


def test_a_sport_that_is_new_stays_the_text_and_goes_out_again() -> None:
    activity = read(SummaryActivity, sport_type="UnderwaterHockey", type="Ride")
    assert type(activity.sport_type) is str
    assert activity.model_dump(exclude_unset=True) == {"sport_type": "UnderwaterHockey", "type": ActivityType.RIDE}
    assert activity.model_dump(mode="json", exclude_unset=True) == {"sport_type": "UnderwaterHockey", "type": "Ride"}


def test_a_model_can_be_built_again_from_its_values() -> None:
    activity = read(SummaryActivity, sport_type="UnderwaterHockey", visibility="only_me", start_latlng=[1.5, 2.5])
    assert SummaryActivity(**activity.model_dump(exclude_unset=True)) == activity


def test_all_sports_of_the_reference_are_known() -> None:
    assert len(SportType) >= 56
    assert len(ActivityType) == 37
    assert {sport.value for sport in ActivityType} <= {sport.value for sport in SportType}


def test_the_sports_of_a_list_are_open_too() -> None:
    assert read(SummaryClub, activity_types=["Run", "Chess"]).activity_types == [SportType.RUN, "Chess"]


# --- numbers


def test_a_whole_number_may_come_as_a_float() -> None:
    activity = read(SummaryActivity, moving_time=474287.0, id=7.0)
    assert (activity.moving_time, type(activity.moving_time)) == (474287, int)
    assert activity.model_dump(mode="json", exclude_unset=True)["moving_time"] == 474287.0


def test_a_fraction_may_come_as_an_int() -> None:
    lap = read(Lap, total_elevation_gain=0, distance=966309)
    assert (lap.total_elevation_gain, type(lap.total_elevation_gain)) == (0.0, float)
    assert (
        json.dumps(lap.model_dump(mode="json", exclude_unset=True)) == '{"distance": 966309, "total_elevation_gain": 0}'
    )


@pytest.mark.parametrize("number", [656.5, 656.0, 656])
def test_numbers_that_strava_sends_as_floats_may_have_a_fraction(number: float) -> None:
    activity = read(SummaryActivity, suffer_score=number, max_heartrate=number)
    assert activity.suffer_score == activity.max_heartrate == number
    totals = read(ActivityStats, ytd_run_totals={"moving_time": number, "elapsed_time": number}).ytd_run_totals
    assert totals is not None
    assert totals.moving_time == totals.elapsed_time == number
    (zone,) = read(ActivityZone, distribution_buckets=[{"time": number}]).distribution_buckets or []
    assert zone.time == number


def test_ids_are_exact_beyond_what_a_float_holds() -> None:
    route = read_one(Route, b'{"id": 3329485690369457991, "id_str": "3329485690369457991"}')
    assert str(route.id) == route.id_str
    assert route.model_dump(mode="json")["id"] == route.raw["id"] == 3329485690369457991


# --- nothing, in its many forms


@pytest.mark.parametrize("nothing", [[], "", None])
def test_no_coordinates_and_no_line_are_none(nothing: Any) -> None:
    activity = read(SummaryActivity, start_latlng=nothing)
    assert activity.start_latlng is None
    assert activity.model_dump(mode="json", exclude_unset=True) == {"start_latlng": nothing}


@pytest.mark.parametrize("nothing", ["", None])
def test_an_empty_line_and_an_empty_date_are_none(nothing: Any) -> None:
    assert read(PolylineMap, polyline=nothing).polyline is None
    event = read(GroupEvent, created_at=nothing)
    assert event.created_at is None
    assert event.raw == {"created_at": nothing}


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)
def test_every_field_may_be_missing_or_null(kind: type[StravaModel]) -> None:
    assert set(kind().model_dump().values()) <= {None}
    assert read(kind, **dict.fromkeys(kind.model_fields)).model_dump() == dict.fromkeys(kind.model_fields)


def test_what_was_not_sent_is_distinguished_from_null() -> None:
    activity = read(SummaryActivity, gear_id=None)
    assert (activity.gear_id, activity.workout_type) == (None, None)
    assert activity.model_fields_set == {"gear_id"}


def test_the_highest_zone_has_no_upper_bound() -> None:
    zones = read(Zones, heart_rate={"zones": [{"min": 0, "max": 111}, {"min": 111, "max": -1}]})
    assert zones.power is None
    assert zones.heart_rate is not None
    low, high = zones.heart_rate.zones or []
    assert (low.max, high.max) == (111, None)
    assert high.model_dump(mode="json") == {"min": 111, "max": -1}


def test_an_athlete_may_have_no_id() -> None:
    comment = read(Comment, athlete={"resource_state": 2, "firstname": "Ada", "lastname": "L."})
    assert comment.athlete is not None
    assert (comment.athlete.id, comment.athlete.lastname) == (None, "L.")


# --- places


def test_a_place_has_degrees_by_name_and_is_a_list_in_json() -> None:
    activity = read(SummaryActivity, start_latlng=[40, -73.98])
    assert activity.start_latlng == LatLng(lat=40.0, lng=-73.98)
    assert activity.model_dump()["start_latlng"] == LatLng(40.0, -73.98)
    assert SummaryActivity(start_latlng=LatLng(40.0, -73.98)).model_dump(mode="json")["start_latlng"] == [40.0, -73.98]
    assert '"start_latlng":[40,-73.98]' in activity.model_dump_json()


# --- dates


def test_instants_are_aware_and_local_times_are_not() -> None:
    activity = read(SummaryActivity, start_date="2018-11-04T14:53:46Z", start_date_local="2018-11-04T09:53:46Z")
    assert activity.start_date == datetime(2018, 11, 4, 14, 53, 46, tzinfo=UTC)
    assert activity.start_date_local == datetime.fromisoformat("2018-11-04T09:53:46")
    assert activity.start_date_local.tzinfo is None


def test_an_instant_without_a_designator_is_utc() -> None:
    activity = read(SummaryActivity, start_date="2018-11-04T14:53:46", start_date_local="2018-11-04T09:53:46")
    assert activity.start_date == datetime(2018, 11, 4, 14, 53, 46, tzinfo=UTC)
    assert activity.start_date_local is not None
    assert activity.start_date_local.tzinfo is None


def test_an_instant_keeps_its_offset() -> None:
    instant = read(Comment, created_at="2018-11-04T14:53:46+02:00").created_at
    assert instant is not None
    assert instant.utcoffset() == timedelta(hours=2)


def test_an_instant_may_have_nine_digits_of_a_second() -> None:
    sent = "2015-04-29T18:11:09.400558047-07:00"
    comment = read(Comment, created_at=sent)
    assert comment.created_at is not None
    assert comment.created_at.microsecond == 400558
    assert comment.model_dump(mode="json", exclude_unset=True) == {"created_at": sent}


def test_a_record_has_a_day_or_as_the_reference_says_an_instant() -> None:
    assert read(AthleteSegmentStats, pr_date="2018-06-22").pr_date == date(2018, 6, 22)
    assert read(PrEffort, pr_date="2018-06-22T10:00:01Z").pr_date == datetime(2018, 6, 22, 10, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("timezone", "name"),
    [
        ("(GMT-05:00) America/New_York", "America/New_York"),
        ("America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
        ("", None),
        (None, None),
    ],
)
def test_the_time_zone_has_a_name(timezone: str | None, name: str | None) -> None:
    assert read(SummaryActivity, timezone=timezone).timezone_name == name


def test_a_time_zone_that_is_no_text_has_no_name() -> None:
    assert read_one(SummaryActivity, b'{"timezone": 5}').timezone_name is None


# --- what is not known, and what came


def test_unknown_fields_are_attributes_and_stand_in_raw() -> None:
    lap: Any = read(Lap, id=1, brand_new={"deep": [1]})
    assert lap.brand_new == {"deep": [1]}
    assert lap.model_extra == {"brand_new": {"deep": [1]}}
    assert lap.raw == lap.model_dump(mode="json", exclude_unset=True) == {"id": 1, "brand_new": {"deep": [1]}}
    assert not hasattr(lap, "newer_still")


def test_models_inside_have_their_own_raw() -> None:
    segment = {"id": 5, "start_latlng": [], "new": 1}
    activity = read(DetailedActivity, segment_efforts=[{"id": 1}, {"id": 2, "segment": segment}], map={"id": "a1"})
    assert activity.map is not None
    assert activity.segment_efforts is not None
    assert activity.segment_efforts[1].segment is not None
    assert activity.segment_efforts[1].segment.raw == segment
    assert activity.segment_efforts[0].raw == {"id": 1}
    assert activity.map.raw == {"id": "a1"}


def test_raw_of_a_model_that_nobody_sent_is_its_json() -> None:
    activity = SummaryActivity(id=5, sport_type=SportType.RUN, map=PolylineMap(id="a5"))
    assert activity.raw == {"id": 5, "sport_type": "Run", "map": {"id": "a5"}}


def test_models_do_not_change() -> None:
    activity, name = read(SummaryActivity, id=1), "id"
    with pytest.raises(ValidationError, match="frozen"):
        setattr(activity, name, 2)


@pytest.mark.parametrize("answer", answers(), ids=lambda answer: answer.path)
def test_what_the_emulator_answers_fits_and_comes_back_out(answer: Answered) -> None:
    found = answer.read(on_invalid="raise")
    sent = json.loads(answer.body)
    items = sent if answer.many else [sent]
    assert [model.model_dump(mode="json", exclude_unset=True) for model in found] == items
    assert [json.loads(model.model_dump_json(exclude_unset=True)) for model in found] == items
    assert [model.raw for model in found] == items


def test_the_emulator_sends_hardly_a_field_that_has_no_type() -> None:
    unknown = {name for answer in answers() for model in answer.read() for name in _untyped(model)}
    assert unknown == {"Photo.placeholder_image", "Xoms.destination"}


def _untyped(model: StravaModel) -> set[str]:
    found = {f"{type(model).__name__}.{name}" for name in model.model_extra or {}}
    for name in type(model).model_fields:
        value = getattr(model, name)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, StravaModel):
                found |= _untyped(item)
    return found


# --- copies and comparisons


COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "model_copy": lambda model: model.model_copy(),
    "model_copy(deep)": lambda model: model.model_copy(deep=True),
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("asked_before", [False, True])
def test_a_copy_is_equal_and_knows_what_came(way: str, asked_before: bool) -> None:
    sent = {"id": 1, "new": [1], "sport_type": "Run", "max_watts": "much", "map": {"id": "a1", "newer": 2}}
    activity = read_one(SummaryActivity, json.dumps(sent).encode())
    if asked_before:
        assert activity.raw == sent
    found = COPIES[way](activity)
    assert found == activity
    assert found is not activity
    assert found.raw == found.model_dump(mode="json", exclude_unset=True) == sent
    assert found.map.raw == {"id": "a1", "newer": 2}
    assert found.misfits == {"max_watts": "much"}
    assert found.model_fields_set == activity.model_fields_set


def test_equal_answers_are_equal_whatever_they_came_with() -> None:
    assert read(Lap, id=1, new=2) == read(Lap, new=2, id=1) == Lap.model_validate({"id": 1, "new": 2})
    assert read(Lap, id=1) != read(Lap, id=2)
    assert read(Lap, id=1, new=2) != read(Lap, id=1, new=3)
    first, second = read(SummaryActivity, id=1, map={"id": "a"}), read(DetailedActivity, laps=[{}], map={"id": "a"})
    assert first != second
    assert first.map == second.map


# --- JSON schema


@pytest.mark.parametrize("mode", ["validation", "serialization"])
@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)
def test_every_model_has_a_json_schema_with_its_fields(kind: type[StravaModel], mode: Any) -> None:
    schema = kind.model_json_schema(mode=mode)
    own = schema["$defs"][kind.__name__] if "$ref" in schema else schema
    assert set(own["properties"]) == set(kind.model_fields)
    assert "required" not in own


def test_the_schema_says_what_comes() -> None:
    schema = TypeAdapter(list[SummaryActivity]).json_schema(mode="serialization")
    fields = schema["$defs"]["SummaryActivity"]["properties"]
    assert fields["start_latlng"]["anyOf"][0]["maxItems"] == 2
    assert {"type": "string"} in fields["sport_type"]["anyOf"]
    assert "UnderwaterHockey" not in schema["$defs"]["SportType"]["enum"]


# --- lines on the map


def test_a_map_gives_the_points_of_its_line() -> None:
    assert read(PolylineMap, polyline=LINE).coordinates() == POINTS
    assert read(PolylineMap, summary_polyline=LINE).coordinates() == POINTS


def test_the_whole_line_goes_before_the_short_one() -> None:
    short = polyline.encode([(point.lat, point.lng) for point in POINTS[:2]])
    assert read(PolylineMap, polyline=LINE, summary_polyline=short).coordinates() == POINTS
    assert read(PolylineMap, polyline="", summary_polyline=short).coordinates() == POINTS[:2]


@pytest.mark.parametrize("nothing", ["", None])
def test_a_map_without_a_line_has_no_points(nothing: Any) -> None:
    assert read(PolylineMap, polyline=nothing, summary_polyline=nothing).coordinates() == []
    assert PolylineMap().coordinates() == []


GARBAGE = [LINE[:-1], LINE[:7], "_", "~" * 500, "~" * 500 + "??", "\x00", "🚴", "w", "~~~~~~~~B?"]


@pytest.mark.parametrize("line", GARBAGE)
def test_a_line_that_cannot_be_read_counts_as_not_there(line: str) -> None:
    assert PolylineMap(polyline=line).coordinates() == []
    assert PolylineMap(polyline=line, summary_polyline=LINE).coordinates() == POINTS


def test_a_line_that_is_no_text_counts_as_not_there() -> None:
    assert read_one(PolylineMap, b'{"polyline": [1], "summary_polyline": {}}').coordinates() == []


def test_the_emulators_lines_begin_where_the_activities_do() -> None:
    (activities,) = (answer.read() for answer in answers() if answer.path.startswith("/athlete/activities"))
    drawn = [one for one in activities if isinstance(one, SummaryActivity) and one.start_latlng]
    assert drawn
    for activity in drawn:
        assert activity.map is not None
        first, place = activity.map.coordinates()[0], activity.start_latlng
        assert place is not None
        assert first == pytest.approx(place, abs=2e-5)


def test_importing_the_models_leaves_polyline_alone() -> None:
    assert "polyline" in sys.modules  # this module does
    source = "import sys, strava_async.models; print('polyline' in sys.modules)"
    assert _run(source) == "False"


def _run(source: str) -> str:
    return subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout.strip()


# --- zones


@pytest.mark.parametrize(
    ("low", "high", "inside", "outside"),
    [
        (111, 139, [111, 120.5, 139], [110.9, 139.1, float("nan")]),
        (166, -1, [166, 1e9], [165]),
        (None, 100, [-1e9, 100], [101]),
    ],
)
def test_a_zone_contains_its_bounds_and_what_lies_between(
    low: float | None, high: float, inside: list[float], outside: list[float]
) -> None:
    zone = read(ZoneRange, min=low, max=high)
    assert all(zone.contains(value) for value in inside)
    assert not any(zone.contains(value) for value in outside)


def test_a_bound_that_is_no_number_bounds_nothing() -> None:
    assert read_one(ZoneRange, b'{"min": "low", "max": [1]}').contains(5)


def test_an_activity_has_zones_of_several_kinds() -> None:
    pace = read(ActivityZone, type="pace", score=8, distribution_buckets=[{"min": 2.964, "max": 3.443, "time": 4679}])
    assert pace.type is ZoneType.PACE
    assert pace.distribution_buckets is not None
    assert pace.distribution_buckets[0].contains(3.0)
    assert read(ActivityZone, type="humidity").type == "humidity"


# --- uploads

READY, FAILED = "Your activity is ready.", "There was an error processing your activity."
PROCESSING, DELETED = "Your activity is still being processed.", "The created activity has been deleted."


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"status": PROCESSING, "error": None, "activity_id": None}, "processing"),
        ({"status": READY, "error": None, "activity_id": 5}, "ready"),
        ({"status": FAILED, "error": "x duplicate of activity 5", "activity_id": None}, "error"),
        ({"status": FAILED, "error": "x", "activity_id": 5}, "error"),
        ({"status": DELETED, "error": None, "activity_id": None}, "deleted"),
        ({"status": DELETED, "error": None, "activity_id": 5}, "deleted"),
        ({"status": "Fertig!", "error": None, "activity_id": 5}, "ready"),
        ({"status": "Oje.", "error": "kaputt", "activity_id": None}, "error"),
        ({"status": "We are on it.", "error": None, "activity_id": None}, "processing"),
        ({"status": FAILED, "error": None, "activity_id": None}, "error"),
        ({"status": FAILED, "error": "", "activity_id": None}, "error"),
        ({"status": READY}, "ready"),
        ({"status": None}, "processing"),
        ({}, "processing"),
    ],
)
def test_the_state_of_an_upload_follows_from_its_fields(fields: dict[str, Any], state: str) -> None:
    assert read(Upload, **fields).state == state


def test_the_error_of_an_upload_is_cleaned_of_html() -> None:
    sent = "a.gpx duplicate of <a href='/activities/18106372042' target='_blank'>Tea &amp; cake</a>"
    upload = read(Upload, error=sent)
    assert (upload.error, upload.error_text) == (sent, "a.gpx duplicate of Tea & cake")
    assert read(Upload, error=None).error_text is None


def test_an_upload_whose_fields_do_not_fit_has_a_state_all_the_same() -> None:
    upload = read_one(Upload, b'{"status": 5, "error": {"code": 1}}')
    assert (upload.state, upload.error_text) == ("error", None)


# --- the package


def test_the_package_exports_what_the_modules_define() -> None:
    assert list(models.__all__) == sorted(models.__all__)
    assert all(hasattr(models, name) for name in models.__all__)
    assert {DetailedAthlete, Photo, SummarySegment} <= set(MODELS)


def test_every_field_is_explained_below_it() -> None:
    for path in Path(models.__file__).parent.glob("[a-z]*.py"):
        for made in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(made, ast.ClassDef) and made.name in {kind.__name__ for kind in MODELS}:
                for line, below in zip(made.body, [*made.body[1:], made], strict=True):
                    if isinstance(line, ast.AnnAssign):
                        assert isinstance(below, ast.Expr), ast.unparse(line)


def as_read(text: bytes) -> SummaryActivity:
    return read_one(SummaryActivity, text)


PLACED = b"""{
    "id": 1, "name": 5, "start_latlng": [1.5, 2.5], "map": {"summary_polyline": "_p~iF~ps|U"}, "new": {"a": 1, "b": 2}
}"""


def test_what_a_copy_leaves_out_does_not_come_back() -> None:
    activity = as_read(PLACED)
    assert activity.map is not None
    blank = activity.map.model_copy(update={"summary_polyline": None})
    for deep in (False, True):
        shown = activity.model_copy(update={"start_latlng": None, "map": blank, "name": "x"}, deep=deep)
        assert shown.raw == json.loads(shown.model_dump_json(exclude_unset=True))
        assert (shown.raw["start_latlng"], shown.raw["map"]["summary_polyline"]) == (None, None)
        assert (shown.raw["name"], dict(shown.misfits)) == ("x", {})
    assert activity.raw == json.loads(PLACED)


def test_a_copy_without_changes_came_from_strava_too() -> None:
    assert as_read(PLACED).model_copy().raw == json.loads(PLACED)


def test_a_serializer_of_a_subclass_has_the_last_word() -> None:
    class Hidden(SummaryActivity):
        @field_serializer("device_name")
        def _stars(self, value: object) -> str:
            return "***"

    dumped = read_one(Hidden, b'{"id": 1, "device_name": "secret"}').model_dump(mode="json", exclude_unset=True)
    assert dumped == {"id": 1, "device_name": "***"}


@pytest.mark.parametrize("mode", ["json", "python"])
def test_what_is_excluded_inside_of_a_value_is_left_out(mode: Literal["json", "python"]) -> None:
    inside = {"new": {"a"}, "map": {"summary_polyline"}}
    dumped = as_read(PLACED).model_dump(mode=mode, exclude_unset=True, exclude=inside)
    assert (dumped["new"], dumped["map"]) == ({"b": 2}, {})


@pytest.mark.parametrize("mode", ["json", "python"])
def test_an_invalid_value_is_dumped_unless_it_is_excluded(mode: Literal["json", "python"]) -> None:
    activity = as_read(PLACED)
    assert activity.model_dump(mode=mode, exclude_none=True)["name"] == 5
    assert activity.model_dump(mode=mode, exclude_defaults=True)["name"] == 5
    assert "name" not in activity.model_dump(mode=mode, exclude={"name"})
    assert activity.model_dump(mode=mode, include={"name"}) == {"name": 5}


def test_a_pickle_of_one_does_not_carry_its_neighbours() -> None:
    page = read_many(SummaryActivity, b'[{"id": 1, "map": {"id": "a1"}}, {"id": 2, "name": "next door"}]')
    kept = pickle.dumps(page[0])
    assert b"next door" not in kept
    again = pickle.loads(kept)
    assert (again, again.raw, again.map.raw) == (page[0], {"id": 1, "map": {"id": "a1"}}, {"id": "a1"})


def test_models_can_be_put_into_sets() -> None:
    assert len({as_read(b'{"id": 1}'), as_read(b'{"id": 1}'), as_read(b'{"id": 2}'), as_read(b'{"id": {}}')}) == 3


def test_a_repr_shows_what_came() -> None:
    assert repr(as_read(b'{"id": 1, "name": null, "new": 2}')) == "SummaryActivity(id=1, new=2)"
