"""Several processes over one SQLite store, against a served emulator; some of them are killed."""

import asyncio
import json
import random
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from strava_async import InvalidGrantError, SqliteTokenStore, Strava, TokenSet
from strava_async.testing import Emulator, MeterLimits, serve
from tests.tokens.athlete_worker import FiveMethods

pytestmark = pytest.mark.asyncio

ROOT = Path(__file__).parent.parent.parent
WORKER = [sys.executable, "-m", "tests.tokens.athlete_worker"]
ROOMY = MeterLimits(10_000, 100_000, 10_000, 100_000)
KILLS = 8


class Worker:
    """A process that shares the store."""

    def __init__(self, process: Process) -> None:
        self.process = process

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().strip()

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


class Setting:
    """A served Strava with an athlete whose access token is at its end, in a store that processes share."""

    def __init__(self, url: str, emulator: Emulator, path: Path, stack: AsyncExitStack) -> None:
        self.url = url
        self.emulator = emulator
        self.path = path
        self.store = SqliteTokenStore(path)
        self.athlete_id = emulator.athlete_ids[0]
        self.five_methods = False  # whether the workers' store can do no more than that
        self._stack = stack

    async def connect(self) -> TokenSet:
        """Put valid tokens into the store, which all processes will want to renew."""
        granted = self.emulator.grant(self.athlete_id)
        self.emulator.expire_access_tokens()
        token = TokenSet(granted["access_token"], granted["refresh_token"], 1, athlete_id=self.athlete_id)
        await self.store.save(self.athlete_id, token)
        return token

    async def expire_saved(self) -> None:
        """Let the saved access token be due."""
        token = await self.store.load(self.athlete_id)
        assert token is not None
        await self.store.save(self.athlete_id, replace(token, expires_at=1))

    async def worker(self, *, callers: int = 1, stop_at: str | None = None) -> Worker:
        """Start a process and wait until it could begin."""
        process = await asyncio.create_subprocess_exec(*WORKER, stdin=PIPE, stdout=PIPE, cwd=ROOT)
        worker = Worker(process)
        self._stack.push_async_callback(worker.kill)
        orders = {
            "url": self.url,
            "client_id": self.emulator.client_id,
            "client_secret": self.emulator.client_secret,
            "store": str(self.path),
            "athlete_id": self.athlete_id,
            "callers": callers,
            "stop_at": stop_at,
            "five_methods": self.five_methods,
        }
        assert process.stdin is not None
        process.stdin.write(f"{json.dumps(orders)}\n".encode())
        assert await worker.line() == "ready"
        return worker

    def strava(self) -> Strava:
        urls = {"api_url": f"{self.url}/api/v3", "oauth_url": f"{self.url}/oauth"}
        store = FiveMethods(self.store) if self.five_methods else self.store
        return Strava(self.emulator.client_id, self.emulator.client_secret, token_store=store, **urls)

    def refreshes(self) -> int:
        return self.emulator.count("POST", "/oauth/token")


@pytest_asyncio.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    emulator = Emulator(limits=ROOMY, years=0.1)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serve(emulator))
        yield Setting(url, emulator, tmp_path / "tokens.sqlite", stack)


async def test_four_processes_with_25_callers_each_cause_one_refresh(setting: Setting) -> None:
    await setting.connect()
    workers = [await setting.worker(callers=25) for _ in range(4)]
    for worker in workers:
        worker.go()
    results = [json.loads(await worker.line()) for worker in workers]
    assert results == [{"answers": 25, "errors": []}] * 4
    assert setting.refreshes() == 1


async def test_processes_over_a_store_of_five_methods_renew_once_and_can_disconnect(setting: Setting) -> None:
    setting.five_methods = True
    async with setting.strava() as strava:
        page = await strava.authorization_url("http://localhost/callback", "read", state="s")
        came_back_to = await setting.emulator.approve(page, athlete_id=setting.athlete_id)
        await strava.connect_redirect(came_back_to, "read", state="s")
        setting.emulator.expire_access_tokens()
        await setting.expire_saved()
        asked_before = setting.refreshes()
        workers = [await setting.worker(callers=5) for _ in range(2)]
        for worker in workers:
            worker.go()
        results = [json.loads(await worker.line()) for worker in workers]
        assert results == [{"answers": 5, "errors": []}] * 2
        assert setting.refreshes() == asked_before + 1
        await strava.disconnect(setting.athlete_id)
        assert await strava.athlete_ids() == []


@pytest.mark.parametrize("stage", ["locked", "asking", "saved"])
async def test_a_process_killed_outside_the_window_loses_nothing(setting: Setting, stage: str) -> None:
    await setting.connect()
    worker = await setting.worker(stop_at=stage)
    worker.go()
    assert await worker.line() == "stopped"
    await worker.kill()
    async with setting.strava() as strava:
        assert (await strava.api(setting.athlete_id).get("/athlete"))["id"] == setting.athlete_id
    assert setting.refreshes() == 1


async def test_a_process_killed_between_strava_s_answer_and_the_save_is_the_one_window(setting: Setting) -> None:
    before = await setting.connect()
    worker = await setting.worker(stop_at="answered")
    worker.go()
    assert await worker.line() == "stopped"
    await worker.kill()
    async with setting.strava() as strava:
        with pytest.raises(InvalidGrantError):
            await strava.api(setting.athlete_id).get("/athlete")
        assert await setting.store.load(setting.athlete_id) == before  # told, and nothing deleted


async def test_those_who_wait_for_a_process_take_over_when_it_is_killed(setting: Setting) -> None:
    await setting.connect()
    holder, waiter = await setting.worker(stop_at="locked"), await setting.worker(callers=25)
    holder.go()
    assert await holder.line() == "stopped"
    waiter.go()
    waiting = asyncio.create_task(waiter.line())
    assert await asyncio.wait([waiting], timeout=0.3) == (set(), {waiting})
    await holder.kill()
    assert json.loads(await waiting) == {"answers": 25, "errors": []}
    assert setting.refreshes() == 1


async def test_processes_killed_at_random_lose_an_athlete_only_in_the_window(setting: Setting) -> None:
    moments = random.Random(0)
    for _ in range(KILLS):
        await setting.connect()
        asked_before = setting.refreshes()
        worker = await setting.worker(callers=5)
        worker.go()
        await asyncio.sleep(moments.uniform(0.0, 0.06))
        await worker.kill()
        kept = await setting.store.load(setting.athlete_id)
        assert kept is not None
        # Strava has answered and the store has still the old tokens: the process died in between.
        in_window = setting.refreshes() > asked_before and kept.expires_at == 1
        async with setting.strava() as strava:
            if in_window:
                with pytest.raises(InvalidGrantError):
                    await strava.api(setting.athlete_id).get("/athlete")
            else:
                assert (await strava.api(setting.athlete_id).get("/athlete"))["id"] == setting.athlete_id
