"""Tokens in a file: what it survives, what it refuses, and who may be in it."""

import json
import os
import shutil
import sqlite3
import stat
import tempfile
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strava_async.errors import InputError, TokenStoreError
from strava_async.oauth.token_set import TokenSet
from strava_async.stores import SqliteTokenStore, TokenStore
from strava_async.stores.private_files import Privacy
from strava_async.stores.sqlite_file import SqliteFile
from strava_async.stores.sqlite_rows import TOKENS
from strava_async.testing.clock import FakeClock
from tests.stores.contract import FULL, StrictStoreContract, numbered


class TestSqliteTokenStore(StrictStoreContract):
    @pytest.fixture
    def store(self, path: Path) -> TokenStore:
        return SqliteTokenStore(path)

    @pytest.fixture
    def twin(self, path: Path) -> TokenStore:
        return SqliteTokenStore(path)


class TestEncryptedSqliteTokenStore(StrictStoreContract):
    key = SqliteTokenStore.generate_key()

    @pytest.fixture
    def store(self, path: Path) -> TokenStore:
        return SqliteTokenStore(path, key=self.key)

    @pytest.fixture
    def twin(self, path: Path) -> TokenStore:
        return SqliteTokenStore(path, key=self.key)


@pytest.mark.anyio
async def test_rows_from_before_there_were_generations_are_read_and_keep_one_when_they_get_one(path: Path) -> None:
    store = SqliteTokenStore(path)
    await store.save(7, FULL)
    ((text,),) = rows = rows_of(path)
    application, athlete_id, value = json.loads(text)
    assert value.pop("generation") == ""
    do(path, f"update tokens set value = '{json.dumps([application, athlete_id, value])}'")
    assert rows_of(path) != rows
    assert await store.load(7) == FULL
    await store.save(7, replace(FULL, generation="g1"))
    assert await SqliteTokenStore(path).load(7) == replace(FULL, generation="g1")


@pytest.mark.anyio
@pytest.mark.parametrize("odd", [None, 1, "a b", "a" * 65])
async def test_a_row_whose_generation_is_none_cannot_be_read(path: Path, odd: Any) -> None:
    await SqliteTokenStore(path).save(7, FULL)
    ((text,),) = rows_of(path)
    application, athlete_id, value = json.loads(text)
    do(path, f"update tokens set value = '{json.dumps([application, athlete_id, {**value, 'generation': odd}])}'")
    with pytest.raises(TokenStoreError, match="the row of athlete 7"):
        await SqliteTokenStore(path).load(7)


def rows_of(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("select value from tokens").fetchall()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.db"


def do(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def names(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.iterdir())


def write(path: Path | str, data: bytes) -> None:
    """Put a file there, whatever was."""
    path = Path(path)
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    path.chmod(0o600)


def contents(path: Path) -> dict[str, bytes]:
    """Return what is in the database's files; the -shm is only an index of the -wal."""
    files = [file for file in path.parent.glob(f"{path.name}*") if file.is_file() and not file.name.endswith("-shm")]
    return {file.name: data for file in files if (data := file.read_bytes())}


# The file


@pytest.mark.anyio
async def test_the_constructor_touches_nothing(tmp_path: Path) -> None:
    SqliteTokenStore(tmp_path / "missing" / "tokens.db")
    assert names(tmp_path) == []


@pytest.mark.anyio
async def test_an_idle_store_has_one_file_of_its_own(path: Path) -> None:
    store = SqliteTokenStore(str(path))
    async with store.lock(7):
        await store.save(7, FULL)
    assert names(path.parent) == ["tokens.db", "tokens.db-locks"]
    assert names(path.parent / "tokens.db-locks") == []


@pytest.mark.anyio
async def test_only_the_owner_may_read_the_files_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        store = SqliteTokenStore(path)
        await store.athlete_ids()
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM tokens").fetchall()
            async with store.lock(7):
                await store.save(7, FULL)
                modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.rglob("*")}
    finally:
        os.umask(before)
    assert modes == {
        "tokens.db": 0o600,
        "tokens.db-wal": 0o600,
        "tokens.db-shm": 0o600,
        "tokens.db-locks": 0o700,
        "7": 0o600,
    }


@pytest.mark.anyio
async def test_a_commit_is_made_to_survive_a_power_failure(path: Path) -> None:
    await SqliteTokenStore(path).save(7, FULL)
    with SqliteFile(str(path), TOKENS, 5.0, Privacy(True, TokenStoreError)).writing() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)


