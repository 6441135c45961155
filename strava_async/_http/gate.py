"""How many requests may be on the way at a time, and in which order those that wait for a place begin."""

from __future__ import annotations

from collections import deque
from types import TracebackType

import anyio


class Gate:
    """Places for requests: some for all of them, and a few more for those that a person waits for.

    First come, first served; urgent requests before the others.

    Args:
        places: for requests of any kind.
        urgent_places: beyond those, for urgent requests alone.
    """

    def __init__(self, places: int, urgent_places: int) -> None:
        self._places = {False: places, True: places + urgent_places}
        self._taken = 0
        self._waiting: dict[bool, deque[anyio.Event]] = {True: deque(), False: deque()}

    def place(self, urgent: bool) -> _Place:
        """Return a context that waits for a place, and holds it."""
        return _Place(self, urgent)

    async def acquire(self, urgent: bool) -> None:
        """Wait for a place; without a turn of the event loop if there is one."""
        line = self._waiting[urgent]
        if self._taken < self._places[urgent] and not line:
            self._taken += 1
            return
        turn = anyio.Event()
        line.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                self.release()
            else:
                line.remove(turn)
            raise

    def release(self) -> None:
        """Give a place back; it goes to the next in line."""
        self._taken -= 1
        for urgent, line in self._waiting.items():  # urgent ones first
            if line and self._taken < self._places[urgent]:
                self._taken += 1
                line.popleft().set()
                return


class _Place:
    """A place at a gate, as long as the context lasts."""

    __slots__ = ("_gate", "_urgent")

    def __init__(self, gate: Gate, urgent: bool) -> None:
        self._gate = gate
        self._urgent = urgent

    async def __aenter__(self) -> None:
        await self._gate.acquire(self._urgent)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gate.release()
