"""What every TokenStore does. Derive a class named ``Test...`` from ``StoreContract`` and override ``store``.

``twin`` is a second object over the same data, such as another process would have; override it if the store can be
shared. An override may be an async fixture.
"""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from strava_async.errors import InputError
from strava_async.oauth.grants import TokenSet
from strava_async.stores.base import TokenStore

FULL = TokenSet("access-0", "refresh-0", 1_767_693_600, frozenset({"read", "activity:read_all"}), 7)
LEAST = TokenSet("")


def numbered(number: int) -> TokenSet:
    return TokenSet(f"a{number}", f"r{number}", number, frozenset({"read"}), 7)


def assert_same(loaded: TokenSet | None, saved: TokenSet, athlete_id: int) -> None:
    """Whose tokens they are, the row says too: a store may keep what the tokens said, or say it of its own."""
    assert loaded in (saved, replace(saved, athlete_id=athlete_id))


async def at_once(*works: Callable[[], Coroutine[Any, Any, object]]) -> None:
    async with anyio.create_task_group() as tasks:
        for work in works:
            tasks.start_soon(work)


@pytest.mark.anyio
class StoreContract:
    @pytest.fixture
    def store(self) -> TokenStore:
        raise NotImplementedError("override the fixture")

    @pytest.fixture
    def twin(self, store: TokenStore) -> TokenStore:
        return store

    # Tokens

    async def test_an_athlete_who_never_came_has_no_tokens(self, store: TokenStore) -> None:
        assert await store.load(7) is None

    @pytest.mark.parametrize(
        "token",
        [FULL, LEAST, TokenSet("a", None, None, frozenset({"läuft"}), None), replace(FULL, generation="Aa0_-~" * 10)],
    )
    async def test_saved_tokens_come_back_as_they_were(self, store: TokenStore, token: TokenSet) -> None:
        await store.save(7, token)
        assert_same(await store.load(7), token, 7)

    async def test_tokens_take_the_place_of_those_before(self, store: TokenStore) -> None:
        await store.save(7, FULL)
        await store.save(7, numbered(1))
        assert await store.load(7) == numbered(1)

    async def test_athletes_have_tokens_of_their_own(self, store: TokenStore) -> None:
        await store.save(7, numbered(7))
        await store.save(8, numbered(8))
        assert_same(await store.load(7), numbered(7), 7)
        assert_same(await store.load(8), numbered(8), 8)

    async def test_the_row_counts_not_what_the_tokens_say_about_the_athlete(self, store: TokenStore) -> None:
        await store.save(8, FULL)
        assert await store.load(7) is None
        assert_same(await store.load(8), FULL, 8)

    @pytest.mark.parametrize("athlete_id", [0, 2**31, 2**63 - 1, -(2**63)])
    async def test_an_athlete_id_has_64_bits(self, store: TokenStore, athlete_id: int) -> None:
        await store.save(athlete_id, FULL)
        assert_same(await store.load(athlete_id), FULL, athlete_id)
        assert await store.athlete_ids() == [athlete_id]
        async with store.lock(athlete_id):
            pass

    async def test_deleted_tokens_are_gone(self, store: TokenStore) -> None:
        await store.save(7, FULL)
        await store.save(8, FULL)
        await store.delete(7)
        assert await store.load(7) is None
        assert await store.athlete_ids() == [8]

    async def test_an_athlete_who_never_came_can_be_deleted(self, store: TokenStore) -> None:
        await store.delete(7)
        assert await store.athlete_ids() == []

    async def test_the_athletes_come_in_ascending_order(self, store: TokenStore) -> None:
        for athlete_id in (10, 9, 2**40, 100):
            await store.save(athlete_id, FULL)
        assert await store.athlete_ids() == [9, 10, 100, 2**40]

    async def test_saves_at_once_leave_one_whole_set(self, store: TokenStore, twin: TokenStore) -> None:
        async def save(where: TokenStore, number: int) -> None:
            await where.save(7, numbered(number))

        await at_once(*(lambda n=n: save((store, twin)[n % 2], n) for n in range(12)))
        assert await store.load(7) in [numbered(number) for number in range(12)]

    async def test_the_twin_sees_what_was_done(self, store: TokenStore, twin: TokenStore) -> None:
        await store.save(7, FULL)
        assert await twin.load(7) == FULL
        await twin.delete(7)
        assert await store.athlete_ids() == []

    async def test_the_repr_shows_no_token(self, store: TokenStore) -> None:
        await store.save(7, FULL)
        assert "access-0" not in repr(store)
        assert "refresh-0" not in repr(store)

    # The lock

    async def test_what_is_loaded_and_saved_under_the_lock_is_not_lost(
        self, store: TokenStore, twin: TokenStore
    ) -> None:
        await store.save(7, numbered(0))
        inside = most = 0

        async def count_up(where: TokenStore) -> None:
            nonlocal inside, most
            async with where.lock(7):
                inside += 1
                most = max(most, inside)
                token = await where.load(7)
                assert token is not None
                await anyio.lowlevel.checkpoint()
                await where.save(7, numbered(int(token.access_token[1:]) + 1))
                inside -= 1

        await at_once(*(lambda n=n: count_up((store, twin)[n % 2]) for n in range(8)))
        assert most == 1
        assert await store.load(7) == numbered(8)

    async def test_the_lock_of_one_athlete_is_not_that_of_another(self, store: TokenStore, twin: TokenStore) -> None:
        async with store.lock(7), twin.lock(8):
            pass

    async def test_the_lock_can_be_had_again(self, store: TokenStore, twin: TokenStore) -> None:
        for where in (store, twin, store):
            async with where.lock(7):
                pass

    async def test_an_error_inside_gives_the_lock_up(self, store: TokenStore, twin: TokenStore) -> None:
        with pytest.raises(ZeroDivisionError):
            async with store.lock(7):
                raise ZeroDivisionError
        async with twin.lock(7):
            pass

    async def test_a_cancelled_holder_gives_the_lock_up(self, store: TokenStore, twin: TokenStore) -> None:
        with anyio.CancelScope() as scope:
            async with store.lock(7):
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        async with twin.lock(7):
            pass

    async def test_a_cancelled_waiter_leaves_the_lock_to_the_next(self, store: TokenStore, twin: TokenStore) -> None:
        entered: list[str] = []

        async def wait(where: TokenStore, name: str, scope: anyio.CancelScope) -> None:
            with scope:
                async with where.lock(7):
                    entered.append(name)

        impatient, patient = anyio.CancelScope(), anyio.CancelScope()
        async with anyio.create_task_group() as tasks, store.lock(7):
            tasks.start_soon(wait, twin, "impatient", impatient)
            tasks.start_soon(wait, store, "patient", patient)
            await anyio.wait_all_tasks_blocked()
            impatient.cancel()
            await anyio.wait_all_tasks_blocked()
            assert entered == []
        assert entered == ["patient"]


class StrictStoreContract(StoreContract):
    """What the library's own stores do besides: tell a caller who passes something else than an athlete's id."""

    async def test_what_is_no_athlete_id_is_refused(self, store: TokenStore) -> None:
        wrong: tuple[Any, ...] = (2**63, -(2**63) - 1, "7", 7.0, True, None)
        for odd in wrong:
            with pytest.raises(InputError):
                await store.load(odd)
            with pytest.raises(InputError):
                await store.save(odd, FULL)
            with pytest.raises(InputError):
                await store.delete(odd)
            with pytest.raises(InputError):
                async with store.lock(odd):
                    pass
        assert await store.athlete_ids() == []
