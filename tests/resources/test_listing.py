"""A list is walked to its end, in order, nothing twice, nothing left behind."""

from typing import Any, cast

import anyio
import pytest

from strava_async.errors import AsyncOnlyError, DecodeError, InputError, ServerError, StravaError
from strava_async.paging.pages import CursorWalk, PageWalk
from strava_async.paging.walk import Pages
from strava_async.resources._listing import Listing

pytestmark = pytest.mark.anyio


def id_of(item: dict[str, Any]) -> Any:
    return item.get("id")


def items(*ids: int) -> list[dict[str, Any]]:
    return [{"id": number} for number in ids]


class Feed:
    """Activities, newest first, in pages; more can arrive between two requests."""

    def __init__(self, count: int) -> None:
        self.all = items(*range(count, 0, -1))
        self.asked: list[int] = []
        self.under_way = 0
        self.most_under_way = 0
        self.failing: list[Exception] = []

    async def page(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        self.asked.append(params["page"])
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await anyio.lowlevel.checkpoint()
            if self.failing:
                raise self.failing.pop()
            first = (params["page"] - 1) * params["per_page"]
            return self.all[first : first + params["per_page"]]
        finally:
            self.under_way -= 1

    def listing(self, *, per_page: int = 3, limit: int | None = None, prefetch: int = 0) -> Listing[dict[str, Any]]:
        return Listing(lambda: Pages(PageWalk(per_page, limit, prefetch, id_of), self.page, "/feed"))


async def test_items_come_in_order_up_to_the_empty_page() -> None:
    feed = Feed(7)
    assert await feed.listing().collect() == feed.all
    assert feed.asked == [1, 2, 3, 4]


async def test_a_page_that_is_short_is_not_the_end() -> None:
    pages = {1: items(9, 8), 2: items(7), 3: items(6, 5, 4), 4: []}

    async def page(params: dict[str, Any]) -> list[dict[str, Any]]:
        return pages[params["page"]]

    listing = Listing(lambda: Pages(PageWalk(3, None, 0, id_of), page, "/feed"))
    assert [item["id"] for item in await listing.collect()] == [9, 8, 7, 6, 5, 4]


async def test_nothing_comes_twice_while_new_activities_arrive() -> None:
    feed = Feed(9)
    old = list(feed.all)
    found = []
    async for page in feed.listing().pages():
        found += page
        feed.all[:0] = items(100 + len(found))  # newest first: all others move by one
    assert found == old


@pytest.mark.parametrize("per_page", [1, 3])
async def test_a_page_of_nothing_new_does_not_end_the_walk(per_page: int) -> None:
    feed = Feed(9)
    old = list(feed.all)
    found = []
    async for page in feed.listing(per_page=per_page).pages():
        found += page
        if len(found) == 3:
            feed.all[:0] = items(103, 102, 101)[:per_page]  # a whole page arrives: the next is the one before
    assert found == old


async def test_many_older_activities_that_arrive_do_not_end_the_walk() -> None:
    feed = Feed(100)
    old = list(feed.all)
    found = []
    async for page in feed.listing(per_page=10).pages():
        found += page
        if len(found) == 30:
            feed.all[5:5] = items(*range(900, 930))  # a first synchronisation: three pages of what is known follow
    assert [item for item in found if item["id"] < 900] == old


async def test_an_endpoint_with_ids_that_ignores_the_page_is_asked_twice_more() -> None:
    asked = []

    async def page(params: dict[str, Any]) -> list[dict[str, Any]]:
        asked.append(params["page"])
        return items(1, 2)

    listing = Listing(lambda: Pages(PageWalk(200, None, 0, id_of), page, "/feed"))
    assert await listing.collect() == items(1, 2)
    assert asked == [1, 2, 3]


async def test_full_pages_of_one_name_are_taken() -> None:
    people = [{"name": "Anna S."}, {"name": "Anna S."}, {"name": "Bob T."}]

    async def page(params: dict[str, Any]) -> list[dict[str, Any]]:
        return people[params["page"] - 1 : params["page"]]

    assert await Listing(lambda: Pages(PageWalk(1, None, 0, id_of), page, "/kudos")).collect() == people


async def test_the_limit_counts_what_is_new() -> None:
    feed = Feed(9)
    found = []
    async for page in feed.listing(limit=5).pages():
        found += page
        feed.all[:0] = items(200)
    assert found == items(9, 8, 7, 6, 5)


async def test_no_request_follows_when_the_limit_is_reached() -> None:
    feed = Feed(9)
    assert len(await feed.listing(limit=3).collect()) == 3
    assert feed.asked == [1]


async def test_pages_are_prefetched_together_and_come_in_order() -> None:
    feed = Feed(30)
    assert await feed.listing(prefetch=3).collect() == feed.all
    assert feed.most_under_way == 4


@pytest.mark.parametrize("prefetch", [0, 3])
async def test_nothing_is_in_progress_while_the_loop_body_runs(prefetch: int) -> None:
    feed = Feed(30)
    async for _ in feed.listing(prefetch=prefetch):
        assert feed.under_way == 0


async def test_leaving_the_loop_asks_for_no_more() -> None:
    feed = Feed(30)
    async for item in feed.listing(prefetch=1):
        if item["id"] == 28:
            break
    await anyio.wait_all_tasks_blocked()
    assert sorted(feed.asked) == [1, 2]
    assert feed.under_way == 0


async def test_cancellation_while_fetching_cancels_the_prefetch() -> None:
    feed = Feed(30)
    begun = anyio.Event()

    async def never(params: dict[str, Any]) -> list[dict[str, Any]]:
        feed.under_way += 1
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            feed.under_way -= 1
        return []

    async with anyio.create_task_group() as group:
        group.start_soon(Listing(lambda: Pages(PageWalk(3, None, 2, id_of), never, "/feed")).collect)
        await begun.wait()
        await anyio.wait_all_tasks_blocked()
        assert feed.under_way == 3
        group.cancel_scope.cancel()
    assert feed.under_way == 0


@pytest.mark.parametrize("prefetch", [0, 2])
async def test_after_an_error_the_same_pages_are_asked_for_again(prefetch: int) -> None:
    feed = Feed(9)
    iterator = aiter(feed.listing(prefetch=prefetch))
    found = [await anext(iterator) for _ in range(3 * (1 + prefetch))]
    feed.failing = [ServerError(status_code=503)]
    with pytest.raises((ServerError, StopAsyncIteration)):
        await anext(iterator)
    async for item in iterator:
        found.append(item)
    assert found == feed.all


async def test_the_error_of_one_page_comes_as_itself_and_cancels_the_others() -> None:
    feed = Feed(30)
    feed.failing = [ServerError(status_code=503)]
    with pytest.raises(ServerError):
        await feed.listing(prefetch=4).collect()
    assert feed.under_way == 0


async def test_each_loop_begins_again() -> None:
    feed = Feed(4)
    listing = feed.listing()
    assert await listing.collect() == await listing.collect() == feed.all


async def test_an_endpoint_that_ignores_the_page_is_not_asked_for_ever() -> None:
    async def page(params: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"name": "A."}, {"name": "B."}]

    listing = Listing(lambda: Pages(PageWalk(200, None, 0, id_of), page, "/feed"))
    assert await listing.collect() == [{"name": "A."}, {"name": "B."}]


