"""What every HarvestStore does. Derive a class named ``Test...`` from ``HarvestStoreContract`` and override ``store``.

``twin`` is a second object over the same data, such as another process would have; override it if there can be one.
"""

from __future__ import annotations

import json
from dataclasses import replace

import anyio
import pytest

from strava_async.errors import StoreError
from strava_async.harvest import AthleteState, Changes, HarvestStore, Kind, Resource, Row, Run, State, Walk
from strava_async.harvest.rows import row_of

NOW = 1_767_693_600.0


def made_row(activity_id: int, start: str = "2026-01-05T10:00:00Z", **fields: object) -> Row:
    row = row_of(
        {"id": activity_id, "name": f"ride {activity_id}", "start_date": start, "sport_type": "Ride", **fields}
    )
    assert row is not None
    return row


def stored(activity_id: int, kind: Kind = Kind.DETAIL, body: bytes = b"{}", at: float = NOW) -> Resource:
    return Resource(kind, str(activity_id), State.STORED, at, "stamp", body=body)


def failed(activity_id: int, kind: Kind = Kind.DETAIL, at: float = NOW, tries: int = 1) -> Resource:
    return Resource(kind, str(activity_id), State.FAILED, at, "", 500, at + 60, tries, "500: no")


async def listed(store: HarvestStore, *rows: Row, athlete_id: int = 7, at: float = NOW, seen_in: int = 1) -> None:
    await store.add_athlete(athlete_id)
    await store.write(Changes(athlete_id, rows=rows, listed_at=at, seen_in=seen_in))


async def ids(store: HarvestStore, athlete_id: int = 7) -> list[int]:
    return [held.activity.id for held in await store.scan(athlete_id, None, 1000)]


