"""What the page about several processes shows is what happens."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from redis.asyncio import Redis
from rich.console import Console

import strava_async
from docs import make_fleet_picture
from strava_async import SqliteTokenStore, Strava, StravaError, TokenSet, WebhookEvent
from strava_async.cli.quota_rows import rows_of_fleet
from strava_async.cli.quota_table import draw
from strava_async.cli.redis import read_fleet
from strava_async.cli.redis_url import RedisUrl
from strava_async.cli.terminal import Terminal
from strava_async.limiter.redis_place import RedisPlace
from strava_async.quota.fleet.messages import Report, Spent, Wants
from strava_async.quota.fleet.state import Fleet
from strava_async.quota.fleet.sync import sync
from strava_async.redis import RedisEventStore, RedisTokenStore
from strava_async.stores.encryption import generate_key
from strava_async.testing import Emulator, MeterLimits, serve
from strava_async.webhooks import StoreStats
from tests import typed_blocks
from tests.environment import clean_environment
from tests.plain_http import NO_TRUST
from tests.redis_server import RedisServer, needs_redis, running

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "several-processes.md").read_text(encoding="utf-8")
COMPOSE = (DOCS / "compose.yaml").read_text(encoding="utf-8")
TRIAL, ONE_LINE, SERVICE, EVENTS = typed_blocks.blocks_of("docs/several-processes.md")
USERS = re.findall(r"^ACL SETUSER (\S+) on >\S+ (\S+) (.*)$", PAGE, re.M)


# -- one machine -------------------------------------------------------------------------------------------------------


def test_the_first_program_shares_a_quota_in_a_file(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", TRIAL],
        cwd=tmp_path,
        env=clean_environment(PYTHONWARNINGS="error"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    parts = re.findall(r"^\w+ sent (\d+) requests; [123] processes share the quota \(shared\)$", ended.stdout, re.M)
    assert len(parts) == 3
    assert sum(map(int, parts)) >= 100  # more if a quarter hour begins meanwhile
    assert ended.stdout.endswith("\n0 requests were answered with 429\n")
    # Its answer, word by word, is what the page shows.
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".sqlite"] == ["quota-demo.sqlite"]


@pytest.mark.asyncio
async def test_the_line_for_a_program_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    emulator = Emulator(years=0.1)
    granted = emulator.grant()
    token = TokenSet(granted["access_token"], granted["refresh_token"], granted["expires_at"])
    await SqliteTokenStore(tmp_path / "tokens.sqlite").save(emulator.athlete_ids[0], token)
    async with serve(emulator) as url:
        names: dict[str, Any] = {name: getattr(strava_async, name) for name in strava_async.__all__}
        names |= {"client_id": emulator.client_id, "client_secret": emulator.client_secret}
        names |= {"urls": {"api_url": f"{url}/api/v3", "oauth_url": f"{url}/oauth"}}
        block = re.sub(r'"(\w+\.sqlite)"', lambda name: repr(str(tmp_path / name[1])), ONE_LINE)
        await eval(compile(block, "several-processes.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    assert re.fullmatch(r"\w+ shared 1 99\n", capsys.readouterr().out)


# -- several hosts -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def host(folder: Path, variables: dict[str, str]) -> AsyncGenerator[str]:
    """Run the service of the page as one host with the workers of the compose file; yield its address."""
    command = [sys.executable, "-u", "-m", *command_of("service")]
    for option, value in (("--host", "127.0.0.1"), ("--port", "0")):
        command[command.index(option) + 1] = value
    environment = {**clean_environment(), **variables}
    async with await anyio.open_process(command, cwd=folder, env=environment, stderr=subprocess.STDOUT) as process:
        shown = ""
        try:
            while shown.count("Application startup complete") < 2:
                assert process.stdout is not None
                shown += (await process.stdout.receive()).decode()
            yield re.findall(r"http://127\.0\.0\.1:\d+", shown)[0].replace("127.0.0.1", "localhost")
        finally:
            process.terminate()
            with anyio.CancelScope(shield=True):
                await process.wait()


def command_of(service: str) -> list[str]:
    """Return the command of a service of the compose file."""
    part = re.search(rf"^  {service}:.*?(?=^  \w|^\w|\Z)", COMPOSE, re.M | re.S)
    assert part is not None
    line = re.search(r"^    command: (\[.*\])", part[0], re.M)
    assert line is not None
    command: list[str] = json.loads(line[1])
    return command


@needs_redis
@pytest.mark.asyncio
async def test_the_service_runs_on_two_hosts_which_share_quota_and_tokens(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    (tmp_path / "service.py").write_text(SERVICE, encoding="utf-8")
    emulator = Emulator(years=0.2, limits=MeterLimits(read_15min=100))
    url = f"redis://127.0.0.1:{redis_server.port}/0"
    async with serve(emulator) as strava:
        variables = {
            "STRAVA_CLIENT_ID": str(emulator.client_id),
            "STRAVA_CLIENT_SECRET": emulator.client_secret,
            "STRAVA_REDIS_URL": url,
            "STRAVA_TOKEN_KEY": generate_key(),
            "STRAVA_API_URL": f"{strava}/api/v3",
            "STRAVA_OAUTH_URL": f"{strava}/oauth",
        }
        async with host(tmp_path, variables) as one, host(tmp_path, variables) as other:
            for address in (one, other):
                async with httpx.AsyncClient(
                    verify=NO_TRUST, base_url=address, trust_env=False, follow_redirects=True, timeout=60
                ) as browser:
                    connect = await browser.get("/strava/connect", follow_redirects=False)
                    page = await browser.get(await emulator.approve(connect.headers["location"]))
                    assert (page.url.path, len(page.json())) == ("/rides", 10)
                    statuses = []
                    async with anyio.create_task_group() as tasks:
                        for _ in range(30):
                            tasks.start_soon(note, browser, statuses)
                    assert set(statuses) <= {200, 503}  # 503: the quota is spent
            rows = rows_of_fleet(*await read_fleet(RedisUrl(url, ""), str(emulator.client_id)))
            assert rows.meters[0].limit == 100
            assert len(rows.processes) >= 2
    assert {served.status_code for served in emulator.requests} <= {200, 302}
    stored = redis_server.ask("HVALS", f"{{strava:{emulator.client_id}}}:tokens")
    assert len(stored) == 2  # an athlete's, and the canary of the key
    assert not [value for value in stored if value.startswith("[")]  # they are encrypted


async def note(browser: httpx.AsyncClient, statuses: list[int]) -> None:
    statuses.append((await browser.get("/rides")).status_code)


# -- the compose file --------------------------------------------------------------------------------------------------


def test_the_compose_file_names_what_the_page_names() -> None:
    emulator = Emulator()
    assert f"${{STRAVA_CLIENT_ID:-{emulator.client_id}}}" in COMPOSE
    assert f"${{STRAVA_CLIENT_SECRET:-{emulator.client_secret}}}" in COMPOSE
    assert set(re.findall(r'(?:given|environ\.get)\("(\w+)"\)', SERVICE)) == set(
        re.findall(r"^      (STRAVA_\w+):", COMPOSE, re.M)
    )
    extras = re.search(r'"/clone\[(.*)\]" uvicorn', COMPOSE)
    assert extras is not None
    assert set(extras[1].split(",")) == {"fastapi", "redis", "encryption", "cli"}


def test_the_emulator_of_the_compose_file_starts(tmp_path: Path) -> None:
    command = command_of("strava")
    command[command.index("--port") + 1] = "0"
    line = [sys.executable, "-u", "-m", "strava_async", *command[1:]]
    with subprocess.Popen(line, cwd=tmp_path, env=clean_environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = next(text for text in process.stdout if "http://" in text)
        process.terminate()
    assert "http://" in told


@needs_redis
def test_the_server_of_the_compose_file_starts_and_throws_nothing_away(tmp_path: Path) -> None:
    name, *arguments = command_of("redis")
    assert name == "redis-server"
    with running(tmp_path / "data", *arguments) as server:
        assert server.ask("CONFIG", "GET", "maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert server.ask("CONFIG", "GET", "append*")["appendfsync"] == "everysec"


def test_the_block_about_webhook_events_makes_a_router_of_them() -> None:
    names: dict[str, Any] = {"strava": Strava(1, "secret")}
    exec(compile(EVENTS, "several-processes.md", "exec"), names)
    assert names["router"].stats is None
    assert not names["router"].store_is_away


# -- permissions -------------------------------------------------------------------------------------------------------


async def share_quota(redis: Redis) -> None:
    place = RedisPlace(redis, "12345")
    await place.check()
    for count in (1, 2):
        await place.call(Report("a", count, quarter=2_000_000, sure=True, wants=Wants(normal=1)), 1)


async def look(redis: Redis) -> None:
    port = redis.connection_pool.connection_kwargs["port"]
    await read_fleet(RedisUrl(f"redis://strava-look:secret@127.0.0.1:{port}", ""), "12345")


async def keep_tokens(redis: Redis) -> None:
    old, new = generate_key(), generate_key()
    store = RedisTokenStore(redis, application="12345", key=old)
    await store.save(1, TokenSet("access", "refresh", 2e9))
    async with store.lock(1):
        await store.save(1, TokenSet("later", "refresh", 2e9))
    assert await store.athlete_ids() == [1]
    await RedisTokenStore(redis, application="12345", key=[new, old]).rotate()
    await RedisTokenStore(redis, application="12345", key=new).delete(1)


async def handle_events(redis: Redis) -> None:
    event, other = (WebhookEvent("activity", number, "create", 7, 1, 1) for number in (1, 2))
    store = RedisEventStore(redis, application="12345")
    for each in (event, other, replace(event, aspect_type="update")):
        await store.append(each)
    first, second = await store.claim(9, 30.0)
    assert await store.turn(7) == 0
    assert await store.not_found(7)
    assert await store.renew([first], 30.0) == [True]
    assert await store.retry(first, 60.0)
    assert await store.ack(second, confirmed=True)
    assert await store.stats() != StoreStats(0, 0, None, None)
    for stored in await store.events():
        await store.retry_now(stored.event.key)
        assert await store.drop(stored.event.key)


WORK: dict[str, Callable[[Redis], Awaitable[None]]] = {
    "strava-quota": share_quota,
    "strava-tokens": keep_tokens,
    "strava-events": handle_events,
    "strava-look": look,
}
OPTIONAL = {"+evalsha", "+config|get", "+wait"}


def test_the_page_has_a_line_for_each_part() -> None:
    assert [name for name, *_ in USERS] == list(WORK)


@needs_redis
@pytest.mark.parametrize(("name", "keys", "commands"), USERS, ids=list(WORK))
def test_a_line_of_permissions_suffices_and_has_none_too_many(
    name: str, keys: str, commands: str, redis_server: RedisServer
) -> None:
    allowed = commands.split()
    if redis_server.version < (7, 2) and "+waitaof" in allowed:
        allowed.remove("+waitaof")
    works = {
        without: can(name, keys, [each for each in allowed if each != without], redis_server)
        for without in (None, *allowed)
    }
    assert works.pop(None)
    assert {command for command, suffices in works.items() if suffices} <= OPTIONAL
    assert not can(name, keys.replace("strava:", "other:"), allowed, redis_server)


def can(name: str, keys: str, commands: list[str], server: RedisServer) -> bool:
    server.ask("FLUSHALL")
    server.ask("SCRIPT", "FLUSH")
    server.ask("ACL", "SETUSER", name, "reset", "on", ">secret", keys, *commands)

    async def work() -> None:
        async with Redis(port=server.port, username=name, password="secret") as redis:
            await WORK[name](redis)

    with suppress(StravaError):
        try:
            asyncio.run(work())
        except Exception as error:
            if "permission" not in str(error):
                raise
            return False
        return True
    return False


def test_the_output_on_the_page_has_the_form_of_the_commands() -> None:
    shown = re.search(r"^\$ strava-async quota --file quota.sqlite\n(.*?)^```", PAGE, re.M | re.S)
    assert shown is not None
    fleet = Fleet()
    for process, wants in (("6c0be7b97f674424", Wants(normal=9)), ("48376e6157fe4de7", Wants())):
        report = Report(
            process,
            1,
            quarter=2_000_000,
            sure=True,
            ms_left=269_000,
            wants=wants,
            held=Spent(2, 2),
            numbers=(61,) * 4,
            number_at=(1, 1),
            limits=(100, 1_000, 200, 2_000),
            limits_at=1,
        )
        fleet, _ = sync(fleet, report, 1_800_000_000_000)
    out = io.StringIO()
    console = Console(file=out, width=80)
    draw(rows_of_fleet(fleet, 1_800_000_000), "quota.sqlite, application 12345", Terminal(console, console, str))
    drawn = [line.rstrip() for line in out.getvalue().splitlines()]
    assert skeleton(drawn[0]) == "quota.sqlite, application N: N processes share the quota, N of them waiting."
    assert {skeleton(line) for line in drawn} == {skeleton(line) for line in shown[1].splitlines()}


def skeleton(line: str) -> str:
    """Return a line of the output without its numbers, ids and widths."""
    line = re.sub(r"^[0-9a-f]{16}", "ID", line)
    return re.sub(r" +", " ", re.sub(r"\d[\d,.:]*\d|\d", "N", line)).replace("N h N min", "N min N s")


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_the_picture_is_one_and_the_shared_half_has_no_429() -> None:
    text = make_fleet_picture.PICTURE.read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    assert "no 429, in two hours" in text
    drawn = make_fleet_picture.picture(
        [make_fleet_picture.Window((13,) * 8, 7)] * 8, [make_fleet_picture.Window((12,) * 8, 0)] * 8
    )
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert "56 requests answered with 429" in drawn


@pytest.mark.long
def test_the_picture_is_that_of_the_simulation() -> None:
    shared = make_fleet_picture.simulate(shared=True)
    assert [window.refused for window in shared] == [0] * make_fleet_picture.WINDOWS
    assert {sum(window.served) for window in shared} == {make_fleet_picture.LIMIT}
    assert sum(window.refused for window in make_fleet_picture.simulate(shared=False)) > 20


def test_the_commands_of_the_page_are_commands() -> None:
    for line in re.findall(r"^(?:\$ |docker compose exec service )(strava-async .*)$", PAGE, re.M):
        command = [sys.executable, "-m", "strava_async", shlex.split(line)[1], "--help"]
        told = subprocess.run(command, env=clean_environment(), capture_output=True, check=True, text=True).stdout
        assert all(option in told for option in re.findall(r"--[\w-]+", line))
