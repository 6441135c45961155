"""Encryption: of a text, and of a store's file."""

import sqlite3
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from strava_async.errors import InputError, TokenStoreError
from strava_async.oauth.token_set import TokenSet
from strava_async.stores import SqliteTokenStore
from strava_async.stores.encryption import Cipher, ciphers
from tests.stores.contract import FULL, numbered

ROOT = Path(__file__).parent.parent.parent
OLD, NEW, OTHER = (urlsafe_b64encode(bytes(range(first, first + 32))).decode() for first in (1, 2, 3))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.db"


def contents(path: Path) -> bytes:
    return path.read_bytes()


def in_its_files(path: Path, *needles: str) -> Iterator[str]:
    """Return which of the texts are in the database's files."""
    data = b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*") if file.is_file())
    return (needle for needle in needles if needle.encode() in data)


# Ciphers


def test_what_is_encrypted_can_be_decrypted() -> None:
    cipher = Cipher(OLD)
    assert cipher.decrypt(cipher.encrypt("läuft")) == "läuft"
    assert "läuft" not in cipher.encrypt("läuft")


def test_another_key_does_not_open_it() -> None:
    assert Cipher(NEW).decrypt(Cipher(OLD).encrypt("text")) is None


@pytest.mark.parametrize("text", ["", "text", "ü", "gAAAAA"])
def test_what_was_not_encrypted_cannot_be_decrypted(text: str) -> None:
    assert Cipher(OLD).decrypt(text) is None


def test_a_key_is_a_text_or_bytes_or_several() -> None:
    encrypted = Cipher(OLD).encrypt("text")
    for key in (OLD, OLD.encode(), [NEW, OLD], (OLD.encode(), NEW)):
        assert "text" in [cipher.decrypt(encrypted) for cipher in ciphers(key)]
    assert ciphers(None) == ()


WRONG_KEYS: list[Any] = ["", b"", "secret", OLD[:-2], "ü" * 44, [OLD, "secret"], [None]]


@pytest.mark.parametrize("wrong", WRONG_KEYS)
def test_what_is_no_key_is_refused_and_not_shown(wrong: Any) -> None:
    with pytest.raises(InputError, match="32 bytes") as caught:
        SqliteTokenStore("tokens.db", key=wrong)
    assert "secret" not in str(caught.value)
    assert OLD[:8] not in str(caught.value)
    assert caught.value.__context__ is None


def test_no_key_at_all_is_said_with_none() -> None:
    with pytest.raises(InputError, match="None"):
        SqliteTokenStore("tokens.db", key=[])


def test_the_key_is_in_no_repr() -> None:
    store = SqliteTokenStore("tokens.db", key=OLD)
    assert OLD not in repr(store) + repr(Cipher(OLD)) + repr(vars(store))


def test_a_generated_key_is_a_key_of_its_own() -> None:
    assert SqliteTokenStore.generate_key() != SqliteTokenStore.generate_key()
    Fernet(SqliteTokenStore.generate_key())


