"""Streams: read from either form, always aligned, requested at the documented cost."""

import json
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pydantic import BaseModel

from strava_async import ApiV3, Client, DecodeError, InputError, NotFoundError, RateLimiter
from strava_async.models import LatLng, Sample, Stream, StreamSet, StreamType
from strava_async.models._read_streams import read_streams
from strava_async.testing import Emulator, FakeClock, Fault, MeterLimits
from strava_async.tracks.samples import KEYS

ALL = "time,distance,latlng,altitude,velocity_smooth,heartrate,cadence,watts,temp,moving,grade_smooth"
UNCLEAR = {"message": "Resource Not Found", "errors": []}
NO_ACTIVITY = {"message": "Record Not Found", "errors": [{"resource": "Activity", "field": "id", "code": "invalid"}]}
NO_PATH = {"message": "Resource Not Found", "errors": [{"resource": "resource", "field": "path", "code": "invalid"}]}


def stream(*data: Any, **about: Any) -> dict[str, Any]:
    return {"data": list(data), "series_type": "distance", "original_size": len(data), "resolution": "high"} | about


def ride() -> dict[str, Any]:
    """Return three samples, with gaps in the second."""
    return {
        "time": stream(0, 1, 2),
        "latlng": stream([47.0, 8.0], None, [47.2, 8.2]),
        "altitude": stream(400, 401.5, 402.5),
        "watts": stream(200, None, 210),
        "grade_smooth": stream(0.5, None, 1.5),
        "moving": stream(True, None, False),
    }


def said(streams: StreamSet) -> list[str]:
    return list(map(str, streams.misfits))


# What came, typed.


def test_a_stream_is_the_sequence_of_its_samples():
    heartrate = StreamSet({"heartrate": stream(90, None, 95, original_size=500, resolution="low")}).heartrate
    assert heartrate is not None
    assert (list(heartrate), heartrate[0], heartrate[1:], len(heartrate)) == ([90, None, 95], 90, (None, 95), 3)
    assert heartrate.data == (90, None, 95)
    assert 95 in heartrate
    about = (heartrate.type, heartrate.series_type, heartrate.original_size, heartrate.resolution)
    assert about == ("heartrate", "distance", 500, "low")


def test_every_documented_stream_is_an_attribute_and_a_field_of_the_sample():
    assert list(KEYS) == list(StreamType)  # what a harvest asks for, and an export writes
    streams = StreamSet({kind: stream(1) for kind in StreamType})
    assert [getattr(streams, kind).type for kind in StreamType] == list(StreamType) == list(Sample._fields)
    assert all(getattr(StreamSet({}), kind) is None for kind in StreamType)


def test_coordinates_become_places_and_gaps_none():
    latlng = StreamSet({"latlng": stream([47.1, 8.1], None, [], [47, 8])}).latlng
    assert latlng is not None
    assert latlng.data == (LatLng(47.1, 8.1), None, None, LatLng(47, 8))
    assert isinstance(latlng[0], LatLng)


def test_a_list_of_streams_reads_as_an_object_of_them_does():
    listed = StreamSet([{"type": kind, **each} for kind, each in ride().items()])
    assert listed.keys() == StreamSet(ride()).keys()
    assert list(listed) == list(StreamSet(ride()))
    assert said(listed) == []


def test_streams_are_found_by_name_also_new_ones():
    streams = StreamSet({"time": stream(0), "core_temp": stream({"c": 37.0})})
    assert streams["time"] == streams.time == streams.get("time")
    assert streams["core_temp"].data == ({"c": 37.0},)
    assert list(streams.keys()) == ["time", "core_temp"]
    assert "core_temp" in streams
    assert "watts" not in streams
    assert streams.get("watts") is None
    with pytest.raises(KeyError):
        streams["watts"]
    assert said(streams) == []


def test_the_length_is_the_number_of_samples_and_a_set_without_any_is_false():
    assert len(StreamSet(ride())) == 3
    assert StreamSet(ride())
    assert not StreamSet({})
    assert not StreamSet({"time": stream()})


def test_samples_are_rows_of_all_streams():
    first, second, third = StreamSet(ride())
    assert first == Sample(0, None, LatLng(47.0, 8.0), 400, watts=200, moving=True, grade_smooth=0.5)
    assert second == Sample(time=1, altitude=401.5)
    assert [StreamSet(ride())[index] for index in (0, 1, -1)] == [first, second, third]
    with pytest.raises(IndexError):
        StreamSet(ride())[3]


