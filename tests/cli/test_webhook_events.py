"""``strava-async webhook events``: its table at two widths, and the command on a file and on Redis."""

from __future__ import annotations

import io
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis
from rich.console import Console

from strava_async.cli.config import Options
from strava_async.cli.terminal import Terminal
from strava_async.cli.webhook_events import EventsSettings, events
from strava_async.cli.webhook_events_table import Listing, draw, key_length
from strava_async.redis import RedisEventStore
from strava_async.stores.sqlite import SqliteTokenStore
from strava_async.webhooks import SqliteBacklog, SqliteEventStore
from strava_async.webhooks.backlog import PersistedEvent
from strava_async.webhooks.base import EventState, EventStore, StoredEvent, StoreStats
from strava_async.webhooks.events import WebhookEvent
from strava_async.webhooks.pending import WaitReason
from tests.environment import clean_environment
from tests.redis_server import BINARY, RedisServer, needs_redis
from tests.redis_topologies import cluster

APPLICATION = "4711"
CREATED = WebhookEvent("activity", 17_283_947_123, "create", 12_345_678, 1, 1_767_700_800)
RENAMED = replace(CREATED, aspect_type="update", updates={"title": "Morning"})
REMOVED = WebhookEvent("athlete", 12_345_678, "update", 12_345_678, 1, 1_767_700_801, {"authorized": "false"})
OTHER = WebhookEvent("activity", 5, "delete", 87_654_321, 1, 1_767_700_802)
# What Strava's callback takes from anybody: control characters, other widths and directions, any length.
HOSTILE = WebhookEvent("\x1b[2J\x1b]0;owned\x07", 2**63 - 1, "\u202ee\u0301\u0301\n\r" + "x" * 60_000, 2**63 - 1, 1, 1)
DELAYED = StoredEvent(
    CREATED, EventState.DELAYED, 203.0, 243.0, WaitReason.QUOTA, {"trouble": 2, "not found": 1}, "ConnectError"
)
LISTING = Listing(
    StoreStats(1_204, 1, 203.0, 75.0),
    [
        DELAYED,
        StoredEvent(RENAMED, EventState.BEHIND, 61.0, None, None, {}, ""),
        StoredEvent(REMOVED, EventState.CLAIMED, 5.0, None, None, {}, ""),
        StoredEvent(OTHER, EventState.READY, 0.4, None, None, {}, ""),
    ],
)


def drawn(listing: Listing, width: int) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, highlight=False, markup=False, emoji=False)
    draw(listing, "events.sqlite", Terminal(console, console, lambda: ""))
    return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())  # styles of the heading


# -- the table ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_says_what_waits_for_what(width: int) -> None:
    shown = drawn(LISTING, width)
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= width
    flat = " ".join(shown.split())
    for stored in LISTING.events:
        assert stored.event.key[:8] in shown
    for text in ("12345678", "3 min 23 s", "1,204 events are not finished, 1 of them being handled"):
        assert text in flat
    for text in ("One has waited for a worker for 1 min 15 s", "These are the oldest 4; --limit shows more."):
        assert text in flat
    for word in ("17283947123", "deauthorization", "(quota)", "ConnectError", "handler", "worker"):
        assert word in shown


def test_a_wide_terminal_needs_a_line_for_most_events() -> None:
    assert re.search(
        r"^[0-9a-f]{8} +1 min 1 s +12345678 +update activity 17283947123 +an earlier",
        drawn(LISTING, 120),
        re.M,
    )


def test_where_nothing_waits_there_is_no_table() -> None:
    assert drawn(Listing(StoreStats(0, 0, None, None), []), 80) == "events.sqlite: no event waits.\n"


def test_no_column_of_failures_is_shown_without_one() -> None:
    assert "Failed" not in drawn(replace(LISTING, events=LISTING.events[1:]), 120)