def run(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_without_the_extra_a_key_is_refused_and_no_key_is_not() -> None:
    told = run("""
import sys
from base64 import urlsafe_b64encode
sys.modules["cryptography"] = sys.modules["cryptography.fernet"] = None
from strava_async.stores import SqliteTokenStore
SqliteTokenStore("tokens.db")
for work in (lambda: SqliteTokenStore("tokens.db", key="secret"), SqliteTokenStore.generate_key):
    try:
        work()
    except Exception as error:
        print(type(error).__name__, error)
""")
    assert told.count("InputError") == told.count('pip install "strava-async[encryption]"') == 2
    assert "secret" not in told


def test_nobody_pays_for_encryption_without_a_key() -> None:
    told = run("""
import sys
from base64 import urlsafe_b64encode
from strava_async.stores import SqliteTokenStore
store = SqliteTokenStore("tokens.db")
print("cryptography" in sys.modules)
""")
    assert told == "False\n"


# An encrypted file


@pytest.mark.anyio
async def test_nothing_of_a_token_is_in_the_files(path: Path) -> None:
    store = SqliteTokenStore(path, key=OLD)
    await store.save(7, numbered(1))
    # A reader keeps SQLite from removing the -wal.
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM tokens").fetchall()
        await store.save(7, FULL)
        assert [*in_its_files(path, "access-0", "refresh-0", "activity:read_all", "access_token", OLD)] == []
        assert [*in_its_files(path, "gAAAAA")] == ["gAAAAA"]
    assert [*in_its_files(path, "access-0", "refresh-0")] == []


async def try_all(store: SqliteTokenStore, sentence: str) -> None:
    async def lock() -> None:
        async with store.lock(7):
            pass

    operations = (lambda: store.load(7), lambda: store.load(8), lambda: store.save(7, numbered(1)))
    for operation in (*operations, lambda: store.delete(7), store.athlete_ids, lock):
        with pytest.raises(TokenStoreError, match=sentence):
            await operation()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("key", "sentence"), [(None, "pass the key"), (NEW, "another key"), ([NEW, OTHER], "another key")]
)
async def test_an_encrypted_file_is_closed_to_other_keys(path: Path, key: str | Sequence[str], sentence: str) -> None:
    store = SqliteTokenStore(path, key=OLD)
    await store.save(7, FULL)
    before = contents(path)
    await try_all(SqliteTokenStore(path, key=key), sentence)
    await try_all(SqliteTokenStore(path, key=key, application="2"), sentence)
    if key is not None:
        with pytest.raises(TokenStoreError, match=sentence):
            await SqliteTokenStore(path, key=key).rotate()
    assert contents(path) == before
    assert await store.load(7) == FULL


@pytest.mark.anyio
async def test_a_file_keeps_one_key_until_it_is_rotated(path: Path) -> None:
    await SqliteTokenStore(path, key=OLD).save(7, FULL)
    for both in ([NEW, OLD], [OLD, NEW]):
        store = SqliteTokenStore(path, key=both)
        assert await store.load(7) == FULL
        await store.save(8, FULL)
        assert await SqliteTokenStore(path, key=OLD).load(8) == FULL


@pytest.mark.anyio
async def test_the_first_key_begins_a_file(path: Path) -> None:
    await SqliteTokenStore(path, key=[NEW, OLD]).save(7, FULL)
    assert await SqliteTokenStore(path, key=NEW).load(7) == FULL


@pytest.mark.anyio
async def test_plain_rows_stay_readable_and_are_closed_to_those_without_the_key_from_then_on(path: Path) -> None:
    plain, encrypted = SqliteTokenStore(path), SqliteTokenStore(path, key=OLD)
    await plain.save(7, FULL)
    assert await encrypted.load(7) == FULL
    assert await plain.load(7) == FULL
    await encrypted.save(8, numbered(8))
    assert await encrypted.load(7) == FULL
    await try_all(plain, "pass the key")


@pytest.mark.anyio
async def test_only_a_save_puts_a_key_in_force(path: Path) -> None:
    plain, encrypted = SqliteTokenStore(path), SqliteTokenStore(path, key=OLD)
    await plain.save(7, FULL)
    async with encrypted.lock(7):
        await encrypted.athlete_ids()
    await encrypted.delete(8)
    assert await plain.load(7) == FULL


@pytest.mark.anyio
async def test_a_row_cannot_be_passed_off_as_another_athletes(path: Path) -> None:
    store = SqliteTokenStore(path, key=OLD)
    await store.save(7, numbered(7))
    await store.save(8, numbered(8))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE tokens SET value = (SELECT value FROM tokens WHERE athlete_id = 7)")
    assert await store.load(7) == numbered(7)
    with pytest.raises(TokenStoreError, match="athlete 8"):
        await store.load(8)


