"""How many requests may be in flight at a time, and in which order those that wait for a place begin."""

from __future__ import annotations

from collections import deque

import anyio


class Gate:
    """Places for requests: some for all of them, and a few more for those that a person waits for.

    First come, first served; urgent requests before the others. Release what was taken or acquired.

    Args:
        places: for requests of any kind.
        urgent_places: beyond those, for urgent requests alone.
    """

    def __init__(self, places: int, urgent_places: int) -> None:
        self._places = {False: places, True: places + urgent_places}
        self._taken = 0
        self._waiting: dict[bool, deque[anyio.Event]] = {True: deque(), False: deque()}

    def take(self, urgent: bool) -> bool:
        """Take a place if there is one; say whether there was."""
        if self._taken >= self._places[urgent] or self._waiting[urgent]:
            return False
        self._taken += 1
        return True

    async def acquire(self, urgent: bool) -> None:
        """Wait for a place; without a turn of the event loop if there is one."""
        if self.take(urgent):
            return
        queue, turn = self._waiting[urgent], anyio.Event()
        queue.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                self.release()
            else:
                queue.remove(turn)
            raise

    def release(self) -> None:
        """Give a place back; it goes to the next in the queue."""
        self._taken -= 1
        for urgent, queue in self._waiting.items():  # urgent ones first
            if queue and self._taken < self._places[urgent]:
                self._taken += 1
                queue.popleft().set()
                return
