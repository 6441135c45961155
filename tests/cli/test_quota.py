"""``strava-async quota``: its rows from states of a fleet, its tables at two widths, and the command."""

from __future__ import annotations

import copy
import io
import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from redis.asyncio import Redis
from rich.console import Console

from strava_async.application import Strava
from strava_async.cli.config import Options
from strava_async.cli.quota import QuotaSettings, quota
from strava_async.cli.quota_rows import METER_NAMES, QuotaRows, rows_of_fleet
from strava_async.cli.quota_table import draw, duration
from strava_async.cli.redis import read_fleet
from strava_async.cli.redis_url import RedisUrl
from strava_async.cli.terminal import Terminal
from strava_async.limiter.redis_place import RedisPlace
from strava_async.limiter.sqlite import SqliteRateLimiter
from strava_async.limiter.sqlite_place import SqlitePlace
from strava_async.oauth.token_set import TokenSet
from strava_async.quota.fleet.codec import LARGEST, dump_fleet, dump_row, load_fleet, load_row
from strava_async.quota.fleet.messages import NONE, Report, Spent, Unconfirmed, Wants
from strava_async.quota.fleet.state import Fleet
from strava_async.quota.fleet.sync import sync
from strava_async.stores.sqlite import SqliteTokenStore
from strava_async.testing import Emulator, FakeClock, MeterLimits
from tests.environment import clean_environment
from tests.quota.fleet.test_codec import places
from tests.redis_server import RedisServer, needs_redis
from tests.redis_topologies import cluster

NOON = 1_767_700_800  # a quarter hour begins
QUARTER = NOON // 900
LEASE_MS = 10_000
ENDED = {"numbers": (61, 461, 75, 700), "latest": (61, 461, 75, 700), "limits": (100, 1_000, 200, 2_000)}


class Meeting:
    """A place where processes meet, three minutes before noon is a quarter hour old."""

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.now_ms = (NOON + 720) * 1_000
        self._counts: dict[str, int] = {}

    def tell(self, process: str, **told: Any) -> None:
        self._counts[process] = count = self._counts.get(process, 0) + 1
        known: dict[str, Any] = {"quarter": QUARTER, "sure": True, "ms_left": (NOON + 900) * 1_000 - self.now_ms}
        self.fleet, _ = sync(self.fleet, Report(process, count, **{**known, **told}), self.now_ms)

    def rows(self, seconds: float = 0.0) -> QuotaRows:
        return rows_of_fleet(self.fleet, self.now_ms / 1_000 + seconds)


@pytest.fixture
def meeting() -> Meeting:
    """Two processes: one with answers and ten requests out, the other waits."""
    meeting = Meeting()
    meeting.tell("a", held=Spent(10, 12), done=Spent(40, 50), number_at=(1, 1), limits_at=1, **ENDED)
    meeting.now_ms += 2_000
    meeting.tell("b", wants=Wants(interactive=1, normal=50, uploads=2), row_ms=900_000)
    return meeting


# -- rows --------------------------------------------------------------------------------------------------------------


def test_a_meter_says_what_is_left_for_all(meeting: Meeting) -> None:
    held = meeting.fleet.held()
    read, read_day, overall, overall_day = meeting.rows().meters
    assert (read.limit, read.usage, read.reserved, read.unconfirmed) == (100, 61, held.read, 0)
    assert read.remaining == 100 - 61 - held.read
    assert (overall.usage, overall.reserved, overall.remaining) == (75, held.overall, 200 - 75 - held.overall)
    assert [meter.name for meter in (read, read_day, overall, overall_day)] == list(METER_NAMES)
    assert (read.resets_at, read_day.resets_at) == (NOON + 900, NOON + 43_200)
    assert (read.resets_in, read_day.resets_in) == pytest.approx((178.0, 43_200 - 722.0), abs=0.1)


def test_a_process_says_what_it_holds_and_when_it_was_heard(meeting: Meeting) -> None:
    waiting, busy = meeting.rows(1.5).processes
    assert (busy.process, busy.reserved, busy.done, busy.waiting.total) == ("a", 12, 50, 0)
    assert (busy.heard_seconds, busy.lease_seconds) == pytest.approx((3.5, 6.5), abs=0.1)
    assert (waiting.process, waiting.waiting.uploads) == ("b", 2)
    assert waiting.heard_seconds == pytest.approx(1.5, abs=0.1)
    assert meeting.rows().waiting == 1


