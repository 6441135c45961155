"""Random histories of a store that several workers share: some of them die, sleep past their leases, and come back.

``run`` holds after every step: an event is claimed when all before it in its lane are finished, by one worker at a time
whose lease has not ended; what a worker settles is settled if nobody else has claimed it since, and only then.
At the end all that is left is handled: nothing that was stored is lost, and nothing is finished twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from strava_async.testing import FakeClock
from strava_async.webhooks import Appended, Claim, EventStore, WebhookEvent
from tests.webhooks.contract import event, removed

LEASE = 30.0
WORKERS, OBJECTS = 4, 3
# What is done; which worker or object; how often or how long.
Step = tuple[str, int, int]
DOINGS = ("append", "remove", "claim", "claim removals", "ack", "retry", "renew", "die", "wait", "sleep")
STEPS = st.lists(st.tuples(st.sampled_from(DOINGS), st.integers(0, WORKERS - 1), st.integers(1, 40)), max_size=80)

Claims = Callable[[EventStore, int, bool], Awaitable[Sequence[Claim]]]
"""Claims up to so many events that are due now, deauthorizations or others; none if there is none."""


@dataclass
class _Held:
    claim: Claim
    event: WebhookEvent
    until: float


@dataclass
class _History:
    stores: Sequence[EventStore]
    clock: FakeClock
    claims: Claims
    lanes: dict[tuple[bool, int], list[WebhookEvent]] = field(default_factory=dict)
    owner: dict[str, _Held] = field(default_factory=dict)  # key: who has claimed it last
    held: dict[int, list[_Held]] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)
    number: int = 0

    def lane(self, what: WebhookEvent) -> list[WebhookEvent]:
        return self.lanes.setdefault((what.is_deauthorization, what.object_id), [])

    async def append(self, which: int, is_removal: bool) -> None:
        self.number += 1
        what = removed(self.number) if is_removal else event(1 + which % OBJECTS, self.number)
        answer = await self.stores[which % 2].append(what)
        lane = self.lane(what)
        if answer is Appended.SUPERSEDED:
            lane.pop()
        assert answer in {Appended.STORED, Appended.SUPERSEDED}
        lane.append(what)

    async def claim(self, which: int, n: int, is_removal: bool) -> int:
        asked_at = self.clock.monotonic()
        found = await self.claims(self.stores[which % 2], n, is_removal)
        assert len(found) <= n
        for claim in found:
            what = claim.pending.event
            assert self.lane(what)[0] == what
            before = self.owner.get(what.key)
            assert before is None or before.until <= asked_at, "it was somebody's"
            assert before is None or claim.pending.claimed, "its worker was lost"
            held = _Held(claim, what, asked_at + LEASE)
            self.owner[what.key] = held
            self.held.setdefault(which, []).append(held)
        return len(found)

    async def settle(self, which: int, how: str, seconds: int) -> None:
        """Let a worker settle what it has had for longest."""
        mine = self.held.get(which)
        if not mine:
            return
        held = mine[0] if how == "renew" else mine.pop(0)
        key, store = held.event.key, self.stores[which % 2]
        is_mine = self.owner.get(key) is held
        if how == "renew":
            [done] = await store.renew([held.claim], LEASE)
        else:
            done = await (store.ack(held.claim) if how == "ack" else store.retry(held.claim, float(seconds)))
        in_time = self.clock.monotonic() < held.until
        assert done is is_mine or (is_mine and not in_time), (how, done, is_mine)
        if not done:
            return
        if how == "renew":
            held.until = self.clock.monotonic() + LEASE
            return
        del self.owner[key]
        if how == "ack":
            assert key not in self.finished
            self.finished.add(key)
            assert self.lane(held.event).pop(0) == held.event

    async def do(self, step: Step) -> None:
        what, which, number = step
        if what in {"append", "remove"}:
            await self.append(which, what == "remove")
        elif what.startswith("claim"):
            await self.claim(which, 1 + number % 3, what != "claim")
        elif what == "die":
            self.held.pop(which, None)  # it is never heard of again
        elif what in {"wait", "sleep"}:
            self.clock.advance(number / 10 if what == "wait" else float(number))
        else:
            await self.settle(which, what, number)

    async def drain(self) -> None:
        self.held.clear()
        for _ in range(10_000):
            if not any(self.lanes.values()):
                break
            found = 0
            for is_removal in (False, True):
                found += await self.claim(0, 9, is_removal)
                while self.held.get(0):
                    await self.settle(0, "ack", 0)
            if not found:
                self.clock.advance(1.0)
        assert not any(self.lanes.values()), "something is never claimed"


async def run(stores: Sequence[EventStore], clock: FakeClock, claims: Claims, steps: Sequence[Step]) -> None:
    """Run a history on two instances of a store, in which a hundred events of one athlete may be unfinished."""
    history = _History(stores, clock, claims)
    for step in steps:
        await history.do(step)
    await history.drain()
    assert (await stores[1].stats()).unfinished == 0
