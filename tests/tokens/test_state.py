"""Which tokens are saved, where others have written since they came."""

from dataclasses import replace

import pytest

from strava_async.oauth.token_set import TokenSet
from strava_async.tokens.generations import ended
from strava_async.tokens.state import Unsaved
from tests.tokens.test_source import NOW

BEFORE = TokenSet("a0", "r0", NOW, frozenset({"read"}), 7, "g1")
RENEWED = TokenSet("a1", "r1", NOW + 21_600, frozenset({"read"}), 7, "g1")
OTHERS = TokenSet("b0", "s0", NOW + 3600, frozenset({"read"}), 7, "g9")


@pytest.mark.parametrize(
    ("saved", "to_save"),
    [
        (BEFORE, RENEWED),
        (replace(BEFORE, generation="g2"), replace(RENEWED, generation="g2")),  # sessions were ended meanwhile
        (replace(BEFORE, generation=ended("g1")), RENEWED),  # the grant was taken for dead
        (replace(BEFORE, generation=ended("g2")), replace(RENEWED, generation=ended("g2"))),
        (RENEWED, RENEWED),  # saved, although saving failed
        (OTHERS, None),
        (None, None),
    ],
)
def test_renewed_tokens_replace_those_that_brought_them(saved: TokenSet | None, to_save: TokenSet | None) -> None:
    assert Unsaved(RENEWED, BEFORE).to_save(saved) == to_save


def test_first_tokens_are_saved_where_there_are_none() -> None:
    assert Unsaved(RENEWED, None).to_save(None) == RENEWED
    assert Unsaved(RENEWED, None).to_save(OTHERS) is None


@pytest.mark.parametrize(
    ("saved", "generation"),
    [
        (None, "new"),
        (replace(OTHERS, expires_at=NOW), "g9"),  # the same grant, as far as anybody can tell
        (replace(OTHERS, expires_at=NOW + 21_600), "new"),
        (replace(OTHERS, generation=""), "new"),
    ],
)
def test_a_new_grant_replaces_whatever_is_there(saved: TokenSet | None, generation: str) -> None:
    granted = replace(RENEWED, generation="new")
    assert Unsaved(granted, overrides=True).to_save(saved) == replace(granted, generation=generation)