def test_what_a_process_held_whose_lease_is_over_is_unconfirmed(meeting: Meeting) -> None:
    before, after = meeting.rows(), meeting.rows(LEASE_MS / 1_000 + 1)
    assert before.meters[0].unconfirmed == 0
    assert after.meters[0].unconfirmed >= 10
    assert after.meters[0].remaining == before.meters[0].remaining
    assert [row.process for row in after.processes] == ["b"]  # who waits is remembered for longer
    assert after.processes[0].lease_seconds == 0


def test_what_may_have_been_counted_earlier_in_the_day_is_unconfirmed_in_the_day_alone(meeting: Meeting) -> None:
    meeting.tell("a", unconfirmed=(Unconfirmed(3, 4, in_window=False), Unconfirmed(1, 1, ms=60_000)))
    assert [meter.unconfirmed for meter in meeting.rows().meters] == [1, 4, 1, 5]


@pytest.mark.parametrize(("later", "quarters"), [(185.0, 1), (900.0 + 185.0, 2)])
def test_a_window_that_is_over_has_turned(meeting: Meeting, later: float, quarters: int) -> None:
    read, read_day, *_ = meeting.rows(later).meters
    assert (read.usage, read_day.usage) == (0, 461)
    assert read.resets_at == NOON + 900 * (quarters + 1)
    assert read.resets_in == pytest.approx(900 - 7.0, abs=0.1)
    assert read_day.resets_at == NOON + 43_200


def test_looking_changes_nothing_and_is_no_process(meeting: Meeting) -> None:
    before = copy.deepcopy(meeting.fleet)
    rows = meeting.rows(5.0)
    assert meeting.fleet == before
    assert {row.process for row in rows.processes} == {"a", "b"}


def test_a_clock_that_was_set_back_makes_no_time_negative(meeting: Meeting) -> None:
    assert meeting.rows(-3_600.0) == meeting.rows()


def test_books_that_were_lost_heal_and_a_refusal_cools_down(meeting: Meeting) -> None:
    meeting.tell("b", refused_at=(5, NONE), seen=10_000)
    rows = meeting.rows(1.0)
    assert rows.state == "healing"
    assert rows.cooldown_seconds == pytest.approx((4.0, 0.0), abs=0.1)
    assert meeting.rows(6.0).state == "shared"


def test_before_the_first_number_nothing_is_known() -> None:
    meeting = Meeting()
    meeting.tell("a", quarter=0, sure=False, wants=Wants(normal=1))
    read = meeting.rows().meters[0]
    assert (read.limit, read.usage, read.remaining, read.resets_at, read.resets_in) == (None,) * 5
    assert read.reserved == 1
    assert rows_of_fleet(Fleet(), NOON).state == "unused"


def test_the_json_has_all_of_it(meeting: Meeting) -> None:
    told = json.loads(json.dumps(meeting.rows().as_json()))
    assert told["state"] == "shared"
    assert told["meters"]["read_15min"]["remaining"] == meeting.rows().meters[0].remaining
    assert set(told["meters"]["read_15min"]) >= {"limit", "usage", "reserved", "remaining", "resets_at"}
    assert told["processes"][0]["waiting"].keys() == {"interactive", "normal", "background", "uploads"}
    assert told["cooldown_seconds"] == {"read": 0.0, "overall": 0.0}


# -- tables ------------------------------------------------------------------------------------------------------------


def drawn(rows: QuotaRows, width: int, *, lively: bool = True) -> list[str]:
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    console = Console(file=out, width=width, force_terminal=lively, no_color=True, highlight=False, markup=False)
    draw(rows, "/srv/quota.sqlite, application 12345", Terminal(console, console, lambda: ""))
    out.seek(0)
    return [re.sub(r"\x1b\[[\d;]*m", "", line).rstrip() for line in out.read().splitlines()]


