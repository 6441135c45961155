"""Where the commands keep their files by default.

A process may have no home directory: a container that runs under an unknown user id, without HOME. Then there is no
default, and an error asks for a path.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import typer

from strava_async.cli.terminal import UsageError

NAME = "strava-async"


def default_directory(environment: Mapping[str, str], app_dir: str | None = None) -> Path | None:
    """Return the directory of the default files; None where the process has no home.

    Args:
        environment: of which ``XDG_CONFIG_HOME`` counts where others use it; an empty or a relative one does not.
        app_dir: what the platform says; None asks it.

    Source:
        https://specifications.freedesktop.org/basedir-spec/latest/
    """
    chosen = Path(environment.get("XDG_CONFIG_HOME", ""))
    if sys.platform not in ("win32", "darwin"):
        if chosen.is_absolute():
            return chosen / NAME
        app_dir = app_dir or os.path.expanduser(f"~/.config/{NAME}")
    # Without a home "~" stays as it is.
    directory = Path(app_dir or typer.get_app_dir(NAME))
    return directory if directory.is_absolute() else None


def expanded(path: Path, option: str) -> Path:
    """Return a path with the home directory in place of "~".

    Raises:
        UsageError: there is none, or there is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise UsageError(f"{option} {path}: there is no such home directory; name the file without ~") from None


def needed(path: Path | None, option: str) -> Path:
    """Return a default place.

    Raises:
        UsageError: there is none.
    """
    if path is None:
        raise UsageError(f"this process has no home directory to keep files in: set HOME, or give {option}")
    return path
