"""The way into the command line, which says what to install where the extra ``cli`` is missing."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Sequence

NEEDED = ("typer", "rich", "starlette", "uvicorn", "python_multipart")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status.

    Args:
        arguments: without the name of the program; None means those of the process.
    """
    try:
        for name in NEEDED:
            importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in NEEDED:
            raise
        print('This command needs more packages: pip install "strava-async[cli]"', file=sys.stderr)
        return 2
    commands = importlib.import_module("strava_async.cli.commands")
    status: int = commands.run(arguments)
    if arguments is None:
        gc.freeze()  # the process ends: to look for garbage first would take a third of a second
    return status