@pytest.mark.anyio
async def test_a_connection_waits_for_one_that_has_the_file_to_itself(path: Path) -> None:
    await SqliteTokenStore(path).save(7, FULL)
    file = SqliteFile(str(path), TOKENS, 60.0, Privacy(True, TokenStoreError))
    other = sqlite3.connect(path, isolation_level=None)  # as the last one has that closes it
    other.execute("PRAGMA locking_mode = exclusive")
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor() as threads:
        opening = threads.submit(file.open)
        with pytest.raises(TimeoutError):
            opening.result(timeout=0.2)
        other.close()
        opening.result().close()


@pytest.mark.anyio
async def test_what_one_who_died_while_making_the_file_left_is_cleared_away(path: Path) -> None:
    for leftover in ("-new", "-new-wal", "-new-shm"):
        write(f"{path}{leftover}", b"half a database")
    await SqliteTokenStore(path).save(7, FULL)
    assert set(contents(path)) == {"tokens.db"}


@pytest.mark.anyio
async def test_when_the_tokens_were_saved_is_kept(path: Path) -> None:
    clock = FakeClock()
    await SqliteTokenStore(path, clock=clock).save(7, FULL)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT saved_at FROM tokens").fetchall() == [(clock.time(),)]


@pytest.mark.anyio
async def test_applications_share_a_file_and_nothing_else(path: Path) -> None:
    one, two, none = (SqliteTokenStore(path, application=name, lock_timeout=0) for name in ("1", "dvě/..", ""))
    await one.save(7, numbered(1))
    await two.save(7, numbered(2))
    assert [await store.load(7) for store in (one, two, none)] == [numbered(1), numbered(2), None]
    await one.delete(7)
    assert await two.athlete_ids() == [7]
    async with one.lock(7), two.lock(7), none.lock(7):
        pass


LOGIN = "5@http://127.0.0.1:8000"  # what `strava-async login` calls an application


@pytest.mark.anyio
@pytest.mark.parametrize("application", ["5", LOGIN])
async def test_what_a_login_kept_is_found_renewed_and_deleted_without_a_name(path: Path, application: str) -> None:
    login, program = SqliteTokenStore(path, application=application), SqliteTokenStore(path, lock_timeout=0)
    await login.save(7, numbered(1))
    assert (await program.athlete_ids(), await program.load(7)) == ([7], numbered(1))
    async with login.lock(7):
        with pytest.raises(TokenStoreError, match="not free"):
            async with program.lock(7):
                pass
    async with program.lock(7):
        await program.save(7, numbered(2))
    await program.save(8, numbered(3))
    assert [await login.load(7), await login.load(8)] == [numbered(2), numbered(3)]
    await program.delete(7)
    assert (await login.athlete_ids(), await login.applications()) == ([8], [application])


@pytest.mark.anyio
async def test_rows_without_a_name_go_before_those_of_a_login(path: Path) -> None:
    program = SqliteTokenStore(path)
    await program.save(7, numbered(1))
    await SqliteTokenStore(path, application=LOGIN).save(8, numbered(2))
    assert await program.athlete_ids() == [7]
    assert await program.applications() == ["", LOGIN]


@pytest.mark.anyio
async def test_logins_of_two_applications_in_a_file_have_to_be_distinguished(path: Path) -> None:
    for name in ("5", LOGIN):
        await SqliteTokenStore(path, application=name).save(7, FULL)
    program = SqliteTokenStore(path)
    for work in (program.load(7), program.save(7, FULL), program.athlete_ids(), program.check_writable()):
        with pytest.raises(TokenStoreError, match=rf"such as 5 and {LOGIN}: say which one with .*application="):
            await work
    key = SqliteTokenStore.generate_key()
    assert await SqliteTokenStore(path, key=key).rotate() == 2  # of all applications


