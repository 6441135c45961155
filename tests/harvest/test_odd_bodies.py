"""JSON that nobody would send: it is noted, or kept as it is, and stops nothing; and what never ends, ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from strava_async.harvest import Kind, Plan
from strava_async.testing import Fault
from tests.harvest.world import LIST, World

pytestmark = pytest.mark.anyio

DEEP = "[" * 980 + "]" * 980
PLAN = Plan.of(["comments", "gear", "routes"])


def odd_list(world: World, **texts: str) -> list[int]:
    """Let the list have three activities, the second with JSON texts for fields; return their ids."""
    rows = [{**row, "comment_count": 2} for row in world.activities()[:3]]
    pieces = [json.dumps(row) for row in rows]
    pieces[1] = pieces[1][:-1] + "".join(f', "{name}": {text}' for name, text in texts.items()) + "}"
    page = Fault.status(200, f"[{', '.join(pieces)}]", content_type="application/json")
    world.emulator.faults.add(page, path=LIST, times=1)
    world.emulator.faults.add(Fault.status(200, []), path=LIST, times=None)
    return [row["id"] for row in rows]


@pytest.mark.parametrize(
    "texts",
    [
        {"comment_count": "1e400"},
        {"comment_count": '"inf"'},
        {"comment_count": "1" + 400 * "0"},
        {"comment_count": '"\\ud800"'},
        {"gear_id": '".."'},
        {"gear_id": '"b1/../../athlete"'},
        {"gear_id": f'"{100_000 * "b"}"'},
    ],
    ids=["infinite", "infinite text", "beyond a double", "half of a surrogate pair", "dots", "a path", "long"],
)
async def test_an_odd_value_in_a_list_row_stops_nothing(tmp_path: Path, texts: dict[str, str]) -> None:
    world = World(tmp_path / "h.sqlite", years=0.06)
    ids = odd_list(world, **texts)
    async with world.harvest(PLAN) as harvest:
        assert (await harvest.run()).complete
    assert sorted(await world.bodies(Kind.COMMENTS)) == sorted(ids)
    assert len(world.asked()) < 20


@pytest.mark.parametrize("field", ["name", "comment_count", "gear_id", "map"])
async def test_a_list_row_that_is_nested_too_deeply_is_reported(tmp_path: Path, field: str) -> None:
    world = World(tmp_path / "h.sqlite", years=0.06)
    odd_list(world, **{field: DEEP})
    async with world.harvest(PLAN) as harvest:
        outcome = await harvest.run()
    assert ["nested too deeply" in failure.reason for failure in outcome.failures] == [True]
    assert world.rows("select count(*) from activities") == [(2,)]


@pytest.mark.parametrize("item", [DEEP, '{"cursor": "\\ud800"}', '{"cursor": "' + 100_000 * "c" + '"}'])
async def test_odd_comments_stop_nothing(tmp_path: Path, item: str) -> None:
    world = World(tmp_path / "h.sqlite", years=0.06)
    ids = odd_list(world)
    answer = Fault.status(200, f"[{item}]", content_type="application/json")
    world.emulator.faults.add(answer, path=f"/activities/{ids[1]}/comments", times=None)
    async with world.harvest(PLAN) as harvest:
        outcome = await harvest.run()
    assert [failure.key for failure in outcome.failures] == ([str(ids[1])] if item == DEEP else [])
    assert len(await world.bodies(Kind.COMMENTS)) == 3


@pytest.mark.parametrize("answer", [[{"id": 1}], [{}], [None]])
async def test_a_page_of_routes_that_comes_again_is_the_last(tmp_path: Path, answer: object) -> None:
    world = World(tmp_path / "h.sqlite", years=0.06)
    world.emulator.faults.add(Fault.status(200, answer), path="/athletes/*/routes", times=None)
    async with world.harvest(Plan.of(["routes"])) as harvest:
        assert (await harvest.run()).complete
    assert (await world.bodies(Kind.ROUTES))[world.ids[0]] == answer
    assert len([path for path in world.asked() if path.endswith("/routes")]) == 2


@pytest.mark.parametrize("kind", ["newest first", "oldest first", "unreadable"])
async def test_a_list_with_the_same_page_for_ever_ends_and_is_read_later(tmp_path: Path, kind: str) -> None:
    world = World(tmp_path / "h.sqlite", years=0.1)
    first = world.activities()[0]
    page = [{**first, "id": first["id"] + n, "start_date": f"2025-12-01T00:00:{n % 50 + 10}Z"} for n in range(1, 201)]
    page.sort(key=lambda row: str(row["start_date"]), reverse=kind == "newest first")
    page = [{}] * 200 if kind == "unreadable" else page
    world.emulator.faults.add(Fault.status(200, page), path=LIST, times=None)
    async with world.harvest(Plan.of([])) as harvest:
        for _ in range(2):
            outcome = await harvest.run()
            assert "same activities" in outcome.failures[-1].reason
            assert not outcome.complete
            assert outcome.resume_at is not None
            assert len(world.asked()) <= 3
        world.emulator.faults.clear()
        await harvest.run()
    held = {number for (number,) in world.rows("select id from activities")}
    assert {row["id"] for row in world.activities() if row["start_date"] < "2025-12-01"} <= held
