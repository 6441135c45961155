"""The odd values that Strava really sends are there, in about the shares that it sends them."""

import functools
from collections import Counter
from datetime import datetime

from strava_async.testing.world import AthleteWorld, Json, generate_athlete

NOW = 1_767_693_600.0

SUMMARY_ORDER = [
    "resource_state",
    "athlete",
    "name",
    "distance",
    "moving_time",
    "elapsed_time",
    "total_elevation_gain",
    "type",
    "sport_type",
    "workout_type",
    "id",
    "start_date",
    "start_date_local",
    "timezone",
    "utc_offset",
    "location_city",
    "location_state",
    "location_country",
    "achievement_count",
    "kudos_count",
    "comment_count",
    "athlete_count",
    "photo_count",
    "map",
    "trainer",
    "commute",
    "manual",
    "private",
    "visibility",
    "flagged",
    "gear_id",
    "start_latlng",
    "end_latlng",
    "average_speed",
    "max_speed",
    "average_cadence",
    "average_temp",
    "average_watts",
    "max_watts",
    "weighted_average_watts",
    "device_watts",
    "kilojoules",
    "has_heartrate",
    "average_heartrate",
    "max_heartrate",
    "heartrate_opt_out",
    "display_hide_heartrate_option",
    "elev_high",
    "elev_low",
    "upload_id",
    "upload_id_str",
    "external_id",
    "from_accepted_tag",
    "pr_count",
    "total_photo_count",
    "has_kudoed",
    "suffer_score",
]
OPTIONAL = {
    "workout_type",
    "average_cadence",
    "average_temp",
    "average_watts",
    "max_watts",
    "weighted_average_watts",
    "device_watts",
    "kilojoules",
    "average_heartrate",
    "max_heartrate",
    "elev_high",
    "elev_low",
    "upload_id_str",
    "suffer_score",
}


@functools.cache
def world() -> AthleteWorld:
    return generate_athlete(1001, seed=1, now=NOW)


def activities(sport_type: str | None = None, *, manual: bool = False) -> list[Json]:
    return [
        activity
        for activity in world().activities
        if sport_type in (None, activity["sport_type"]) and (manual or not activity["manual"])
    ]


def share_with(key: str) -> float:
    found = activities(manual=True)
    return sum(key in activity for activity in found) / len(found)


def test_keys_come_in_one_order_and_only_some_may_be_missing() -> None:
    for activity in activities(manual=True):
        assert list(activity) == [key for key in SUMMARY_ORDER if key in activity]
        assert set(SUMMARY_ORDER) - set(activity) <= OPTIONAL


def test_optional_keys_are_missing_rather_than_null() -> None:
    nullable = {"location_city", "location_state", "location_country", "gear_id", "workout_type"}
    nullable |= {"upload_id", "external_id"}  # of manual entries
    for activity in activities(manual=True):
        assert {key for key, value in activity.items() if value is None} <= nullable


def test_the_shares_of_optional_keys_are_believable() -> None:
    assert 0.60 < share_with("workout_type") < 0.90
    assert 0.50 < share_with("average_cadence") < 0.75
    assert 0.55 < share_with("average_temp") < 0.85
    assert 0.85 < share_with("average_heartrate") < 0.97
    assert share_with("suffer_score") == share_with("average_heartrate") == share_with("max_heartrate")
    assert 0.65 < share_with("elev_high") < 0.95


def test_activities_without_gps_have_empty_coordinates_and_polyline() -> None:
    for sport_type in ("Swim", "Yoga", "VirtualRide"):
        for activity in activities(sport_type):
            assert activity["start_latlng"] == activity["end_latlng"] == []
            assert activity["map"]["summary_polyline"] == ""
            assert "elev_high" not in activity


def test_ints_stand_where_floats_are_usual() -> None:
    yoga, run = activities("Yoga")[0], activities("Run")[0]
    assert (type(yoga["max_speed"]), type(run["max_speed"])) == (int, float)
    assert (type(yoga["total_elevation_gain"]), type(run["total_elevation_gain"])) == (int, float)
    assert {type(activity["distance"]) for activity in activities(manual=True)} == {float}


def test_floats_stand_where_ints_are_declared() -> None:
    for activity in activities():
        if activity["has_heartrate"]:
            assert type(activity["max_heartrate"]) is type(activity["suffer_score"]) is float
            assert activity["max_heartrate"].is_integer()
            assert activity["suffer_score"].is_integer()
        assert type(activity["utc_offset"]) is float


def test_workout_types_are_strava_numbers_or_null_or_absent() -> None:
    assert {activity["workout_type"] for activity in activities("Run", manual=True)} == {None, 0, 1, 2, 3}
    assert {activity["workout_type"] for activity in activities("Ride", manual=True)} <= {None, 10, 11, 12}
    assert all("workout_type" not in activity for activity in activities("Swim", manual=True))


def test_local_time_is_the_wall_clock_with_a_false_z() -> None:
    for activity in activities(manual=True):
        local, utc = (datetime.fromisoformat(activity[key]) for key in ("start_date_local", "start_date"))
        assert activity["start_date_local"].endswith("Z")
        assert (local - utc).total_seconds() == activity["utc_offset"]


def test_the_label_names_winters_offset_all_year() -> None:
    home = Counter(activity["timezone"] for activity in activities()).most_common(1)[0][0]
    assert home == "(GMT-07:00) America/Denver"
    offsets = {
        activity["start_date"][5:7]: activity["utc_offset"] for activity in activities() if activity["timezone"] == home
    }
    assert (offsets["01"], offsets["07"]) == (-25_200.0, -21_600.0)


