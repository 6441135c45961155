"""The users in the load test of the service: ``python -m benchmarks.service_users``; it executes jobs.

They browse with aiohttp, so that they are not the bottleneck: a request takes a fraction of one on httpx.
Each has a session of aiohttp's, and so cookies and connections of their own, as browsers have.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from html import unescape
from typing import Any

import aiohttp

from benchmarks.service_figures import Notes, fates, spread
from benchmarks.service_jobs import do_jobs, end_in_time

ANSWER_SECONDS = 20.0
CONNECT_SECONDS = 20.0
RECONNECT_SECONDS = 1.0
SHOW_SECONDS = 10.0
PAGE = {"Accept": "text/html"}
STREAM = {"Accept": "text/event-stream"}

_SINCE = re.compile(r'data-since="(\d+)"')
_CARD = re.compile(r'id="ride-(\d+)"')
_FILE = re.compile(r'(?:href|src)="(/static/[^"]+)"')
_INPUT = re.compile(r'<input type="(?:hidden|checkbox)" name="([^"]+)" value="([^"]*)"')
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)


class User:
    """A person with a browser: signs in, keeps a page with an event stream open, and loads other pages.

    Args:
        session: the browser; redirects are followed by hand, for each is noted.
        athlete_id: who it is.
        notes: receives the observations.
        rng: the person's pace.

    Attributes:
        connected: set once the stream is open.
    """

    def __init__(self, session: aiohttp.ClientSession, athlete_id: int, notes: Notes, rng: random.Random) -> None:
        self._session = session
        self._athlete_id = athlete_id
        self._notes = notes
        self._rng = rng
        self._following: asyncio.Task[None] | None = None
        self.connected = asyncio.Event()

    async def use(self, arrive_seconds: float, think_seconds: float, until: float) -> None:
        """Load every page at least once; return when the time is over, and leave the stream open.

        Args:
            arrive_seconds: the latest time of the user's arrival.
            think_seconds: between two pages, on average.
            until: when it is over, in ``time.monotonic()``.
        """
        await asyncio.sleep(self._rng.uniform(0, arrive_seconds))
        await self._sign_in()
        looked = False
        while not looked or time.monotonic() < until:
            looked = True
            page = await self._get("dashboard", "/")
            since = _SINCE.search(page)
            if since and self._following is None:
                self._following = asyncio.create_task(self._follow(since[1]))
            await asyncio.sleep(self._rng.uniform(0.5, 1.5) * think_seconds)
            if self._rng.random() < 0.2:
                await self._get("quota", "/strava/quota")

    def leave(self) -> None:
        """Close the page with the stream."""
        if self._following is not None:
            self._following.cancel()

    async def _sign_in(self) -> None:
        landing = await self._get("landing", "/")
        for file in dict.fromkeys(_FILE.findall(landing)):
            await self._get("static file", file)
        consent_url = await self._get("connect", "/strava/connect?next=/", good=303)
        fields = _INPUT.findall(await self._get("Strava's page", consent_url))
        form = [(name, unescape(value)) for name, value in fields]
        answers = [*form, ("athlete_id", str(self._athlete_id)), ("action", "authorize")]
        callback_url = await self._get("Strava's page", consent_url, answers, good=302)
        await self._get("callback", callback_url, good=303)

    async def _get(self, kind: str, url: str, form: Sequence[tuple[str, str]] | None = None, *, good: int = 200) -> str:
        """Return the text of an answer, or where it redirects to; empty if it is not as it should be."""
        began = time.perf_counter()
        method = "GET" if form is None else "POST"
        data = None if form is None else aiohttp.FormData(form)
        try:
            async with self._session.request(method, url, headers=PAGE, data=data, allow_redirects=False) as answer:
                body = await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            self._notes.failures[f"{kind}: {type(error).__name__}"] += 1
            return ""
        self._notes.answer(kind, answer.status, answer.headers, body, time.perf_counter() - began, good=good)
        return "" if answer.status != good else body if good == 200 else answer.headers["Location"]

    async def _follow(self, since: str) -> None:
        """Keep a stream open, as a browser's EventSource does."""
        seen: dict[str, str] = {}
        while since:
            async for name, number, data in self._stream(since, seen):
                if number:
                    seen = {"Last-Event-ID": number}
                if name == "ride" and (card := _CARD.search(data)):
                    self._notes.show(self._athlete_id, int(card[1]), time.monotonic())
                if name == "reload":
                    page = _SINCE.search(await self._get("dashboard", "/"))
                    since, seen = page[1] if page else "", {}
                    break
            self._notes.reconnects += 1
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _stream(self, since: str, seen: Mapping[str, str]) -> AsyncIterator[tuple[str, str, str]]:
        """Iterate over the events of a stream, each with its name, id and data, until it ends."""
        began = time.perf_counter()
        try:
            async with self._session.get(
                f"/live?since={since}", headers={**STREAM, **seen}, timeout=_NO_TIMEOUT
            ) as answer:
                body = "" if answer.status == 200 else await answer.text()
                self._notes.answer("stream", answer.status, answer.headers, body, time.perf_counter() - began, good=200)
                fields: dict[str, str] = {}
                if answer.status == 200:
                    self.connected.set()
                while answer.status == 200 and (line := await answer.content.readline()):
                    name, _, value = line.decode().rstrip("\n").partition(": ")
                    if name:
                        fields[name] = fields.get(name, "") + value
                    else:
                        yield fields.get("event", ""), fields.get("id", ""), fields.get("data", "")
                        fields = {}
        except aiohttp.ClientError as error:
            self._notes.failures[f"stream: {type(error).__name__}"] += 1


