"""Whose turn it is."""

from __future__ import annotations

import pytest

from strava_async.harvest.turns import Turns

pytestmark = pytest.mark.anyio


async def taken(turns: Turns[str], count: int) -> str:
    """Return who has so many turns, each given back at once."""
    names = ""
    for _ in range(count):
        one = await turns.next()
        assert one is not None
        names += one
        turns.back(one)
    return names


async def test_everybody_has_a_turn_after_the_other() -> None:
    assert await taken(Turns("abc"), 7) == "abcabca"


async def test_who_was_out_has_the_turns_that_others_took_meanwhile() -> None:
    turns = Turns("abc")
    assert await turns.next() == "a"
    assert await taken(turns, 6) == "bcbcbc"
    turns.back("a")
    assert await taken(turns, 5) == "aabca"


async def test_without_anybody_there_is_no_turn() -> None:
    turns = Turns("a")
    assert await turns.next() == "a"
    turns.leave()
    assert await turns.next() is None