def test_a_few_starts_are_hidden_at_a_second_past_midnight() -> None:
    hidden = [activity for activity in activities() if activity["start_date_local"].endswith("T00:00:01Z")]
    assert 1 <= len(hidden) <= 20


def test_manual_entries_have_no_upload_and_no_streams() -> None:
    manual = [activity for activity in activities(manual=True) if activity["manual"]]
    assert 3 < len(manual) < 40
    for activity in manual:
        assert activity["upload_id"] is activity["external_id"] is None
        assert "upload_id_str" not in activity
        assert world().streams(activity["id"]) is None
        assert world().laps(activity["id"]) == []
        assert world().activity_zones(activity["id"]) == []
        assert world().detail(activity["id"])["available_zones"] == (["pace"] if activity["type"] == "Run" else [])


def test_upload_ids_have_a_twin_of_text() -> None:
    for activity in activities():
        assert activity["upload_id_str"] == str(activity["upload_id"])


def test_external_ids_have_the_forms_of_several_devices() -> None:
    beginnings = Counter(activity["external_id"].split("_")[0][:7] for activity in activities())
    assert {"garmin", "zwift-a"} <= set(beginnings)
    assert any(activity["external_id"].endswith(".tcx") for activity in activities())
    ids = [activity["external_id"] for activity in activities()]
    assert len(set(ids)) == len(ids)


def test_some_activities_are_for_followers_and_some_for_nobody() -> None:
    found = Counter(activity["visibility"] for activity in activities())
    assert set(found) == {"everyone", "followers_only", "only_me"}
    assert found["everyone"] > 0.75 * found.total()
    for activity in activities():
        assert activity["private"] == (activity["visibility"] == "only_me")
        if activity["private"]:
            assert activity["kudos_count"] == activity["comment_count"] == 0


def test_names_hold_what_breaks_programs() -> None:
    names = {activity["name"] for activity in activities()}
    assert "Morning Run" in names
    assert any(not name.isascii() for name in names)
    assert any("🏃" in name or "🎄" in name or "😅" in name for name in names)
    assert any("<" in name or '"' in name for name in names)


def test_rides_with_a_meter_have_watts_and_others_an_estimate() -> None:
    metered = [activity for activity in activities("Ride") if activity.get("device_watts")]
    estimated = [activity for activity in activities("Ride") if activity.get("device_watts") is False]
    assert metered
    assert estimated
    assert all("max_watts" not in activity for activity in estimated)
    assert "watts" in (world().streams(metered[0]["id"]) or {})
    assert "watts" not in (world().streams(estimated[0]["id"]) or {})
    for activity in metered + estimated:
        assert abs(activity["kilojoules"] - activity["average_watts"] * activity["moving_time"] / 1000) < 0.1


def test_a_detail_is_the_summary_and_more() -> None:
    for sport_type in ("Run", "Ride", "Swim", "Yoga"):
        activity = activities(sport_type)[-1]
        detail = world().detail(activity["id"])
        same = set(activity) - {"resource_state", "map"}
        assert {key: detail[key] for key in same} == {key: activity[key] for key in same}
        assert detail["resource_state"] == detail["map"]["resource_state"] == 3
        assert list(detail)[: len(activity)] == list(activity)
        more = {"description", "calories", "segment_efforts", "laps", "photos", "stats_visibility", "hide_from_home"}
        assert more | {"device_name", "embed_token", "available_zones", "perceived_exertion"} <= set(detail)


def test_a_run_has_splits_best_efforts_gear_and_its_like() -> None:
    run = next(activity for activity in reversed(activities("Run")) if activity["gear_id"])
    detail = world().detail(run["id"])
    assert detail["gear"]["id"] == run["gear_id"]
    assert detail["gear"]["resource_state"] == 2
    assert {"splits_metric", "splits_standard", "best_efforts", "similar_activities"} <= set(detail)
    trend = detail["similar_activities"]["trend"]
    assert trend["speeds"][trend["current_activity_index"]] == run["average_speed"]


def test_photos_are_counted_or_null() -> None:
    found = {bool(activity["total_photo_count"]): activity["id"] for activity in activities()}
    assert world().detail(found[False])["photos"] == {"primary": None, "count": 0}
    photos = world().detail(found[True])["photos"]
    assert photos["count"] > 0
    assert set(photos["primary"]["urls"]) == {"100", "600"}


def test_the_top_zone_ends_at_minus_one() -> None:
    for kind in ("heart_rate", "power"):
        zones = world().zones[kind]["zones"]
        assert zones[-1]["max"] == -1
        assert zones[0]["min"] == 0
        assert sum(zone["max"] == -1 for zone in zones) == 1


def test_pace_zones_have_float_bounds_and_heart_rate_zones_float_times() -> None:
    run = next(activity for activity in activities("Run") if activity["has_heartrate"])
    heartrate, pace = world().activity_zones(run["id"])
    assert (heartrate["type"], pace["type"]) == ("heartrate", "pace")
    assert {"points", "custom_zones"} <= set(heartrate)
    assert not {"points", "custom_zones"} & set(pace)
    assert {type(bucket["time"]) for bucket in heartrate["distribution_buckets"]} == {float}
    assert heartrate["score"] == run["suffer_score"]
    assert type(pace["distribution_buckets"][0]["max"]) is float
    assert heartrate["distribution_buckets"][-1]["max"] == pace["distribution_buckets"][-1]["max"] == -1


def test_laps_and_efforts_point_back_at_their_activity() -> None:
    run = activities("Run")[-1]
    detail = world().detail(run["id"])
    reference = {"id": run["id"], "visibility": run["visibility"], "resource_state": 1}
    for part in detail["laps"] + detail["segment_efforts"] + detail["best_efforts"]:
        assert part["activity"] == reference
        assert part["athlete"] == {"id": 1001, "resource_state": 1}
