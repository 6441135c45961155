"""What a shell offers to complete: athletes, kinds. Where that cannot be found out, it offers nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anyio
import typer

from strava_async.errors import StravaError

MOST = 500


def connected_athletes(context: typer.Context, incomplete: str) -> list[str]:
    """Return the connected athletes whose ids begin so."""
    from strava_async.cli.accounts import athlete_ids
    from strava_async.cli.config import Options, find_client_id, token_store

    given = context.params
    try:
        options = Options(
            _text(given.get("client_id")),
            None,
            _path(given.get("config")),
            _path(given.get("store")),
            _text(given.get("emulator")),
            os.environ.get("STRAVA_TOKEN_KEY"),
            os.environ,
        )
        found = anyio.run(athlete_ids, options, token_store(options, find_client_id(options, None)))
    except (StravaError, OSError):
        return []
    return _beginning(found, incomplete)


def held_athletes(context: typer.Context, incomplete: str) -> list[str]:
    """Return the athletes of the harvest that the command names whose ids begin so."""
    from strava_async.cli.harvest_data import Data

    try:
        store = Data(_path(context.params.get("data")), _path(context.params.get("data_dir"))).existing_store()
        found = anyio.run(store.athlete_ids)
    except (StravaError, OSError):
        return []
    return _beginning(found, incomplete)


def kinds(incomplete: str) -> list[str]:
    """Return a list of kinds with one more: the last of them begins so."""
    from strava_async.harvest.plan import KIND_NAMES

    before, comma, last = incomplete.rpartition(",")
    taken = {name.strip() for name in before.split(",")}
    return [f"{before}{comma}{name}" for name in KIND_NAMES if name.startswith(last) and name not in taken]


def _beginning(athlete_ids: list[int], incomplete: str) -> list[str]:
    return [text for text in map(str, athlete_ids) if text.startswith(incomplete)][:MOST]


def _path(value: Any) -> Path | None:
    return None if value is None else Path(value)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
