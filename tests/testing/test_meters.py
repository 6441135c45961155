"""Strava's four meters."""

import pytest

from strava_async.testing.meters import MeterLimits, Meters

TEN_OCLOCK = 1_767_693_600.0  # 2026-01-06 10:00:00 UTC
NEXT_MIDNIGHT = 1_767_744_000.0

SMALL = MeterLimits(overall_15min=4, overall_day=8, read_15min=2, read_day=5)


def test_a_read_spends_all_four_meters():
    meters = Meters()
    meters.count("read", TEN_OCLOCK)
    assert meters.usage(TEN_OCLOCK) == {"read_15min": 1, "read_day": 1, "overall_15min": 1, "overall_day": 1}


def test_an_upload_spends_the_overall_meters_only():
    meters = Meters()
    meters.count("upload", TEN_OCLOCK)
    assert meters.usage(TEN_OCLOCK) == {"read_15min": 0, "read_day": 0, "overall_15min": 1, "overall_day": 1}


def test_the_request_that_fills_a_meter_is_served_and_the_next_is_not():
    meters = Meters(SMALL)
    verdicts = [meters.count("read", TEN_OCLOCK) for _ in range(3)]
    assert [verdict.accepted for verdict in verdicts] == [True, True, False]
    assert verdicts[2].exceeded == "read"


def test_a_full_read_meter_leaves_room_for_uploads():
    meters = Meters(SMALL)
    for _ in range(2):
        meters.count("read", TEN_OCLOCK)
    assert meters.count("upload", TEN_OCLOCK).accepted


def test_a_full_overall_meter_refuses_uploads_and_is_named_before_the_read_meter():
    meters = Meters(SMALL)
    for _ in range(4):
        meters.count("upload", TEN_OCLOCK)
    assert meters.count("upload", TEN_OCLOCK).exceeded == "overall"
    meters.count("read", TEN_OCLOCK)
    meters.count("read", TEN_OCLOCK)
    assert meters.count("read", TEN_OCLOCK).exceeded == "overall"


def test_refused_requests_are_counted_too():
    meters = Meters(SMALL)
    for _ in range(7):
        meters.count("read", TEN_OCLOCK)
    assert meters.usage(TEN_OCLOCK)["read_day"] == 7


def test_the_quarter_meters_start_again_at_the_quarter_and_the_day_meters_do_not():
    meters = Meters(SMALL)
    for _ in range(3):
        meters.count("read", TEN_OCLOCK + 899.999)
    assert meters.count("read", TEN_OCLOCK + 900).accepted
    assert meters.usage(TEN_OCLOCK + 900) == {"read_15min": 1, "read_day": 4, "overall_15min": 1, "overall_day": 4}


def test_a_full_day_meter_refuses_until_midnight_utc():
    meters = Meters(SMALL)
    for quarter in range(5):
        assert meters.count("read", TEN_OCLOCK + 900 * quarter).accepted
    assert not meters.count("read", NEXT_MIDNIGHT - 0.001).accepted
    assert meters.count("read", NEXT_MIDNIGHT).accepted
    assert meters.usage(NEXT_MIDNIGHT)["read_day"] == 1


@pytest.mark.parametrize(("rate_class", "read"), [("read", "1,1"), ("upload", "0,0")])
def test_the_headers_tell_limits_and_the_usage_after_the_request(rate_class, read):
    assert Meters(SMALL).count(rate_class, TEN_OCLOCK).headers == {
        "X-RateLimit-Limit": "4,8",
        "X-RateLimit-Usage": "1,1",
        "X-ReadRateLimit-Limit": "2,5",
        "X-ReadRateLimit-Usage": read,
    }


def test_new_limits_hold_at_once():
    meters = Meters(SMALL)
    meters.count("read", TEN_OCLOCK)
    meters.limits = MeterLimits(read_15min=1)
    assert meters.count("read", TEN_OCLOCK).exceeded == "read"