@pytest.mark.anyio
async def test_what_another_program_named_is_not_taken(path: Path) -> None:
    await SqliteTokenStore(path, application="dvě/..").save(7, FULL)
    program = SqliteTokenStore(path)
    assert await program.load(7) is None
    await program.save(7, numbered(1))
    assert await program.applications() == ["", "dvě/.."]


@pytest.mark.anyio
async def test_a_link_leads_to_the_same_tokens_and_locks(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.db"
    link.symlink_to(path)
    store, linked = SqliteTokenStore(path, lock_timeout=0), SqliteTokenStore(link, lock_timeout=0)
    await linked.save(7, FULL)
    assert await store.load(7) == FULL
    async with store.lock(7):
        with pytest.raises(TokenStoreError, match="not free"):
            async with linked.lock(7):
                pass
    assert names(link.parent) == ["link.db"]


@pytest.mark.anyio
async def test_a_relative_path_stays_where_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    store = SqliteTokenStore("tokens.db")
    monkeypatch.chdir("/")
    await store.save(7, FULL)
    assert names(path.parent) == ["tokens.db", "tokens.db-locks"]


@pytest.mark.anyio
async def test_a_name_may_hold_what_an_address_may_not(tmp_path: Path) -> None:
    path = tmp_path / "50% ? mode=memory&x#y ü.db"
    await SqliteTokenStore(path).save(7, FULL)
    assert set(contents(path)) == {path.name}


@pytest.mark.parametrize("wrong", ["", ":memory:", "~/tokens.db", "a\0b", b"tokens.db"])
def test_what_names_no_file_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError):
        SqliteTokenStore(wrong)


@pytest.mark.parametrize("wrong", [{"lock_timeout": -1}, {"busy_timeout": float("nan")}, {"application": "\ud800"}])
def test_a_wrong_argument_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        SqliteTokenStore("tokens.db", **wrong)


def test_the_repr_shows_the_path(path: Path) -> None:
    assert repr(SqliteTokenStore(path)) == f"<SqliteTokenStore {str(path)!r}>"


texts = st.text(st.characters(exclude_categories=[]), max_size=20)
tokens = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60)
athletes = st.integers(-(2**63), 2**63 - 1)
token_sets = st.builds(
    TokenSet,
    access_token=tokens,
    refresh_token=st.none() | tokens,
    expires_at=st.none() | athletes,
    scope=st.frozensets(texts, max_size=4),
    athlete_id=st.none() | athletes,
)


@given(athletes, token_sets, st.sampled_from([None, TestEncryptedSqliteTokenStore.key]))
@settings(max_examples=40)
def test_any_tokens_come_back_as_they_were(athlete_id: int, token: TokenSet, key: str | None) -> None:
    async def round_trip() -> None:
        with tempfile.TemporaryDirectory() as directory:
            store = SqliteTokenStore(Path(directory) / "tokens.db", key=key)
            await store.save(athlete_id, token)
            assert await store.load(athlete_id) == token
            assert await store.athlete_ids() == [athlete_id]

    anyio.run(round_trip)


@pytest.mark.anyio
async def test_what_would_not_come_back_is_not_saved(path: Path) -> None:
    store = SqliteTokenStore(path)
    await store.save(7, FULL)
    soon: Any = "soon"
    with pytest.raises(InputError, match="expires_at"):
        await store.save(7, TokenSet("a", "r", soon))
    assert await store.load(7) == FULL


# What is refused, and left as it is

Break = Callable[[Path], object]


def cut(size: int) -> Break:
    return lambda path: os.truncate(path, size)


def overwrite(begin: int, end: int) -> Break:
    def break_it(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[:begin] + b"\xa5" * (min(end, len(data)) - begin) + data[end:])

    return break_it


def put(*statements: str) -> Break:
    return lambda path: do(path, *statements)


def put_in_place(*statements: str) -> Break:
    def break_it(path: Path) -> None:
        path.unlink()
        do(path, *statements)
        path.chmod(0o600)

    return break_it


def put_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


