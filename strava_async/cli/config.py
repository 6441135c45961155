"""Which application a command works for, and where its tokens are.

Rules:

- Options (which typer also reads from the environment) come before the configuration file, the file before asking.
- A secret belongs to an id: the file's is not used with another one.
- The default file is about Strava. With an emulator it is not read, so that its secret goes nowhere else.
- With an emulator, and no id and no secret from anywhere, it is the application that ``emulate`` prints: the same each
  time, if no seed was chosen.
- A file of tokens that somebody names is that of a program: where its rows bear no name, they are the ones that count.
  Not with ``--emulator``, which would be sent them: a program is told of an emulator by the environment.
- A file that others may read is taken from them where it is this user's, and refused elsewhere. The secret is shown
  nowhere, whatever is wrong.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from strava_async.application import Strava
from strava_async.cli.emulator_url import API_PATH, OAUTH_PATH, STRAVA, emulator_url, strava_api_url
from strava_async.cli.places import default_directory, expanded, needed
from strava_async.cli.terminal import Ask, UsageError
from strava_async.errors import InputError, TokenStoreError
from strava_async.oauth.credentials import check_client_id, check_secret
from strava_async.request.retry import RetryPolicy
from strava_async.stores.base import TokenStore
from strava_async.stores.encryption import seals
from strava_async.stores.private_files import make_open_file_private, make_private_directories, remedy
from strava_async.stores.sqlite import SqliteTokenStore

DIRECTORY = default_directory(os.environ)
CONFIG = None if DIRECTORY is None else DIRECTORY / "config.toml"
STORE = None if DIRECTORY is None else DIRECTORY / "tokens.sqlite"

ONCE = RetryPolicy(max_attempts=1)
TIMEOUT_SECONDS = 10.0

MakeStrava = Callable[..., Strava]


@dataclass(frozen=True, slots=True)
class Options:
    """What ``login``, ``accounts``, ``logout`` and ``webhook`` have in common. Its repr shows no secret.

    Attributes:
        client_id: the application's id, as it was given.
        client_secret: the application's secret.
        config: the configuration file; None means the default one, and none with an emulator.
        store: where the tokens are kept; None means the default file.
        emulator: the base URL of a served emulator; None leaves it to the environment.
        token_key: encrypts the tokens; None leaves them as they are.
        environment: the variables that may name an emulator; see ``emulator_url``.
        default_config: the configuration file where none is given; None where the process has no home directory.
        default_store: likewise the file of the tokens.
    """

    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    config: Path | None = None
    store: Path | None = None
    emulator: str | None = None
    token_key: str | None = field(default=None, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    default_config: Path | None = CONFIG
    default_store: Path | None = STORE

    @property
    def emulator_url(self) -> str | None:
        """The base URL of the emulator that counts; None means Strava."""
        return emulator_url(self.emulator, self.environment)

    @property
    def config_path(self) -> Path | None:
        """The configuration file that counts; None if there is none."""
        if self.config is not None:
            return expanded(self.config, "--config")
        return self.default_config if self.emulator_url is None else None

    @property
    def store_path(self) -> Path:
        """The file of the tokens."""
        return needed(self.default_store, "--store") if self.store is None else expanded(self.store, "--store")

    @property
    def origin(self) -> str:
        """Where everything goes: scheme, host and port."""
        return self.emulator_url or STRAVA

    @property
    def api_url(self) -> str:
        """Where requests go."""
        emulator = self.emulator_url
        return strava_api_url(self.environment) if emulator is None else emulator + API_PATH

    @property
    def oauth_url(self) -> str:
        """Where athletes and tokens go."""
        return self.origin + OAUTH_PATH

    def command(self, words: str) -> str:
        """Return another command to the same Strava and the same file, as it is to be typed."""
        given = {"--store": self.store, "--emulator": self.emulator}
        named = [f"{option} {shlex.quote(str(value))}" for option, value in given.items() if value is not None]
        return " ".join(["strava-async", words, *named])


@dataclass(frozen=True, slots=True)
class Credentials:
    """An application's id and secret; None is what is not known. Its repr shows no secret."""

    client_id: int | None = None
    client_secret: str | None = field(default=None, repr=False)


def find_client_id(options: Options, ask: Ask | None) -> int:
    """Return the application's id: the one that is given, else the one that is kept, else the emulator's.

    Raises:
        UsageError: there is none, it is none, or the configuration file does not do.
    """
    if options.client_id:
        return _checked_id(options.client_id, "the client id")
    client_id = _kept(options).client_id
    return _asked_id(options, ask) if client_id is None else client_id


def find_credentials(options: Options, ask: Ask | None) -> tuple[int, str]:
    """Return the application's id and secret; as ``find_client_id``."""
    client_id = find_client_id(options, ask)
    if options.client_secret:
        return client_id, _checked_secret(options.client_secret, "the client secret")
    kept = _kept(options)
    if kept.client_secret is not None and kept.client_id in (client_id, None):
        return client_id, kept.client_secret
    return client_id, _asked_secret(options, ask)


