"""Which event loop the tests of the emulator run on.

What an endpoint answers does not depend on it: those tests run on asyncio alone, and the tests of the client ask the
emulator on trio too. Where the emulator waits (clocks, queues, deliveries, bodies) a test runs on each, by
``tests.testing.event_loops``.
"""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