@pytest.mark.parametrize("width", [80, 120])
def test_what_a_stranger_sends_cannot_draw_on_the_terminal(width: int) -> None:
    stored = StoredEvent(HOSTILE, EventState.READY, 1e9, None, None, {"\x1b[1m" * 99: 2**63}, "\x9b31m" + "E" * 99)
    shown = drawn(Listing(StoreStats(1, 0, 1e9, None), [stored]), width)
    assert all(" " <= character <= "~" for character in shown.replace("\n", ""))
    assert max(map(len, shown.splitlines())) <= width
    assert shown.count("\n") < 25
    assert str(2**63 - 1) in shown


def test_keys_are_as_long_as_it_takes_to_tell_them_apart() -> None:
    keys = ["aaaaaaaaaaaa1" + 51 * "0", "aaaaaaaaaaaa2" + 51 * "0", "b" * 64]
    assert key_length(keys) == 13
    assert key_length(keys[1:]) == 8
    assert key_length([]) == key_length(keys[:1] * 2) == 8


# -- the command -------------------------------------------------------------------------------------------------------


class Desk:
    """Somebody at a terminal, and a store of events."""

    def __init__(self) -> None:
        self.answers: list[str] | None = []
        self.out = self.err = ""
        self.environment: dict[str, str] = {}
        self.client_id: str | None = APPLICATION

    def run(self, **chosen: Any) -> int:
        out, err = io.StringIO(), io.StringIO()

        def ask(question: str, hidden: bool) -> str:
            assert self.answers is not None
            out.write(question + "\n")
            return self.answers.pop(0)

        shown, complaints = (Console(file=file, width=10_000, markup=False, emoji=False) for file in (out, err))
        terminal = Terminal(shown, complaints, lambda: "", None if self.answers is None else ask)
        options = Options(self.client_id, default_config=None, environment=self.environment)
        settings = EventsSettings(options, **chosen)
        status = events(settings, terminal)
        self.out, self.err = out.getvalue(), err.getvalue()
        assert "sekret" not in self.out + self.err + repr(settings)
        return status

    def listed(self, **chosen: Any) -> list[dict[str, Any]]:
        assert self.run(as_json=True, **chosen) == 0
        found: list[dict[str, Any]] = json.loads(self.out)["events"]
        return found


class Shop(Desk):
    """The same, with where its store is."""

    def __init__(self, chosen: dict[str, Any], using: Callable[[Callable[[EventStore], Awaitable[Any]]], Any]) -> None:
        super().__init__()
        self.chosen = chosen
        self.using = using

    def run(self, **chosen: Any) -> int:
        return super().run(**{**self.chosen, **chosen})


def in_file(path: Path) -> Shop:
    return Shop({"file": path}, lambda work: anyio.run(work, SqliteEventStore(path)))


def on_server(server: RedisServer, application: str = APPLICATION) -> Shop:
    async def main(work: Callable[[EventStore], Awaitable[Any]]) -> Any:
        async with Redis(port=server.port) as client:
            return await work(RedisEventStore(client, application=application))

    return Shop({"redis": f"redis://127.0.0.1:{server.port}"}, lambda work: anyio.run(main, work))


@pytest.fixture(scope="module", autouse=True)
def any_server(request: pytest.FixtureRequest) -> None:
    """Start the server before the first test, which would have to end what it starts."""
    if BINARY is not None:
        request.getfixturevalue("server_of_module")


@pytest.fixture(params=["file", pytest.param("redis", marks=needs_redis)])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    """A store in which an event has failed, another is behind it, one is being handled, and one is due."""
    if request.param == "file":
        shop = in_file(tmp_path / "events.sqlite")
    else:
        shop = on_server(request.getfixturevalue("redis_server"))

    async def fill(store: EventStore) -> None:
        for event in (CREATED, RENAMED, REMOVED):
            await store.append(event)
        [claim] = await store.claim(1, 30.0)
        claim.pending.waits_for, claim.pending.error = WaitReason.TROUBLE, "ConnectError"
        claim.pending.failures["trouble"] += 1
        assert await store.retry(claim, 3_600.0)
        assert await store.claim(1, 30.0, deauthorizations=True)
        await store.append(OTHER)

    shop.using(fill)
    return shop


