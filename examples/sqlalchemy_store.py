"""Write your own token store: here over SQLAlchemy, for any database that it supports. Offline: Strava is the emulator.

pip install ".[testing]" "sqlalchemy[asyncio]>=2" aiosqlite
python examples/sqlalchemy_store.py

``Base.metadata`` holds both tables, for Alembic. Tokens are stored in plain text: if others can read the database
or its backups, give the two columns an encrypting type.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import anyio
import httpx
from sqlalchemy import BigInteger, ColumnElement, Delete, Insert, String, Text, Update, delete, insert, select, update
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.orm.exc import StaleDataError

from strava_async import AccessInfo, Clock, Strava, SystemClock, TokenSet, TokenStoreError
from strava_async.stores import ANY, AnyTokens
from strava_async.testing import Emulator


class Base(DeclarativeBase):
    """The base of both models; an application takes its own."""


class StravaToken(Base):
    """The tokens of one athlete; instants are epoch seconds."""

    __tablename__ = "strava_token"

    athlete_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    access_token: Mapped[str] = mapped_column(Text)
    refresh_token: Mapped[str | None] = mapped_column(Text)
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    scope: Mapped[str] = mapped_column(Text)
    # For an existing table: alter table strava_token add generation varchar(64) not null default ''
    generation: Mapped[str] = mapped_column(String(64), server_default="")
    updated_at: Mapped[int] = mapped_column(BigInteger)


class StravaTokenLock(Base):
    """A lease on the tokens of one athlete, while one process renews them."""

    __tablename__ = "strava_token_lock"

    athlete_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    holder: Mapped[str] = mapped_column(String(32))
    expires_at: Mapped[int] = mapped_column(BigInteger)


class SqlAlchemyTokenStore:
    """Keeps tokens in a database that any number of processes share. Database errors reach the caller.

    Args:
        sessions: each call takes one while its statements run. Make the engine with ``hide_parameters=True``, or its
            log shows tokens.
        clock: decides when a lease ends; the hosts' clocks should agree to a few seconds. None means the system's.
        lease_seconds: how long a lock outlives a holder that was killed; more than the 25 seconds that a renewal has.
        wait_seconds: how long ``lock`` waits; more than a lease, or a holder that was killed is an error for those who
            wait.
    """

    def __init__(
        self,
        sessions: async_sessionmaker[AsyncSession],
        *,
        clock: Clock | None = None,
        lease_seconds: int = 60,
        wait_seconds: float = 90.0,
    ) -> None:
        self._sessions = sessions
        self._clock = clock or SystemClock()
        self._lease_seconds = lease_seconds
        self._wait_seconds = wait_seconds

    async def load(self, athlete_id: int) -> TokenSet | None:
        """Return the athlete's tokens, or None if the athlete is not connected."""
        async with self._sessions() as session:
            row = await session.get(StravaToken, athlete_id)
            if row is None:
                return None
            scope = frozenset(row.scope.split())
            return TokenSet(row.access_token, row.refresh_token, row.expires_at, scope, athlete_id, row.generation)

    async def save(self, athlete_id: int, token: TokenSet, *, replacing: TokenSet | AnyTokens | None = ANY) -> bool:
        """Save the tokens, if those in the table are the ones to replace; they are committed when this returns."""
        if replacing is None:
            return await self._insert(athlete_id, token)
        if replacing is not ANY:
            return await self._update(athlete_id, token, replacing)
        try:
            await self._merge(athlete_id, token)
        except (IntegrityError, StaleDataError):
            await self._merge(athlete_id, token)  # the row was inserted or deleted since merge had read it
        return True

    async def delete(self, athlete_id: int, *, if_unchanged: TokenSet | AnyTokens = ANY) -> bool:
        """Delete the athlete's tokens, if they are these."""
        condition = [StravaToken.athlete_id == athlete_id] if if_unchanged is ANY else is_kept(athlete_id, if_unchanged)
        return await self._write(delete(StravaToken).where(*condition)) == 1

    async def athlete_ids(self) -> list[int]:
        """Return the connected athletes, in ascending order."""
        async with self._sessions() as session:
            return list(await session.scalars(select(StravaToken.athlete_id).order_by(StravaToken.athlete_id)))

    async def iter_athlete_ids(self, *, after: int = 0) -> AsyncIterator[int]:
        """Iterate over the connected athletes with a larger id, in ascending order, a thousand for each statement."""
        page = select(StravaToken.athlete_id).order_by(StravaToken.athlete_id).limit(1000)
        while True:
            async with self._sessions() as session:
                athlete_ids = list(await session.scalars(page.where(StravaToken.athlete_id > after)))
            if not athlete_ids:
                return
            for athlete_id in athlete_ids:
                yield athlete_id
            after = athlete_ids[-1]

    @asynccontextmanager
    async def lock(self, athlete_id: int) -> AsyncGenerator["RowLease"]:
        """Hold the lock on the athlete's tokens: a row with our name, until the block is left or the lease has expired.

        A lease that expires while its holder is still busy lets another process in. That is safe: the library asks the
        lease before it concludes that a grant is revoked, and ``save`` and ``delete`` compare before they write.

        Raises:
            TokenStoreError: others held it for all of ``wait_seconds``.
        """
        # pg_advisory_xact_lock would do on PostgreSQL. A lease works everywhere, and during the request it holds
        # neither a transaction nor a connection.
        holder = uuid4().hex
        lease = RowLease(self._clock, -math.inf)
        try:
            lease = await self._wait_for_lease(athlete_id, holder)
            yield lease
        finally:
            lease.expire()
            # After a wait that failed, too: its last INSERT may have arrived. The scope holds off anyio's
            # cancellation, the task asyncio's.
            with anyio.CancelScope(shield=True):
                await asyncio.shield(self._release(athlete_id, holder))

    async def _merge(self, athlete_id: int, token: TokenSet) -> None:
        with hidden_tokens():
            async with self._sessions.begin() as session:
                await session.merge(StravaToken(athlete_id=athlete_id, **self._values(token)))

    async def _insert(self, athlete_id: int, token: TokenSet) -> bool:
        try:
            return await self._write(insert(StravaToken).values(athlete_id=athlete_id, **self._values(token))) == 1
        except IntegrityError:
            return False

    async def _update(self, athlete_id: int, token: TokenSet, replacing: TokenSet) -> bool:
        change = update(StravaToken).where(*is_kept(athlete_id, replacing)).values(self._values(token))
        return await self._write(change) == 1

    async def _write(self, statement: Delete | Insert | Update) -> int:
        """Execute a statement in its own transaction; return how many rows it wrote."""
        with hidden_tokens():
            async with self._sessions.begin() as session:
                connection = await session.connection()
                return (await connection.execute(statement)).rowcount

    def _values(self, token: TokenSet) -> dict[str, Any]:
        return columns_of(token) | {"updated_at": int(self._clock.time())}

    async def _wait_for_lease(self, athlete_id: int, holder: str) -> "RowLease":
        give_up_at = self._clock.monotonic() + self._wait_seconds
        pause_seconds = 0.02
        while True:
            lease = RowLease(self._clock, self._clock.monotonic() + self._lease_seconds)  # from before it is requested
            if await self._take_lease(athlete_id, holder):
                return lease
            if self._clock.monotonic() >= give_up_at:
                raise TokenStoreError(f"another process holds the lock on athlete {athlete_id}: try again later")
            await self._clock.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 1.5, 0.5)

    async def _take_lease(self, athlete_id: int, holder: str) -> bool:
        now = int(self._clock.time())
        lease = {"holder": holder, "expires_at": now + self._lease_seconds}
        try:
            async with self._sessions.begin() as session:
                session.add(StravaTokenLock(athlete_id=athlete_id, **lease))
        except IntegrityError:
            run_out = (StravaTokenLock.athlete_id == athlete_id, StravaTokenLock.expires_at < now)
            return await self._write(update(StravaTokenLock).where(*run_out).values(lease)) == 1
        return True

    async def _release(self, athlete_id: int, holder: str) -> None:
        ours = (StravaTokenLock.athlete_id == athlete_id, StravaTokenLock.holder == holder)
        async with self._sessions.begin() as session:
            await session.execute(delete(StravaTokenLock).where(*ours))


