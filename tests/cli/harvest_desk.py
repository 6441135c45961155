"""Somebody at a terminal who harvests, with a Strava."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import anyio
import httpx
from rich.console import Console

from strava_async.application import Strava
from strava_async.cli.config import Options
from strava_async.cli.harvest import HarvestSettings, harvest
from strava_async.cli.harvest_data import Data
from strava_async.cli.harvest_export import ExportSettings, export_files
from strava_async.cli.harvest_purge import PurgeSettings, purge
from strava_async.cli.harvest_status import status
from strava_async.cli.terminal import Terminal
from strava_async.clock import Clock
from strava_async.oauth.token_set import TokenSet
from strava_async.stores.sqlite import SqliteTokenStore
from strava_async.testing import Emulator, FastClock, MeterLimits
from tests.harvest.world import ROOM

NOON = 1_780_315_200.0  # 2026-06-01 12:00:00 UTC, when a quarter hour begins
URL = "http://emulator.test"


class Desk:
    """One terminal, one emulator, one file.

    Attributes:
        emulator: the Strava.
        path: the harvest's file.
        asked: the questions that were asked.
        answers: what is answered; None where nobody can be asked.
        clock: theirs; it begins at noon, if it is not another.
    """

    def __init__(
        self,
        directory: Path,
        *,
        limits: MeterLimits = ROOM,
        athletes: int = 1,
        years: float = 0.03,
        connected: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or FastClock(1.0, start=NOON)
        self.emulator = Emulator(years=years, athletes=athletes, limits=limits, clock=self.clock)
        self.directory = directory
        self.path = directory / "rides.sqlite"
        self.asked: list[str] = []
        self.answers: list[str] | None = None
        self.out = self.err = ""
        if connected:
            anyio.run(connect, self.emulator, self.options().store_path, URL)

    @property
    def athlete_id(self) -> int:
        return self.emulator.athlete_ids[0]

    def options(self) -> Options:
        return Options(
            str(self.emulator.client_id),
            self.emulator.client_secret,
            store=self.directory / "tokens.sqlite",
            emulator=URL,
        )

    def make(self, *arguments: Any, **options: Any) -> Strava:
        http_client = httpx.AsyncClient(transport=httpx.ASGITransport(app=self.emulator.app))
        return Strava(*arguments, **{**options, "random": lambda: 0.0}, http_client=http_client)

    def harvest(self, *, keep: str | None = "7d", data: Data | None = None, **more: Any) -> int:
        settings = HarvestSettings(self.options(), data or Data(self.path), keep, **more)
        return self._run(lambda terminal: harvest(settings, terminal, make=self.make, clock=self.clock))

    def status(self, *athlete_ids: int, as_json: bool = False, now: float = NOON + 60) -> int:
        return self._run(lambda terminal: status(Data(self.path), athlete_ids, terminal, as_json=as_json, now=now))

    def purge(self, *, now: float = NOON + 60, **more: Any) -> int:
        settings = PurgeSettings(Data(self.path), **more)
        return self._run(lambda terminal: purge(settings, terminal, now=lambda: now))

    def export(self, to: str, athlete_ids: Sequence[int] = (), **more: Any) -> int:
        settings = ExportSettings(Data(self.path), to, self.directory / "out", athlete_ids, **more)
        return self._run(lambda terminal: export_files(settings, terminal))

    def _run(self, command: Any) -> int:
        out, err = io.StringIO(), io.StringIO()
        consoles = (Console(file=file, width=10_000, highlight=False) for file in (out, err))
        terminal = Terminal(*consoles, lambda: "", None if self.answers is None else self._ask)
        code: int = command(terminal)
        self.out, self.err = out.getvalue(), err.getvalue()
        return code

    def _ask(self, question: str, hidden: bool) -> str:
        assert self.answers is not None
        self.asked.append(question)
        return self.answers.pop(0)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def activities(self) -> int:
        return sum(len(self.emulator.world(each).activities) for each in self.emulator.athlete_ids)

    def paths(self) -> list[str]:
        """Return what was asked for since the last call."""
        found = [served.path.removeprefix("/api/v3") for served in self.emulator.requests]
        self.emulator.requests.clear()
        return found


async def connect(emulator: Emulator, path: Path, url: str, athlete_ids: Iterable[int] | None = None) -> None:
    """Put athletes' tokens into the file where ``login`` would have put them."""
    store = SqliteTokenStore(path, application=f"{emulator.client_id}@{url}")
    for athlete_id in emulator.athlete_ids if athlete_ids is None else athlete_ids:
        grant = emulator.grant(athlete_id)
        token = TokenSet(grant["access_token"], grant["refresh_token"], grant["expires_at"], athlete_id=athlete_id)
        await store.save(athlete_id, token)
