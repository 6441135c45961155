"""The Python on the pages as modules that type checkers can read: ``python -m tests.typed_blocks FOLDER`` writes them.

A program stands as it is. Of the other blocks each is the body of a function whose parameters are what the page takes
for given; where a page goes on from block to block, all of them are one body.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = (
    "README.md",
    "docs/accounts.md",
    "docs/analysis.md",
    "docs/client.md",
    "docs/fastapi.md",
    "docs/harvest.md",
    "docs/observability.md",
    "docs/porting.md",
    "docs/several-processes.md",
)
GO_ON = {"docs/accounts.md", "docs/client.md", "docs/harvest.md"}

# The program of fastapi.md is told by variables where its Strava is; those of the others make a file.
OFFLINE = tuple(
    page for page in PAGES if page not in {"docs/fastapi.md", "docs/harvest.md", "docs/several-processes.md"}
)

_NAMES = """\
import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Protocol, TypedDict
from urllib.parse import parse_qsl, urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider
from starlette.requests import HTTPConnection

from strava_async import *
from strava_async.fastapi import *

router: WebhookRouter  # a global: one of the blocks has another of that name


class Urls(TypedDict):
    api_url: str
    oauth_url: str


class Database(Protocol):
    async def athlete_of(self, user: Any) -> int | None: ...
    async def welcome(self, athlete_id: int) -> None: ...
"""
_GIVEN = """\
    *, access_token: str, activity_id: int, api: ApiV3, athlete_id: int, came_back_to: str, client_id: int, cookie: str,
    client_secret: str, database: Database, meter_provider: MeterProvider, path: Path, state: str, state_secret: str,
    strava: Strava, token: TokenSet, tracer_provider: TracerProvider, urls: Urls, verify_token: str
"""


def name_of(page: str) -> str:
    """Return what the names of a page's modules begin with."""
    return Path(page).stem.lower().replace("-", "_")


def blocks_of(page: str) -> list[str]:
    """Return the blocks of Python on a page."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S)


def is_program(block: str) -> bool:
    """Say whether a block stands on its own."""
    return re.search(r"^(asyncio|trio)\.run\(|^strava = Strava\(|^async def test_", block, re.M) is not None


def modules() -> dict[str, str]:
    """Return the modules by name."""
    found: dict[str, str] = {}
    for page in PAGES:
        name = name_of(page)
        programs = [block for block in blocks_of(page) if is_program(block)]
        rest = [block for block in blocks_of(page) if not is_program(block)]
        found |= {f"{name}_program_{number}": block for number, block in enumerate(programs)}
        bodies = ["\n".join(rest)] if page in GO_ON else rest
        functions = (
            f"async def block_{number}(\n{_GIVEN}) -> None:\n{textwrap.indent(body, '    ')}"
            for number, body in enumerate(bodies)
        )
        found[f"{name}_blocks"] = "\n\n".join([_NAMES, *functions])
    return found


def write(folder: Path) -> None:
    """Write the modules, and how pyright is to read them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in modules().items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    (folder / "pyrightconfig.json").write_text(
        '{"typeCheckingMode": "standard", "reportWildcardImportFromLibrary": false}\n', encoding="utf-8"
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]))
