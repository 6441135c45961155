"""The virtual environments of the benchmarks: made once, made again when what they hold changes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
FOLDER = Path(__file__).parent / ".env"
_OWN_EXTRAS = re.compile(r"strava-async\[(.*)\]")


@dataclass(frozen=True, slots=True)
class Environment:
    """What is installed for some of the clients.

    Attributes:
        name: its folder.
        packages: what pip is asked for. The checkout is not installed: workers start in it and find it there.
        unwanted: what is taken out again.
    """

    name: str
    packages: tuple[str, ...]
    unwanted: tuple[str, ...] = ()

    @property
    def python(self) -> str:
        """The interpreter."""
        return str(FOLDER / self.name / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def _required(extra: str = "") -> tuple[str, ...]:
    """Return what pyproject.toml requires, and with an extra that too; an extra may be made of others."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def packages(extra: str) -> Iterator[str]:
        for package in project["optional-dependencies"][extra]:
            if extras := _OWN_EXTRAS.fullmatch(package):
                for other in extras[1].split(","):
                    yield from packages(other)
            else:
                yield package

    return (*project["dependencies"], *(dict.fromkeys(packages(extra)) if extra else ()))


# What a user has who knows nothing of sniffio.
BARE = Environment("bare", ("httpx==0.28.1",), unwanted=("sniffio",))
# The required dependencies; what lies beside them is not touched unless a client of it is handed in.
CORE = Environment("core", (*_required(), "httpx2==2.16.2"))
FAST = Environment("fast", (*_required("fast"), "httpx2==2.16.2"))
# Without orjson: what a user of the typed client has.
TYPED = Environment("typed", _required("models"))
STRAVALIB = Environment("stravalib", ("stravalib==2.6.0",))
ALL = (BARE, CORE, FAST, TYPED, STRAVALIB)
# Not one of all: what `python -m benchmarks.service` alone needs. aiohttp is the users'; the service does without.
SERVICE = Environment("service", (*_required("examples"), "aiohttp==3.14.5"))


def make_all() -> None:
    """Make the environments that are missing or out of date. Takes a minute or two the first time."""
    for environment in ALL:
        make(environment)


def make(environment: Environment) -> None:
    """Make an environment if it is missing or out of date."""
    folder = FOLDER / environment.name
    stamp = folder / "made-from.txt"
    wanted = "\n".join((sys.version, *environment.packages, *environment.unwanted))
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    print(f"making the environment {environment.name!r} ...", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    _run(environment.python, "-m", "pip", "install", "--quiet", *environment.packages)
    for package in environment.unwanted:
        _run(environment.python, "-m", "pip", "uninstall", "--quiet", "--yes", package)
    stamp.write_text(wanted, encoding="utf-8")


def clean_environ() -> dict[str, str]:
    """Return the environment variables for a measured process: nothing that changes Python, no proxy."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTHON") and not name.lower().endswith("_proxy")
    }


def versions(environment: Environment) -> str:
    """Return what is installed, as one line."""
    listed = _run(environment.python, "-m", "pip", "list", "--format=freeze")
    kept = (line for line in listed.split() if not line.startswith(("pip==", "setuptools==", "certifi==")))
    return f"{environment.name}: {' '.join(kept)}"


def _run(*command: str) -> str:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    try:
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=600, env=environ, cwd=CHECKOUT
        )
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"{' '.join(command)} failed:\n{error.stdout}{error.stderr}") from error
    return done.stdout
