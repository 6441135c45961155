"""Whatever Strava sends in place of streams, it is read, kept, and aligned."""

import json
import math
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strava_async.models import LatLng, StreamSet, StreamType
from strava_async.models._read_streams import read_streams

NUMBERS = st.integers() | st.floats() | st.just(10**400)
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=4)
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
PAIRS = st.lists(st.floats(-180, 180), min_size=2, max_size=2)
FITTING: dict[str, st.SearchStrategy[Any]] = {
    "time": st.integers(0, 100_000),
    "latlng": PAIRS,
    "moving": st.booleans(),
    "heartrate": st.integers(30, 220),
    "altitude": st.floats(-400, 9_000),
}
NAMES = st.sampled_from([*FITTING, "new", "lat", "lng", "type", ""]) | st.text(
    st.characters(codec=None, exclude_categories=()), max_size=3
)
ABOUT = st.fixed_dictionaries(
    {}, optional={"series_type": LEAVES, "resolution": LEAVES, "original_size": LEAVES, "more": ANYTHING}
)


@st.composite
def streams_of(draw: st.DrawFn, kind: str) -> Any:
    """Draw a stream: mostly right, at times with another length, gaps, or something else somewhere."""
    right = FITTING.get(kind, st.integers())
    some = draw(st.sampled_from([right, right, right | st.none(), right | st.none() | ANYTHING]))
    data = draw(st.one_of(st.lists(some, min_size=3, max_size=3), st.lists(some, max_size=5), ANYTHING))
    return draw(st.just({**draw(ABOUT), "data": data}) | ABOUT | ANYTHING)


@st.composite
def answers(draw: st.DrawFn) -> Any:
    """Draw an answer in either shape, or something else."""
    kinds = draw(st.lists(NAMES, max_size=5))
    by_type = [(kind, draw(streams_of(kind))) for kind in kinds]
    listed = [{"type": kind, **each} if isinstance(each, dict) else each for kind, each in by_type]
    return draw(st.sampled_from([dict(by_type), listed]) | ANYTHING)


def same(one: Any, other: Any) -> bool:
    """Say whether two JSON values are the same, NaN included."""
    return json.dumps(one) == json.dumps(other)


@given(answers())
@settings(max_examples=300)
def test_reading_and_iterating_never_fail_and_agree(answer: Any) -> None:
    streams = read_streams(json.dumps(answer).encode())
    samples, rows, columns = list(streams), list(streams.rows()), streams.to_columns()
    assert len(samples) == len(streams)
    assert repr([streams[index] for index in range(len(streams))]) == repr(samples)
    assert {len(column) for column in columns.values()} <= {len(streams)}
    assert len(rows) == (len(streams) if streams.keys() else 0)
    for index, row in enumerate(rows):
        for kind, value in row.items():
            data = streams[kind].data
            assert value is (data[index] if index < len(data) else None)
            assert kind not in set(StreamType) or getattr(samples[index], kind) is value
    assert same(streams.raw, answer)
    finite = json.loads(json.dumps(answer), parse_constant=lambda _: None)
    assert same(json.loads(streams.to_json(), parse_constant=pytest.fail), finite)
    assert list(pickle.loads(pickle.dumps(streams)).keys()) == list(streams.keys())
    repr(streams), [repr(each) for each in map(streams.get, streams.keys())]


@given(answers())
@settings(max_examples=100)
def test_conversions_never_fail_nor_misalign(answer: Any) -> None:
    streams = StreamSet(answer)
    columns = streams.to_columns()
    arrays, frame, table = streams.to_numpy(), streams.to_pandas(), streams.to_arrow()
    names = [name.encode("utf-8", "backslashreplace").decode() for name in columns]
    assert list(arrays) == list(columns)
    assert list(frame.columns) == table.column_names == names
    assert {len(array) for array in arrays.values()} <= {len(streams)}
    assert len(frame) == len(streams)
    assert table.num_rows == len(streams)
    for index, (name, column) in enumerate(columns.items()):
        gaps = [value is None for value in column]
        assert table.column(index).is_null().to_pylist() == gaps
        holes = [value is None or value != value for value in column]
        assert frame.iloc[:, index].isna().tolist() == holes
        assert [value is None or value != value for value in arrays[name].tolist()] == holes


@given(st.lists(PAIRS | st.none() | st.just([]), max_size=6))
def test_places_keep_their_index(pairs: list[Any]) -> None:
    streams = StreamSet({"latlng": {"data": pairs}})
    expected = [LatLng(*pair) if pair else None for pair in pairs]
    assert [sample.latlng for sample in streams] == expected
    assert streams.misfits == ()


@given(st.data(), st.sampled_from(sorted(FITTING)), st.integers(0, 6))
def test_what_fits_is_no_invalid_value(data: st.DataObject, kind: str, size: int) -> None:
    values = data.draw(st.lists(FITTING[kind] | st.none(), min_size=size, max_size=size))
    assert StreamSet({kind: {"data": values}}).misfits == ()


@pytest.mark.parametrize("number", [math.nan, math.inf, -0.0, 5e-324, 1e308, 0.1])
def test_numbers_are_read_to_the_last_digit(number: float) -> None:
    read = read_streams(json.dumps({"altitude": {"data": [number]}}).encode()).altitude
    assert read is not None
    assert repr(read[0]) == repr(number)
