"""Write your own token store: here over SQLAlchemy, for any database it speaks to. Offline: Strava is the emulator.

pip install ".[testing]" "sqlalchemy[asyncio]>=2" aiosqlite
python examples/sqlalchemy_store.py

``Base.metadata`` holds both tables, for Alembic. Tokens are kept as they are: where others can read the database or its
backups, give the two columns a type that encrypts.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory
from uuid import uuid4

import anyio
import httpx
from sqlalchemy import BigInteger, String, Text, delete, select, update
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.orm.exc import StaleDataError

from strava_async import AccessInfo, Clock, Strava, SystemClock, TokenSet, TokenStoreError
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
    # To a table that is there: alter table strava_token add generation varchar(64) not null default ''
    generation: Mapped[str] = mapped_column(String(64), server_default="")
    updated_at: Mapped[int] = mapped_column(BigInteger)


class StravaTokenLock(Base):
    """A lease on the tokens of one athlete: somebody renews them."""

    __tablename__ = "strava_token_lock"

    athlete_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    holder: Mapped[str] = mapped_column(String(32))
    expires_at: Mapped[int] = mapped_column(BigInteger)


class SqlAlchemyTokenStore:
    """Keeps tokens in a database that any number of processes share. What the database raises reaches the caller.

    Args:
        sessions: each call takes one while its statements run. Make the engine with ``hide_parameters=True``, or its
            log shows tokens.
        clock: tells when a lease ends; the hosts' clocks should agree to a few seconds. None means the system's.
        lease_seconds: how long a lock outlives a holder that died; more than a renewal can take.
        wait_seconds: how long ``lock`` waits; more than a lease, or a dead holder is an error for those who wait.
    """

    def __init__(
        self,
        sessions: async_sessionmaker[AsyncSession],
        *,
        clock: Clock | None = None,
        lease_seconds: int = 180,
        wait_seconds: float = 240.0,
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

    async def save(self, athlete_id: int, token: TokenSet) -> None:
        """Keep the tokens, in place of those that were there; they are committed when this returns."""
        try:
            await self._merge(athlete_id, token)
        except (IntegrityError, StaleDataError):
            await self._merge(athlete_id, token)  # somebody inserted or deleted the row since merge had looked

    async def delete(self, athlete_id: int) -> None:
        """Forget the athlete's tokens; nothing happens if there are none."""
        async with self._sessions.begin() as session:
            await session.execute(delete(StravaToken).where(StravaToken.athlete_id == athlete_id))

    async def athlete_ids(self) -> list[int]:
        """Return the connected athletes, in ascending order."""
        async with self._sessions() as session:
            return list(await session.scalars(select(StravaToken.athlete_id).order_by(StravaToken.athlete_id)))

    @asynccontextmanager
    async def lock(self, athlete_id: int) -> AsyncGenerator[None, None]:
        """Hold the athlete's tokens: a row with our name, until the block is left or the lease has run out.

        A lease that runs out under a living holder lets two processes renew at once. That is safe: Strava refuses the
        slower one's refresh token with a 400, and the library loads again and finds the tokens of the faster.

        Raises:
            TokenStoreError: others held them for all of ``wait_seconds``.
        """
        # pg_advisory_xact_lock would do on PostgreSQL. A lease does everywhere, and while Strava is asked it holds
        # neither a transaction nor a connection.
        holder = uuid4().hex
        try:
            await self._wait_for_lease(athlete_id, holder)
            yield
        finally:
            # After a wait that failed, too: its last INSERT may have arrived. The scope holds off anyio's
            # cancellation, the task asyncio's.
            with anyio.CancelScope(shield=True):
                await asyncio.shield(self._release(athlete_id, holder))

    async def _merge(self, athlete_id: int, token: TokenSet) -> None:
        row = StravaToken(
            athlete_id=athlete_id,
            access_token=token.access_token,
            refresh_token=token.refresh_token,
            expires_at=token.expires_at,
            scope=" ".join(sorted(token.scope)),
            generation=token.generation,
            updated_at=int(self._clock.time()),
        )
        try:
            async with self._sessions.begin() as session:
                await session.merge(row)
        except StatementError as error:
            error.params = None  # the tokens, which its text would show
            raise

    async def _wait_for_lease(self, athlete_id: int, holder: str) -> None:
        give_up_at = self._clock.monotonic() + self._wait_seconds
        pause_seconds = 0.02
        while not await self._take_lease(athlete_id, holder):
            if self._clock.monotonic() >= give_up_at:
                raise TokenStoreError(f"somebody else holds the tokens of athlete {athlete_id}: try again later")
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
            async with self._sessions.begin() as session:
                connection = await session.connection()
                result = await connection.execute(update(StravaTokenLock).where(*run_out).values(lease))
            return result.rowcount == 1
        return True

    async def _release(self, athlete_id: int, holder: str) -> None:
        ours = (StravaTokenLock.athlete_id == athlete_id, StravaTokenLock.holder == holder)
        async with self._sessions.begin() as session:
            await session.execute(delete(StravaTokenLock).where(*ours))


async def main() -> None:
    """Connect an athlete whose access token is at its end: the first call renews it, and the store keeps the next."""
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
