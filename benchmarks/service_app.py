"""The service under load: ``python -m benchmarks.service_app``, the example application in two processes of uvicorn.

Its standard input brings one line, ``{"job": "serve", "settings": {...}}``. It answers with its address once all
processes serve, and ends when its input ends. Each process writes a file with its figures (``service_probe``).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from benchmarks.service_jobs import end_in_time
from benchmarks.service_probe import Probe, count_probes
from examples.fastapi_app import app as example

WORKERS = 2
HOST = "127.0.0.1"
START_SECONDS = 60.0
SHUTDOWN_SECONDS = 3
FOLDER = "PROBE_DIR"


def create_app() -> FastAPI:
    """Return the example application with a probe beside it."""
    app = example.create_app()
    folder = Path(os.environ[FOLDER])
    own_lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[Any]:
        end_in_time()
        probe = Probe()
        async with own_lifespan(app) as state:
            probe.write(folder)  # a sign that this process serves
            measuring = asyncio.create_task(probe.run())
            yield state
            measuring.cancel()
            probe.write(folder)

    app.router.lifespan_context = lifespan
    return app


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def _answer_and_wait(port: int, folder: Path) -> None:
    """Print the service's address once it serves; end it when the input ends."""
    give_up_at = time.monotonic() + START_SECONDS
    while count_probes(folder) < WORKERS and time.monotonic() < give_up_at:
        time.sleep(0.05)
    print(json.dumps({"url": f"http://{HOST}:{port}"}), flush=True)
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run the service."""
    end_in_time()
    port = _free_port()
    os.environ.update(json.loads(sys.stdin.readline())["settings"], PUBLIC_URL=f"http://{HOST}:{port}")
    threading.Thread(target=_answer_and_wait, args=(port, Path(os.environ[FOLDER])), daemon=True).start()
    uvicorn.run(
        "benchmarks.service_app:create_app",
        factory=True,
        workers=WORKERS,
        host=HOST,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


if __name__ == "__main__":
    main()
