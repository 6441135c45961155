"""The environment of programs that are not Python's: without the library that shows the tests other days."""

from __future__ import annotations

from collections.abc import Mapping

_PRELOADS = {"LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "DYLD_FORCE_FLAT_NAMESPACE"}
_OF_FAKETIME = ("FAKETIME", "NO_FAKE_STAT")


def on_the_real_clock(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what faketime needs.

    Its library is loaded before a program's own. A program whose allocator asks for the time, such as Redis with
    jemalloc, may then not start, now and then; a browser's processes end.

    Args:
        environment: the program's.
    """
    return {
        name: value
        for name, value in environment.items()
        if name not in _PRELOADS and not name.startswith(_OF_FAKETIME)
    }
