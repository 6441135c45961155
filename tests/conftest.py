"""Every test marked ``anyio`` runs on asyncio and on trio. Hypothesis tries the same examples each time in CI."""

import os

import pytest
from hypothesis import settings

# A shared machine may take a second for what takes a millisecond: no example has a deadline.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend
