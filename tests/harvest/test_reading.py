"""Reading what a store holds, activity by activity."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from strava_async.errors import InputError
from strava_async.harvest import Changes, Kind, SqliteHarvestStore, read_activities
from strava_async.harvest.fetch import compressed
from tests.harvest.contract import listed, made_row, stored
from tests.harvest.world import World

pytestmark = pytest.mark.anyio


async def test_everything_that_was_harvested_is_read(tmp_path: Path) -> None:
    world = World(tmp_path / "h.sqlite", years=0.03)
    async with world.harvest() as harvest:
        await harvest.run()
    athlete_id = world.ids[0]
    found = [each async for each in read_activities(world.store, athlete_id)]
    listed_ids = [activity["id"] for activity in world.activities()]
    assert sorted(each.activity.id for each in found) == sorted(listed_ids)
    assert [each.activity.start for each in found] == sorted((each.activity.start for each in found), reverse=True)
    details, streams = await world.bodies(Kind.DETAIL), await world.bodies(Kind.STREAMS)
    for each in found:
        assert each.row["id"] == each.activity.id
        assert each.detail == details[each.activity.id]
        assert each.streams == streams.get(each.activity.id)
        assert each.fields()["resource_state"] == 3
    alone = [each async for each in read_activities(world.store, athlete_id, kinds=())]
    assert [each.row for each in alone] == [each.row for each in found]
    assert not any(each.bodies for each in alone)
    assert [each async for each in read_activities(world.store, 1)] == []


async def test_a_kind_that_is_not_of_activities_is_an_input_error(tmp_path: Path) -> None:
    store = SqliteHarvestStore(tmp_path / "h.sqlite")
    wrong: tuple[Any, ...] = ([Kind.GEAR], "streams")
    for kinds in wrong:
        with pytest.raises(InputError, match="kinds are some of detail, streams"):
            await anext(aiter(read_activities(store, 7, kinds=kinds)))


async def test_the_row_counts_where_it_and_the_detail_differ(tmp_path: Path) -> None:
    store = SqliteHarvestStore(tmp_path / "h.sqlite")
    await listed(store, made_row(1, name="new", resource_state=2, map={"summary_polyline": "a"}))
    detail = b'{"id":1,"name":"old","calories":7,"resource_state":3,"map":{"polyline":"b"}}'
    await store.write(Changes(7, resources=[stored(1, body=detail)]))
    (found,) = [each async for each in read_activities(store, 7)]
    fields = found.fields()
    assert (fields["name"], fields["calories"], fields["resource_state"]) == ("new", 7, 3)
    assert fields["map"] == {"polyline": "b", "summary_polyline": "a"}


async def test_what_cannot_be_read_is_named_and_stops_nothing(tmp_path: Path) -> None:
    store = SqliteHarvestStore(tmp_path / "h.sqlite")
    await listed(store, made_row(1), made_row(2), made_row(3))
    await store.write(Changes(7, resources=[stored(1, body=b"<html>"), stored(2, Kind.STREAMS), stored(3)]))
    with contextlib.closing(sqlite3.connect(store.path)) as db, db:
        db.execute("update resources set coding = 'gzip', body = ? where activity_id = 2", (compressed(b"{}")[:-3],))
        db.execute("update activities set body = '[' where id = 3")
    found = {each.activity.id: each async for each in read_activities(store, 7)}
    assert [found[number].unreadable for number in (1, 2)] == [{Kind.DETAIL}, {Kind.STREAMS}]
    assert (found[3].row, found[3].detail) == ({"id": 3}, {})