def test_a_slice_is_a_list_of_samples():
    samples = list(StreamSet(ride()))
    for piece in (slice(0, 2), slice(None), slice(None, None, -1), slice(2, 99), slice(5, 9)):
        assert StreamSet(ride())[piece] == samples[piece]


def test_who_changes_the_json_changes_no_samples():
    raw = ride()
    streams = StreamSet(raw)
    before = list(streams)
    for each in raw.values():
        each["data"].append(7)
    raw["watts"]["data"].clear()
    assert list(streams) == [streams[0], streams[1], streams[2]] == before
    assert [row["watts"] for row in streams.rows()] == streams.to_columns()["watts"] == [200, None, 210]


def test_rows_are_dictionaries_of_what_is_there():
    rows = list(StreamSet({"time": stream(0, 1), "new": stream("a")}).rows())
    assert rows == [{"time": 0, "new": "a"}, {"time": 1, "new": None}]
    assert list(StreamSet({}).rows()) == []


def test_samples_are_as_many_as_the_longest_stream_has_even_an_unknown_one():
    assert list(StreamSet({"new": stream("a", "b")})) == [Sample(), Sample()]


# What does not fit.


def test_a_shorter_stream_is_filled_up_at_its_end_and_reported():
    streams = StreamSet({"time": stream(0, 1, 2), "watts": stream(200), "latlng": stream([1.5, 2.5])})
    assert [sample.watts for sample in streams] == [200, None, None]
    assert streams[2] == Sample(time=2)
    columns = {"time": [0, 1, 2], "watts": [200, None, None], "lat": [1.5, None, None], "lng": [2.5, None, None]}
    assert streams.to_columns() == columns
    assert said(streams) == [f"StreamSet.{kind}.data is shorter than others" for kind in ("watts", "latlng")]


@pytest.mark.parametrize(
    ("kind", "fitting", "strange", "came"),
    [
        ("heartrate", 90, 90.5, "a number out of its range or form"),
        ("heartrate", 90, True, "a boolean"),
        ("altitude", 400, "high", "a string"),
        ("moving", True, 1, "a number out of its range or form"),
        ("latlng", [1.0, 2.0], [1.0], "a list that is not a pair of numbers"),
        ("latlng", [1.0, 2.0], [1.0, None], "a list that is not a pair of numbers"),
        ("latlng", [1.0, 2.0], "here", "a string"),
    ],
)
def test_invalid_samples_are_kept_and_logged_once(kind: str, fitting: Any, strange: Any, came: str):
    streams = StreamSet({kind: stream(fitting, strange, None, strange)})
    data = streams[kind].data
    assert [data[1], data[2], data[3]] == [strange, None, strange]
    assert said(streams) == [f"StreamSet.{kind}.data[] is {came}"]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"watts": {"data": None}}, "StreamSet.watts.data is null"),
        ({"watts": {"data": {"0": 1}}}, "StreamSet.watts.data is an object"),
        ({"watts": {"series_type": "time"}}, "StreamSet.watts.data is null"),
        ({"watts": [1, 2]}, "StreamSet.watts is a list"),
        ({"watts": stream(series_type=1)}, "StreamSet.watts.series_type is a number out of its range or form"),
        ({"watts": stream(original_size="2")}, "StreamSet.watts.original_size is a string"),
        ([stream(1)], "StreamSet[].type is null"),
        (["watts"], "StreamSet[] is a string"),
        ([stream(1, type="watts"), stream(2, type="watts")], "StreamSet.watts is there twice"),
        ("streams", "StreamSet is a string"),
        (None, "StreamSet is null"),
    ],
)
def test_what_cannot_be_a_stream_is_kept_in_raw_and_reported(raw: Any, told: str):
    streams = StreamSet(raw)
    assert said(streams) == [told]
    assert streams.raw is raw
    assert list(streams) == [Sample(watts=1)] * len(streams)


@pytest.mark.parametrize("raw", [{"watts": None}, [None]])
def test_null_is_no_stream_and_no_invalid_value(raw: Any):
    assert (said(StreamSet(raw)), list(StreamSet(raw).keys())) == ([], [])


def test_a_body_that_fits_reads_in_silence(caplog: pytest.LogCaptureFixture):
    assert read_streams(json.dumps(ride()).encode(), "raise") == StreamSet(ride())
    assert caplog.records == []


