"""Several Redis servers of the tests' own that belong together: a cluster, and a primary that a Sentinel watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.redis_server import SAFE, RedisServer, running

SLOTS = 16384
NAME = "tokens"  # what the Sentinel calls the primary
PATIENCE_SECONDS = 60


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for what servers agree on among themselves, by their own clocks."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < give_up_at, "the servers do not agree"
        time.sleep(0.02)


class Cluster:
    """Servers that share the slots evenly.

    Attributes:
        servers: in the order of their slots.
    """

    def __init__(self, servers: list[RedisServer]) -> None:
        self.servers = servers
        self._ids = [str(server.ask("CLUSTER", "MYID")) for server in servers]
        size = SLOTS // len(servers) + 1
        for number, server in enumerate(servers):
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            server.ask("CLUSTER", "ADDSLOTSRANGE", number * size, min((number + 1) * size, SLOTS) - 1)
            server.ask("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
        wait_until(lambda: all(_agrees(server, len(servers)) for server in servers))

    def owner(self, key: str) -> int:
        """Return the number of the server that has a key."""
        return self.slot(key) * len(self.servers) // SLOTS

    def slot(self, key: str) -> int:
        return int(str(self.servers[0].ask("CLUSTER", "KEYSLOT", key)))

    @contextmanager
    def moving(self, key: str, source: int, target: int, *, first: Container[str] | None = None) -> Generator[None]:
        """Move the slot of a key.

        Args:
            key: any of the slot.
            source: the number of the server that has it.
            target: the number of the one that gets it.
            first: the keys that have been moved in the block; None for all. Nobody has been told there who has the
                slot. The others follow after it.
        """
        slot, here, there = self.slot(key), self.servers[source], self.servers[target]
        there.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", self._ids[source])
        here.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", self._ids[target])

        def migrate(keys: list[str]) -> None:
            for each in keys:
                here.ask("MIGRATE", "127.0.0.1", there.port, each, 0, 5000)

        found = here.ask("CLUSTER", "GETKEYSINSLOT", slot, 1000)
        migrate([each for each in found if first is None or each in first])
        yield
        migrate(here.ask("CLUSTER", "GETKEYSINSLOT", slot, 1000))
        for server in (there, here):
            server.ask("CLUSTER", "SETSLOT", slot, "NODE", self._ids[target])

    def move(self, key: str, source: int, target: int) -> None:
        """Move the slot of a key, with its keys."""
        with self.moving(key, source, target):
            pass


def _agrees(server: RedisServer, size: int) -> bool:
    info = server.ask("CLUSTER", "INFO")
    told = info if isinstance(info, dict) else dict(line.split(":", 1) for line in str(info).split() if ":" in line)
    return told["cluster_state"] == "ok" and int(told["cluster_known_nodes"]) == size


@contextmanager
def cluster(folder: Path, size: int = 3) -> Generator[Cluster]:
    """Run a cluster."""
    with ExitStack() as stack:
        arguments = ("--cluster-enabled", "yes", *SAFE)
        yield Cluster([stack.enter_context(running(folder / f"node-{number}", *arguments)) for number in range(size)])


class Watched:
    """A primary and its replica, watched by a Sentinel.

    Attributes:
        servers: the two; the first is the primary in the beginning.
        sentinel: the Sentinel.
    """

    def __init__(self, servers: list[RedisServer], sentinel: RedisServer) -> None:
        self.servers = servers
        self.sentinel = sentinel
        wait_until(lambda: len(sentinel.ask("SENTINEL", "REPLICAS", NAME)) == 1)

    @property
    def primary(self) -> RedisServer:
        """The server that the Sentinel calls the primary now."""
        port = int(self.sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])
        return next(server for server in self.servers if server.port == port)

    def fail_over(self) -> tuple[RedisServer, RedisServer]:
        """Kill the primary, and wait until the other has its place; return both, the killed one first."""
        killed = self.primary
        killed.kill()
        # It tells the new address before the failover is over, and its clients look at the flags too.
        wait_until(lambda: self.primary is not killed and self._flags() == "master")
        return killed, self.primary

    def _flags(self) -> str:
        told = self.sentinel.ask("SENTINEL", "MASTER", NAME)
        return str(told["flags"] if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))["flags"])


class _Sentinel(RedisServer):
    def __init__(self, folder: Path, configuration: Path) -> None:
        super().__init__(folder)
        self._arguments = ()
        self._configuration = configuration
        self._until = "Sentinel ID is"

    def command(self) -> list[str]:
        binary, *options = super().command()
        return [binary, str(self._configuration), "--sentinel", *options]


@contextmanager
def watched(folder: Path) -> Generator[Watched]:
    """Run a primary, its replica and a Sentinel that takes half a second of silence for an end."""
    with ExitStack() as stack:
        primary = stack.enter_context(running(folder / "a", *SAFE))
        follow = ("--replicaof", "127.0.0.1", str(primary.port), *SAFE)
        replica = stack.enter_context(running(folder / "b", *follow))
        configuration = folder / "sentinel.conf"
        lines = (
            f"monitor {NAME} 127.0.0.1 {primary.port} 1",
            f"down-after-milliseconds {NAME} 500",
            f"failover-timeout {NAME} 3000",
        )
        configuration.write_text("".join(f"sentinel {line}\n" for line in lines), encoding="utf-8")
        sentinel = _Sentinel(folder, configuration)
        sentinel.start()
        stack.callback(sentinel.kill)
        yield Watched([primary, replica], sentinel)