def big(meeting: Meeting) -> QuotaRows:
    """Return rows with the longest texts: a fleet of 64 of an application with a large quota."""
    meeting.tell("a", **dict.fromkeys(("numbers", "latest", "limits"), (200000, 2000000, 200000, 2000000)))
    for number in range(64):
        meeting.tell(f"{number:016x}", held=Spent(1_000, 1_000), done=Spent(3_000, 3_000), wants=Wants(normal=500))
    meeting.tell("a", seen=10_000, refused_at=(9, 9), refused_ms=300_000)
    return meeting.rows(3.0)


@pytest.mark.parametrize("width", [80, 120])
def test_the_tables_fit(meeting: Meeting, width: int) -> None:
    for rows in (meeting.rows(), meeting.rows(3_000.0), big(meeting)):
        lines = drawn(rows, width)
        assert max(map(len, lines)) <= width
        assert not [line for line in lines if "…" in line]
        assert sum(bool(re.match(r"[0-9a-f]{16} .* ago", line)) for line in lines) in (0, 64)


def test_a_narrow_terminal_shows_numbers_and_a_wide_one_bars(meeting: Meeting) -> None:
    narrow = drawn(meeting.rows(), 80)
    assert narrow[0] == "/srv/quota.sqlite, application 12345: 2 processes share the quota, 1 of them"
    row = next(line for line in narrow if line.startswith("reads, quarter hour"))
    assert row.split()[3:6] == ["100", "61", str(meeting.fleet.held().read)]
    assert "█" not in "".join(narrow)
    row = next(line for line in drawn(meeting.rows(), 120) if line.startswith("reads, quarter hour"))
    assert re.search(r" █{20}▒+░*$", row)
    assert "█" not in "".join(drawn(meeting.rows(), 10_000, lively=False))


def test_the_sentences_around_the_tables(meeting: Meeting) -> None:
    assert "The next quarter hour begins in 2 min 58 s, at" in "\n".join(drawn(meeting.rows(), 120))
    lines = drawn(big(meeting), 120)
    assert "What was known here was lost" in " ".join(lines[:3])
    assert "Reads wait 4 min 57 s more, after a 429 that no number explains." in lines
    assert drawn(rows_of_fleet(Fleet(), NOON), 80) == [
        "/srv/quota.sqlite, application 12345: no process has used it yet."
    ]
    assert any(re.match(r"b .* 1 min 0 s ago$", line) for line in drawn(meeting.rows(60.0), 80))
    assert "no processes share the quota" in " ".join(drawn(meeting.rows(5_000.0), 80)[:2])


def test_ids_that_others_have_written_are_shown_without_effect(meeting: Meeting) -> None:
    meeting.tell("\x1b[2J\n[red]" + "x" * 1_000)
    lines = drawn(meeting.rows(), 100)
    assert any(line.startswith("?[2J?[red]xxx") for line in lines)
    assert all(len(line) <= 100 for line in lines)


