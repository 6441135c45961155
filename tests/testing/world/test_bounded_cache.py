"""What was used last is kept, up to a total weight."""

import pytest

from strava_async.testing.world.bounded_cache import BoundedCache


def kept(cache: BoundedCache[str], keys: str) -> str:
    return "".join(key for key in keys if key in cache)


def test_a_value_is_made_once_as_long_as_it_is_kept() -> None:
    cache, made = BoundedCache[str](9, len), []
    values = [cache.get("a", lambda: made.append(1) or "x") for _ in range(3)]
    assert (values, len(made)) == (["x", "x", "x"], 1)


def test_what_was_used_longest_ago_goes_first() -> None:
    cache = BoundedCache[str](3, len)
    for key in "abcad":
        cache.get(key, lambda: "x")
    assert kept(cache, "abcd") == "acd"


def test_a_heavy_value_takes_the_place_of_several() -> None:
    cache = BoundedCache[str](4, len)
    for key in "abc":
        cache.get(key, lambda: "x")
    cache.get("d", lambda: "xxx")
    assert kept(cache, "abcd") == "cd"


def test_the_last_value_is_kept_whatever_it_weighs() -> None:
    cache = BoundedCache[str](4, len)
    cache.get("a", lambda: "x")
    cache.get("b", lambda: "xxxxx")
    assert kept(cache, "ab") == "b"


def test_what_is_forgotten_weighs_nothing() -> None:
    cache = BoundedCache[str](2, len)
    cache.get("a", lambda: "x")
    cache.get("b", lambda: "x")
    cache.remove("a")
    cache.remove("nothing")
    cache.get("c", lambda: "x")
    assert kept(cache, "abc") == "bc"
    cache.clear()
    for key in "de":
        cache.get(key, lambda: "x")
    assert kept(cache, "abcde") == "de"


def test_a_value_that_is_asked_for_while_it_is_made_weighs_once() -> None:
    cache = BoundedCache[str](2, len)
    cache.get("a", lambda: cache.get("a", lambda: "x"))
    cache.get("b", lambda: "x")
    assert kept(cache, "ab") == "ab"


def test_an_error_is_not_kept() -> None:
    cache = BoundedCache[str](2, len)
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: str(1 / 0))
    assert cache.get("a", lambda: "x") == "x"
