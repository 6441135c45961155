"""How many small faults the tests catch: ``python -m benchmarks.mutants --seed 12 --count 200``.

A mutant is a copy of the package with one small change (``mutations``) in the core. A seeded sample of them, equally
many in each area, is run against the tests of its module, in a copy of the tree. Printed are the changes that no test
caught, and how many were caught in each area. A mutant whose tests take too long counts as
caught, and is listed too: on a busy machine give them more. The same seed over the same tree means the same mutants.

A survivor is not necessarily a fault: it may change nothing observable. Look at each. The tests' environment
(``pip install -e '.[dev]'``) is needed; ``--python`` selects another one.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from benchmarks.mutations import Mutation, sample

CHECKOUT = Path(__file__).resolve().parent.parent
TIMEOUT_SECONDS = 60
UNCHANGED_SECONDS = 900
_LIMIT_KIB = 4 << 20  # of address space: a mutant may run, and allocate memory, without end
_NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "dist", "build", "*.egg-info")


class Verdict(StrEnum):
    """The result of the tests on a mutant."""

    CAUGHT = "caught"
    TOO_LONG = "too long"
    SURVIVED = "survived"


@dataclass(frozen=True, slots=True)
class Area:
    """Modules with the tests that should catch a fault in them, as patterns for the flat tree and for folders.

    Attributes:
        sources: files of the package.
        tests: test modules, in the order in which they run; before them comes the one that is named as the source is.
    """

    sources: str
    tests: str


# Without what takes minutes or tries everything at once (properties, simulations, processes, the whole service): a
# survivor costs all the tests of its area.
AREAS = {
    "limiter": Area(
        "limiter*.py limiter/**/*.py _concurrency/parking.py",
        "test_limiter.py test_limiter_[cls]*.py limiter/test_[!p]*.py",
    ),
    "quota": Area("quota*.py quota/**/*.py", "test_quota.py quota/test_ledger.py"),
    "tokens": Area(
        "tokens.py accounts.py generations.py _renewals.py _expiry.py _shield.py tokens/**/*.py _concurrency/shield.py "
        "_concurrency/single_flight.py",
        "test_tokens.py test_generations.py test_shield.py tokens/test_[!p]*.py concurrency/test_s*.py",
    ),
    "stores": Area(
        "stores/**/*.py _concurrency/keyed_lock.py _concurrency/threads.py",
        "test_memory_store.py test_sealing.py test_file_lock.py test_private_files.py test_sqlite_store.py "
        "test_file_errors.py stores/test_[efmp]*.py stores/test_sqlite.py tokens/test_leases.py",
    ),
    "request": Area(
        "calls.py endpoints.py wire.py retry.py redaction.py excerpts.py json_values.py unpacking.py multipart.py "
        "_exchange.py _reports.py request/**/*.py",
        "test_calls.py test_endpoints.py test_retry.py test_redaction.py test_json_values.py test_unpacking.py "
        "test_multipart.py test_hooks.py test_wire.py test_exchange.py request/test_*.py telemetry/test_*hook*.py",
    ),
    "webhooks": Area(
        "webhooks.py fastapi/webhook*.py fastapi/webhooks/*.py fastapi/_callbacks.py webhooks/**/*.py "
        "_concurrency/callbacks.py _concurrency/ttl_set.py",
        "test_webhooks.py test_webhook_*.py test_fastapi_callbacks.py webhooks/test_*.py concurrency/test_[ct]*.py",
    ),
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mutation, and the tests to run against it.

    Attributes:
        area: the area that it is counted in.
        path: the file, below the tree.
        source: its text.
        mutation: the change.
        tests: test modules, below the tree.
    """

    area: str
    path: str
    source: str
    mutation: Mutation
    tests: tuple[str, ...]

    def diff(self) -> str:
        """Return the lines that differ, below where they are."""
        old, new = (text.splitlines() for text in (self.source, self.mutation.apply(self.source)))
        line = self.source.encode()[: self.mutation.start].count(b"\n") + 1
        changed = list(difflib.unified_diff(old, new, n=0, lineterm=""))[2:]
        return "\n".join([f"{self.path}:{line}", *(f"    {text}" for text in changed if text[0] in "+-")])


