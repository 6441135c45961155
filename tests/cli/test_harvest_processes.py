"""``strava-async harvest`` in a process of its own: signals, and a terminal."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
import pytest_asyncio

from strava_async.cli import main
from strava_async.cli.stopping import Stopper
from strava_async.harvest import Kind, SqliteHarvestStore
from strava_async.testing import Emulator, MeterLimits, serve
from tests.cli.harvest_desk import connect
from tests.cli.programs import Shell
from tests.harvest.world import ROOM

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither such signals nor terminals")


@pytest.fixture
def limits() -> MeterLimits:
    return ROOM


@pytest_asyncio.fixture
async def shell(tmp_path: Path, limits: MeterLimits) -> AsyncIterator[Shell]:
    emulator = Emulator(years=0.1, limits=limits)
    async with serve(emulator) as url:
        tokens = tmp_path / "config" / "strava-async" / "tokens.sqlite"
        tokens.parent.mkdir(parents=True)
        await connect(emulator, tokens, url)
        made = Shell(tmp_path, emulator, url)
        yield made
        await made.close()


@needs_posix
@pytest.mark.asyncio
@pytest.mark.parametrize("limits", [MeterLimits(read_15min=8, overall_15min=16)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_a_harvest_that_waits_and_it_says_how_to_go_on(
    shell: Shell, tmp_path: Path, number: signal.Signals, limits: MeterLimits
) -> None:
    data = tmp_path / "rides.sqlite"
    program = await shell.start("harvest", "--data", str(data), "--keep", "7d", "--json", "--reserve", "0%")
    await program.read_until('"waiting"')
    program.process.send_signal(number)
    status, err = await program.end()
    assert status == 130
    assert re.fullmatch(rf"Stopped\. \d+ detail.* came into {data}; the same command goes on from there\.\n", err)
    assert all(json.loads(line) for line in program.out.splitlines())
    counts = await SqliteHarvestStore(data).counts()
    assert counts.of(Kind.DETAIL) >= 1


@pytest.mark.parametrize("arguments", [[], ["--data", "x.sqlite", "--until", "noon"], ["--data", "x.sqlite"]])
def test_what_is_wrong_with_a_command_line_is_status_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["harvest", "--client-id", "1", "--client-secret", "0" * 40, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"strava-async harvest: .+\n", err)


async def on_a_terminal(shell: Shell, columns: int, *arguments: str, keys: bytes = b"") -> tuple[int, str]:
    """Run a command on a terminal of that width; return its status and what it wrote."""
    import pty
    import termios

    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (40, columns))
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "strava_async", *arguments, "--emulator", shell.url),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=Path(__file__).parent.parent.parent,
        env={**shell.environment, "TERM": "xterm-256color", "COLUMNS": "", "LINES": ""},
    )
    os.close(slave)
    os.write(master, keys)

    def read() -> bytes:
        written = b""
        try:
            while piece := os.read(master, 65_536):
                written += piece
        except OSError:  # what the end of a terminal is on Linux
            pass
        return written

    written = await asyncio.to_thread(read)
    os.close(master)
    return await program.wait(), written.decode()


@needs_posix
@pytest.mark.asyncio
async def test_on_a_terminal_it_asks_once_and_draws_a_panel_that_fits(shell: Shell, tmp_path: Path) -> None:
    data = tmp_path / "rides.sqlite"
    command = ["harvest", "--data", str(data), "--max-requests", "8"]
    status, shown = await on_a_terminal(shell, 80, *command, keys=b"7d\n")
    assert status == 0
    assert "[7d/forever]" in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    borders = {len(line.strip()) for line in re.split(r"[\r\n]+", plain) if line.strip().startswith(("╭", "│", "╰"))}
    assert borders == {78}
    assert re.search(r"details +━+─* +\d+ / \d+", plain)
    assert shown.rindex("\x1b[?25h") > shown.rindex("╰")  # the cursor is back
    assert plain.rstrip().endswith("The same command goes on.")


# -- the end of patience -----------------------------------------------------------------------------------------------


@needs_posix
def test_what_does_not_end_in_time_is_ended() -> None:
    said: list[str] = []
    ended = threading.Event()
    statuses: list[int] = []

    def end(status: int) -> None:
        statuses.append(status)
        ended.set()

    async def work() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stopper.watch, tasks.cancel_scope)
            await anyio.wait_all_tasks_blocked()
            signal.raise_signal(signal.SIGTERM)
            with anyio.CancelScope(shield=True):
                assert await anyio.to_thread.run_sync(ended.wait, 60)

    stopper = Stopper(lambda: said.append("Stopped."), 130, seconds=0.0, end=end)
    anyio.run(work)
    assert stopper.is_stopped
    assert (statuses, said) == ([130], ["Stopped."])
    assert stopper.finish() == 130
    assert said == ["Stopped."]  # once