def application_name(options: Options, client_id: int) -> str:
    """Return what tells the application's tokens from those of others in the same file."""
    emulator = options.emulator_url
    return str(client_id) if emulator is None else f"{client_id}@{emulator}"


def token_store(options: Options, client_id: int) -> SqliteTokenStore:
    """Return where the application's tokens are kept. No event loop may run: it looks into a file that is there."""
    key = options.token_key or None
    try:
        seals(key)
    except InputError as error:
        raise UsageError(f"STRAVA_TOKEN_KEY: {error}") from None
    name = application_name(options, client_id)
    try:
        store = SqliteTokenStore(options.store_path, key=key, application=name)
        if options.store is None or options.emulator is not None or not options.store_path.exists():
            return store
        there = anyio.run(store.applications)
        return SqliteTokenStore(options.store_path, key=key) if "" in there and name not in there else store
    except InputError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{options.store_path} cannot be read: {error.strerror}") from error


async def python_of(options: Options, store: TokenStore, athlete_id: int) -> str:
    """Return the expression that opens the file of a store, so that a program finds what is kept of an athlete."""
    arguments = [json.dumps(os.fspath(options.store_path), ensure_ascii=False)]
    if options.token_key:
        arguments.append('key=os.environ["STRAVA_TOKEN_KEY"]')
    unnamed = SqliteTokenStore(options.store_path, key=options.token_key or None)
    try:
        found = await unnamed.load(athlete_id) == await store.load(athlete_id)
    except TokenStoreError:
        found = False
    if not found and isinstance(store, SqliteTokenStore):
        arguments.append(f"application={json.dumps(store.application)}")
    return f"SqliteTokenStore({', '.join(arguments)})"


def open_strava(
    options: Options, client_id: int, client_secret: str, make: MakeStrava, *, tokens: bool = True
) -> Strava:
    """Return the application. Nothing is tried again: whoever waits can do that.

    Args:
        options: which application.
        client_id: its id.
        client_secret: its secret.
        make: makes it.
        tokens: whether it has those that are kept; what is not about an athlete goes without a file.
    """
    return make(
        client_id,
        client_secret,
        token_store=token_store(options, client_id) if tokens else None,
        api_url=options.api_url,
        oauth_url=options.oauth_url,
        retry=ONCE,
        timeout=TIMEOUT_SECONDS,
    )


def read_config(path: Path) -> Credentials:
    """Return what the configuration file says; nothing if there is none.

    Raises:
        UsageError: it cannot be read, others may read it too and that cannot be changed, or it says something else.
    """
    content = _content(path)
    unknown = sorted(content.keys() - {"client_id", "client_secret"})
    if unknown:
        raise UsageError(f"{path} has the unknown key {unknown[0]!r}: it may hold client_id and client_secret")
    client_id, client_secret = content.get("client_id"), content.get("client_secret")
    return Credentials(
        None if client_id is None else _checked_id(client_id, f"client_id in {path}"),
        None if client_secret is None else _checked_secret(client_secret, f"client_secret in {path}"),
    )


def write_config(path: Path, client_id: int, client_secret: str) -> None:
    """Write the configuration file so that nobody but its user can read it, not for a moment, nor see half of it."""
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
    """Make a directory, and what is missing above it, for its user alone, unless there is one."""
    try:
        make_private_directories(os.fspath(path))
    except OSError as error:
        raise UsageError(f"the directory {path} cannot be made: {error.strerror}") from error


def _kept(options: Options) -> Credentials:
    path = options.config_path
    kept = Credentials() if path is None else read_config(path)
    nothing = not (options.client_id or options.client_secret or kept.client_id or kept.client_secret)
    return _emulated() if nothing and options.emulator_url is not None else kept


def _emulated() -> Credentials:
    """Return what ``strava-async emulate`` prints if it is given no seed."""
    from strava_async.testing.emulator import Emulator

    emulator = Emulator()
    return Credentials(emulator.client_id, emulator.client_secret)


def _asked_id(options: Options, ask: Ask | None) -> int:
    if ask is None:
        raise UsageError(_missing("client id", options))
    return _checked_id(ask("Client ID: ", False).strip(), "the client id")


def _asked_secret(options: Options, ask: Ask | None) -> str:
    if ask is None:
        raise UsageError(_missing("client secret", options))
    return _checked_secret(ask("Client secret (not shown): ", True).strip(), "the client secret")


def _missing(what: str, options: Options) -> str:
    name = what.replace(" ", "_")
    place = options.config_path or "a file named by --config"
    return f"no {what}: give --{what.replace(' ', '-')}, set STRAVA_{name.upper()}, or put {name} into {place}"


def _checked_id(value: object, what: str) -> int:
    try:
        return check_client_id(value, what)
    except InputError as error:
        raise UsageError(str(error)) from None


def _checked_secret(value: object, what: str) -> str:
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