def test_an_invalid_value_is_logged_once_for_all_bodies():
    # In a process of its own: what is said once is said once for all tests.
    script = """
from strava_async.models._read_streams import read_streams
for _ in range(2):
    read_streams(b'{"cadence": {"data": [80, "secret", "x"]}}')
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stderr.splitlines() == [
        "invalid value kept as it came: StreamSet.cadence.data[] is a string (logged once)"
    ]


def test_an_invalid_value_is_an_error_for_those_who_want_it_so():
    with pytest.raises(DecodeError, match=r"StreamSet\.watts\.data\[\] is a string"):
        read_streams(b'{"watts": {"data": ["a"]}}', "raise")


def test_a_body_that_is_no_json_is_an_error():
    with pytest.raises(ValueError, match="Expecting value"):
        read_streams(b"<html>")


def test_half_a_surrogate_pair_is_read():
    assert read_streams(rb'{"new": {"data": ["\ud800"]}}')["new"].data == ("\ud800",)


# JSON, equality, pickles.


@pytest.mark.parametrize("raw", [ride(), [stream(1, type="watts", new=[])], {"watts": stream("a"), "x": 7}, None, []])
def test_the_json_is_what_came(raw: Any):
    streams = StreamSet(deepcopy(raw))
    list(streams), streams.to_columns(), streams.to_pandas()
    assert streams.raw == raw
    assert json.loads(streams.to_json()) == raw
    assert StreamSet(json.loads(streams.to_json())) == streams


def test_what_json_has_no_number_for_is_written_as_null():
    read = read_streams(b'{"altitude": {"data": [NaN, 1.5, -Infinity, 1e999]}, "NaN": "Infinity"}')
    assert json.loads(read.to_json(), parse_constant=pytest.fail) == {
        "altitude": {"data": [None, 1.5, None, None]},
        "NaN": "Infinity",
    }


def test_sets_and_streams_are_equal_when_the_same_came():
    other = ride() | {"watts": stream(1, 2, 3)}
    assert StreamSet(ride()) == StreamSet(ride()) != StreamSet(other)
    assert StreamSet(ride()).watts == StreamSet(ride()).watts != StreamSet(other).watts
    assert Stream("watts", stream(1)) != Stream("temp", stream(1))


def test_sets_and_streams_travel_as_pickles():
    streams = StreamSet(ride())
    again = pickle.loads(pickle.dumps(streams))
    assert (again, list(again)) == (streams, list(streams))
    assert pickle.loads(pickle.dumps(streams.latlng)) == streams.latlng
    assert deepcopy(streams) == streams


def test_the_repr_is_short():
    streams = StreamSet({"time": stream(*range(10_000))})
    assert repr(streams) == "<StreamSet of 10000 samples: time>"
    assert repr(streams.time) == "<Stream time: 10000 samples>"
    assert repr(StreamSet({})) == "<StreamSet of 0 samples: no streams>"


def test_a_set_is_a_field_of_a_pydantic_model_and_travels_as_its_json():
    class Mine(BaseModel):
        streams: StreamSet

    mine = Mine(streams=StreamSet(ride()))
    assert mine.streams == StreamSet(ride())
    assert mine.model_dump()["streams"] is mine.streams
    assert Mine.model_validate_json(mine.model_dump_json()) == mine
    assert mine.model_dump(mode="json") == {"streams": ride()}
    assert Mine.model_json_schema(mode="serialization")["properties"]["streams"]["type"] == ["object", "array"]


# Columns.


def test_columns_are_new_lists_with_two_for_the_place():
    raw = ride()
    columns = StreamSet(raw).to_columns()
    assert list(columns) == ["time", "lat", "lng", "altitude", "watts", "grade_smooth", "moving"]
    assert (columns["lat"], columns["lng"]) == ([47.0, None, 47.2], [8.0, None, 8.2])
    columns["time"].clear()
    assert raw == ride()


def test_a_stream_called_as_a_column_of_the_place_has_a_column_of_its_own():
    raw = {"lat": stream("x"), "lng_": stream("z"), "latlng": stream([1.0, 2.0]), "lng": stream("y")}
    columns = {"lat_": ["x"], "lng_": ["z"], "lat": [1.0], "lng": [2.0], "lng__": ["y"]}
    streams = StreamSet(raw)
    assert streams.to_columns() == columns
    assert streams.to_pandas().to_dict("list") == streams.to_arrow().to_pydict() == columns
    assert StreamSet({"lat": stream("x")}).to_columns() == {"lat": ["x"]}


def test_numpy_has_nan_for_gaps():
    arrays = StreamSet(ride() | {"new": stream([1], [2], None)}).to_numpy()
    kinds = {name: str(array.dtype) for name, array in arrays.items()}
    assert kinds == {
        "time": "int64",
        **dict.fromkeys(("lat", "lng", "altitude", "watts", "grade_smooth"), "float64"),
        "moving": "object",
        "new": "object",
    }
    np.testing.assert_array_equal(arrays["watts"], [200.0, np.nan, 210.0])
    assert arrays["moving"].tolist() == [True, None, False]
    assert arrays["new"].tolist() == [[1], [2], None]
    assert StreamSet({"moving": stream(True)}).to_numpy()["moving"].dtype == bool
    assert StreamSet({"new": stream([1, 2], [3, 4])}).to_numpy()["new"].shape == (2,)


@pytest.mark.parametrize("values", [[400, 401], [None, None], []])
def test_a_documented_column_is_of_its_kind_whatever_its_values_suggest(values: list[Any]):
    streams = StreamSet({"altitude": stream(*values), "watts": stream(*values)})
    assert streams.to_numpy()["altitude"].dtype == np.float64
    assert str(streams.to_pandas()["watts"].dtype).lower() == "int64"
    assert streams.to_arrow().schema.types == [pa.float64(), pa.int64()]


def test_pandas_has_nullable_kinds_where_there_are_gaps():
    frame = StreamSet(ride()).to_pandas()
    assert frame.dtypes.astype(str).to_dict() == {
        "time": "int64",
        "lat": "Float64",
        "lng": "Float64",
        "altitude": "float64",
        "watts": "Int64",
        "grade_smooth": "Float64",
        "moving": "boolean",
    }
    assert frame.index.tolist() == [0, 1, 2]
    assert frame["watts"].tolist() == [200, pd.NA, 210]
    assert len(StreamSet({}).to_pandas()) == 0


def test_arrow_has_nulls():
    table = StreamSet(ride() | {"new": stream("a", None, "b"), "odd": stream([1], "b", None)}).to_arrow()
    kinds = {
        "time": pa.int64(),
        **dict.fromkeys(("lat", "lng", "altitude"), pa.float64()),
        "watts": pa.int64(),
        "grade_smooth": pa.float64(),
        "moving": pa.bool_(),
        **dict.fromkeys(("new", "odd"), pa.string()),
    }
    assert dict(zip(table.column_names, table.schema.types, strict=True)) == kinds
    assert table["watts"].to_pylist() == [200, None, 210]
    assert table["watts"].null_count == 1
    assert table["new"].to_pylist() == ["a", None, "b"]
    assert table["odd"].to_pylist() == ["[1]", '"b"', None]


@pytest.mark.parametrize("values", [[10**30, 1], [10**400, 0.5], ["\ud800", "a"]])
def test_values_that_no_column_can_hold_do_no_harm(values: list[Any]):
    streams = StreamSet({"new": stream(*values), "\ud800": stream(1, 2)})
    assert streams.to_numpy()["new"].tolist() == values
    assert streams.to_pandas()["new"].tolist() == values
    assert len(streams.to_arrow()["new"]) == 2


@pytest.mark.parametrize("library", ["numpy", "pandas", "pyarrow"])
def test_a_conversion_says_what_is_not_installed(library: str):
    script = f"""