BROKEN: dict[str, tuple[Break, str]] = {
    "emptied": (cut(0), "is empty"),
    "cut off in the header": (cut(60), "damaged"),
    "cut off in a page": (cut(5000), "damaged"),
    "cut off between pages": (cut(8192), "damaged"),
    "no database": (lambda path: path.write_text("access-0 " * 1000), "damaged or not a database"),
    "header overwritten": (overwrite(0, 100), "damaged"),
    "pages overwritten": (overwrite(4096, 10**9), "damaged"),
    "another program's": (put_in_place("CREATE TABLE tokens (athlete_id)"), "another program"),
    "another program's id": (put("PRAGMA application_id = 7"), "another program"),
    "without its tables": (put("DROP TABLE tokens"), "damaged"),
    "without a version": (put("PRAGMA user_version = 0"), "damaged"),
    "newer": (put("PRAGMA user_version = 2"), "upgrade"),
    "read-only": (lambda path: path.chmod(0o400), "cannot be written"),
    "in a read-only directory": (lambda path: path.parent.chmod(0o500), "cannot be written"),
    "a directory": (put_directory, "is a directory"),
}


async def lock_and_leave(store: SqliteTokenStore) -> None:
    async with store.lock(7):
        pass


OPERATIONS: list[Callable[[SqliteTokenStore], Any]] = [
    lambda store: store.load(7),
    lambda store: store.save(7, numbered(1)),
    lambda store: store.delete(7),
    lambda store: store.athlete_ids(),
    lock_and_leave,
]


@pytest.mark.anyio
@pytest.mark.parametrize(("break_it", "sentence"), BROKEN.values(), ids=BROKEN)
async def test_a_file_that_cannot_be_used_is_refused_and_left_as_it_is(
    path: Path, break_it: Break, sentence: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = SqliteTokenStore(path, busy_timeout=0)
    await store.save(7, FULL)
    good = contents(path)[path.name]
    break_it(path)
    try:
        before = contents(path)
        for operation in OPERATIONS:
            with pytest.raises(TokenStoreError, match=sentence) as caught:
                await operation(store)
            told = "".join(traceback.format_exception(caught.value))
            assert "access-0" not in told
            assert "refresh-0" not in told
            assert contents(path) == before
        assert names(path.parent / "tokens.db-locks") == []
    finally:
        path.parent.chmod(0o700)
    write(path, good)
    assert await store.load(7) == FULL


OBJECT: dict[str, Any] = {
    "access_token": "access-0",
    "refresh_token": None,
    "expires_at": 1,
    "scope": [],
    "athlete_id": 7,
}


async def save_into_a_wal(path: Path, target: Path) -> None:
    """Leave a copy of a store whose process died after a save: the tokens are in the -wal only."""
    store = SqliteTokenStore(path)
    await store.save(7, numbered(1))
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM tokens").fetchall()
        await store.save(7, FULL)
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{target}{suffix}")


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["emptied", "cut off in a page", "another program's id", "newer"])
async def test_the_wal_of_a_file_that_cannot_be_used_is_kept(path: Path, kind: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    await save_into_a_wal(path, broken)
    good, wal = (contents(broken)[name] for name in ("broken.db", "broken.db-wal"))
    if kind in ("another program's id", "newer"):
        # Not through SQLite, which would take the -wal in.
        place, value = (68, b"\0\0\0\7") if kind != "newer" else (60, b"\0\0\0\2")
        write(broken, good[:place] + value + good[place + 4 :])
        # Both are in the first page, which must not come from the -wal.
        assert good[:4096] not in wal
    else:
        BROKEN[kind][0](broken)
    store = SqliteTokenStore(broken)
    before = contents(broken)
    for operation in OPERATIONS:
        with pytest.raises(TokenStoreError):
            await operation(store)
    assert contents(broken) == before
    write(broken, good)
    assert await store.load(7) == FULL


@pytest.mark.anyio
async def test_a_missing_file_whose_wal_is_there_is_not_created_again(path: Path, tmp_path: Path) -> None:
    lost = tmp_path / "lost.db"
    await save_into_a_wal(path, lost)
    good = contents(lost)["lost.db"]
    lost.unlink()
    before = contents(lost)
    store = SqliteTokenStore(lost)
    for operation in OPERATIONS:
        with pytest.raises(TokenStoreError, match="restore the file"):
            await operation(store)
    assert contents(lost) == before
    write(lost, good)
    assert await store.load(7) == FULL


@pytest.mark.anyio
@pytest.mark.parametrize(
    "value",
    [
        "access-0",
        '{"access_token": "access-0"}',
        json.dumps(["", 8, OBJECT]),
        json.dumps(["", 7, OBJECT | {"expires_at": "soon"}]),
        json.dumps(["", 7, OBJECT | {"scope": [1]}]),
        json.dumps(["", 7, OBJECT | {"refresh_token": "refresh-0\n"}]),
        "[" * 100_000,
    ],
)
async def test_a_row_that_cannot_be_read_is_named_and_not_shown(path: Path, value: str) -> None:
    store = SqliteTokenStore(path)
    await store.save(7, FULL)
    await store.save(8, FULL)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE tokens SET value = ? WHERE athlete_id = 7", (value,))
    with pytest.raises(TokenStoreError, match="athlete 7") as caught:
        await store.load(7)
    assert "access-0" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None
    assert await store.load(8) == FULL
    await store.save(7, numbered(1))
    assert await store.load(7) == numbered(1)


@pytest.mark.anyio
async def test_a_row_that_is_no_text_is_not_shown(path: Path) -> None:
    store = SqliteTokenStore(path)
    await store.save(7, FULL)
    do(path, "UPDATE tokens SET value = CAST(value || x'ff' AS TEXT)")
    with pytest.raises(TokenStoreError, match="athlete 7") as caught:
        await store.load(7)
    assert "access-0" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["IMMEDIATE", "EXCLUSIVE"])
