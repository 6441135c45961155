"""``python -m examples.fastapi_app``: on the emulator, or on Strava if an application's id and secret are set."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn

from examples.fastapi_app.app import create_app
from examples.fastapi_app.embedded import HOST, running
from examples.fastapi_app.settings import Settings, SettingsError
from strava_async.testing import Emulator


async def offline(port: int) -> None:
    """Run on the emulator until Ctrl+C, then delete the stored data."""
    # The service and the emulator are both on this machine: ignore a proxy of the environment.
    os.environ.update(NO_PROXY=HOST, no_proxy=HOST)
    emulator = Emulator(athletes=3, years=0.6)
    for athlete_id in emulator.athlete_ids:
        emulator.record_activity(athlete_id, sport_type="Run")  # so that no week is empty, not even on a Monday
    with TemporaryDirectory() as folder:
        async with running(emulator, Path(folder), port=port) as service:
            print(f"Tally on the emulator: open {service.url} and connect. Ctrl+C stops it.", flush=True)
            await service.stopped


def main() -> None:
    """Run the service."""
    parser = argparse.ArgumentParser(prog="python -m examples.fastapi_app", description="Run the example service.")
    parser.add_argument("--port", type=int, default=8001)
    port = parser.parse_args().port
    try:
        if os.environ.get("STRAVA_CLIENT_ID") or os.environ.get("STRAVA_CLIENT_SECRET"):
            app = create_app(Settings.read(os.environ))
            uvicorn.run(app, host=HOST, port=port, timeout_graceful_shutdown=1)
        else:
            with suppress(KeyboardInterrupt):
                asyncio.run(offline(port))
    except (SettingsError, OSError) as error:
        sys.exit(f"error: {error}")


main()