def test_any_number_that_is_read_is_shown(meeting: Meeting) -> None:
    now = meeting.now_ms / 1_000
    texts: dict[str | None, str] = {
        None: dump_fleet(meeting.fleet),
        **{name: dump_row(row) for name, row in meeting.fleet.rows.items()},
    }
    for kind, text in texts.items():
        for number in range(len(list(places(json.loads(text))))):
            for value in (2**32, LARGEST):
                state = json.loads(text)
                container, key = list(places(state))[number]
                container[key] = value
                changed = {**texts, kind: json.dumps(state)}
                try:
                    rows = {name: load_row(row) for name, row in changed.items() if name is not None}
                    fleet = load_fleet(changed[None], rows)
                except ValueError:
                    continue
                for at in (now, 2**33):
                    seen = rows_of_fleet(fleet, at)
                    assert json.dumps(seen.as_json(), allow_nan=False)
                    assert drawn(seen, 100)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (59.9, "1 min 0 s"), (62, "1 min 2 s"), (7_322, "2 h 2 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# -- the command -------------------------------------------------------------------------------------------------------


class Desk:
    """Somebody at a terminal, and an emulator in place of Strava."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.emulator = Emulator(years=0.1, clock=self.clock, limits=MeterLimits(read_15min=3))
        self.folder = folder
        self.out = self.err = ""

    def options(self, **changes: Any) -> Options:
        given: dict[str, Any] = {
            "client_id": str(self.emulator.client_id),
            "client_secret": self.emulator.client_secret,
            "store": self.folder / "tokens.sqlite",
            "default_config": None,
        }
        return Options(**{**given, **changes})

    def make(self, *arguments: Any, **options: Any) -> Strava:
        http_client = httpx.AsyncClient(transport=httpx.ASGITransport(app=self.emulator.app))
        return Strava(*arguments, **options, http_client=http_client, clock=self.clock)

    def run(self, options: Options | None = None, **chosen: Any) -> int:
        out, err = io.StringIO(), io.StringIO()
        terminal = Terminal(Console(file=out, width=10_000), Console(file=err, width=10_000), lambda: "")
        settings = QuotaSettings(options or self.options(), **chosen)
        status = quota(settings, terminal, make=self.make, now=self.clock.time)
        self.out, self.err = out.getvalue(), err.getvalue()
        assert self.emulator.client_secret not in self.out + self.err + repr(settings)
        assert "sekret" not in self.out + self.err + repr(settings)
        return status

    def connect(self) -> None:
        granted = self.emulator.grant()
        token = TokenSet(granted["access_token"], granted["refresh_token"], granted["expires_at"])
        store = SqliteTokenStore(self.folder / "tokens.sqlite", application=str(self.emulator.client_id))
        anyio.run(store.save, self.emulator.athlete_ids[0], token)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def fill(path: Path, *applications: str, clock: FakeClock) -> None:
    async def work() -> None:
        for name in applications:
            ms = int(clock.time() * 1_000)
            report = Report(f"of {name}", 1, quarter=int(clock.time() // 900), sure=True, wants=Wants(normal=1))
            await SqlitePlace(path, name).call(report, ms)

    anyio.run(work)


def test_a_file_is_shown_and_costs_no_request(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "quota.sqlite"
    fill(path, "any name", clock=desk.clock)
    assert desk.run(file=path) == 0
    assert desk.out.startswith(f"{path}, application any name: 1 process shares the quota.\n")
    assert "of any name" in desk.out
    assert desk.run(file=path, as_json=True) == 0
    assert [row["process"] for row in json.loads(desk.out)["processes"]] == ["of any name"]
    assert not desk.emulator.requests


def test_of_several_applications_in_a_file_one_is_chosen(desk: Desk, tmp_path: Path) -> None:
    path, client_id = tmp_path / "quota.sqlite", str(desk.emulator.client_id)
    fill(path, "one", "other", clock=desk.clock)
    assert desk.run(file=path) == 2
    assert desk.err == (
        f"strava-async quota: {path} has several applications: say which with --application: one, other\n"
    )
    assert desk.run(file=path, application="other") == 0
    assert "of other" in desk.out
    assert desk.run(file=path, application="third") == 0
    assert desk.out == f"{path}, application third: no process has used it yet.\n"
    fill(path, client_id, clock=desk.clock)
    assert desk.run(file=path) == 0
    assert f"of {client_id}" in desk.out


def test_a_name_that_is_none_is_refused(desk: Desk, tmp_path: Path) -> None:
    for name in ("", "a{b}", "one\x1b[31m", "\udc80"):
        assert desk.run(file=tmp_path / "quota.sqlite", application=name) == 2
        assert desk.err.startswith("strava-async quota: --application: application is a text")


def test_of_very_many_applications_some_are_named(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "quota.sqlite"
    fill(path, *(f"{number:02}" for number in range(25)), clock=desk.clock)
    assert desk.run(file=path) == 2
    assert desk.err.endswith(" 18, 19, ...\n")


def test_a_file_that_is_none_is_a_sentence_and_is_not_made(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "quota.sqlite"
    assert desk.run(file=path) == 1
    assert f"there is no file {path}" in desk.err
    assert not path.exists()
    path.write_text("a diary")
    assert desk.run(file=path) == 1
    assert "not a database" in desk.err
    assert path.read_text() == "a diary"


def test_strava_is_asked_once_for_one_read(desk: Desk) -> None:
    desk.connect()
    assert desk.run() == 0
    assert desk.out.startswith(
        f"https://www.strava.com, application {desk.emulator.client_id}: the answer to one request, which counted as a "
        "read.\n"
    )
    assert re.search(r"^reads, quarter hour +3 +1 +2$", desk.out, re.M)
    assert "Process" not in desk.out
    assert [served.path for served in desk.emulator.requests] == ["/api/v3/athlete"]
    assert desk.run(strava=True, athlete_id=desk.emulator.athlete_ids[0], as_json=True) == 0
    assert json.loads(desk.out)["meters"]["overall_day"]["usage"] == 2
    assert json.loads(desk.out)["processes"] == []


def test_a_spent_quota_is_shown_too(desk: Desk) -> None:
    desk.connect()
    assert [desk.run() for _ in range(4)] == [0, 0, 0, 0]
    assert [served.status_code for served in desk.emulator.requests] == [200, 200, 200, 429]
    assert re.search(r"^reads, quarter hour +3 +[34] +0$", desk.out, re.M)


def test_with_nobody_connected_strava_is_not_asked(desk: Desk) -> None:
    assert desk.run() == 2
    assert "nobody is connected: give --file or --redis, or connect somebody: strava-async login" in desk.err
    assert not desk.emulator.requests
    assert not (desk.folder / "tokens.sqlite").exists()
    assert desk.run(desk.options(client_id=None)) == 2
    assert desk.err.startswith("strava-async quota: no client id: give --client-id")
    assert desk.err.endswith(". To ask nobody: --file or --redis, where processes share the quota\n")


def test_one_place_is_chosen(desk: Desk, tmp_path: Path) -> None:
    assert desk.run(file=tmp_path / "a", redis="redis://localhost") == 2
    assert desk.err == "strava-async quota: give one of --file, --redis\n"
    assert desk.run(file=tmp_path / "a", athlete_id=1) == 2
    assert desk.err == "strava-async quota: give one of --file, --athlete\n"


@pytest.mark.parametrize(
    "url",
    [
        "redis://:sekret@localhost",
        "rediss://user:sekret@localhost:1/0",
        "redis://localhost?password=sekret",
        "rediss://localhost?ssl_%70assword=sekret",
        "x://[sekret@",
    ],
)
def test_a_password_on_the_command_line_is_refused(desk: Desk, url: str) -> None:
    assert desk.run(redis=url) == 2
    assert "put a URL with a password into STRAVA_REDIS_URL" in desk.err


@pytest.mark.asyncio
async def test_the_program_shows_a_file_that_a_limiter_uses(tmp_path: Path) -> None:
    path = tmp_path / "quota.sqlite"
    async with SqliteRateLimiter(path, application="12345") as limiter:
        permit = await limiter.acquire()
        line = [sys.executable, "-m", "strava_async", "quota", "--file", str(path), "--json"]
        ended = await anyio.run_process(line, env=clean_environment(STRAVA_REDIS_URL="redis://nowhere"))
        permit.release()
    [row] = json.loads(ended.stdout)["processes"]
    assert row["reserved"] == 1
    assert row["heard_seconds"] < 60


# -- Redis -------------------------------------------------------------------------------------------------------------

SECRETS = {"STRAVA_REDIS_URL": "redis://look:sekret@127.0.0.1:{port}/0"}


def share_on(server: RedisServer, *applications: str) -> None:
    async def work() -> None:
        async with Redis(port=server.port) as redis:
            for name in applications:
                report = Report(f"of {name}", 1, quarter=QUARTER, sure=True, ms_left=60_000, wants=Wants(normal=1))
                await RedisPlace(redis, name).call(report, 0)

    anyio.run(work)


def with_url(desk: Desk, server: RedisServer) -> Options:
    server.ask("ACL", "SETUSER", "look", "reset", "on", ">sekret", "~{strava:*}:*", "+hgetall", "+time")
    return desk.options(environment={name: url.format(port=server.port) for name, url in SECRETS.items()})


@needs_redis
def test_a_server_is_shown_to_somebody_who_may_only_look(desk: Desk, redis_server: RedisServer) -> None:
    client_id = str(desk.emulator.client_id)
    share_on(redis_server, client_id, "other")
    options = with_url(desk, redis_server)
    assert desk.run(options) == 0
    assert desk.out.startswith(f"Redis, application {client_id}: 1 process shares the quota")
    assert f"of {client_id}" in desk.out
    assert desk.run(options, application="other", as_json=True) == 0
    [row] = json.loads(desk.out)["processes"]
    assert (row["process"], row["reserved"]) == ("of other", 1)
    assert 0 <= row["heard_seconds"] < 10
    before, _ = redis_server.ask("TIME")
    _, now = anyio.run(read_fleet, RedisUrl(f"redis://127.0.0.1:{redis_server.port}", ""), "other")
    after, _ = redis_server.ask("TIME")
    assert before <= now <= after + 1
    assert desk.run(options, application="third") == 0
    assert desk.out == "Redis, application third: no process has used it yet.\n"
    assert desk.run(application="other", redis=f"redis://127.0.0.1:{redis_server.port}") == 0
    assert not desk.emulator.requests


@needs_redis
def test_what_a_server_refuses_is_a_sentence_without_its_url(desk: Desk, redis_server: RedisServer) -> None:
    options = with_url(desk, redis_server)
    redis_server.ask("ACL", "SETUSER", "look", "-time")
    assert desk.run(options) == 1
    assert desk.err.endswith(" denies this user the command TIME: add +time to its ACL\n")
    redis_server.ask("ACL", "SETUSER", "look", "resetpass", ">another")
    assert desk.run(options) == 1
    assert "refused the user name or the password" in desk.err
    assert str(redis_server.port) not in desk.err


@needs_redis
def test_of_a_cluster_any_server_will_do(desk: Desk, tmp_path: Path) -> None:
    with cluster(tmp_path) as servers:
        owners = set[int]()
        for name in ("1", "2", "3", "4"):
            owners.add(owner := servers.owner(f"{{strava:{name}}}:quota"))
            share_on(servers.servers[owner], name)
            assert desk.run(redis=f"redis://127.0.0.1:{servers.servers[0].port}", application=name) == 0
            assert f"of {name}" in desk.out
        assert len(owners) > 1


def test_a_server_that_is_not_there_is_a_sentence(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    options = desk.options(environment={name: url.format(port=port) for name, url in SECRETS.items()})
    assert desk.run(options) == 1
    assert "cannot be reached: see that it runs" in desk.err


@pytest.mark.parametrize(
    "url", ["http://localhost", "localhost:6379", "redis://localhost:port", "redis://localhost?db=x"]
)
def test_what_is_no_url_is_said_and_not_shown(desk: Desk, url: str) -> None:
    assert desk.run(redis=url) == 2
    assert desk.err == "strava-async quota: --redis is no URL of a Redis server, such as redis://localhost:6379/0\n"
    assert desk.run(desk.options(environment={"STRAVA_REDIS_URL": f"x{url}/sekret"})) == 2
    assert desk.err.startswith("strava-async quota: STRAVA_REDIS_URL is no URL")


@needs_redis
@pytest.mark.parametrize(
    "odd", ["sekret=1", "encoding=sekret", "credential_provider=sekret", "retry=sekret", "parser_class=sekret"]
)
def test_options_in_a_url_that_the_client_finds_odd_when_it_connects(
    desk: Desk, redis_server: RedisServer, odd: str
) -> None:
    assert desk.run(redis=f"redis://127.0.0.1:{redis_server.port}?{odd}") == 2
    assert desk.err.startswith("strava-async quota: --redis is no URL of a Redis server")


def test_on_redis_an_application_has_to_be_named(desk: Desk) -> None:
    assert desk.run(desk.options(client_id=None), redis="redis://localhost") == 2
    assert "no client id" in desk.err


def test_a_place_that_is_chosen_comes_before_the_environment(desk: Desk, tmp_path: Path) -> None:
    options = desk.options(environment={"STRAVA_REDIS_URL": "redis://nowhere"})
    fill(tmp_path / "quota.sqlite", "one", clock=desk.clock)
    assert desk.run(options, file=tmp_path / "quota.sqlite") == 0
    desk.connect()
    assert desk.run(options, strava=True) == 0
    assert len(desk.emulator.requests) == 1


def test_without_the_extra_the_command_names_it() -> None:
    script = """
import sys
sys.modules["redis"] = None  # as if it were not there
from strava_async.cli import main
sys.exit(main(["quota", "--redis", "redis://localhost", "--application", "1"]))
"""
    ended = subprocess.run([sys.executable, "-c", script], env=clean_environment(), capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr == (
        'strava-async quota: a quota on Redis needs more packages: pip install "strava-async[redis]"\n'
    )