async def test_items_without_an_id_are_all_taken() -> None:
    pages = {1: [{"name": "A."}, {"name": "A."}], 2: [{"name": "A."}], 3: []}

    async def page(params: dict[str, Any]) -> list[dict[str, Any]]:
        return pages[params["page"]]

    listing = Listing(lambda: Pages(PageWalk(2, None, 0, id_of), page, "/kudos"))
    assert len(await listing.collect()) == 3


async def test_an_answer_that_is_no_list_is_an_error() -> None:
    async def page(params: dict[str, Any]) -> Any:
        return {"message": "?"}

    with pytest.raises(DecodeError):
        await Listing(lambda: Pages(PageWalk(2, None, 0, id_of), page, "/feed")).collect()


class Comments:
    """Comments by cursor; the cursor of an item is its id as text by default."""

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        self.pages = pages
        self.asked: list[str | None] = []

    async def page(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        self.asked.append(params["after_cursor"])
        return self.pages[len(self.asked) - 1]

    def listing(self, limit: int | None = None) -> Listing[dict[str, Any]]:
        return Listing(
            lambda: Pages(CursorWalk(2, limit, lambda item: item.get("cursor"), id_of), self.page, "/comments")
        )


def said(number: int, cursor: str | None) -> dict[str, Any]:
    return {"id": number, "cursor": cursor}


async def test_the_last_items_cursor_asks_for_the_next_page() -> None:
    comments = Comments([said(1, "a"), said(2, "b")], [said(3, "c")], [])
    assert [item["id"] for item in await comments.listing().collect()] == [1, 2, 3]
    assert comments.asked == [None, "b", "c"]


async def test_a_cursor_is_not_followed_twice() -> None:
    comments = Comments([said(1, "a")], [said(2, "b")], [said(3, "a")], [said(4, "x")])
    assert [item["id"] for item in await comments.listing().collect()] == [1, 2, 3]


@pytest.mark.parametrize("last", [{}, {"id": 3, "cursor": None}])
async def test_a_bad_item_at_the_end_does_not_cost_the_pages_behind_it(last: dict[str, Any]) -> None:
    comments = Comments([said(1, "a"), last], [said(2, "b")], [])
    assert [item["id"] for item in await comments.listing().collect() if "id" in item and item["id"] != 3] == [1, 2]
    assert comments.asked == [None, "a", "b"]


async def test_ever_new_cursors_to_the_same_comments_are_not_followed_for_ever() -> None:
    comments = Comments(*([said(1, str(number))] for number in range(10)))
    assert [item["id"] for item in await comments.listing().collect()] == [1]
    assert len(comments.asked) == 4


async def test_a_page_without_a_cursor_is_the_last() -> None:
    comments = Comments([said(1, None), said(2, None)], [said(3, None)])
    assert [item["id"] for item in await comments.listing().collect()] == [1, 2]


async def test_a_walk_by_cursor_ends_at_its_limit() -> None:
    comments = Comments([said(1, "a"), said(2, "b")], [said(3, "c")])
    assert len(await comments.listing(limit=2).collect()) == 2
    assert comments.asked == [None]


@pytest.mark.parametrize("arguments", [(0, None), (2, -1)])
async def test_invalid_numbers_are_refused(arguments: tuple[int, int | None]) -> None:
    with pytest.raises(InputError):
        CursorWalk(*arguments, lambda item: None)


async def test_a_list_used_without_async_says_what_to_write() -> None:
    listing = Feed(3).listing()
    for use in (iter, list, sorted):
        with pytest.raises(AsyncOnlyError, match=r"all of it by `await \.\.\.\.collect\(\)`"):
            use(cast(Any, listing))
    with pytest.raises(AsyncOnlyError, match="is not awaited itself"):
        await cast(Any, listing)
    for walk in (listing.pages(), aiter(listing)):
        with pytest.raises(TypeError, match="async for"):
            iter(cast(Any, walk))
        with pytest.raises(StravaError, match="not awaited"):
            await cast(Any, walk)
    assert repr(listing.pages()) == "<pages of /feed>"
    assert repr(aiter(listing)) == "<items of <pages of /feed>>"
