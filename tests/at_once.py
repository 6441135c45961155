"""The same work, several times at once."""

from collections.abc import Awaitable, Callable

import anyio

from strava_async import StravaError


async def at_once(count: int, work: Callable[[], Awaitable[object]]) -> list[object]:
    """Do the work that often at once; return values and errors in the order in which they came."""
    results: list[object] = []

    async def one() -> None:
        try:
            results.append(await work())
        except StravaError as error:
            results.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one)
    return results