@pytest.mark.anyio
async def test_an_encrypted_row_that_was_changed_cannot_be_read(path: Path) -> None:
    store = SqliteTokenStore(path, key=OLD)
    await store.save(7, FULL)
    with closing(sqlite3.connect(path)) as connection, connection:
        another = "CASE substr(value, 41, 1) WHEN 'A' THEN 'B' ELSE 'A' END"
        connection.execute(f"UPDATE tokens SET value = substr(value, 1, 40) || {another} || substr(value, 42)")
    with pytest.raises(TokenStoreError, match="athlete 7") as caught:
        await store.load(7)
    assert "gAAAAA" not in str(caught.value)


# Rotation


@pytest.mark.anyio
async def test_rotation_encrypts_every_row_again(path: Path) -> None:
    await SqliteTokenStore(path).save(1, numbered(1))
    await SqliteTokenStore(path, key=OLD).save(2, numbered(2))
    await SqliteTokenStore(path, key=OLD, application="other").save(2, numbered(3))
    assert await SqliteTokenStore(path, key=[NEW, OLD]).rotate() == 3
    new = SqliteTokenStore(path, key=NEW)
    assert [await new.load(1), await new.load(2)] == [numbered(1), numbered(2)]
    assert await SqliteTokenStore(path, key=NEW, application="other").load(2) == numbered(3)
    await try_all(SqliteTokenStore(path, key=OLD), "another key")


@pytest.mark.anyio
async def test_rotation_keeps_when_the_tokens_were_saved(path: Path) -> None:
    await SqliteTokenStore(path, key=OLD).save(7, FULL)
    with closing(sqlite3.connect(path)) as connection:
        before = connection.execute("SELECT saved_at FROM tokens").fetchall()
        await SqliteTokenStore(path, key=[NEW, OLD]).rotate()
        assert connection.execute("SELECT saved_at FROM tokens").fetchall() == before


@pytest.mark.anyio
async def test_rotating_an_empty_file_puts_the_key_in_force(path: Path) -> None:
    assert await SqliteTokenStore(path, key=OLD).rotate() == 0
    await try_all(SqliteTokenStore(path), "pass the key")


@pytest.mark.anyio
async def test_rotating_twice_does_no_harm(path: Path) -> None:
    store = SqliteTokenStore(path, key=OLD)
    await store.save(7, FULL)
    assert [await store.rotate(), await store.rotate()] == [1, 1]
    assert await store.load(7) == FULL


@pytest.mark.anyio
async def test_rotation_needs_a_key(path: Path) -> None:
    with pytest.raises(InputError, match="needs a key"):
        await SqliteTokenStore(path).rotate()


@pytest.mark.anyio
async def test_a_row_that_cannot_be_read_leaves_everything_as_it_was(path: Path) -> None:
    old = SqliteTokenStore(path, key=OLD)
    await old.save(7, FULL)
    await old.save(8, FULL)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE tokens SET value = 'access-0' WHERE athlete_id = 8")
    with pytest.raises(TokenStoreError, match="athlete 8"):
        await SqliteTokenStore(path, key=[NEW, OLD]).rotate()
    assert await old.load(7) == FULL


def many(number: int) -> TokenSet:
    return TokenSet(f"access-{number:05}" * 8, f"refresh-{number:05}" * 8, number, frozenset({"read"}), number)


@pytest.mark.anyio
@pytest.mark.parametrize("reader_is_there", [False, True])
async def test_the_plain_tokens_are_gone_after_a_rotation(path: Path, reader_is_there: bool) -> None:
    plain = SqliteTokenStore(path)
    for number in range(60):
        await plain.save(number, many(number))
    for number in range(0, 60, 3):
        await plain.save(number, many(number + 100))
    await plain.delete(30)
    needles = [part for number in range(160) for part in (f"access-{number:05}", f"refresh-{number:05}")]
    assert len([*in_its_files(path, *needles)]) == 118
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        if reader_is_there:
            reader.execute("SELECT count(*) FROM tokens").fetchall()
        assert await SqliteTokenStore(path, key=OLD).rotate() == 59
        assert [*in_its_files(path, *needles)] == []
