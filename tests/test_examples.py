"""What the README and the examples show is what happens."""

import ast
import asyncio
import contextlib
import html
import inspect
import re
import runpy
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import anyio
import httpx
import pytest
from anyio.abc import SocketAttribute

import strava_async
from strava_async import ApiV3, SqliteTokenStore, Strava, TokenSet
from strava_async.testing import Emulator, Fault, MeterLimits, serve
from tests.environment import clean_environment
from tests.plain_http import NO_TRUST
from tests.redis_server import needs_redis

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PROGRAMS = [block for block in BLOCKS if re.search(r"^(asyncio|trio)\.run\(", block, re.MULTILINE)]
TESTS = [block for block in BLOCKS if "def test_" in block]
SERVICES = [block for block in BLOCKS if "FastAPI(" in block]
FRAGMENTS = [block for block in BLOCKS if block not in PROGRAMS and block not in TESTS and block not in SERVICES]
ONLINE = [block for block in PROGRAMS if "authorize_locally" in block]
# The browser of a test: it tells where it was sent, and whoever runs the test goes there.
BROWSER = (
    f"{shlex.quote(sys.executable)} -c "
    "'import socket, sys; socket.create_connection((\"127.0.0.1\", {port})).sendall(sys.argv[1].encode())' %s"
)
FLEETS = [block for block in PROGRAMS if "SqliteRateLimiter(" in block]
OFFLINE = [block for block in PROGRAMS if block not in ONLINE and block not in FLEETS]


def environment(**variables):
    return clean_environment(PYTHONWARNINGS="error", **variables)


def first_line(block):
    return block.splitlines()[0]


def test_every_kind_of_block_is_there():
    assert [len(kind) for kind in (OFFLINE, ONLINE, FLEETS, TESTS, FRAGMENTS, SERVICES)] == [2, 1, 1, 1, 6, 1]


def test_the_first_twenty_lines_hold_a_program():
    assert BLOCKS[0] in OFFLINE
    assert BLOCKS[0] in "\n".join(README.splitlines()[:20])


def test_there_are_two_commands_for_a_fresh_machine():
    shells = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert [shell.count("\n") for shell in shells] == [1, 1]
    demo, tests = [shell.partition("&&")[2].partition("&&")[2].split() for shell in shells]
    assert (demo, tests[:2]) == ([".venv/bin/strava-async", "demo"], [".venv/bin/pytest", "-q"])


@pytest.mark.parametrize("block", OFFLINE, ids=first_line)
def test_an_offline_program_of_the_readme_runs(block, capsys):
    exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.count("\n") in (1, 5)


@pytest.mark.parametrize("block", TESTS, ids=first_line)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_test_of_the_readme_passes(block, backend):
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    (test,) = (value for name, value in names.items() if name.startswith("test_"))
    anyio.run(test, backend=backend)


