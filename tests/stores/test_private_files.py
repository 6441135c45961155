"""Who may read what is kept: modes that are put right, accepted or refused."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from strava_async.cli.config_file import make_directory, read_config
from strava_async.cli.terminal import UsageError
from strava_async.errors import TokenStoreError
from strava_async.fastapi import PersistedEvent, SqliteBacklog
from strava_async.stores import SqliteTokenStore
from strava_async.stores.file_lock import FileLock
from strava_async.stores.private_files import Privacy, make_private, make_private_directories
from strava_async.testing import FakeClock
from strava_async.webhooks import WebhookEvent
from tests.stores.contract import FULL, numbered

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")

NOBODY = 65534
KEY = SqliteTokenStore.generate_key()
as_root = pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a file away")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.db"


def mode(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def set_mode(path: Path | str, to: int) -> None:
    os.chmod(path, to)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "strava_async.stores"]


async def use_tokens(path: Path, **options: Any) -> None:
    store = SqliteTokenStore(path, **options)
    await store.save(7, FULL)
    async with store.lock(7):
        assert await store.load(7) == FULL


async def use_backlog(path: Path, **options: Any) -> None:
    backlog = SqliteBacklog(path, clock=FakeClock(), **options)
    kept = PersistedEvent(WebhookEvent("activity", 1, "create", 7, 9, 1), FakeClock().time())
    await backlog.keep([kept])
    assert await backlog.take() == [kept]


FILES: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {"tokens": use_tokens, "backlog": use_backlog}
kinds = pytest.mark.parametrize("use", FILES.values(), ids=FILES)


# What is ours is put right


@kinds
@pytest.mark.parametrize("widened", [0o660, 0o640, 0o604, 0o601, 0o666, 0o777])
def test_a_mode_that_a_volume_has_widened_is_put_right(
    path: Path, use: Callable[..., Any], widened: int, caplog: pytest.LogCaptureFixture
) -> None:
    anyio.run(use, path)
    set_mode(path, widened)
    anyio.run(use, path)
    assert mode(path) == 0o600
    assert warnings(caplog) == []


@pytest.mark.anyio
async def test_the_files_beside_it_are_put_right_too(path: Path) -> None:
    store = SqliteTokenStore(path)
    await store.save(7, FULL)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select * from tokens").fetchall()
        beside = [Path(f"{path}-wal"), Path(f"{path}-shm")]
        for file in (path, *beside):
            set_mode(file, 0o666)
        await store.load(7)
        assert [mode(file) for file in (path, *beside)] == [0o600] * 3


@pytest.mark.anyio
async def test_so_are_those_of_a_file_that_is_private_itself(path: Path) -> None:
    store = SqliteTokenStore(path)
    await store.save(7, FULL)
    journal = Path(f"{path}-shm")
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("select * from tokens").fetchall()
        set_mode(journal, 0o640)
        await store.load(7)
        assert mode(journal) == 0o600


@pytest.mark.anyio
async def test_a_sealed_file_is_put_right_as_well(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = SqliteTokenStore(path, key=KEY)
    await store.save(7, FULL)
    set_mode(path, 0o660)
    await store.load(7)
    assert mode(path) == 0o600
    assert warnings(caplog) == []


@pytest.mark.anyio
async def test_another_programs_file_keeps_its_mode(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("create table tokens (athlete_id)")
    set_mode(path, 0o664)
    with pytest.raises(TokenStoreError, match="another program"):
        await SqliteTokenStore(path).load(7)
    assert mode(path) == 0o664


@pytest.mark.anyio
async def test_the_lock_and_its_directory_are_put_right(tmp_path: Path) -> None:
    directory, path = tmp_path / "locks", tmp_path / "locks" / "7"
    directory.mkdir()
    path.touch()
    set_mode(path, 0o666)
    directory.chmod(0o2777)
    async with FileLock(str(path)):
        assert mode(path) == 0o600
        assert mode(directory) & 0o777 == 0o700


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.touch()
    target.chmod(0o666)
    link.symlink_to(target)
    assert make_private(str(link)) == "it is a symbolic link"
    assert mode(target) == 0o666


def test_what_is_not_there_is_private(tmp_path: Path) -> None:
    assert make_private(str(tmp_path / "none")) is None


def test_putting_a_mode_right_drops_no_lock_that_sqlite_has(path: Path) -> None:
    # Whoever opens and closes the file in this process would drop them all, and let two write at once.
    anyio.run(use_tokens, path)
    ask = "import sqlite3, sys\ntry: sqlite3.connect(sys.argv[1], timeout=0).execute('begin immediate')\n"
    ask += "except sqlite3.OperationalError as error: print(error)"
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("begin immediate")
        for file in (str(path), f"{path}-wal", f"{path}-shm"):
            os.chmod(file, 0o660)
            assert make_private(file) is None
        told = subprocess.run([sys.executable, "-c", ask, str(path)], capture_output=True, text=True, check=True)
    assert told.stdout == "database is locked\n"


def test_directories_are_their_users_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_private_directories(str(tmp_path / "a" / "b" / "c"))
        make_directory(tmp_path / "x" / "y")
    finally:
        os.umask(before)
    made = ("a", "a/b", "a/b/c", "x", "x/y")
    assert [mode(tmp_path / name) for name in made] == [0o700] * 5


def test_a_directory_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o755)
    make_private_directories(str(tmp_path / "a" / "b"))
    make_private_directories(str(tmp_path / "a"))
    assert [mode(tmp_path / "a"), mode(tmp_path / "a" / "b")] == [0o755, 0o700]


def test_a_file_in_the_place_of_a_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for name in ("a", "a/b"):
        with pytest.raises(OSError, match=r"Not a directory|File exists"):
            make_private_directories(str(tmp_path / name))


# What cannot be put right


def fixed(path: str) -> str | None:
    """Play a file system that has one mode for all."""
    return "its file system ignores modes" if not path.endswith("-journal") else None


@pytest.mark.parametrize("encrypted", [False, True])
def test_what_cannot_be_put_right_is_refused_with_the_remedies_or_logged_once(
    encrypted: bool, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    privacy = Privacy(True, TokenStoreError, fixed)
    for _ in range(3):
        if encrypted:
            privacy.enforce(str(path), [], lambda: True)
        else:
            with pytest.raises(TokenStoreError) as caught:
                privacy.enforce(str(path), [], lambda: False)
            remedies = ("ignores modes", f"chmod 600 {path}", "another disk", "key=", "private=False")
            assert all(remedy in str(caught.value) for remedy in remedies)
    assert len(warnings(caplog)) == encrypted


def test_files_beside_one_that_is_accepted_as_it_is_are_not_touched(path: Path) -> None:
    # SQLite gives them its mode: a user of its group needs them.
    asked: list[str] = []

    def note(file: str) -> str | None:
        asked.append(file)
        return fixed(file)

    Privacy(True, TokenStoreError, note).enforce(str(path), [f"{path}-wal"], lambda: True)
    assert asked == [str(path)]


def test_a_file_beside_it_that_cannot_be_put_right_is_refused(path: Path) -> None:
    privacy = Privacy(
        True, TokenStoreError, lambda file: "it belongs to another user" if file.endswith("-wal") else None
    )
    with pytest.raises(TokenStoreError, match="another user"):
        privacy.enforce(str(path), [f"{path}-wal"], lambda: False)


@kinds
def test_private_false_leaves_the_mode_and_says_so_once(
    path: Path, use: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    anyio.run(use, path)
    set_mode(path, 0o640)
    use_it = use_tokens if use is use_tokens else use_backlog
    anyio.run(lambda: use_it(path, private=False))
    assert mode(path) == 0o640
    assert len(warnings(caplog)) == 1
    assert f"may read or write {path} (its mode is 640): private=False accepts it" in warnings(caplog)[0]


@as_root
@pytest.mark.anyio
async def test_another_users_file_is_refused_and_left_as_it_is(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await use_tokens(path)
    os.chown(path, NOBODY, -1)
    set_mode(path, 0o660)
    for operation in (SqliteTokenStore(path).athlete_ids, lambda: SqliteTokenStore(path).save(7, numbered(1))):
        with pytest.raises(TokenStoreError, match="it belongs to another user"):
            await operation()
    await use_tokens(path, private=False)
    assert mode(path) == 0o660
    assert len(warnings(caplog)) == 1


@as_root
@pytest.mark.anyio
async def test_another_users_file_is_accepted_if_all_of_it_is_encrypted(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await use_tokens(path)
    os.chown(path, NOBODY, -1)
    set_mode(path, 0o660)
    sealed = SqliteTokenStore(path, key=KEY)
    with pytest.raises(TokenStoreError, match="another user"):  # the row in it is plain
        await sealed.load(7)
    await SqliteTokenStore(path, key=KEY, private=False).rotate()
    caplog.clear()
    for _ in range(3):
        assert await sealed.load(7) == FULL
    assert len(warnings(caplog)) == 1
    assert "what it holds is encrypted" in warnings(caplog)[0]


@as_root
@pytest.mark.anyio
async def test_an_empty_file_can_be_begun_with_a_key_wherever_it_is(path: Path) -> None:
    await SqliteTokenStore(path).athlete_ids()
    os.chown(path, NOBODY, -1)
    set_mode(path, 0o660)
    with pytest.raises(TokenStoreError, match="another user"):
        await SqliteTokenStore(path).athlete_ids()
    await use_tokens(path, key=KEY)


# The configuration file


@pytest.mark.parametrize("widened", [0o640, 0o604, 0o602, 0o666, 0o777])
def test_the_configuration_file_goes_by_the_same_rule(tmp_path: Path, widened: int) -> None:
    path = tmp_path / "config.toml"
    path.write_text("client_id = 5\n")
    set_mode(path, widened)
    assert read_config(path).client_id == 5
    assert mode(path) == 0o600


@as_root
def test_another_users_configuration_file_is_refused_with_the_remedies(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("client_id = 5\n")
    set_mode(path, 0o644)
    os.chown(path, NOBODY, -1)
    with pytest.raises(UsageError) as caught:
        read_config(path)
    assert mode(path) == 0o644
    assert all(remedy in str(caught.value) for remedy in (f"chmod 600 {path}", "STRAVA_CLIENT_SECRET"))
