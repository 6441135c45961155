"""The Redis servers of the tests and of the benchmarks: on the real clock, whatever the day of the tests."""

import os
import sys
from pathlib import Path

import anyio
import pytest
from redis import Redis

from benchmarks.fleet_redis import running_redis
from benchmarks.real_clock import on_the_real_clock
from tests.redis_server import RedisServer, needs_redis, running

OTHER_DAY = {"LD_PRELOAD": "", "FAKETIME": "+1d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the environment of a process is in /proc")


def variables(port: int) -> set[str]:
    """Return the names in the environment of the server at a port."""
    with Redis(port=port) as client:
        pid = client.info("server")["process_id"]
    return {line.partition("=")[0] for line in Path(f"/proc/{pid}/environ").read_text().split("\0")}


def test_what_is_not_faketimes_stays_in_the_environment() -> None:
    kept = {"PATH": "/bin", "TZ": "Europe/Berlin", "LD_LIBRARY_PATH": "/lib"}
    assert on_the_real_clock({**kept, **OTHER_DAY, "NO_FAKE_STAT": "1", "DYLD_INSERT_LIBRARIES": "it"}) == kept


@needs_redis
@on_linux
def test_a_server_of_the_tests_is_on_the_real_clock(tmp_path: Path) -> None:
    os.environ.update(OTHER_DAY)
    with running(tmp_path / "data") as server:
        assert not variables(server.port) & OTHER_DAY.keys()


@needs_redis
@on_linux
def test_a_server_of_the_benchmarks_is_on_the_real_clock() -> None:
    async def main() -> None:
        async with running_redis() as port:
            assert not variables(port) & OTHER_DAY.keys()

    os.environ.update(OTHER_DAY)
    anyio.run(main)


@needs_redis
def test_a_server_of_the_tests_that_does_not_start_is_shown_with_what_it_says(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--no-such-option", "1")
    with pytest.raises(AssertionError, match="no-such-option"):
        server.start()


def test_a_server_of_the_benchmarks_that_does_not_start_is_shown_with_what_it_says(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_redis():
            pass

    program = tmp_path / "server"
    program.write_text("#!/bin/sh\necho it is broken\necho and says why >&2\n")
    program.chmod(0o700)
    os.environ["REDIS_SERVER"] = str(program)
    with pytest.raises(RuntimeError, match="it is broken\nand says why"):
        anyio.run(main)