@pytest.mark.asyncio
@pytest.mark.parametrize("block", FRAGMENTS, ids=first_line)
async def test_a_fragment_of_the_readme_runs_and_prints_times_as_times(block, capsys, tmp_path):
    emulator = Emulator(years=0.1, athletes=2, limits=MeterLimits(2_000, 20_000, 1_000, 10_000))
    urls = {"api_url": "https://strava.test/api/v3", "oauth_url": "https://strava.test/oauth"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app)) as http_client:
        strava = Strava(emulator.client_id, emulator.client_secret, http_client=http_client, **urls)
        page = await strava.authorization_url("http://localhost/callback", "read,activity:read", "a state")
        names = {name: getattr(strava_async, name) for name in strava_async.__all__}
        names |= {
            "asyncio": asyncio,
            "http_client": http_client,
            "strava": strava,
            "state": "a state",
            "came_back_to": await emulator.approve(page),
            "api": ApiV3(emulator.grant()["access_token"], http_client),
            "activity_id": next(a["id"] for a in emulator.world().activities if a["distance"] and not a["manual"]),
        }
        if "Harvest(" in block:
            block = block.replace('"harvest.sqlite"', repr(str(tmp_path / "harvest.sqlite")))
            await strava.connect_redirect(names["came_back_to"], "read,activity:read", state="a state")
        running = eval(compile(block, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        if inspect.isawaitable(running):
            await running
    assert {served.status_code for served in emulator.requests if "authorize" not in served.path} == {200}
    shown = capsys.readouterr().out
    assert not re.search(r"\b1\d{9}\b", shown)  # seconds since 1970
    assert ("Harvest(" in block) == bool(
        re.search(r"^[1-9]\d* activities listed; complete: True$", shown, re.MULTILINE)
    )
    assert ("begins at" in block) == bool(re.search(r"begins at \d\d:\d\d:\d\d$", shown, re.MULTILINE))


@pytest.mark.asyncio
@pytest.mark.parametrize("block", SERVICES, ids=first_line)
async def test_a_service_of_the_readme_connects_an_athlete_and_answers(block):
    emulator = Emulator(years=0.2)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app)) as http_client:
        names = {"strava": Strava(emulator.client_id, emulator.client_secret, http_client=http_client)}
        exec(compile(block, "README.md", "exec"), names)
        app = names["app"]

        async def service(scope, receive, send):
            await app({**scope, "state": dict(state)}, receive, send)

        transport = httpx.ASGITransport(service)
        async with (
            app.router.lifespan_context(app) as state,
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as browser,
        ):
            assert (await browser.get("/rides")).status_code == 401
            page = (await browser.get("/strava/connect", params={"next": "/rides"})).headers["location"]
            answer = await browser.get(await emulator.approve(page), follow_redirects=True)
    assert answer.url.path == "/rides"
    shown = [activity["name"] for activity in emulator.world().activities[::-1] if not activity["private"]]
    assert answer.json() == shown[:10]


@pytest.mark.asyncio
@pytest.mark.parametrize("block", ONLINE, ids=first_line)
async def test_the_program_for_strava_itself_runs_against_a_served_emulator(block, tmp_path):
    strava = Emulator(years=0.5)
    pages = []

    async def visit(stream):
        async with stream:
            file = b"".join([chunk async for chunk in stream]).decode()
        leading = await anyio.Path(file.removeprefix("file://")).read_text()
        page = html.unescape(re.findall(r'<a href="([^"]*)">', leading)[0])
        async with httpx.AsyncClient(verify=NO_TRUST, trust_env=False) as browser:
            pages.append((await browser.get(await strava.approve(page))).text)

    async with (
        serve(strava) as url,
        await anyio.create_tcp_listener(local_host="127.0.0.1") as sent,
        anyio.create_task_group() as browsers,
    ):
        browsers.start_soon(sent.serve, visit)
        variables = {
            "STRAVA_CLIENT_ID": str(strava.client_id),
            "STRAVA_CLIENT_SECRET": strava.client_secret,
            "STRAVA_API_URL": f"{url}/api/v3",
            "STRAVA_OAUTH_URL": f"{url}/oauth",
            "BROWSER": BROWSER.format(port=sent.extra(SocketAttribute.local_port)),
        }
        command = [sys.executable, "-u", "-c", block]
        for run in ("the first asks the athlete", "the second knows who is connected"):
            ended = await anyio.run_process(
                command, stderr=None, env=environment(**variables), cwd=tmp_path, check=False
            )
            assert ended.returncode == 0, run
            assert [line.split(" ", 1)[1] for line in ended.stdout.decode().splitlines()] == [
                activity["name"] for activity in strava.world().activities[-10:][::-1]
            ]
        browsers.cancel_scope.cancel()
    assert len(pages) == 1
    assert "Connected" in pages[0]
    assert strava.count("POST", "/oauth/token") == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("block", FLEETS, ids=first_line)