# -- the sample -------------------------------------------------------------------------------------------------------


def choose(tree: Path, count: int, seed: int) -> list[Mutant]:
    """Return mutants of a tree, equally many in each area; the first areas may have one more."""
    chosen: list[Mutant] = []
    for index, (name, area) in enumerate(AREAS.items()):
        share = count // len(AREAS) + (index < count % len(AREAS))
        sources = {
            path: (tree / path).read_text(encoding="utf-8") for path in matching(tree, "strava_async", area.sources)
        }
        for path, mutation in sample(sources, share, f"{seed}:{name}"):
            chosen.append(Mutant(name, path, sources[path], mutation, tests_of(tree, path, area)))
    return chosen


def matching(tree: Path, folder: str, patterns: str) -> list[str]:
    """Return the files that match, below the tree, in the order of the patterns."""
    found = [path for pattern in patterns.split() for path in sorted((tree / folder).glob(pattern))]
    return list(dict.fromkeys(path.relative_to(tree).as_posix() for path in found))


def tests_of(tree: Path, path: str, area: Area) -> tuple[str, ...]:
    """Return the test modules of a source: the one of the same name, then those of its area."""
    own = f"**/test_{Path(path).stem.lstrip('_')}.py"
    every = matching(tree, "tests", area.tests)
    named = [test for test in matching(tree, "tests", own) if test in every]
    return tuple(dict.fromkeys([*named, *every]))


# -- the run ----------------------------------------------------------------------------------------------------------


