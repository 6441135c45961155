"""The virtual environments of the benchmarks: made once, and again when their contents change."""

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
    """A virtual environment for some of the clients.

    Attributes:
        name: its folder.
        packages: the packages that pip installs. The checkout is not installed: workers start in its folder.
        unwanted: packages that are uninstalled again.
    """

    name: str
    packages: tuple[str, ...]
    unwanted: tuple[str, ...] = ()

    @property
    def python(self) -> str:
        """The interpreter."""
        return str(FOLDER / self.name / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def _required(extra: str = "") -> tuple[str, ...]:
    """Return the requirements of pyproject.toml, with those of an extra, which may consist of others."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def packages(extra: str) -> Iterator[str]:
        for package in project["optional-dependencies"][extra]:
            if extras := _OWN_EXTRAS.fullmatch(package):
                for other in extras[1].split(","):
                    yield from packages(other)
            else:
                yield package

    return (*project["dependencies"], *(dict.fromkeys(packages(extra)) if extra else ()))


# What a plain `pip install httpx` gives, without sniffio.
BARE = Environment("bare", ("httpx==0.28.1",), unwanted=("sniffio",))
# The required dependencies; httpx2 beside them is used only if a client of it is passed in.
CORE = Environment("core", (*_required(), "httpx2==2.16.2"))
FAST = Environment("fast", (*_required("fast"), "httpx2==2.16.2"))
# Without orjson: what a user of the typed client has.
TYPED = Environment("typed", _required("models"))
STRAVALIB = Environment("stravalib", ("stravalib==2.6.0",))
ALL = (BARE, CORE, FAST, TYPED, STRAVALIB)
# Only for `python -m benchmarks.service`. The users need aiohttp; the service does not use it.
SERVICE = Environment("service", (*_required("examples"), "aiohttp==3.14.5"))
# Only for `--only fleet`: the emulator, a client, and a client of Redis.
FLEET = Environment("fleet", (*_required("testing"), *_required("fast"), *_required("redis")))

# Only for `python -m benchmarks.harvest`.
HARVEST = Environment("harvest", (*_required("testing"), *_required("fast")))


def make(environment: Environment) -> None:
    """Make an environment if it is missing or out of date. Takes some ten seconds."""
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