def test_the_list_says_what_waits_for_whom_and_what_failed(shop: Shop) -> None:
    assert shop.run() == 0
    assert "4 events are not finished, 1 of them being handled; the oldest came " in shop.out
    row = next(line for line in shop.out.splitlines() if line.startswith(CREATED.key[:8]))
    assert re.search(r"12345678 +create activity 17283947123 +attempt in (59 min \d+ s|1 h 0 min)", row)
    assert row.rstrip().endswith("(trouble)  1 x trouble: ConnectError")
    assert len(re.findall("^[0-9a-f]{8} ", shop.out, re.M)) == 4


def test_programs_get_all_of_it_as_a_line(shop: Shop) -> None:
    by_key = {each["key"]: each for each in shop.listed()}  # those of one millisecond come in any order
    first, second, third, fourth = (by_key[event.key] for event in (CREATED, RENAMED, REMOVED, OTHER))
    assert shop.out.count("\n") == 1
    assert [each["state"] for each in (first, second, third, fourth)] == ["delayed", "behind", "claimed", "ready"]
    assert (first["athlete_id"], first["error"], first["failures"]) == (12_345_678, "ConnectError", {"trouble": 1})
    assert (first["waits_for"], second["waits_for"]) == ("trouble", None)
    assert 3_500 < first["due_seconds"] <= 3_600
    assert second["updates"] == {"title": "Morning"}
    assert {"unfinished": 4, "claimed": 1}.items() <= json.loads(shop.out).items()
    assert len(shop.listed(limit=2)) == 2


def test_a_delayed_event_is_due_at_once(shop: Shop) -> None:
    assert shop.run(retry=CREATED.key[:8]) == 0
    assert shop.out == "The next attempt is due now: create activity 17283947123 of athlete 12345678.\n"
    assert {each["key"]: each["state"] for each in shop.listed()}[CREATED.key] == "ready"
    assert shop.run(retry=CREATED.key) == 0
    assert shop.out.startswith("It is due already, and waits for a worker")


@pytest.mark.parametrize(("event", "why"), [(RENAMED, "an earlier event of its object"), (REMOVED, "its handler")])
def test_what_cannot_be_tried_now_says_what_it_waits_for(shop: Shop, event: WebhookEvent, why: str) -> None:
    assert shop.run(retry=event.key) == 1
    assert f"of athlete 12345678 waits for {why}\n" in shop.err


@pytest.mark.parametrize("answer", ["y", " YES "])
def test_an_event_is_removed_after_a_question_and_the_next_of_its_object_follows(shop: Shop, answer: str) -> None:
    shop.answers = [answer]
    assert shop.run(drop=CREATED.key[:8]) == 0
    assert f"create activity 17283947123 of athlete 12345678, key {CREATED.key}\n" in shop.out
    assert shop.out.endswith("Remove it? [y/N] \nRemoved: create activity 17283947123 of athlete 12345678.\n")
    states = {each["key"]: each["state"] for each in shop.listed()}
    assert (len(states), states[RENAMED.key]) == (3, "ready")


@pytest.mark.parametrize("answer", ["", "n", "no", "why?"])
def test_it_stays_unless_the_answer_is_yes(shop: Shop, answer: str) -> None:
    shop.answers = [answer]
    assert shop.run(drop=CREATED.key) == 0
    assert shop.out.endswith("Nothing was removed.\n")
    assert len(shop.listed()) == 4


def test_where_nobody_can_be_asked_yes_has_to_be_said(shop: Shop) -> None:
    shop.answers = None
    assert shop.run(drop=CREATED.key) == 2
    assert "give --yes" in shop.err
    assert shop.run(drop=CREATED.key, yes=True) == 0
    assert shop.out == "Removed: create activity 17283947123 of athlete 12345678.\n"


def test_what_a_worker_has_is_not_removed(shop: Shop) -> None:
    assert shop.run(drop=REMOVED.key, yes=True) == 1
    assert shop.err.endswith("nothing was removed: a worker has it, or it was finished meanwhile\n")
    assert len(shop.listed()) == 4


@pytest.mark.parametrize("intervene", ["retry", "drop"])
def test_a_key_that_nobody_has_is_a_sentence(shop: Shop, intervene: str) -> None:
    assert shop.run(**{intervene: "0" * 64}) == 1
    assert f"no unfinished event has the key {'0' * 64}" in shop.err


