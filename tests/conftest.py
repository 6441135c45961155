"""What holds for every test.

- It has an environment of its own (``environment``), reaches no host but this one (``guard``), and leaves no process.
- Marked ``anyio`` it runs on asyncio and on trio.
- With ``--shuffle 5`` modules, and tests within them, come in a random order, the same for the same number.
- With ``--failures FILE`` a failure is written down there as soon as it is known: the run may be ended before its end.
- Those marked ``one_python`` come first: they wait for processes, and what comes after fills the time.
- Hypothesis tries the same examples each time in CI, and looks for new ones elsewhere.
- The garbage collector looks at what a module's tests have made, and not at what was there before.
- Files are made in memory where the system has a place for that and ``TMPDIR`` names no other: on a disk, the tests of
  stores wait for it most of their time.
"""

import contextlib
import gc
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import environment
from tests.guard import loopback_only
from tests.redis_server import redis_server as redis_server
from tests.redis_server import server_of_module as server_of_module

# A shared machine may take a second for what takes a millisecond: no example has a deadline.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

AGAIN_SECONDS = 20.0  # from one time limit of a test to the next
END_SECONDS = 5.0  # for a process that was told to end as its test did

IN_MEMORY = "/dev/shm"
MEMORY_BYTES = 1 << 30  # a container may have next to nothing there


def make_files_in_memory() -> None:
    """Let temporary files be in memory, here and in the programs of the tests, unless something else was asked for."""
    if os.environ.keys().isdisjoint({"TMPDIR", "TEMP", "TMP"}) and os.access(IN_MEMORY, os.W_OK | os.X_OK):
        place = os.statvfs(IN_MEMORY)
        if place.f_bavail * place.f_frsize >= MEMORY_BYTES and not place.f_flag & os.ST_NOEXEC:
            os.environ["TMPDIR"] = tempfile.tempdir = IN_MEMORY


make_files_in_memory()
FOLDER = Path(tempfile.mkdtemp(prefix="strava-async-tests-"))
ENVIRONMENT = environment.made_environment(os.environ, FOLDER)

# Now, and not in a fixture: modules read the environment when they are imported.
environment.put_on(ENVIRONMENT)
environment.settle_process()
loopback_only.install()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run the tests in a random order")
    parser.addoption("--failures", type=Path, metavar="FILE", help="add each failure to this file when it is known")


class Failures:
    """What has failed so far, in a file.

    Args:
        file: is added to.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            parts = [f"{report.nodeid}: {report.when}", report.longreprtext, report.capstdout, report.capstderr]
            with self._file.open("a") as file:
                file.write("\n".join([*parts, ""]))


def pytest_configure(config: pytest.Config) -> None:
    failures = config.getoption("--failures")
    if failures is not None and not hasattr(config, "workerinput"):  # pytest-xdist's workers report to the controller
        config.pluginmanager.register(Failures(failures))
    # pytest-xdist would put the modules of few tests last: they are those that wait for processes.
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def is_redis_on_trio(item: pytest.Item) -> bool:
    """Say whether it would run a store of events on Redis, which is of asyncio, on trio (``webhooks/event_stores``)."""
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return (parameters.get("kind_of_store"), parameters.get("anyio_backend")) == ("redis", "trio")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items[:] = [item for item in items if not is_redis_on_trio(item)]
    seed = config.getoption("--shuffle")
    if seed is not None:
        order = random.Random(seed)
        of_modules = {item.nodeid.partition("::")[0]: order.random() for item in items}
        items.sort(key=lambda item: (of_modules[item.nodeid.partition("::")[0]], order.random()))
    items.sort(key=lambda item: item.get_closest_marker("one_python") is None)


def pytest_collection_finish() -> None:
    leave_to_the_end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    done = yield
    if nextitem is None or nextitem.path != item.path:
        leave_to_the_end()
    return done


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_timeout_set_timer() -> Generator[None, object, object]:
    """Let the time limit of a test come again while the test goes on.

    The first is an error in the test. On trio, anyio then waits for the end of the event loop, which may never come.
    """
    done = yield
    seconds, _ = signal.getitimer(signal.ITIMER_REAL)
    if seconds:
        signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
    return done


def leave_to_the_end() -> None:
    """Collect what is garbage, and have no later collection look at the rest.

    Half a million objects stay to the end once the tests are collected, and more with every module that one imports.
    With them a collection takes 0.2 s to 0.6 s, and some tests need several.
    """
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes that are no text by their argument: packed ones, say, hold the time of the packing."""
    return argname if isinstance(val, bytes) and not (val.isascii() and val.decode().isprintable()) else None


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


@pytest.fixture(autouse=True)
def own_world() -> Iterator[None]:
    """Give a test its environment and its home, and look at the end at what it reached for and what it left."""
    home = Path(tempfile.mkdtemp(prefix="home-", dir=FOLDER))
    environment.put_on({**ENVIRONMENT, "HOME": str(home)})
    before = environment.children()
    yield
    environment.put_on(ENVIRONMENT)
    shutil.rmtree(home, ignore_errors=True)
    left = left_behind(before)
    reached = environment.notes()
    assert not left, f"left running: {left}"
    assert not reached, reached


def left_behind(before: set[int]) -> list[str]:
    """End the processes that were not there before, and say what they were."""
    give_up_at = time.monotonic() + END_SECONDS
    while (left := environment.children() - before) and time.monotonic() < give_up_at:
        time.sleep(0.01)
    described = list(environment.describe(left))
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    # Chromium's reporter of crashes outlives the browser until it notices, which no flag prevents.
    return [each for each in described if "chrome_crashpad_handler" not in each]
