"""The configuration file of the commands: an application's id and secret, for its user alone."""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strava_async.cli.terminal import UsageError
from strava_async.errors import InputError
from strava_async.oauth.credentials import check_client_id, check_secret
from strava_async.stores.private_files import make_open_file_private, make_private_directories, remedy


@dataclass(frozen=True, slots=True)
class Credentials:
    """An application's id and secret; None if unknown. Its repr shows no secret."""

    client_id: int | None = None
    client_secret: str | None = field(default=None, repr=False)


def read_config(path: Path) -> Credentials:
    """Return what the configuration file says; nothing if there is none.

    Raises:
        UsageError: it cannot be read, others can read it and that cannot be changed, or it holds anything else.
    """
    content = _content(path)
    unknown = sorted(content.keys() - {"client_id", "client_secret"})
    if unknown:
        raise UsageError(f"{path} has the unknown key {unknown[0]!r}: it may hold client_id and client_secret")
    client_id, client_secret = content.get("client_id"), content.get("client_secret")
    return Credentials(
        None if client_id is None else checked_id(client_id, f"client_id in {path}"),
        None if client_secret is None else checked_secret(client_secret, f"client_secret in {path}"),
    )


def write_config(path: Path, client_id: int, client_secret: str) -> None:
    """Write the configuration file atomically, and readable by its user alone from the first moment."""
    # ASCII without controls, as checked: there JSON's strings are TOML's.
    text = f"client_id = {client_id}\nclient_secret = {json.dumps(client_secret)}\n"
    target = os.path.realpath(path)  # a link stays one
    try:
        make_directory(Path(target).parent)
        fd, building = tempfile.mkstemp(prefix=".config-", dir=os.path.dirname(target))  # mode 0600
        try:
            with os.fdopen(fd, "w", encoding="ascii") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(building, target)
        except BaseException:
            os.unlink(building)
            raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def make_directory(path: Path) -> None:
    """Create a directory and its missing parents, for this user alone; keep one that exists."""
    try:
        make_private_directories(os.fspath(path))
    except OSError as error:
        raise UsageError(f"the directory {path} cannot be made: {error.strerror}") from error


def checked_id(value: object, what: str) -> int:
    """Return the number that a client id is.

    Raises:
        UsageError: it is invalid.
    """
    try:
        return check_client_id(value, what)
    except InputError as error:
        raise UsageError(str(error)) from None


def checked_secret(value: object, what: str) -> str:
    """Return a client secret.

    Raises:
        UsageError: it is invalid.
    """
    try:
        secret = check_secret(value, what).reveal()
    except InputError as error:
        raise UsageError(str(error)) from None
    if " " in secret:  # two words were pasted: Strava's secrets are one
        raise UsageError(f"{what} is not a text such as https://www.strava.com/settings/api shows")
    return secret


def _content(path: Path) -> dict[str, Any]:
    place = ""
    try:
        with path.open("rb") as file:
            if reason := make_open_file_private(file.fileno()):
                raise UsageError(
                    f"other users may read or write {path}, and that cannot be changed ({reason}): "
                    f"{remedy(str(path))} as its owner, or set STRAVA_CLIENT_ID and STRAVA_CLIENT_SECRET in its place"
                )
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        place = "".join(re.findall(r" \(at [^()]*\)$", str(error)))
    raise UsageError(f"{path} is not valid TOML{place}")  # here, where no error that carries its text is the context
