"""What is offered, and what is said where an extra is missing."""

import importlib
import subprocess
import sys

import pytest

from strava_async._extras import extra

PACKAGES = ["strava_async", *(f"strava_async.{name}" for name in ("fastapi", "models", "redis", "stores", "testing"))]


@pytest.mark.parametrize("name", PACKAGES)
def test_completion_offers_every_public_name(name: str) -> None:
    script = f"import {name} as package; print(*set(package.__all__) - set(dir(package)))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
    assert dir(importlib.import_module(name)) == sorted(dir(importlib.import_module(name)))


@pytest.mark.parametrize(
    ("statement", "missing", "needed"),
    [
        ("import strava_async.models", "pydantic", "models"),
        ("from strava_async.models.activity import SummaryActivity", "pydantic", "models"),
        ("import strava_async.fastapi", "fastapi", "fastapi"),
        ("from strava_async.fastapi import webhook_router", "starlette", "fastapi"),
        ("import strava_async.otel", "opentelemetry", "otel"),
        ("from strava_async.redis import RedisEventStore", "redis", "redis"),
        ("from strava_async.redis import RedisRateLimiter", "redis", "redis"),
        ("from strava_async.redis import RedisTokenStore", "redis", "redis"),
        ("from strava_async.testing import Emulator", "starlette", "testing"),
        ("from strava_async.testing import serve", "uvicorn", "testing"),
        ("from strava_async.models import PolylineMap; PolylineMap(polyline='??').coordinates()", "polyline", "models"),
    ],
)
def test_a_part_whose_extra_is_missing_names_it(statement: str, missing: str, needed: str) -> None:
    script = f"""
import sys
sys.modules[{missing!r}] = None  # as if it were not there
try:
    {statement}
except ModuleNotFoundError as error:
    print(error.name, error)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.startswith(missing)
    assert done.stdout.endswith(f'needs more packages: pip install "strava-async[{needed}]"\n')


def test_the_absence_of_anything_else_is_reported_as_it_is() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"^no module") as caught, extra("models", "a part", "pydantic"):
        raise ModuleNotFoundError("no module", name="something_else")
    assert caught.value.name == "something_else"