class RowLease:
    """The lease of one holder, by its own clock: it does not query the database.

    Args:
        clock: whose seconds count.
        expires_at: when it expires, on ``clock.monotonic()``.
    """

    def __init__(self, clock: Clock, expires_at: float) -> None:
        self._clock = clock
        self._expires_at = expires_at

    def held(self) -> bool:
        """Return whether it has not expired."""
        return self._clock.monotonic() < self._expires_at

    def expire(self) -> None:
        """Let it expire now."""
        self._expires_at = -math.inf


def columns_of(token: TokenSet) -> dict[str, Any]:
    """Return the columns that tokens fill."""
    return {
        "access_token": token.access_token,
        "refresh_token": token.refresh_token,
        "expires_at": token.expires_at,
        "scope": " ".join(sorted(token.scope)),
        "generation": token.generation,
    }


def is_kept(athlete_id: int, token: TokenSet) -> list[ColumnElement[bool]]:
    """Return the condition that an athlete's row has these tokens."""
    columns = columns_of(token).items()
    return [
        StravaToken.athlete_id == athlete_id,
        *(getattr(StravaToken, name).is_not_distinct_from(value) for name, value in columns),
    ]


@contextmanager
def hidden_tokens() -> Generator[None]:
    """Remove the tokens from an error's parameters, which its text would show."""
    try:
        yield
    except StatementError as error:
        error.params = None
        raise


async def main() -> None:
    """Connect an athlete whose access token is about to expire: the first call renews it, in the store, too."""
    emulator = Emulator()
    with TemporaryDirectory() as folder:
        engine = create_async_engine(f"sqlite+aiosqlite:///{folder}/tokens.sqlite", hide_parameters=True)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        store = SqlAlchemyTokenStore(async_sessionmaker(engine))

        athlete_id = emulator.athlete_ids[0]
        granted = AccessInfo(emulator.grant(athlete_id, expires_in=60)).token_set()
        await store.save(athlete_id, granted)
        async with (
            httpx.AsyncClient(transport=httpx.ASGITransport(emulator.app)) as http_client,
            Strava(emulator.client_id, emulator.client_secret, token_store=store, http_client=http_client) as strava,
        ):
            athlete = await strava.api(athlete_id).get("/athlete")
        kept = await store.load(athlete_id)
        print(
            f"{athlete['firstname']} {athlete['lastname']} is one of the connected athletes {await store.athlete_ids()}"
        )
        print("the renewed tokens are in the database:", kept is not None and kept.access_token != granted.access_token)
        await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