import sys
sys.modules[{library!r}] = None  # as if it were not there
from strava_async.models import StreamSet
conversions = {{"numpy": "to_numpy", "pandas": "to_pandas", "pyarrow": "to_arrow"}}
try:
    getattr(StreamSet({{}}), conversions[{library!r}])()
except ValueError as error:
    print(type(error).__name__, error)
print(sorted({{"numpy", "pandas", "pyarrow"}} & {{name for name, module in sys.modules.items() if module}}))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == [f"InputError this conversion needs {library}: pip install {library}", "[]"]


# Asking for them.


class Wire(httpx.ASGITransport):
    """Brings the emulator's answers, and remembers what was asked."""

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(emulator.app)
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.url.path.removeprefix("/api/v3"), dict(request.url.params)))
        return await super().handle_async_request(request)


class Setting:
    """An emulator, a client of its athlete, and what goes over the wire between them."""

    def __init__(self, emulator: Emulator, wire: Wire, client: Client) -> None:
        self.emulator = emulator
        self.wire = wire
        self.client = client

    @property
    def asked(self) -> list[str]:
        """What was asked: the path's end, and the series if one was given."""
        return [
            path.rsplit("/", 1)[-1] + (f" by {params['series_type']}" if "series_type" in params else "")
            for path, params in self.wire.asked
        ]

    def activity(self, sport_type: str) -> int:
        """Return the id of a recorded activity."""
        activities = self.emulator.world().activities
        return next(int(activity["id"]) for activity in activities if activity["sport_type"] == sport_type)

    async def manual(self) -> int:
        """Enter an activity by hand; return its id."""
        values = {"name": "Swim", "sport_type": "Swim", "start_date_local": "2026-01-05T08:00:00Z", "elapsed_time": 60}
        activity_id: int = (await self.client.api.post("/activities", **values))["id"]
        self.wire.asked.clear()
        return activity_id

    def refuse(self, body: Any, *, times: int | None = 1, path: str = "/activities/*/streams") -> None:
        """Let requests for streams be answered with a 404."""
        self.emulator.faults.add(Fault.status(404, body), path=path, times=times)


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[Setting]:
    clock = FakeClock()
    emulator = Emulator(clock=clock, years=0.3, limits=MeterLimits(10_000, 100_000, 10_000, 100_000))
    wire = Wire(emulator)
    async with httpx.AsyncClient(transport=wire) as http_client:
        token = emulator.grant()["access_token"]
        api = ApiV3(token, http_client, RateLimiter(clock=clock), api_url="https://strava.test/api/v3")
        yield Setting(emulator, wire, Client(api, **options))


