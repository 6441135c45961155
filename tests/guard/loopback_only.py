"""What runs in the tests may reach this machine alone.

An audit hook refuses to look up or to connect to anything but loopback, and writes what was tried to a file, so that
the test fails even where the code under test swallows the error. ``tests/conftest.py`` installs it in the process of
the tests; ``sitecustomize`` beside this file does so in each Python that a test starts. A program that would run
without it, because the test gave it an environment without the folder of this file, is refused as well.

Python alone is watched. Chromium gets a rule of its own (``test_browser``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

_installed: list[bool] = []
FOLDER = os.path.dirname(os.path.abspath(__file__))
NOTES = "TESTS_REACHED_OUT"  # the variable that names the file

_NAMES = {"", "localhost", "0.0.0.0", "::", "::1"}  # the unspecified address is this machine too


class ReachedOutError(RuntimeError):
    """Something wanted to leave this machine."""


def is_loopback(host: object) -> bool:
    """Return whether a host, as the socket functions take it, is this machine."""
    if host is None:
        return True
    if isinstance(host, (bytes, bytearray)):
        host = bytes(host).decode("ascii", "replace")
    if not isinstance(host, str):
        return False
    name = host.lower().removeprefix("::ffff:")
    numbers = name.split(".")
    return name in _NAMES or (len(numbers) == 4 and all(n.isdecimal() for n in numbers) and numbers[0] == "127")


def _of_address(address: object) -> object:
    # A tuple that begins with a host; what is none (a path of a Unix socket, the numbers of netlink) stays here.
    if isinstance(address, tuple) and address and isinstance(address[0], (str, bytes, bytearray)):
        return address[0]
    return None


# Where the arguments of an event hold the host.
_HOST: dict[str, Callable[[tuple[Any, ...]], object]] = {
    "socket.connect": lambda arguments: _of_address(arguments[1]),
    "socket.sendto": lambda arguments: _of_address(arguments[1]),
    "socket.sendmsg": lambda arguments: _of_address(arguments[1]),
    "socket.getaddrinfo": lambda arguments: arguments[0],
    "socket.gethostbyname": lambda arguments: arguments[0],
    "socket.gethostbyaddr": lambda arguments: arguments[0],
    "socket.getnameinfo": lambda arguments: _of_address(arguments[0]),
}

# Where they hold the environment of a program that follows its name; None there means this process's own.
_ENVIRONMENT: dict[str, Callable[[tuple[Any, ...]], object]] = {
    "subprocess.Popen": lambda arguments: arguments[3],
    "os.posix_spawn": lambda arguments: arguments[2],
    "os.exec": lambda arguments: arguments[2],
}


def is_guarded(environment: object) -> bool:
    """Return whether a Python that is started with this environment installs the hook."""
    if environment is None:
        environment = os.environ
    if not isinstance(environment, Mapping):
        return False
    named = {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()}
    return NOTES in named and FOLDER in named.get("PYTHONPATH", "").split(os.pathsep)


def is_watchable(program: object) -> bool:
    """Return whether a program may be a Python: one by name, one beside this one, or a shell that starts one."""
    if not isinstance(program, (str, bytes, os.PathLike)):
        return False
    folder, name = os.path.split(os.fsdecode(program))
    beside = os.path.dirname(sys.executable)
    return name.startswith(("python", "pypy")) or name in ("sh", "bash") or folder == beside


def _refuse(what: str) -> None:
    notes = os.environ.get(NOTES)
    if notes:
        file = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, f"{what}\n".encode())
        finally:
            os.close(file)
    raise ReachedOutError(what)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _HOST:
        host = _HOST[event](arguments)
        if not is_loopback(host):
            _refuse(f"{event} to {host!r}: what the tests run may reach this machine alone")
    elif event in _ENVIRONMENT and is_watchable(arguments[0]) and not is_guarded(_ENVIRONMENT[event](arguments)):
        _refuse(f"{event} of {arguments[0]!r}: give it an environment of tests.environment.clean_environment()")


def install() -> None:
    """Watch this process from now on; a hook can't be taken away."""
    if not _installed:
        sys.addaudithook(_hook)
        _installed.append(True)