class Workshop:
    """A copy of a tree in which mutants are tried, one after the other."""

    def __init__(self, folder: Path, python: str) -> None:
        self.tree = folder / "tree"
        self._temporary = folder / "tmp"
        self._temporary.mkdir(parents=True)
        self._output = folder / "output"
        self._python = python

    def fill(self, tree: Path, ignore: Callable[[str, list[str]], set[str]] | None = None) -> None:
        """Copy a tree, with the times of its files, by which Python recognizes valid bytecode."""
        shutil.copytree(tree, self.tree, ignore=ignore)

    def check(self, tests: Sequence[str]) -> None:
        """Run tests on the unchanged tree, and keep the bytecode for the mutants.

        Raises:
            SystemExit: they fail without a mutation, so every mutant would count as caught.
        """
        if self._verdict(tests, UNCHANGED_SECONDS, PYTHONDONTWRITEBYTECODE="") is not Verdict.SURVIVED:
            raise SystemExit(f"{self._output.read_text()}\nthese tests fail without a mutation: {' '.join(tests)}")

    def attempt(self, mutant: Mutant, seconds: float) -> Verdict:
        """Run the tests with the change, that long at most."""
        path = self.tree / mutant.path
        times = path.stat()
        path.write_text(mutant.mutation.apply(mutant.source), encoding="utf-8")
        try:
            return self._verdict(mutant.tests, seconds)
        finally:
            path.write_text(mutant.source, encoding="utf-8")
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def _verdict(self, tests: Sequence[str], seconds: float, **variables: str) -> Verdict:
        command = [self._python, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-o", "timeout=0", *tests]
        # A mutant is not compiled into the cache, which knows the times of sources in whole seconds.
        ours = {"CI": "1", "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(self._temporary), **variables}
        with self._output.open("w") as output:
            process = subprocess.Popen(
                ["sh", "-c", f'ulimit -v {_LIMIT_KIB}; exec "$@"', "sh", *command],
                cwd=self.tree,
                env={**os.environ, **ours},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            return Verdict.CAUGHT if process.wait(seconds) else Verdict.SURVIVED
        except subprocess.TimeoutExpired:
            return Verdict.TOO_LONG
        finally:
            with contextlib.suppress(ProcessLookupError):  # processes that the tests have started are in its group
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run(
    mutants: Sequence[Mutant], tree: Path, python: str, *, jobs: int, seconds: float
) -> Iterator[tuple[Mutant, Verdict, float]]:
    """Try mutants in copies of a tree, and yield each with its verdict and the seconds that it took."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(jobs) as threads:
        first, *others = [Workshop(Path(folder, str(number)), python) for number in range(jobs)]
        first.fill(tree, _NOT_COPIED)
        for area in dict.fromkeys(mutant.area for mutant in mutants):
            first.check(matching(tree, "tests", AREAS[area].tests))
        free: queue.SimpleQueue[Workshop] = queue.SimpleQueue()
        free.put(first)
        for workshop in others:
            workshop.fill(first.tree)
            free.put(workshop)

        def attempt(mutant: Mutant) -> tuple[Mutant, Verdict, float]:
            workshop = free.get()
            began = time.monotonic()
            try:
                return mutant, workshop.attempt(mutant, seconds), time.monotonic() - began
            finally:
                free.put(workshop)

        yield from threads.map(attempt, mutants)


def table(done: Sequence[tuple[str, Verdict]]) -> str:
    """Return the figures of each area, and of all, from areas with the verdict on a mutant."""
    lines = ["area      tried  caught  too long  survived"]
    for name, areas in [*((area, {area}) for area in AREAS), ("all", set(AREAS))]:
        counts = Counter(verdict for area, verdict in done if area in areas)
        if counts:
            caught, too_long, survived = (counts[verdict] for verdict in Verdict)
            lines.append(f"{name:8} {counts.total():6} {caught:7} {too_long:9} {survived:9}")
    return "\n".join(lines)


def _tell(file: Path | None, text: str) -> None:
    print(text, flush=True)
    if file:
        with file.open("a") as out:
            print(text, file=out)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mutants", description="Tell how many small faults of the core the tests notice."
    )
    parser.add_argument("--seed", type=int, default=12, help="another number, another sample (default: %(default)s)")
    parser.add_argument("--count", type=int, default=200, help="mutants to try (default: %(default)s)")
    parser.add_argument(
        "--area", action="append", choices=AREAS, help="try this area's alone; may be given several times"
    )
    parser.add_argument("--tree", type=Path, default=CHECKOUT, help="a checkout; it is copied, and not touched itself")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with the tests' environment")
    parser.add_argument("--jobs", type=int, default=2, help="how many run at a time (default: %(default)s)")
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT_SECONDS, help="seconds for a mutant (default: %(default)s)"
    )
    parser.add_argument("--list", action="store_true", help="print the sample, and run nothing")
    parser.add_argument("--out", type=Path, help="a file for what is printed")
    given = parser.parse_args()
    tree = given.tree.resolve()
    mutants = [mutant for mutant in choose(tree, given.count, given.seed) if mutant.area in (given.area or AREAS)]
    tell = partial(_tell, given.out)
    if given.out:
        given.out.write_text("")
    if given.list:
        tell("\n".join(mutant.diff() for mutant in mutants))
        return
    done: list[tuple[str, Verdict]] = []
    began = time.monotonic()
    for mutant, verdict, seconds in run(mutants, tree, given.python, jobs=given.jobs, seconds=given.timeout):
        done.append((mutant.area, verdict))
        print(f"{len(done)}/{len(mutants)} {verdict} {seconds:.0f} s", file=sys.stderr)
        if verdict is not Verdict.CAUGHT:
            tell(f"{mutant.area}, {verdict}: {mutant.diff()}")
    tell(f"\nseed {given.seed}, {time.monotonic() - began:.0f} s\n{table(done)}")


if __name__ == "__main__":
    main()
