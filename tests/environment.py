"""The environment of the tests and of the programs that they start: nothing from the caller's.

A developer's shell may name credentials, proxies, colours, a locale, warnings. None of it is seen by a test: the
process of the tests gets this environment before a test module is imported, and again before each test.
"""

from __future__ import annotations

import contextlib
import ctypes
import locale
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.guard import loopback_only
from tests.guard.sleeping import mend_sleep

ROOT = Path(__file__).parent.parent
# The variables of somebody behind a proxy, which nobody answers at: what needs no network runs there too.
DEAD_PROXY = {
    spelt: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "all_proxy") for spelt in (name, name.upper())
}
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)

# Where things are, the time, and what the tests themselves are asked for.
_KEPT = {
    *("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "TMP", "TEMP"),
    *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT"),
    *("TZ", "LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "DYLD_FORCE_FLAT_NAMESPACE"),
    *("CI", "CHROMIUM", "REQUIRE_BROWSER", "REDIS_SERVER", "REQUIRE_REDIS", "PYTHONDONTWRITEBYTECODE"),
}
_KEPT_PREFIXES = ("FAKETIME", "NO_FAKE_STAT", "COVERAGE_")
# pytest sets these and takes them away again; they are left as they are.
_OF_PYTEST = ("PYTEST_",)


def made_environment(theirs: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the environment of the tests.

    Args:
        theirs: the environment of whoever runs the tests.
        folder: for the file of the guard and for the home.
    """
    kept = {name: value for name, value in theirs.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    return kept | {
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "PYTHONFAULTHANDLER": "1",
        # The guard, and the package as it is in this tree, wherever the program starts.
        "PYTHONPATH": os.pathsep.join((loopback_only.FOLDER, str(ROOT))),
        loopback_only.NOTES: str(folder / "reached_out"),
    }


def clean_environment(**variables: str) -> dict[str, str]:
    """Return the environment for a program that a test starts.

    A program that is given none inherits the same. Don't build one from nothing: without the guard that comes with this
    one the program is refused.

    Args:
        variables: what the program has beside what every one has; a PYTHONPATH is put behind the one of all.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith(_OF_PYTEST)}
    if "PYTHONPATH" in variables:
        variables["PYTHONPATH"] = os.pathsep.join((os.environ["PYTHONPATH"], variables["PYTHONPATH"]))
    return {**own, **variables}


def put_on(environment: Mapping[str, str]) -> None:
    """Make this the environment of this process."""
    for name in os.environ.keys() - environment.keys():
        if not name.startswith(_OF_PYTEST):
            del os.environ[name]
    os.environ.update(environment)


def settle_process() -> None:
    """Undo what this process has inherited and would hand on to the programs of the tests."""
    # Whoever starts the tests in the background of a script ignores SIGINT for them, and a program of a test would too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    mend_sleep()
    # What a program writes is read with this process's encoding.
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    # What a program of a test leaves behind becomes a child of this process, and is found.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def notes() -> list[str]:
    """Return what was tried and refused since this was asked last, in this process and in those that it started."""
    path = Path(os.environ[loopback_only.NOTES])
    try:
        written = path.read_text()
    except FileNotFoundError:
        return []
    path.unlink()
    return written.splitlines()


def children() -> set[int]:
    """Return the ids of the living processes that this one has started; none where the system does not say."""
    found: set[int] = set()
    with contextlib.suppress(OSError):
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):  # a thread that has ended
                found.update(pid for pid in map(int, (task / "children").read_text().split()) if _lives(pid))
    return found


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def describe(pids: set[int]) -> Iterator[str]:
    """Say what processes are."""
    for pid in sorted(pids):
        with contextlib.suppress(OSError):
            yield Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()[:200]