@pytest.mark.parametrize("key", ["", "abc", "x" * 64, "0" * 65, "\x1b[2J", "0000\n", "ABCDEF"])
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, key: str) -> None:
    desk = in_file(tmp_path / "none.sqlite")
    assert desk.run(retry=key) == 2
    assert desk.err.endswith("--retry takes a key as the list shows it, or its first characters, four at least\n")


def test_a_beginning_that_two_keys_have_changes_nothing(tmp_path: Path) -> None:
    by_beginning = dict[str, WebhookEvent]()
    for number in range(1, 10_000):
        event = replace(OTHER, object_id=number)
        twin = by_beginning.setdefault(event.key[:4], event)
        if twin is not event:
            break
    shop = in_file(tmp_path / "events.sqlite")

    async def fill(store: EventStore) -> None:
        await store.append(event)
        await store.append(twin)

    shop.using(fill)
    assert shop.run(drop=event.key[:4], yes=True) == 2
    assert f"2 events have keys that begin with {event.key[:4]}: give more of it: " in shop.err
    assert event.key in shop.err
    assert len(shop.listed()) == 2


def test_hostile_events_are_listed_and_removed(shop: Shop) -> None:
    async def fill(store: EventStore) -> None:
        await store.append(HOSTILE)

    shop.using(fill)
    for chosen in ({}, {"as_json": True}, {"drop": HOSTILE.key, "yes": True}):
        assert shop.run(**chosen) == 0
        assert all(" " <= character <= "~" for character in shop.out.replace("\n", ""))


# -- where the events are ----------------------------------------------------------------------------------------------


def test_a_file_that_is_none_is_a_sentence_and_is_not_made(tmp_path: Path) -> None:
    desk, path = Desk(), tmp_path / "events.sqlite"
    for chosen in ({}, {"retry": CREATED.key}, {"drop": CREATED.key, "yes": True}):
        assert desk.run(file=path, **chosen) == 1
        assert f"there is no file {path}" in desk.err
    path.write_text("a diary")
    assert desk.run(file=path) == 1
    assert "not a database" in desk.err
    assert [each.read_text() for each in tmp_path.iterdir()] == ["a diary"]


def test_the_files_of_others_are_left_alone(tmp_path: Path) -> None:
    backlog, tokens = tmp_path / "backlog.sqlite", tmp_path / "tokens.sqlite"
    anyio.run(SqliteBacklog(backlog).keep, [PersistedEvent(CREATED, 1.0)])
    anyio.run(SqliteTokenStore(tokens).athlete_ids)
    desk = Desk()
    for path in (backlog, tokens):
        before = path.read_bytes()
        for chosen in ({}, {"retry": CREATED.key}):
            assert desk.run(file=path, **chosen) == 1
            assert str(path) in desk.err
        assert path.read_bytes() == before


def test_an_event_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    shop = in_file(path := tmp_path / "events.sqlite")

    async def fill(store: EventStore) -> None:
        await store.append(CREATED)
        await store.append(OTHER)

    shop.using(fill)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("update events set value = '{}' where key = ?", (CREATED.key,))
    assert [each["key"] for each in shop.listed()] == [OTHER.key]


def test_to_look_changes_neither_the_file_nor_its_mode(tmp_path: Path) -> None:
    shop = in_file(path := tmp_path / "events.sqlite")

    async def fill(store: EventStore) -> None:
        await store.append(OTHER)

    shop.using(fill)
    path.chmod(0o644)
    before = path.read_bytes()
    assert shop.run() == 0
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (before, 0o644)


