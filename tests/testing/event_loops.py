"""The event loops that tests run on where the ``conftest`` of their folder has chosen one."""

import pytest

LOOPS = ["asyncio", "trio"]

# For one test.
EACH_LOOP = pytest.mark.parametrize("anyio_backend", LOOPS)


# For a whole module: ``anyio_backend = each_loop``.
@pytest.fixture(params=LOOPS)
def each_loop(request: pytest.FixtureRequest) -> str:
    loop: str = request.param
    return loop