async def test_the_program_for_several_processes_is_started_three_times_at_once(block, tmp_path):
    strava = Emulator(years=0.5, athletes=2)
    store = SqliteTokenStore(tmp_path / "tokens.sqlite")
    for athlete_id in strava.athlete_ids:
        granted = strava.grant(athlete_id, expires_in=1)
        token = TokenSet(granted["access_token"], granted["refresh_token"], granted["expires_at"])
        await store.save(athlete_id, token)
    shown = []

    async def start():
        ended = await anyio.run_process([sys.executable, "-c", block], env=variables, cwd=tmp_path, stderr=None)
        shown.append(ended.stdout.decode().splitlines())

    async with serve(strava) as url:
        urls = {"STRAVA_API_URL": f"{url}/api/v3", "STRAVA_OAUTH_URL": f"{url}/oauth"}
        variables = environment(
            STRAVA_CLIENT_ID=str(strava.client_id), STRAVA_CLIENT_SECRET=strava.client_secret, **urls
        )
        async with anyio.create_task_group() as processes:
            for _ in range(3):
                processes.start_soon(start)
    assert strava.count("POST", "/oauth/token") == 2
    assert strava.count("GET", "/athlete/activities") == 6
    assert {served.status_code for served in strava.requests} == {200}
    for lines in shown:
        assert len(lines) == 2
        for line in lines:
            assert re.fullmatch(r"30 activities; 9\d reads left for [123] processes", line)


def run_fleet(folder, *arguments):
    path = ROOT / "examples" / "fleet.py"
    command = [sys.executable, str(path), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=folder, timeout=60)
    assert ended.returncode == 0, ended.stderr
    shown = ended.stdout.splitlines()
    parts = [int(line.split()[2]) for line in shown if line.startswith("process")]
    assert len(parts) == 3
    assert min(parts) > 0
    assert sum(parts) >= 300 - 21  # the pages of the lists; more if a quarter hour begins meanwhile
    assert [line.split()[-1] for line in shown[-2:]] == ["0", "1"]  # 429s, renewals
    assert "Traceback" not in ended.stderr
    assert list(folder.iterdir()) == []
    assert len(path.read_text().splitlines()) < 150


def test_the_example_of_a_fleet_sends_all_that_strava_allows(tmp_path):
    run_fleet(tmp_path)


@needs_redis
def test_the_example_of_a_fleet_meets_on_redis_as_well(tmp_path, redis_server):
    run_fleet(tmp_path, "--redis", f"redis://127.0.0.1:{redis_server.port}")
    assert [key for key in redis_server.ask("KEYS", "*") if ":tokens" in key] == []


def run_services(folder, *arguments):
    path = ROOT / "examples" / "fleet_webhooks.py"
    command = [sys.executable, str(path), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=folder, timeout=90)
    assert (ended.returncode, ended.stderr) == (0, "")
    *shown, last = ended.stdout.splitlines()
    assert last == "each event once, those of an activity in order"
    changes = [
        line for line in shown if re.fullmatch(r"activity \d+: create by \d+, update by \d+, delete by \d+", line)
    ]
    assert len(changes) == 12
    parts = [int(line.split()[3]) for line in shown if line.startswith("process")]
    assert sum(parts) == 36
    assert list(folder.iterdir()) == []
    assert len(path.read_text().splitlines()) < 200


def test_the_example_of_two_services_handles_each_event_once(tmp_path):
    run_services(tmp_path)


@needs_redis
def test_the_example_of_two_services_meets_on_redis_as_well(tmp_path, redis_server):
    run_services(tmp_path, "--redis", f"redis://127.0.0.1:{redis_server.port}")
    assert [key for key in redis_server.ask("KEYS", "*") if ":rows" in key or ":lane:" in key] == []


def test_the_quickstart_runs(capsys):
    path = ROOT / "examples" / "quickstart.py"
    runpy.run_path(str(path), run_name="__main__")
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 1 + 5 + 4
    assert shown[-4].split() == ["read_15min", "2", "of", "100", "requests", "used"]
    assert len(path.read_text().splitlines()) < 40