def test_a_place_has_to_be_named_and_one_only(tmp_path: Path) -> None:
    desk = Desk()
    assert desk.run() == 2
    assert desk.err == (
        "strava-async webhook events: say where the events are: --file PATH, --redis URL, or the variable "
        "STRAVA_REDIS_URL\n"
    )
    assert desk.run(file=tmp_path / "x", redis="redis://localhost") == 2
    assert desk.err.endswith("give one of --file, --redis\n")
    for intervene in ({"drop": "0000", "retry": "0000"}, {"drop": "0000", "as_json": True}):
        assert desk.run(file=tmp_path / "x", **intervene) == 2
    desk.environment = {"STRAVA_REDIS_URL": "redis://nowhere"}
    assert desk.run(file=tmp_path / "x") == 1  # what is chosen comes before the environment
    assert "there is no file" in desk.err


def test_a_password_on_the_command_line_is_refused() -> None:
    desk = Desk()
    assert desk.run(redis="redis://:sekret@localhost") == 2
    assert "put a URL with a password into STRAVA_REDIS_URL" in desk.err


@needs_redis
def test_the_server_that_the_environment_names_has_the_events_of_several(redis_server: RedisServer) -> None:
    async def fill(store: EventStore) -> None:
        await store.append(OTHER)

    on_server(redis_server, "other").using(fill)
    desk = Desk()
    desk.environment = {"STRAVA_REDIS_URL": f"redis://127.0.0.1:{redis_server.port}"}
    assert desk.run() == 0
    assert desk.out == f"Redis, application {APPLICATION}: no event waits.\n"
    assert desk.listed(application="other")[0]["key"] == OTHER.key
    desk.client_id = None
    assert desk.run() == 2
    assert "no client id" in desk.err
    assert desk.run(application="{}") == 1
    assert "without braces" in desk.err


@needs_redis
def test_what_a_server_refuses_is_a_sentence_without_its_url(redis_server: RedisServer) -> None:
    redis_server.ask("ACL", "SETUSER", "low", "reset", "on", ">sekret", "~*", "+hlen")
    desk = Desk()
    desk.environment = {"STRAVA_REDIS_URL": f"redis://low:sekret@127.0.0.1:{redis_server.port}"}
    assert desk.run() == 1
    assert "add +" in desk.err
    desk.environment = {"STRAVA_REDIS_URL": f"redis://low:sekret2@127.0.0.1:{redis_server.port}"}
    assert desk.run() == 1
    assert "refused the user name or the password" in desk.err
    assert str(redis_server.port) not in desk.err


@needs_redis
def test_of_a_cluster_any_server_will_do(tmp_path: Path) -> None:
    async def fill(store: EventStore) -> None:
        await store.append(OTHER)

    with cluster(tmp_path) as servers:
        desk, owners = Desk(), set[int]()
        for name in ("1", "2", "3", "4"):
            owners.add(owner := servers.owner(f"{{strava:{name}}}:events"))
            on_server(servers.servers[owner], name).using(fill)
            chosen = {"redis": f"redis://127.0.0.1:{servers.servers[0].port}", "application": name}
            assert desk.run(drop=OTHER.key, yes=True, **chosen) == 0
            assert desk.listed(**chosen) == []
        assert len(owners) > 1


def test_without_the_extra_the_command_names_it() -> None:
    script = """
import sys
sys.modules["redis"] = None  # as if it were not there
from strava_async.cli import main
sys.exit(main(["webhook", "events", "--redis", "redis://localhost", "--application", "1"]))
"""
    ended = subprocess.run([sys.executable, "-c", script], env=clean_environment(), capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (
        2,
        'strava-async webhook events: events on Redis need more packages: pip install "strava-async[redis]"\n',
    )


def test_the_program_lists_and_intervenes(tmp_path: Path) -> None:
    shop = in_file(path := tmp_path / "events.sqlite")

    async def fill(store: EventStore) -> None:
        await store.append(OTHER)

    shop.using(fill)
    line = [sys.executable, "-m", "strava_async", "webhook", "events", "--file", str(path)]
    shown = subprocess.run(line, env=clean_environment(), capture_output=True, text=True)
    [key] = re.findall("^[0-9a-f]{8}", shown.stdout, re.M)
    removed = subprocess.run([*line, "--drop", key, "--yes"], env=clean_environment(), capture_output=True, text=True)
    assert (removed.returncode, removed.stderr) == (0, "")
    assert removed.stdout == "Removed: delete activity 5 of athlete 87654321.\n"
