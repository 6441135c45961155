"""From this page, which comes next?"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strava_async.errors import DecodeError, InputError
from strava_async.paging.pages import PageWalk


def walk_over(items: list[Any], page_sizes: list[int], walk: PageWalk) -> tuple[list[Any], int]:
    """Serve the items in pages of these sizes, then empty ones; return what the walk took and what it asked."""
    pages: list[list[Any]] = []
    rest = items
    for size in page_sizes:
        pages.append(rest[:size])
        rest = rest[size:]
    taken: list[Any] = []
    asked = 0
    while requests := walk.next_requests():
        for number in (request["page"] for request in requests):
            asked += 1
            taken += walk.take(pages[number - 1] if number <= len(pages) else [], "/things")
    return taken, asked


def test_a_short_page_is_not_the_end() -> None:
    taken, asked = walk_over(list(range(10)), [3, 1, 3, 3], PageWalk(3, None, 0))
    assert taken == list(range(10))
    assert asked == 5


def test_the_limit_ends_the_walk_without_another_request() -> None:
    taken, asked = walk_over(list(range(9)), [3, 3, 3], PageWalk(3, 6, 0))
    assert taken == list(range(6))
    assert asked == 2


def test_a_limit_inside_a_page_cuts_it() -> None:
    assert walk_over(list(range(9)), [3, 3, 3], PageWalk(3, 4, 0)) == ([0, 1, 2, 3], 2)


def test_no_items_wanted_means_no_request() -> None:
    assert walk_over([1], [1], PageWalk(3, 0, 0)) == ([], 0)


def test_an_endpoint_that_ignores_the_page_is_taken_once() -> None:
    walk = PageWalk(200, None, 0)
    taken: list[Any] = []
    while walk.next_requests():
        taken += walk.take([{"id": 1}, {"id": 2}], "/laps")
    assert taken == [{"id": 1}, {"id": 2}]


def test_prefetch_asks_for_pages_together() -> None:
    walk = PageWalk(10, None, 3)
    assert [request["page"] for request in walk.next_requests()] == [1, 2, 3, 4]
    assert [request["page"] for request in walk.next_requests()] == [5, 6, 7, 8]


def test_prefetch_does_not_ask_beyond_the_limit() -> None:
    assert [request["page"] for request in PageWalk(10, 15, 5).next_requests()] == [1, 2]


def test_more_per_page_than_strava_gives_is_not_asked_for() -> None:
    assert PageWalk(500, None, 0).per_page == 200


def test_a_page_that_is_no_list_is_an_error() -> None:
    walk = PageWalk(10, None, 0)
    walk.next_requests()
    with pytest.raises(DecodeError) as caught:
        walk.take({"message": "?"}, "/things")
    assert caught.value.path == "/things"


@pytest.mark.parametrize("arguments", [(0, None, 0), (-1, None, 0), (10, -1, 0), (10, None, -1)])
def test_invalid_numbers_are_refused(arguments: tuple[int, int | None, int]) -> None:
    with pytest.raises(InputError):
        PageWalk(*arguments)


@given(
    page_sizes=st.lists(st.integers(1, 5), max_size=12),
    limit=st.none() | st.integers(0, 70),
    prefetch=st.integers(0, 4),
)
def test_nothing_is_lost_or_doubled(page_sizes: list[int], limit: int | None, prefetch: int) -> None:
    items = list(range(sum(page_sizes)))
    taken, asked = walk_over(items, page_sizes, PageWalk(5, limit, prefetch))
    assert taken == (items if limit is None else items[:limit])
    assert asked <= len(page_sizes) + 1 + prefetch
