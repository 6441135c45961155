"""Ends streams when the server gets a signal to stop.

uvicorn waits for open responses before it tells the lifespan, and a stream of events is open as long as somebody looks
at the page. So the signals are handled here, before the server handles them.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def before_stopping(end_streams: Callable[[], None]) -> Generator[None]:
    """Call a function when the process gets a signal to stop, as long as the block lasts.

    Outside of the main thread, where no signals arrive, nothing happens.

    Args:
        end_streams: called on the event loop. The previous signal handlers are called after it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def hear(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(end_streams)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    handled = [number for number, handler in before.items() if callable(handler)]
    for number in handled:
        signal.signal(number, hear)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])
