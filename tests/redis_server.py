"""A real Redis server of the tests' own, on a free port of this machine.

Where none is installed the tests are skipped, unless REQUIRE_REDIS=1 is set: then they fail. REDIS_SERVER names another
binary, such as that of another version or of Valkey.

A module marks itself with ``needs_redis``; its tests share the server of the fixture ``redis_server``, which is emptied
before each. Whoever kills, stops or sets one starts one of their own with ``running``.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.real_clock import on_the_real_clock
from tests.environment import clean_environment

BINARY = os.environ.get("REDIS_SERVER") or shutil.which("redis-server") or shutil.which("valkey-server")
needs_redis = pytest.mark.skipif(
    BINARY is None and os.environ.get("REQUIRE_REDIS") != "1", reason="redis-server is not installed"
)

# As safe as a server before 7.2 can be.
SAFE = ("--appendonly", "yes", "--appendfsync", "always")
READY = "Ready to accept connections"
REPLICATED = "Finished with success"  # what a replica says when it has what its primary has
START_SECONDS = 30.0
STARTS = 5  # somebody else may take a free port before it is used


class RedisServer:
    """One server; its data survives ``kill``, as far as its arguments say.

    Args:
        folder: for its data.
        arguments: of ``redis-server``.

    Attributes:
        port: where it listens on 127.0.0.1.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.port = 0
        where = ("--dir", str(folder), "--bind", "127.0.0.1")
        self._arguments = (*where, "--save", "", "--repl-diskless-sync-delay", "0", *arguments)
        self._until = REPLICATED if "--replicaof" in arguments else READY
        self._process: subprocess.Popen[str] | None = None
        self._said = ""

    def start(self) -> None:
        """Start it, on the same port as before, and wait until it takes commands, and as a replica has all there is."""
        if self.port:
            assert self._started(), f"its port is taken, or it has lost its data:\n{self._said}"
            return
        for _ in range(STARTS):
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port = free.getsockname()[1]
            if self._started():
                return
        raise AssertionError(f"{BINARY} does not start:\n{self._said}")

    def kill(self) -> None:
        """End it as a crash does."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.communicate()

    def stop(self) -> None:
        """Let it answer nothing, until ``go_on``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a stopped one go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *command: str | int) -> Any:
        """Return its answer to a command of the test's, as an administrator."""
        from redis import Redis  # here: conftest.py imports this module for every test

        with Redis(port=self.port, decode_responses=True, socket_timeout=90) as client:
            return client.execute_command(*command)

    @property
    def version(self) -> tuple[int, ...]:
        """The first two numbers of the Redis that it is, or speaks as."""
        return tuple(map(int, self.ask("INFO", "server")["redis_version"].split(".")[:2]))

    def command(self) -> list[str]:
        """Return what is run."""
        assert BINARY is not None, "redis-server is not installed"
        return [BINARY, "--port", str(self.port), *self._arguments]

    def _started(self) -> bool:
        environment = on_the_real_clock(clean_environment())
        self._process = process = subprocess.Popen(
            self.command(), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        late = threading.Timer(START_SECONDS, process.kill)
        late.start()
        try:
            for line in process.stdout:
                self._said += line
                if self._until in line:
                    return True
        finally:
            late.cancel()
        self.kill()
        return False


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[RedisServer]:
    """Run a server.

    Args:
        folder: for its data; made if it is not there.
        arguments: of ``redis-server``; none mean that it keeps what it has taken.
    """
    folder.mkdir(exist_ok=True)
    server = RedisServer(folder, *(arguments or SAFE))
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def server_of_module() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
        yield server


@pytest.fixture
def redis_server(server_of_module: RedisServer) -> RedisServer:
    """The server of a module's tests, which is empty."""
    server_of_module.ask("FLUSHALL")
    return server_of_module