@pytest.mark.anyio
class HarvestStoreContract:
    @pytest.fixture
    def store(self) -> HarvestStore:
        raise NotImplementedError("override the fixture")

    @pytest.fixture
    def twin(self, store: HarvestStore) -> HarvestStore:
        return store

    # Athletes, and their lists

    async def test_nothing_is_known_of_an_athlete_at_first(self, store: HarvestStore) -> None:
        assert await store.state(7) is None
        assert await store.athlete_ids() == []
        assert await store.scan(7, None, 10) == []
        assert await store.read(7, Kind.DETAIL, 1) is None

    async def test_an_athlete_who_is_added_is_known(self, store: HarvestStore) -> None:
        assert await store.add_athlete(7) == AthleteState()
        assert await store.add_athlete(3) == AthleteState()
        assert await store.athlete_ids() == [3, 7]

    async def test_how_far_a_list_is_comes_back_as_it_was(self, store: HarvestStore) -> None:
        await store.add_athlete(7)
        walk = Walk(3, NOW, None, NOW - 1, True, 2)
        state = AthleteState(walk, 3, NOW - 5, NOW - 9, 0.25)
        await store.write(Changes(7, state))
        assert await store.state(7) == state
        assert await store.add_athlete(7) == state

    async def test_what_is_of_an_athlete_who_is_not_known_is_not_written(self, store: HarvestStore) -> None:
        await store.write(Changes(7, AthleteState(walks=1), rows=[made_row(1)], resources=[stored(1)], check=[1]))
        assert await store.state(7) is None
        assert (await store.counts()).activities == 0
        assert (await store.counts()).resources == {}

    # Activities

    async def test_activities_come_newest_first_in_parts(self, store: HarvestStore) -> None:
        same = "2026-01-05T10:00:00Z"
        rows = [made_row(1, same), made_row(2, "2026-01-06T10:00:00Z"), made_row(3, same), made_row(4, "2026-01-01")]
        await listed(store, *rows)
        assert await ids(store) == [2, 3, 1, 4]
        first = await store.scan(7, None, 2)
        second = await store.scan(7, first[-1].activity, 2)
        assert [held.activity.id for held in first + second] == [2, 3, 1, 4]
        assert await store.scan(7, second[-1].activity, 2) == []

    async def test_an_activity_comes_back_as_it_was(self, store: HarvestStore) -> None:
        row = made_row(2**62, distance=0, gear_id="b1", kudos_count=0, manual=True, name="\ud800 läuft")
        await listed(store, row)
        assert await store.scan(7, None, 10) == [type((await store.scan(7, None, 1))[0])(row.activity, {})]

    async def test_activities_come_with_rows_and_bodies_where_these_are_asked_for(self, store: HarvestStore) -> None:
        row = made_row(1, name="\ud800 läuft")
        await listed(store, row, made_row(2, "2026-01-06T10:00:00Z"))
        resources = [stored(1), stored(1, Kind.STREAMS, b"[1]"), failed(2)]
        await store.write(Changes(7, resources=resources))
        newest, held = await store.scan(7, None, 10, bodies=[Kind.STREAMS])
        assert json.loads(held.row or b"") == row.fields
        assert (held.activity, held.listed_at, newest.listed_at) == (row.activity, NOW, NOW)
        assert held.resources == {Kind.DETAIL: replace(stored(1), body=None), Kind.STREAMS: resources[1]}
        assert newest.resources == {Kind.DETAIL: failed(2)}
        (older,) = await store.scan(7, newest.activity, 10, bodies=())
        assert (older.row, older.resources[Kind.STREAMS].body) == (held.row, None)
        (older,) = await store.scan(7, newest.activity, 10)
        assert (older.row, older.listed_at) == (None, 0)

    async def test_a_row_takes_the_place_of_the_one_before(self, store: HarvestStore) -> None:
        await listed(store, made_row(1))
        await listed(store, made_row(1, "2026-01-04T10:00:00Z", sport_type="Run"))
        (held,) = await store.scan(7, None, 10)
        assert held.activity == made_row(1, "2026-01-04T10:00:00Z", sport_type="Run").activity

    async def test_athletes_have_activities_and_resources_of_their_own(self, store: HarvestStore) -> None:
        await listed(store, made_row(1), athlete_id=7)
        await listed(store, made_row(2), athlete_id=8)
        await store.write(Changes(8, resources=[stored(2)]))
        await store.write(Changes(7, gone=[2], checked=[2]))
        assert (await ids(store, 7), await ids(store, 8)) == ([1], [2])
        assert await store.read(7, Kind.DETAIL, 2) is None
        assert await store.read(8, Kind.DETAIL, 2) is not None

    # Resources

    async def test_a_resource_comes_back_as_it_was(self, store: HarvestStore) -> None:
        await listed(store, made_row(1))
        resource = Resource(Kind.STREAMS, "1", State.STORED, NOW, "s", 200, None, 0, "", b"\0\x1f", "gzip")
        await store.write(Changes(7, resources=[resource]))
        assert await store.read(7, Kind.STREAMS, 1) == resource
        (held,) = await store.scan(7, None, 10)
        assert held.resources == {Kind.STREAMS: Resource(Kind.STREAMS, "1", State.STORED, NOW, "s", coding="gzip")}

    async def test_a_failure_keeps_what_came_before_and_its_age(self, store: HarvestStore) -> None:
        await listed(store, made_row(1))
        await store.write(Changes(7, resources=[stored(1, body=b"{1}")]))
        await store.write(Changes(7, resources=[failed(1, at=NOW + 5, tries=2)]))
        found = await store.read(7, Kind.DETAIL, "1")
        assert found is not None
        assert (found.state, found.body, found.fetched_at, found.tries) == (State.FAILED, b"{1}", NOW, 2)
        await store.write(Changes(7, resources=[stored(1, body=b"{2}", at=NOW + 9)]))
        assert await store.read(7, Kind.DETAIL, "1") == stored(1, body=b"{2}", at=NOW + 9)

    async def test_there_is_none_takes_the_place_of_what_came_before(self, store: HarvestStore) -> None:
        await listed(store, made_row(1))
        await store.write(Changes(7, resources=[stored(1, Kind.STREAMS)]))
        none = Resource(Kind.STREAMS, "1", State.NONE, NOW + 1, "", 404)
        await store.write(Changes(7, resources=[none]))
        assert await store.read(7, Kind.STREAMS, 1) == none

    async def test_resources_are_found_by_kind_and_state(self, store: HarvestStore) -> None:
        await listed(store, made_row(1), made_row(2), made_row(3))
        gear = Resource(Kind.GEAR, "b1", State.STORED, NOW, body=b"{}")
        all_of_them = [failed(1, tries=3), failed(2), failed(3, at=NOW - 1), stored(1, Kind.LAPS), gear]
        await store.write(Changes(7, resources=all_of_them))
        assert [r.key for r in await store.resources(7, state=State.FAILED)] == ["3", "2", "1"]
        assert [r.key for r in await store.resources(7, state=State.FAILED, limit=2)] == ["3", "2"]
        assert [r.key for r in await store.resources(7, kinds=[Kind.GEAR])] == ["b1"]
        assert all(r.body is None for r in await store.resources(7))
        assert await store.resources(8) == []

    async def test_writes_at_once_are_all_written(self, store: HarvestStore) -> None:
        await listed(store, *(made_row(n) for n in range(1, 101)))
        async with anyio.create_task_group() as tasks:
            for n in range(1, 101):
                tasks.start_soon(store.write, Changes(7, resources=[stored(n)]))
        assert (await store.counts()).of(Kind.DETAIL) == 100

    # Checks

    async def test_checks_are_known_until_they_are_done(self, store: HarvestStore, twin: HarvestStore) -> None:
        await store.add_athlete(7)
        await twin.write(Changes(7, check=[1, 5, 1]))
        await store.write(Changes(7, AthleteState(walks=1)))
        assert await store.state(7) == AthleteState(walks=1, checks=(1, 5))
        await store.write(Changes(7, checked=[5]))
        assert await store.state(7) == AthleteState(walks=1, checks=(1,))

    async def test_of_an_athletes_events_twenty_a_day_are_checked_and_of_more_the_list_is_due(
        self, store: HarvestStore, twin: HarvestStore
    ) -> None:
        async def due_after(day: int, *ids: int) -> tuple[bool, int]:
            await twin.write(Changes(7, check=ids, day=day))
            state = await store.state(7)
            assert state is not None
            return state.is_list_due, len(state.checks)

        await store.add_athlete(7)
        await store.add_athlete(8)
        for _ in range(30):  # which repeats itself
            assert await due_after(1, 5) == (False, 1)
        assert await due_after(1, *range(5, 25)) == (False, 20)
        await store.write(Changes(7, checked=range(5, 25)))
        assert await due_after(1, 5) == (True, 0)
        assert await due_after(1, *range(100_000)) == (True, 0)
        await store.write(Changes(7, AthleteState(walks=1), is_list_begun=True))
        assert await due_after(2, 1) == (False, 1)
        assert await due_after(2, *range(100_000)) == (True, 20)
        await store.write(Changes(7, AthleteState(walks=1)))
        assert await due_after(2) == (True, 20)  # the harvest, which knows nothing of it, takes nothing back
        assert await store.state(8) == AthleteState()

    async def test_too_much_that_a_list_lacks_makes_it_due_again(self, store: HarvestStore) -> None:
        await listed(store, *(made_row(n) for n in range(1, 603)))
        now = made_row(1).activity.start + 60
        await store.write(Changes(7, ended=Walk(2, now, None, now, True)))
        state = await store.state(7)
        assert state is not None
        assert (state.is_list_due, len(state.checks)) == (True, 500)

    async def test_what_a_walk_did_not_see_in_its_range_is_to_be_checked(self, store: HarvestStore) -> None:
        days = {n: f"2026-01-0{n}T10:00:00Z" for n in range(1, 8)}
        await listed(store, *(made_row(n, day) for n, day in days.items()), seen_in=1)
        await listed(store, made_row(4, days[4]), seen_in=2)
        after, until = made_row(1, days[2]).activity.start, made_row(1, days[6]).activity.start
        await store.write(Changes(7, AthleteState(), ended=Walk(2, until, after, after, False)))
        state = await store.state(7)
        assert state is not None
        assert sorted(state.checks) == [3, 5]  # those in the first and last second, and beyond, are not known

    # The end of things

    async def test_an_activity_that_is_gone_takes_all_of_it_along(self, store: HarvestStore) -> None:
        await listed(store, made_row(1), made_row(2))
        await store.write(Changes(7, resources=[stored(1), stored(1, Kind.STREAMS), stored(2)], check=[1]))
        await store.write(Changes(7, gone=[1]))
        assert await ids(store) == [2]
        assert [r.key for r in await store.resources(7)] == ["2"]
        assert await store.state(7) == AthleteState()

    async def test_what_was_in_flight_of_an_activity_that_is_gone_is_not_kept(self, store: HarvestStore) -> None:
        await listed(store, made_row(1), made_row(2))
        await store.write(Changes(7, gone=[1]))
        none = Resource(Kind.STREAMS, "1", State.NONE, NOW, "", 404)
        await store.write(Changes(7, resources=[stored(1), none, failed(1, Kind.LAPS), stored(2)]))
        assert [r.key for r in await store.resources(7)] == ["2"]

    async def test_a_deleted_athlete_leaves_nothing_and_others_stay(self, store: HarvestStore) -> None:
        for athlete_id in (7, 8):
            await listed(store, *(made_row(athlete_id * 1000 + n) for n in range(600)), athlete_id=athlete_id)
            await store.write(
                Changes(athlete_id, resources=[stored(athlete_id * 1000 + n) for n in range(600)], check=[1])
            )
        await store.delete_athlete(7)
        assert await store.athlete_ids() == [8]
        counts = await store.counts()
        assert (counts.athletes, counts.activities, counts.of(Kind.DETAIL)) == (1, 600, 600)
        await store.write(Changes(7, rows=[made_row(1)], resources=[stored(1)]))  # it was in flight
        assert await store.state(7) is None
        assert (await store.counts(7)).activities == 0

    async def test_purging_deletes_what_is_older(self, store: HarvestStore) -> None:
        await listed(store, made_row(1), at=NOW - 10)
        await listed(store, made_row(2), at=NOW)
        young = [stored(1), stored(2)]
        await store.write(
            Changes(7, resources=[*young, stored(2, Kind.STREAMS, at=NOW - 10), failed(2, Kind.LAPS, NOW - 9)])
        )
        assert (await store.counts()).oldest == NOW - 10
        assert await store.purge(NOW - 8) == 4
        assert await ids(store) == [2]
        assert [(r.kind, r.key) for r in await store.resources(7)] == [(Kind.DETAIL, "2")]
        assert await store.purge(NOW - 8) == 0
        assert await store.athlete_ids() == [7]

    async def test_counts_say_what_there_is(self, store: HarvestStore) -> None:
        assert (await store.counts()).oldest is None
        await listed(store, made_row(1), made_row(2))
        await store.write(Changes(7, resources=[stored(1), failed(2)]))
        counts = await store.counts()
        assert (counts.athletes, counts.activities, counts.oldest) == (1, 2, NOW)
        assert (counts.of(Kind.DETAIL), counts.of(Kind.DETAIL, State.FAILED), counts.of(Kind.LAPS)) == (1, 1, 0)
        assert (await store.counts(8)).activities == 0

    async def test_counts_say_what_came_before_an_instant(self, store: HarvestStore) -> None:
        await listed(store, made_row(1), made_row(2))
        await store.write(Changes(7, resources=[stored(1), failed(2)]))
        for athlete_id in (None, 7):
            old = await store.counts(athlete_id, before=NOW)
            assert (old.activities, sum(old.resources.values()), old.oldest) == (0, 0, None)
            young = await store.counts(athlete_id, before=NOW + 1)
            assert (young.activities, sum(young.resources.values()), young.oldest) == (2, 2, NOW)
        assert (await store.counts(8, before=NOW + 1)).activities == 0

    # Settings

    async def test_settings_are_kept_for_all_athletes_together(self, store: HarvestStore, twin: HarvestStore) -> None:
        assert await store.settings() == {}
        await store.set_setting("keep", None)
        await store.set_setting("keep", "forever")
        await store.set_setting("export /tmp/100%_a", "parquet 'ö")
        await twin.set_setting("keep", "604800")
        assert await store.settings() == {"keep": "604800", "export /tmp/100%_a": "parquet 'ö"}
        await twin.set_setting("keep", None)
        assert await store.settings() == {"export /tmp/100%_a": "parquet 'ö"}
        assert await store.athlete_ids() == []

    async def test_deleting_and_purging_leave_the_settings(self, store: HarvestStore) -> None:
        await listed(store, made_row(1))
        await store.set_setting("keep", "forever")
        async with store.hold(7):
            await store.purge(NOW + 1)
            await store.delete_athlete(7)
        assert await store.settings() == {"keep": "forever"}
        assert await store.athlete_ids() == []

    # Runs

    async def test_runs_are_known_and_one_that_was_killed_has_no_end(
        self, store: HarvestStore, twin: HarvestStore
    ) -> None:
        assert await store.runs() == []
        ended = Run(NOW, NOW + 9, 7, "complete")
        number = await store.begin_run(NOW)
        await store.begin_run(NOW + 1)
        await store.end_run(number, ended)
        await store.add_athlete(7)
        await store.delete_athlete(7)
        assert await twin.runs() == [Run(NOW + 1), ended]
        for n in range(100):
            await store.begin_run(NOW + n)
        assert [run.began_at for run in await store.runs()] == [NOW + n for n in reversed(range(100))]

    # Who harvests

    async def test_an_athlete_is_harvested_by_one_store_at_a_time(
        self, store: HarvestStore, twin: HarvestStore
    ) -> None:
        if twin is store:
            pytest.skip("there is no other store")
        async with store.hold(7):
            with pytest.raises(StoreError, match="in use: process"):
                async with twin.hold(7):
                    pass
            await twin.add_athlete(7)
        async with twin.hold(7):
            pass

    async def test_an_athlete_is_harvested_once_at_a_time_with_one_store(self, store: HarvestStore) -> None:
        async with store.hold(7):
            with pytest.raises(StoreError, match="in use"):
                async with store.hold(7):
                    pass
            with pytest.raises(StoreError, match="in use"):
                async with store.hold(7):
                    pass
        async with store.hold(7):
            pass

    async def test_athletes_are_held_at_the_same_moment(self, store: HarvestStore) -> None:
        held, all_held = set[int](), anyio.Event()

        async def hold(athlete_id: int) -> None:
            async with store.hold(athlete_id):
                held.add(athlete_id)
                if len(held) == 5:
                    all_held.set()
                await all_held.wait()

        async with anyio.create_task_group() as tasks:
            for athlete_id in range(1, 6):
                tasks.start_soon(hold, athlete_id)

    async def test_a_store_holds_several_athletes(self, store: HarvestStore, twin: HarvestStore) -> None:
        async with store.hold(7):
            async with store.hold(8):
                pass
            if twin is not store:
                with pytest.raises(StoreError):
                    async with twin.hold(7):
                        pass
