"""``time.sleep`` under faketime.

faketime has to leave the monotonic clock alone, for Python's locks wait on it (FAKETIME_DONT_FAKE_MONOTONIC=1). But its
``clock_nanosleep`` then refuses every sleep of Python 3.11 and later as an invalid argument. ``subprocess`` sleeps so
while it waits for a process to end.
"""

import os
import time


def mend_sleep() -> None:
    """Let ``time.sleep`` wait in another way where faketime is."""
    if "FAKETIME" in os.environ:
        from select import select

        time.sleep = lambda seconds: select([], [], [], seconds) and None