async def test_a_database_that_another_keeps_locked_is_named(path: Path, kind: str) -> None:
    store = SqliteTokenStore(path, busy_timeout=0)
    await store.save(7, FULL)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"BEGIN {kind}")
        for operation in (OPERATIONS[1], OPERATIONS[2], OPERATIONS[4]):
            with pytest.raises(TokenStoreError, match="locked") as caught:
                await operation(store)
            assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        assert await store.load(7) == FULL
        assert names(path.parent / "tokens.db-locks") == []
        other.execute("ROLLBACK")
    await store.save(7, numbered(1))


@pytest.mark.anyio
async def test_a_database_that_another_has_for_itself_is_named(path: Path) -> None:
    store = SqliteTokenStore(path, busy_timeout=0)
    await store.save(7, FULL)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        for operation in OPERATIONS:
            with pytest.raises(TokenStoreError, match="locked"):
                await operation(store)
        other.execute("ROLLBACK")
    assert await store.load(7) == FULL


@pytest.mark.anyio
async def test_a_transaction_of_another_is_waited_for(path: Path) -> None:
    store = SqliteTokenStore(path)
    await store.save(7, FULL)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.save, 7, numbered(1))
            await anyio.wait_all_tasks_blocked()
            other.execute("ROLLBACK")
    assert await store.load(7) == numbered(1)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "sentence"), [("none/tokens.db", "does not exist"), ("file/tokens.db", "is not a directory")]
)
async def test_a_directory_that_is_none_is_named(tmp_path: Path, name: str, sentence: str) -> None:
    write(tmp_path / "file", b"")
    for operation in OPERATIONS:
        with pytest.raises(TokenStoreError, match=sentence):
            await operation(SqliteTokenStore(tmp_path / name))
    assert names(tmp_path) == ["file"]


@pytest.mark.anyio
async def test_more_athletes_than_one_transaction_reads_are_iterated_over(path: Path) -> None:
    store = SqliteTokenStore(path)
    await store.save(1, FULL)
    with closing(sqlite3.connect(path)) as connection, connection:
        copies = "with recursive n(id) as (select 2 union all select id + 1 from n where id < 1001)"
        connection.execute(
            f"insert into tokens {copies} select application, n.id, value, sealed, saved_at from tokens, n"
        )
    assert [each async for each in store.iter_athlete_ids()] == list(range(1, 1002))