def test_the_example_of_a_token_store_renews_and_keeps(capsys):
    runpy.run_path(str(ROOT / "examples" / "sqlalchemy_store.py"), run_name="__main__")
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 2
    assert shown[1].endswith("True")


def harvest_example(*arguments, folder=None, **variables):
    command = [sys.executable, str(ROOT / "examples" / "harvest.py"), *map(str, arguments)]
    env = environment(**variables)
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder, timeout=60)


def rows(path, query):
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


@pytest.mark.parametrize("missing", ["STRAVA_CLIENT_ID", "STRAVA_CLIENT_SECRET"])
def test_the_example_of_a_harvest_says_in_a_sentence_what_it_is_not_told(tmp_path, missing):
    variables = dict.fromkeys(["STRAVA_CLIENT_ID", "STRAVA_CLIENT_SECRET"], "1") | {missing: ""}
    ended = harvest_example(tmp_path / "harvest.sqlite", **variables)
    assert (ended.returncode, ended.stderr) == (1, f"{missing} is not set; --emulator goes without\n")


def test_the_example_of_a_harvest_runs_offline_and_is_short(tmp_path):
    ended = harvest_example("--emulator", folder=tmp_path)  # as the README says it
    assert ended.returncode == 0
    assert re.fullmatch(r"(\d+) activities, \1 details, \d+ streams in \S+/emulated\.sqlite\n", ended.stderr)
    assert len((ROOT / "examples" / "harvest.py").read_text().splitlines()) <= 105
    future = harvest_example("--emulator", "--since", "3000-01-01", folder=tmp_path)
    assert (future.returncode, future.stderr.count("\n")) == (1, 1)


@pytest.mark.asyncio
async def test_the_example_of_a_harvest_goes_on_without_what_strava_cannot_serve(tmp_path):
    file = tmp_path / "harvest.sqlite"
    strava = Emulator(years=0.2, longest_seconds=600, limits=MeterLimits(2_000, 20_000, 1_000, 10_000))
    newest = strava.world().activities[-3:]
    bad = newest[-1]["id"]
    strava.faults.add(Fault.html(200), path=f"/activities/{bad}", times=None)
    grant = strava.grant(expires_in=1)
    token = TokenSet(grant["access_token"], grant["refresh_token"], grant["expires_at"])
    await SqliteTokenStore(tmp_path / "tokens.sqlite").save(strava.athlete_ids[0], token)
    variables = {"STRAVA_CLIENT_ID": str(strava.client_id), "STRAVA_CLIENT_SECRET": strava.client_secret}

    async def run(count):
        strava.requests.clear()
        since = newest[-count]["start_date"]
        result = await anyio.to_thread.run_sync(lambda: harvest_example(file, "--since", since, **variables))
        assert "Traceback" not in result.stderr
        return result.returncode, result.stderr.splitlines()

    async with serve(strava) as url:
        variables |= {"STRAVA_API_URL": f"{url}/api/v3", "STRAVA_OAUTH_URL": f"{url}/oauth"}
        status, told = await run(2)
        assert (status, told[0]) == (1, f"2 activities, 1 details, 2 streams in {file}")
        assert told[1].startswith(f"athlete {strava.athlete_ids[0]}: detail of {bad}: ")
        assert told[2:] == ["something is missing, and requested again by a later run"]
        status, told = await run(3)  # too early for another attempt
        assert (status, told[0]) == (1, f"3 activities, 2 details, 3 streams in {file}")
        assert strava.count("GET", "/activities/*") == 2
    assert rows(file, "select kind, id from resources where state = 'failed'") == [("detail", str(bad))]
    assert strava.count("POST", "/oauth/token") == 0  # the token that the first run saved
    saved = await SqliteTokenStore(tmp_path / "tokens.sqlite").load(strava.athlete_ids[0])
    assert saved.refresh_token != grant["refresh_token"]
