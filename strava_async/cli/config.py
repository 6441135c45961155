"""Which application a command uses, and where its tokens are.

Rules:

- Options (which typer also reads from the environment) come before the configuration file, the file before asking.
- A secret belongs to an id: the file's is not used with another one.
- The default file is about Strava. With an emulator it is not read, so that its secret goes nowhere else.
- With an emulator, and no id and no secret from anywhere, it is the application that ``emulate`` prints: the same each
  time, if no seed was chosen.
- A token file given with ``--store`` is a program's: if its rows have no application name, those are used. Not with
  ``--emulator``, which would receive them: programs find an emulator through the environment.
- A file that others can read is made private where this user owns it, and rejected elsewhere. No error shows the
  secret.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from strava_async.application import Strava
from strava_async.cli.config_file import Credentials, checked_id, checked_secret, read_config
from strava_async.cli.emulator_url import API_PATH, OAUTH_PATH, STRAVA, emulator_url, strava_api_url
from strava_async.cli.places import default_directory, expanded, needed
from strava_async.cli.terminal import Ask, UsageError
from strava_async.errors import InputError, TokenStoreError
from strava_async.request.options import RetryPolicy
from strava_async.stores.base import BasicTokenStore
from strava_async.stores.encryption import ciphers
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


def find_client_id(options: Options, ask: Ask | None) -> int:
    """Return the application's id: the one that is given, else the one that is kept, else the emulator's.

    Raises:
        UsageError: there is none, it is invalid, or the configuration file is.
    """
    if options.client_id:
        return checked_id(options.client_id, "the client id")
    client_id = _kept(options).client_id
    return _asked_id(options, ask) if client_id is None else client_id


def find_credentials(options: Options, ask: Ask | None) -> tuple[int, str]:
    """Return the application's id and secret; as ``find_client_id``."""
    client_id = find_client_id(options, ask)
    if options.client_secret:
        return client_id, checked_secret(options.client_secret, "the client secret")
    kept = _kept(options)
    if kept.client_secret is not None and kept.client_id in (client_id, None):
        return client_id, kept.client_secret
    return client_id, _asked_secret(options, ask)


def application_name(options: Options, client_id: int) -> str:
    """Return the name that separates the application's tokens from those of others in the same file."""
    emulator = options.emulator_url
    return str(client_id) if emulator is None else f"{client_id}@{emulator}"


def token_store(options: Options, client_id: int) -> SqliteTokenStore:
    """Return where the application's tokens are kept. Must not run in an event loop: it reads an existing file."""
    key = options.token_key or None
    try:
        ciphers(key)
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


async def python_of(options: Options, store: BasicTokenStore, athlete_id: int) -> str:
    """Return the Python expression that opens the store, such that it finds the athlete's tokens."""
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
    options: Options, client_id: int, client_secret: str, make: MakeStrava, *, tokens: bool = True, **more: Any
) -> Strava:
    """Return the application. Nothing is retried, unless that is said: the user can do that.

    Args:
        options: which application.
        client_id: its id.
        client_secret: its secret.
        make: makes it.
        tokens: whether it uses the token file; what is not about an athlete does not need it.
        more: further arguments of ``Strava``.
    """
    return make(
        client_id,
        client_secret,
        token_store=token_store(options, client_id) if tokens else None,
        api_url=options.api_url,
        oauth_url=options.oauth_url,
        **{"retry": ONCE, "timeout": TIMEOUT_SECONDS, **more},
    )


def _kept(options: Options) -> Credentials:
    path = options.config_path
    kept = Credentials() if path is None else read_config(path)
    nothing = not (options.client_id or options.client_secret or kept.client_id or kept.client_secret)
    return _emulated() if nothing and options.emulator_url is not None else kept


def _emulated() -> Credentials:
    """Return what ``strava-async emulate`` prints without a seed."""
    from strava_async.testing.emulator import Emulator

    emulator = Emulator()
    return Credentials(emulator.client_id, emulator.client_secret)


def _asked_id(options: Options, ask: Ask | None) -> int:
    if ask is None:
        raise UsageError(_missing("client id", options))
    return checked_id(ask("Client ID: ", False).strip(), "the client id")


def _asked_secret(options: Options, ask: Ask | None) -> str:
    if ask is None:
        raise UsageError(_missing("client secret", options))
    return checked_secret(ask("Client secret (not shown): ", True).strip(), "the client secret")


def _missing(what: str, options: Options) -> str:
    name = what.replace(" ", "_")
    place = options.config_path or "a file named by --config"
    return f"no {what}: give --{what.replace(' ', '-')}, set STRAVA_{name.upper()}, or put {name} into {place}"
