"""Clients that others wrote make their whole tour on the served emulator: ``python -m tests.clients``.

Started by hand, because it installs them: each into an environment of its own below ``benchmarks/.env``. A step that
fails and is not in ``known.py``, or is there and does not fail any more, makes the exit status 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from benchmarks import environments
from benchmarks.environments import Environment
from strava_async.testing import Emulator, MeterLimits, serve
from tests.clients.known import KNOWN

HERE = Path(__file__).parent
MINUTES = 10  # on a busy machine
ROOMY = MeterLimits(10**6, 10**7, 10**6, 10**7)


@dataclass(frozen=True)
class Client:
    """A client of somebody else's.

    Attributes:
        package: what is installed.
        tour: the program that makes its tour.
    """

    package: str
    tour: str

    @property
    def is_node(self) -> bool:
        return self.tour.endswith(".js")

    @property
    def node_folder(self) -> Path:
        return environments.FOLDER / f"node-{self.package.partition('@')[0]}"

    def install(self) -> list[str]:
        """Install it where it is not, and return the command that makes its tour."""
        if not self.is_node:
            environment = Environment(self.package.partition("=")[0], (self.package,))
            environments.make(environment)
            return [environment.python, str(HERE / self.tour)]
        name, _, version = self.package.partition("@")
        installed = self.node_folder / "node_modules" / name / "package.json"
        if not (installed.is_file() and json.loads(installed.read_text(encoding="utf-8"))["version"] == version):
            self.node_folder.mkdir(parents=True, exist_ok=True)
            command = ["npm", "install", "--silent", "--no-save", "--prefix", str(self.node_folder), self.package]
            subprocess.run(command, check=True, timeout=600)
        return ["node", str(HERE / self.tour)]


CLIENTS = {
    "stravalib": Client("stravalib==2.6.0", "stravalib_tour.py"),
    "strava": Client("strava==0.6.0", "strava_tour.py"),
    "strava of npm": Client("strava@3.1.0", "strava_npm_tour.js"),
    "strava-v3": Client("strava-v3@4.0.2", "strava_v3_tour.js"),
    "strava-offline": Client("strava-offline==1.1.1", "strava_offline_tour.py"),
    "strava2gpx": Client("strava2gpx==1.0.1", "strava2gpx_tour.py"),
}


@asynccontextmanager
async def callback() -> AsyncGenerator[str]:
    """A service that takes part in the handshake of webhooks."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        challenge = parse_qs(urlsplit(target).query).get("hub.challenge", [""])[0]
        body = json.dumps({"hub.challenge": challenge}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/webhook"


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


async def make_tour(client: Client, command: list[str], seed: int) -> dict[str, str | None]:
    """Return the steps of a tour, each with what went wrong."""
    emulator = Emulator(seed=seed, years=1.0, upload_seconds=0.5, limits=ROOMY, callback_seconds=60.0)
    with tempfile.TemporaryDirectory() as folder:
        async with serve(emulator) as url, callback() as callback_url:
            told = {
                "url": url,
                "client_id": emulator.client_id,
                "client_secret": emulator.client_secret,
                "athlete_id": emulator.athlete_ids[0],
                "activities": len(emulator.world().activities),
                "callback": callback_url,
                "folder": folder,
                "free_port": free_port(),
            }
            own = {"TOUR": json.dumps(told), "HOME": folder, "NODE_PATH": str(client.node_folder / "node_modules")}
            return await run_tour(command, {**environments.clean_environ(), **own})


async def run_tour(command: list[str], environment: dict[str, str]) -> dict[str, str | None]:
    """Run a tour's program and return the steps that it printed."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)
    reading = asyncio.ensure_future(process.communicate())
    done, _ = await asyncio.wait({reading}, timeout=MINUTES * 60)
    if not done:
        process.kill()
    out, err = await reading
    made = (json.loads(line) for line in out.decode().splitlines() if line.startswith('{"step"'))
    steps: dict[str, str | None] = {step["step"]: step["error"] for step in made}
    if process.returncode or not steps:
        how = f"ended with {process.returncode}" if done else f"was not at its end after {MINUTES} minutes"
        steps["the tour itself"] = f"{how}: {err.decode().strip()[-1500:]}"
    return steps


def surprises(name: str, steps: dict[str, str | None]) -> list[str]:
    """Return what is news of a tour: a step that fails otherwise than known, and one that fails no more."""
    known = {step: why for (client, step), why in KNOWN.items() if client == name}
    news = [
        f"FAILED: {step}: {error}"
        for step, error in steps.items()
        if error is not None and (step not in known or known[step].told not in error)
    ]
    return news + [f"NO LONGER: {step}: take it out of known.py" for step in known if steps.get(step, "?") is None]


def report(name: str, seed: int, steps: dict[str, str | None]) -> bool:
    """Print what came of a tour, and say whether all is as known."""
    failed = [step for step, error in steps.items() if error is not None]
    print(f"{name}, seed {seed}: {len(steps)} steps, {len(steps) - len(failed)} as they should be")
    for step in failed:
        if (name, step) in KNOWN:
            print(f"  known: {step}: {KNOWN[name, step].reason}")
    news = surprises(name, steps)
    for line in news:
        print(f"  {line}")
    return not news


async def main(names: Collection[str], seeds: Collection[int]) -> int:
    """Make the tours and return the exit status: 1 after a surprise."""
    well = True
    for name in names:
        command = CLIENTS[name].install()
        for seed in seeds:
            well &= report(name, seed, await make_tour(CLIENTS[name], command, seed))
    return int(not well)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.clients", description=__doc__.splitlines()[0])
    parser.add_argument("client", nargs="*", help=f"one of {', '.join(CLIENTS)}; all of them without one")
    parser.add_argument("--seeds", default="1", help="of the athletes, with commas between")
    options = parser.parse_args()
    if unknown := set(options.client) - CLIENTS.keys():
        parser.error(f"there is no tour of {', '.join(sorted(unknown))}")
    wanted = options.client or list(CLIENTS)
    if shutil.which("npm") is None and any(CLIENTS[name].is_node for name in wanted):
        parser.error("those of npm need node and npm; name the others")
    sys.exit(asyncio.run(main(wanted, [int(seed) for seed in options.seeds.split(",")])))