@pytest.mark.anyio
async def test_the_streams_of_an_activity_cost_one_request():
    async with opened(on_invalid="raise") as setting:
        run = setting.activity("Run")
        streams = await setting.client.streams.activity(run)
        assert streams.raw == {kind: dict(each) for kind, each in setting.emulator.world().streams(run).items()}
        assert len(streams) > 100
        assert set(streams.keys()) <= set(StreamType)
        assert setting.wire.asked == [(f"/activities/{run}/streams", {"keys": ALL, "key_by_type": "true"})]


@pytest.mark.anyio
async def test_keys_and_the_unofficial_parameters_are_passed_on():
    async with opened() as setting:
        run = setting.activity("Run")
        keys = (key for key in (StreamType.TIME, "new_one", "time"))
        streams = await setting.client.streams.activity(run, keys, resolution="low", series_type="time")
        assert list(streams.keys()) == ["time"]
        assert setting.wire.asked[0][1] == {
            "keys": "time,new_one",
            "key_by_type": "true",
            "resolution": "low",
            "series_type": "time",
        }


@pytest.mark.anyio
async def test_one_key_may_be_given_alone():
    async with opened() as setting:
        assert list((await setting.client.streams.activity(setting.activity("Run"), "time")).keys()) == ["time"]


@pytest.mark.anyio
@pytest.mark.parametrize("keys", [[], "", ["time", ""], [None], ["time", None], [7]])
async def test_keys_that_name_nothing_are_refused_before_anything_is_sent(keys: Any):
    async with opened() as setting:
        for ask in (setting.client.streams.activity, setting.client.streams.segment_effort):
            with pytest.raises(InputError, match="keys"):
                await ask(1, keys)
        with pytest.raises(InputError, match="keys"):
            await setting.client.streams.segment(1, keys)
        assert setting.asked == []


@pytest.mark.anyio
async def test_a_manual_activity_has_an_empty_set_for_two_requests():
    async with opened() as setting:
        activity_id = await setting.manual()
        assert not await setting.client.streams.activity(activity_id)
        assert setting.asked == ["streams", str(activity_id)]


@pytest.mark.anyio
async def test_an_activity_without_distance_is_asked_again_over_time():
    async with opened() as setting:
        yoga = setting.activity("Yoga")
        assert (await setting.client.streams.activity(yoga)).time
        assert setting.asked == ["streams", str(yoga), "streams by time"]
        assert setting.wire.asked[2][1]["keys"] == ALL


@pytest.mark.anyio
async def test_an_activity_without_distance_costs_one_request_for_those_who_know():
    async with opened() as setting:
        assert await setting.client.streams.activity(setting.activity("Yoga"), series_type="time")
        assert setting.asked == ["streams by time"]


@pytest.mark.anyio
async def test_a_recorded_activity_may_have_no_streams_whatever_the_series():
    async with opened() as setting:
        run = setting.activity("Run")
        setting.refuse(UNCLEAR, times=2)
        assert await setting.client.streams.activity(run) == StreamSet({})
        assert setting.asked == ["streams", str(run), "streams by time"]