class UserJobs:
    """The jobs.

    Args:
        stack: closes the browsers at the end.
    """

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._notes = Notes()
        self._users: dict[User, asyncio.Task[None]] = {}
        self._began = self._cpu = 0.0

    async def begin(
        self, url: str, athlete_ids: Sequence[int], seconds: float, arrive_seconds: float, think_seconds: float
    ) -> Mapping[str, Any]:
        """Start all users, for a time; return the instant."""
        began = time.monotonic()
        self._began, self._cpu = began, time.process_time()
        for athlete_id in athlete_ids:
            user = await self._user(url, athlete_id)
            self._users[user] = asyncio.create_task(user.use(arrive_seconds, think_seconds, began + seconds))
            self._stack.callback(self._users[user].cancel)
        return {"began": began}

    async def connected(self) -> Mapping[str, Any]:
        """Return when every user has a stream, or should have: activities recorded from then on must be shown."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_SECONDS):
                for user in self._users:
                    await user.connected.wait()
        return {"at": time.monotonic()}

    async def finish(self) -> Mapping[str, Any]:
        """Wait until the time is over. The streams stay open.

        Returns:
            the responses by kind, the failures, the instant, and the processor time.
        """
        notes = self._notes
        await asyncio.gather(*self._users.values())
        ended = time.monotonic()
        return {
            "began": self._began,
            "ended": ended,
            "cpu_share": (time.process_time() - self._cpu) / (ended - self._began),
            "answers": {kind: spread(times) for kind, times in notes.answers.items()},
            "without_stream": sum(not user.connected.is_set() for user in self._users),
            "honest": notes.honest,
            "failures": notes.failures,
        }

    async def settle(self, recorded: Mapping[str, tuple[int, float]]) -> Mapping[str, Any]:
        """Wait until all recorded activities are shown, or should be, and return their outcomes."""
        activities = {int(activity_id): (owner, at) for activity_id, (owner, at) in recorded.items()}
        with suppress(TimeoutError):
            async with asyncio.timeout(SHOW_SECONDS):
                while fates(activities, self._notes.shown)[0]["lost"]:
                    self._notes.news.clear()
                    await self._notes.news.wait()
        await asyncio.sleep(RECONNECT_SECONDS)  # duplicates arrive later
        figures, seconds = fates(activities, self._notes.shown)
        return {**figures, "reconnects": self._notes.reconnects, "seconds": spread(seconds)}

    async def _user(self, url: str, athlete_id: int) -> User:
        session = aiohttp.ClientSession(
            url,
            cookie_jar=aiohttp.CookieJar(unsafe=True),  # keeps the cookies of an address without a name, too
            connector=aiohttp.TCPConnector(limit=6),
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
        )
        await self._stack.enter_async_context(session)
        user = User(session, athlete_id, self._notes, random.Random(athlete_id))
        self._stack.callback(user.leave)
        return user


async def _main() -> None:
    async with AsyncExitStack() as stack:
        jobs = UserJobs(stack)
        await do_jobs({"begin": jobs.begin, "connected": jobs.connected, "finish": jobs.finish, "settle": jobs.settle})


if __name__ == "__main__":
    end_in_time()
    asyncio.run(_main())
