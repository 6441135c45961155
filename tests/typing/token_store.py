"""Token stores as other programs write them: checked by mypy and pyright, never run."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from strava_async import Strava, TokenSet, TokenSource, TokenStore
from strava_async.stores import ANY, AnyTokens, BasicTokenStore, Lease, MemoryTokenStore, SqliteTokenStore


class FiveMethods:
    """A store of the contract's five methods, with their signatures of before ``replacing`` and ``if_unchanged``."""

    def __init__(self) -> None:
        self._rows: dict[int, TokenSet] = {}

    async def load(self, athlete_id: int) -> TokenSet | None:
        return self._rows.get(athlete_id)

    async def save(self, athlete_id: int, token: TokenSet) -> None:
        self._rows[athlete_id] = token

    async def delete(self, athlete_id: int) -> None:
        self._rows.pop(athlete_id, None)

    async def athlete_ids(self) -> list[int]:
        return sorted(self._rows)

    @asynccontextmanager
    async def lock(self, athlete_id: int) -> AsyncGenerator[None]:
        yield


class RowLease:
    """A lease as a database has it."""

    def held(self) -> bool:
        return True


class ComparingStore:
    """A store of one's own, over nothing that the library has."""

    def __init__(self) -> None:
        self._rows: dict[int, TokenSet] = {}

    async def load(self, athlete_id: int) -> TokenSet | None:
        return self._rows.get(athlete_id)

    async def save(self, athlete_id: int, token: TokenSet, *, replacing: TokenSet | AnyTokens | None = ANY) -> bool:
        if replacing is not ANY and self._rows.get(athlete_id) != replacing:
            return False
        self._rows[athlete_id] = token
        return True

    async def delete(self, athlete_id: int, *, if_unchanged: TokenSet | AnyTokens = ANY) -> bool:
        if if_unchanged is not ANY:
            expires_at: int | None = if_unchanged.expires_at  # what is not ANY is tokens
            return expires_at is None
        return self._rows.pop(athlete_id, None) is not None

    async def athlete_ids(self) -> list[int]:
        return sorted(self._rows)

    async def iter_athlete_ids(self, *, after: int = 0) -> AsyncIterator[int]:
        for athlete_id in sorted(self._rows):
            if athlete_id > after:
                yield athlete_id

    @asynccontextmanager
    async def lock(self, athlete_id: int) -> AsyncGenerator[RowLease]:
        yield RowLease()


five: BasicTokenStore = FiveMethods()
stores: list[TokenStore] = [ComparingStore(), MemoryTokenStore(), SqliteTokenStore("tokens.sqlite")]
applications = [Strava(1, "secret", token_store=each) for each in (five, *stores)]


async def program(store: TokenStore) -> None:
    async with store.lock(7) as lease:
        held: Lease = lease
        kept: TokenSet | None = await store.load(7)
        saved: bool = held.held() and await store.save(7, TokenSet("a"), replacing=kept)
        deleted: bool = await store.delete(7) or saved
    athlete_ids: list[int] = [athlete_id async for athlete_id in store.iter_athlete_ids(after=7)]
    print(deleted, athlete_ids, await applications[0].token_store.athlete_ids())


class OwnPersistence:
    """Where one athlete's tokens are saved, without a store."""

    @asynccontextmanager
    async def lock(self) -> AsyncGenerator[RowLease]:
        yield RowLease()

    async def load(self, present: TokenSet) -> TokenSet:
        return present

    async def save(self, token: TokenSet, *, replacing: TokenSet | None) -> bool:
        return replacing is not None


source = TokenSource(persistence=OwnPersistence())
