"""What is read of streams, whatever they hold."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strava_async.tracks.samples import COLUMNS, INTEGERS, MAX_SAMPLES, NUMBERS, TRUTHS, Samples, read_samples

_ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-5, 5),
    st.floats(),
    st.text(max_size=3),
    st.just([]),
    st.lists(st.one_of(st.floats(-400, 400), st.integers(-400, 400), st.none(), st.text(max_size=1)), max_size=3),
)
_NAMES = st.sampled_from(["latlng", *INTEGERS, *NUMBERS, *TRUTHS, "of_the_future"])
_STREAMS = st.dictionaries(_NAMES, st.one_of(_ODD, st.fixed_dictionaries({"data": st.one_of(_ODD, st.lists(_ODD))})))


def of(**streams: list[Any]) -> Samples:
    return read_samples({name: {"data": data} for name, data in streams.items()})


@given(_STREAMS)
@settings(max_examples=200, deadline=None)
def test_whatever_comes_columns_have_one_type_and_one_length(streams: dict[str, Any]) -> None:
    samples = read_samples(streams)
    assert samples.columns.keys() <= set(COLUMNS)
    assert ("lat" in samples.columns) == ("lng" in samples.columns)
    came = 0
    for name, column in samples.columns.items():
        assert len(column) == samples.size
        values = [value for value in column if value is not None]
        assert values
        came += len(values) if name != "lng" else 0
        if name in INTEGERS:
            assert all(type(value) is int and -(2**31) <= value < 2**31 for value in values)
        elif name in TRUTHS:
            assert all(type(value) is bool for value in values)
        else:
            assert all(type(value) in (int, float) and math.isfinite(value) for value in values)
    if "lat" in samples.columns:
        for lat, lng in zip(samples.get("lat"), samples.get("lng"), strict=True):
            assert (lat is None) == (lng is None)
            assert lat is None or (abs(lat) <= 90 and abs(lng) <= 180)
    # Nothing is lost without being counted.
    known = [stream for name, stream in streams.items() if name != "of_the_future" and stream is not None]
    given_values = sum(
        len([value for value in stream["data"] if value is not None and value != []])
        for stream in known
        if isinstance(stream, dict) and isinstance(stream["data"], list)
    )
    assert came <= given_values <= came + samples.unreadable


@pytest.mark.parametrize(
    ("name", "data", "read", "unreadable"),
    [
        ("heartrate", [100, None, 101], [100, None, 101], 0),
        ("heartrate", [100.0, "x", True, 2**31, math.nan, 100.5, -1], [100, None, None, None, None, None, -1], 5),
        ("distance", [0, 1.5, math.inf, -math.inf, 10**400, "1", None], [0, 1.5, None, None, None, None, None], 4),
        ("moving", [True, 1, None, False], [True, None, None, False], 1),
        ("temp", [], None, 0),
        ("temp", [None, None], None, 0),
    ],
)
def test_what_does_not_fit_is_missing_and_counted(
    name: str, data: list[Any], read: list[Any] | None, unreadable: int
) -> None:
    samples = of(**{name: data})
    assert samples.columns.get(name) == read
    assert samples.unreadable == unreadable


def test_places_are_on_earth() -> None:
    samples = of(latlng=[[1, 2.5], [], None, [91, 0], [0, 181], [0, -190.5], [0, 361], [math.nan, 0], [1], "x"])
    assert samples.get("lat") == [1, None, None, None, 0, 0, None, None, None, None]
    assert samples.get("lng") == [2.5, None, None, None, -179, 169.5, None, None, None, None]
    assert samples.unreadable == 5


def test_a_column_that_is_shorter_is_filled_up_and_counted() -> None:
    samples = of(time=[0, 1, 2], latlng=[[1, 2]], heartrate=[1, 2, 3])
    assert (samples.size, samples.unreadable) == (3, 1)
    assert samples.columns["lat"] == [1, None, None]
    assert samples.columns["lng"] == [2, None, None]


def test_no_column_is_longer_than_a_bound() -> None:
    samples = of(time=[0] * (MAX_SAMPLES + 5))
    assert (samples.size, samples.unreadable) == (MAX_SAMPLES, 5)


@pytest.mark.parametrize("streams", [[], "x", 5, {"time": 5}, {"time": {"data": 5}}, {"time": {}}])
def test_what_is_no_stream_is_counted(streams: Any) -> None:
    assert read_samples(streams) == Samples({}, 0, 1)
    assert read_samples(None) == read_samples({}) == Samples({}, 0, 0)