@pytest.mark.anyio
async def test_an_activity_without_distance_is_asked_over_time_after_distance_was_asked_for():
    async with opened() as setting:
        yoga = setting.activity("Yoga")
        assert (await setting.client.streams.activity(yoga, series_type="distance")).time
        assert setting.asked == ["streams by distance", str(yoga), "streams by time"]


@pytest.mark.anyio
async def test_a_recorded_activity_without_streams_costs_two_requests_over_time():
    async with opened() as setting:
        run = setting.activity("Run")
        setting.refuse(UNCLEAR)
        assert await setting.client.streams.activity(run, series_type="time") == StreamSet({})
        assert setting.asked == ["streams by time", str(run)]


@pytest.mark.anyio
@pytest.mark.parametrize("body", [NO_ACTIVITY, NO_PATH])
async def test_a_clear_refusal_is_an_error_at_once(body: Any):
    async with opened() as setting:
        setting.refuse(body)
        with pytest.raises(NotFoundError):
            await setting.client.streams.activity(setting.activity("Run"))
        assert setting.asked == ["streams"]


@pytest.mark.anyio
@pytest.mark.parametrize("body", [UNCLEAR, {}, b"", b"<html></html>", {"errors": "gone"}])
async def test_after_an_unclear_refusal_a_missing_activity_is_an_error_of_its_own(body: Any):
    async with opened() as setting:
        setting.refuse(body)
        with pytest.raises(NotFoundError) as caught:
            await setting.client.streams.activity(7)
        assert caught.value.path == "/activities/7"
        assert setting.asked == ["streams", "7"]


@pytest.mark.anyio
async def test_an_activity_deleted_meanwhile_is_an_error():
    async with opened() as setting:
        setting.refuse(UNCLEAR)
        setting.refuse(NO_ACTIVITY)
        with pytest.raises(NotFoundError):
            await setting.client.streams.activity(setting.activity("Run"))
        assert setting.asked[-1] == "streams by time"


@pytest.mark.anyio
async def test_the_streams_of_a_segment_and_of_an_effort_on_it():
    async with opened(on_invalid="raise") as setting:
        world = setting.emulator.world()
        effort = next(
            efforts[0] for activity in world.activities if (efforts := world.detail(activity["id"])["segment_efforts"])
        )
        of_effort = await setting.client.streams.segment_effort(effort["id"])
        assert of_effort.distance
        assert of_effort.latlng
        assert len(of_effort) == effort["end_index"] - effort["start_index"] + 1
        of_segment = await setting.client.streams.segment(effort["segment"]["id"])
        assert set(of_segment.keys()) == {"distance", "latlng", "altitude"}
        one = await setting.client.streams.segment(effort["segment"]["id"], ["altitude"])
        assert list(one.keys()) == ["altitude"]
        assert [params for _, params in setting.wire.asked] == [
            {"keys": ALL, "key_by_type": "true"},
            {"keys": "distance,latlng,altitude", "key_by_type": "true"},
            {"keys": "altitude", "key_by_type": "true"},
        ]


@pytest.mark.anyio
async def test_the_streams_of_a_route_come_as_a_list():
    async with opened(on_invalid="raise") as setting:
        route_id = (await setting.client.api.get("/athletes/{id}/routes", id=setting.emulator.athlete_ids[0]))[0]["id"]
        streams = await setting.client.streams.route(route_id)
        assert isinstance(streams.raw, list)
        assert set(streams.keys()) == {"distance", "latlng", "altitude"}
        assert setting.wire.asked[-1] == (f"/routes/{route_id}/streams", {})


@pytest.mark.anyio
@pytest.mark.parametrize("tag", ["segment_effort", "segment", "route"])
async def test_what_is_no_activity_has_streams_or_is_missing(tag: str):
    async with opened() as setting:
        with pytest.raises(NotFoundError):
            await getattr(setting.client.streams, tag)(7)
        assert len(setting.asked) == 1


@pytest.mark.anyio
async def test_the_client_decides_about_invalid_values():
    odd = {"watts": stream("a")}
    async with opened(on_invalid="raise") as setting:
        setting.emulator.faults.add(Fault.status(200, odd))
        with pytest.raises(DecodeError) as caught:
            await setting.client.streams.route(1)
        assert caught.value.path == "/routes/1/streams"
    async with opened() as setting:
        setting.emulator.faults.add(Fault.status(200, odd))
        assert (await setting.client.streams.route(1)).raw == odd
