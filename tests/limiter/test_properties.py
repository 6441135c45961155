"""What holds whatever happens: hypothesis plays callers, network, other processes and time against ledger and queue."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from email.utils import formatdate

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from strava_async.limiter.queue import Waiter, WaitQueue
from strava_async.quota.budget import Budget
from strava_async.quota.entry import LedgerEntry
from strava_async.quota.ledger import Ledger
from strava_async.quota.meter import MeterState
from strava_async.quota.snapshot import load, save
from strava_async.quota.values import Priority, QuotaClass
from strava_async.testing.meters import MeterLimits, Meters

QUARTER, DAY = 900, 86_400
NOON = 1_767_700_800.0
GRACE = 5.0
FIRST_SECONDS = 6.0  # of a window, in which a late counter is found out
WRONG = [600.0, 5_000.0, 28_800.0, 400_000.0, 40 * 365 * 86_400.0]
SMALL = MeterLimits(overall_15min=8, overall_day=40, read_15min=5, read_day=25)

NONSENSE = st.one_of(
    st.sampled_from(["", ",", "1", "1,2,3", "-1,5", "+1,5", "1.0,2", "0,0", "١,٢", "9" * 5_000 + ",1", "1,1000000000"]),
    st.text(max_size=12),
)
NAMES = ["Date", "X-RateLimit-Limit", "X-RateLimit-Usage", "X-ReadRateLimit-Limit", "X-ReadRateLimit-Usage"]


def quota_class(reads: bool) -> QuotaClass:
    return QuotaClass.READ if reads else QuotaClass.UPLOAD


@dataclass(eq=False, repr=False)
class Call:
    """A call on its way, and what the server knows of it."""

    reads: bool
    priority: Priority
    waiter: Waiter
    entry: LedgerEntry | None = None
    cold: bool = False
    probe: bool = False
    given_at: float | None = None
    counted_at: float | None = None
    headers: dict[str, str] = field(default_factory=dict)
    rejected: bool = False
    ended: str = ""


@dataclass
class Refused:
    """A call that was refused for its deadline."""

    place: int
    reads: bool
    priority: Priority
    deadline: float


class LimiterMachine(RuleBasedStateMachine):
    """One process against Strava's meters."""

    queued: list[Call]

    @initialize(
        seconds=st.floats(0, DAY),
        mono=st.floats(0, 1e6),
        skew=st.floats(-120, 120),
        seed=st.integers(0, 99),
        used=st.integers(0, 9),
        warm=st.integers(0, 4),
        late=st.sampled_from([0.0, 0.0, 0.0, 0.3, 1.0, 2.0]),
    )
    def begin(self, seconds: float, mono: float, skew: float, seed: int, used: int, warm: int, late: float) -> None:
        self.now = mono
        self.skew = skew
        self.late = late  # the counter's clock is so much behind that of Date
        self.wrong_dates = 0
        self.offset = NOON - seconds - mono
        self.meters = Meters(SMALL)
        self.ledger = Ledger(self.now, self.server_now + skew, random=random.Random(seed).random, reserve=0.2)
        self.queue = WaitQueue(self.ledger)
        self.places = 0
        self.queued = []
        self.out: list[Call] = []
        self.stray: list[tuple[float, Call]] = []
        self.counted: list[Call] = []
        self.refused: list[Refused] = []
        self.quiet = True  # no foreign traffic, no cut of limits: a 429 would be our fault
        self.timeless = False  # windows turned by a wrong clock, before any Date: nobody can know what belongs where
        self.usages: dict[str, tuple[int, int]] = {}
        for _ in range(used // 3):
            self.meters.count("read", self.counter_now)
        for _ in range(warm):
            self.ask(True, Priority.NORMAL, math.inf, 1)
            self.move(self.now + 0.1)
            for call in list(self.out):
                self.count(call)
                self.settle(call, self.stamped(call, late=True))

    # -- the world ----------------------------------------------------------------------------------------------------

    @property
    def server_now(self) -> float:
        return self.now + self.offset

    @property
    def counter_now(self) -> float:
        return self.server_now - self.late

    def serve(self) -> None:
        self.ledger.roll_windows(self.now)
        while True:
            admissible = {
                (priority, reads): self.ledger.admits(quota_class(reads), priority, self.now)
                for priority in Priority
                for reads in (False, True)
            }
            waiter = self.queue.next_start(self.now)
            if waiter is None:
                break
            call = next(call for call in self.queued if call.waiter is waiter)
            self.check_order(call, admissible)
            known = all(
                meter.limit is not None and meter.usage is not None
                for budget in self.budgets(call.reads)
                for meter in (budget.quarter, budget.day)
            )
            call.probe = any(budget.is_probed() for budget in self.budgets(call.reads))
            call.entry = self.ledger.book(waiter.quota_class, waiter.priority, self.now)
            self.queued.remove(call)
            call.cold = not known or self.ledger.clock.doubted  # it may be a question
            call.given_at = self.now
            self.out.append(call)
            if not self.ledger.clock.doubted:
                self.check_room(call)
        while (waiter := self.queue.next_refusal(self.now)) is not None:
            call = next(call for call in self.queued if call.waiter is waiter)
            self.queued.remove(call)
            self.refused.clear()  # one less before the others
            self.note_refused(call)

    def budgets(self, reads: bool) -> tuple[Budget, ...]:
        return (self.ledger.overall, self.ledger.read) if reads else (self.ledger.overall,)

    def meter_states(self) -> list[tuple[MeterState, Budget, int]]:
        return [
            (meter, budget, length)
            for budget in (self.ledger.read, self.ledger.overall)
            for meter, length in ((budget.quarter, QUARTER), (budget.day, DAY))
        ]

    def note_refused(self, call: Call) -> None:
        call.ended = "refused"
        if call.waiter.deadline > self.now:
            self.refused.append(Refused(call.waiter.ticket, call.reads, call.priority, call.waiter.deadline))

    # -- callers ------------------------------------------------------------------------------------------------------

    @rule(
        reads=st.booleans(),
        priority=st.sampled_from(Priority),
        max_wait=st.one_of(st.just(math.inf), st.just(math.inf), st.floats(0, 3_000)),
        count=st.integers(1, 4),
    )
    def ask(self, reads: bool, priority: Priority, max_wait: float, count: int) -> None:
        for _ in range(count):
            self.places += 1
            self.enter(self.places, reads, priority, max_wait)
        self.serve()

    def enter(self, place: int, reads: bool, priority: Priority, max_wait: float) -> None:
        self.ledger.roll_windows(self.now)
        waiter = Waiter(quota_class(reads), priority, place, self.now, self.now + max_wait)
        call = Call(reads, priority, waiter)
        if max_wait < math.inf:
            wait = self.queue.blocked_behind(quota_class(reads), priority, self.now)
            if wait is not None and wait.until > waiter.deadline:
                self.note_refused(call)
                return
        self.queue.enter(waiter)
        self.queued.append(call)

    @precondition(lambda self: self.queued)
    @rule(data=st.data())
    def cancel_queued(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.queued))
        before = self.estimates()
        self.queue.leave(call.waiter)
        self.queued.remove(call)
        assert self.estimates() == before
        self.refused.clear()
        self.serve()

    @precondition(lambda self: any(call.counted_at is None for call in self.out))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from([call for call in self.out if call.counted_at is None]))
        self.ledger.roll_windows(self.now)
        before = self.estimates()
        self.ledger.release(call.entry, self.now)
        after = self.estimates()
        for budget in self.budgets(call.reads):
            for meter in (budget.quarter, budget.day):
                assert before[meter.name] - 1 <= after[meter.name] <= before[meter.name]
        self.out.remove(call)
        self.refused.clear()
        self.serve()

    @rule(reads=st.booleans())
    def cancel_granted(self, reads: bool) -> None:
        """A permit that is given and taken back in the same instant leaves no trace, and its unit goes to the next."""
        self.ledger.roll_windows(self.now)
        if self.queued or not self.ledger.admits(quota_class(reads), Priority.NORMAL, self.now):
            return
        before = self.estimates()
        permit = self.ledger.book(quota_class(reads), Priority.NORMAL, self.now)
        self.ledger.release(permit, self.now)
        assert self.estimates() == before
        assert self.ledger.admits(quota_class(reads), Priority.NORMAL, self.now)

    def estimates(self) -> dict[str, int]:
        return {meter.name: meter.spent(budget.out) + budget.out for meter, budget, _ in self.meter_states()}

    # -- the network --------------------------------------------------------------------------------------------------

    @precondition(lambda self: any(call.counted_at is None for call in self.out))
    @rule(data=st.data(), count=st.integers(1, 5))
    def arrive(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            coming = [call for call in self.out if call.counted_at is None]
            if coming:
                self.count(data.draw(st.sampled_from(coming)))

    def count(self, call: Call) -> None:
        verdict = self.meters.count("read" if call.reads else "upload", self.counter_now)
        call.counted_at = self.counter_now
        call.headers = dict(verdict.headers)
        call.rejected = not verdict.accepted
        self.counted.append(call)
        found_out = call.probe or (self.late and (self.server_now + 1e-6) % QUARTER < FIRST_SECONDS)
        if self.quiet and not call.cold and not self.timeless and not found_out:
            assert verdict.accepted, "a 429 that this process caused"

    @precondition(lambda self: any(call.counted_at is not None for call in self.out))
    @rule(
        data=st.data(),
        count=st.integers(1, 5),
        kind=st.sampled_from(
            ["whole", "whole", "whole", "no date", "no numbers", "nothing", "nonsense", "wrong date", "cached"]
        ),
        stamped_late=st.booleans(),
    )
    def answer(self, data: st.DataObject, count: int, kind: str, stamped_late: bool) -> None:
        for _ in range(count):
            there = [call for call in self.out if call.counted_at is not None]
            if not there:
                return
            call = data.draw(st.sampled_from(there))
            headers = self.stamped(call, late=stamped_late)
            if kind == "no date":
                del headers["Date"]
            elif kind == "no numbers":
                headers = {"Date": headers["Date"]}
            elif kind == "nothing":
                headers = {}
            elif kind == "nonsense":
                headers[data.draw(st.sampled_from(NAMES))] = data.draw(NONSENSE)
            elif kind == "wrong date" and self.knows_the_time(call):
                headers["Date"] = self.wrong_date(data.draw(st.sampled_from(WRONG)), data.draw(st.booleans()))
            elif kind == "cached":
                headers = self.cached(data.draw(st.sampled_from(self.counted)))
            self.settle(call, headers)

    def knows_the_time(self, call: Call) -> bool:
        """Say whether one wrong Date can be told from a right one: not while the clock is known to the hour only."""
        clock = self.ledger.clock
        return self.now - call.entry.given_at < 20 and clock.high - clock.low < 60

    def wrong_date(self, seconds: float, ahead: bool) -> str:
        """Return a wrong Date; no two are wrong by the same."""
        self.wrong_dates += 1
        seconds += 100 * self.wrong_dates
        return formatdate(max(0, math.floor(self.server_now + (seconds if ahead else -seconds))), usegmt=True)

    def cached(self, other: Call) -> dict[str, str]:
        """Return what a cache answers: the answer to another request."""
        date = math.floor((other.counted_at or 0.0) + self.late)
        return {**other.headers, "Date": formatdate(date, usegmt=True), "Age": str(1 + int(self.server_now - date))}

    @precondition(lambda self: self.places > 10 and self.out and not self.late)
    @rule(
        data=st.data(),
        field=st.sampled_from(NAMES[1:]),
        pair=st.sampled_from(["1,1", "999999999,999999999", "3,999999999", "999999999,7"]),
    )
    def answer_wrongly(self, data: st.DataObject, field: str, pair: str) -> None:
        """Let a pair of numbers of an answer be wrong; a usage not too small, which is no different from none."""
        if field.endswith("Usage"):
            pair = "999999999,999999999"
        call = data.draw(st.sampled_from(self.out))
        if call.counted_at is None:
            self.count(call)
        self.quiet = False
        self.refused.clear()
        self.settle(call, {**self.stamped(call, late=True), field: pair})

    @precondition(lambda self: self.places > 10 and self.out)
    @rule(data=st.data(), asked=st.sampled_from(["0", "-5", "7", "999999999", "Fri, 31 Dec 9999 23:59:59 GMT"]))
    def refuse_oddly(self, data: st.DataObject, asked: str) -> None:
        """Let Strava refuse without a number; a gateway before its counters."""
        call = data.draw(st.sampled_from([call for call in self.out if call.counted_at is None] or self.out))
        call.rejected = True
        self.quiet = False
        self.refused.clear()
        self.settle(call, {"Date": formatdate(math.floor(self.server_now), usegmt=True), "Retry-After": asked})

    def stamped(self, call: Call, *, late: bool) -> dict[str, str]:
        stamp = self.server_now if late else (call.counted_at or 0.0) + self.late
        return {**call.headers, "Date": formatdate(math.floor(stamp), usegmt=True)}

    @precondition(lambda self: self.out)
    @rule(rng=st.randoms(use_true_random=False), gone=st.integers(0, 5))
    def round_trips(self, rng: random.Random, gone: int) -> None:
        """Let everything that is out arrive, in one order, and be answered, in another; some answers say nothing."""
        calls = list(self.out)
        rng.shuffle(calls)
        for call in calls:
            self.now += 0.01
            if call.counted_at is None:
                self.count(call)
        rng.shuffle(calls)
        for call in calls:
            self.now += 0.01
            headers = self.stamped(call, late=True)
            self.settle(call, {} if gone and rng.randrange(gone + 1) == 0 else headers)

    def settle(self, call: Call, headers: dict[str, str]) -> None:
        before = {meter.name: meter.usage for meter, _, _ in self.meter_states()}
        if None in before.values() and ("Age" in headers or not call.headers.items() <= headers.items()):
            self.quiet = False  # a few of these, and the documented limits are believed, which are not this server's
        limits = [meter.limit for meter, _, _ in self.meter_states()]
        loose = any(meter.unconfirmed or meter.doubt for meter, _, _ in self.meter_states())
        held = any(budget.cooldown_until > self.now for budget in self.budgets(True))
        quarter = self.ledger.window.quarter
        self.ledger.settle(call.entry, 429 if call.rejected else 200, headers, self.now)
        self.out.remove(call)
        if held or loose or self.late or limits != [meter.limit for meter, _, _ in self.meter_states()]:
            self.refused.clear()  # what was known then is known better now
        if self.ledger.window.quarter == quarter and self.ledger.clock.synchronized and "Date" in headers:
            self.check_straddle(call, before)
        if call.rejected:
            self.enter(call.waiter.ticket, call.reads, call.priority, math.inf)
        self.serve()

    @precondition(lambda self: self.out)
    @rule(data=st.data(), arrives=st.one_of(st.none(), st.floats(0, GRACE - 0.1)))
    def lose(self, data: st.DataObject, arrives: float | None) -> None:
        call = data.draw(st.sampled_from(self.out))
        self.ledger.roll_windows(self.now)
        self.ledger.abandon(call.entry, self.now)
        self.out.remove(call)
        if call.counted_at is None and arrives is not None:
            self.stray.append((self.now + arrives, call))
        self.serve()

    # -- others, and time ---------------------------------------------------------------------------------------------

    @precondition(lambda self: self.places > 20)
    @rule(count=st.integers(1, 4), reads=st.booleans())
    def others(self, count: int, reads: bool) -> None:
        self.quiet = False
        for _ in range(count):
            self.meters.count("read" if reads else "upload", self.counter_now)

    @precondition(lambda self: self.places > 20)
    @rule(factor=st.sampled_from([1, 2, 3]), cut=st.booleans())
    def change_limits(self, factor: int, cut: bool) -> None:
        limits = MeterLimits(*(getattr(SMALL, name) * factor for name in MeterLimits.__slots__))
        if limits.read_15min < self.meters.limits.read_15min:
            if not cut:
                return
            self.quiet = False
        self.meters.limits = limits
        self.refused.clear()

    @rule(seconds=st.one_of(st.floats(0, 2), st.floats(0, 1_000), st.floats(0, 2 * DAY)))
    def advance(self, seconds: float) -> None:
        self.move(self.now + seconds)

    @rule(seconds=st.floats(-1.5, 1.5), day=st.booleans())
    def to_boundary(self, seconds: float, day: bool) -> None:
        length = DAY if day else QUARTER
        boundary = (self.server_now // length + 1) * length - self.offset
        self.move(max(self.now, boundary + seconds))

    @precondition(lambda self: self.places > 10)
    @rule(seconds=st.one_of(st.floats(5, 60), st.floats(60, 2_000), st.floats(0, 2 * DAY)), slept=st.booleans())
    def suspend_or_set(self, seconds: float, slept: bool) -> None:
        """The machine sleeps, or somebody sets its clock ahead: to the limiter they look alike."""
        if slept:
            for _, call in self.stray:
                self.count(call)
            self.stray.clear()
            self.offset += seconds
            self.timeless |= not self.ledger.clock.synchronized
        self.ledger.note_sleep(seconds, self.now)
        self.refused.clear()
        self.serve()

    def move(self, target: float) -> None:
        """Let time pass, with everything that happens on the way."""
        wall, wall_then = self.server_now + self.skew, target + self.offset + self.skew
        if not self.ledger.clock.synchronized and (
            wall // QUARTER != wall_then // QUARTER or self.server_now // QUARTER != (target + self.offset) // QUARTER
        ):
            self.timeless |= bool(self.counted or self.out or self.stray)
        while True:
            events = [when for when, _ in self.stray]
            if self.queue.length:
                events.append(self.queue.next_change(self.now))
            when = min(events, default=math.inf)
            if when > target:
                break
            self.now = max(self.now, when)
            for stray in [stray for stray in self.stray if stray[0] <= self.now]:
                self.stray.remove(stray)
                self.count(stray[1])
            self.serve()
        self.now = target
        self.serve()

    # -- what must hold -----------------------------------------------------------------------------------------------

    def check_order(self, call: Call, admissible: dict[tuple[Priority, bool], bool]) -> None:
        place = call.waiter.ticket
        starved = False
        for other in self.queued:
            if other.reads != call.reads:
                continue
            if other.priority == call.priority:
                assert other.waiter.ticket >= place, "first come, first served"
            elif other.priority < call.priority and admissible[other.priority, other.reads]:
                starved = True
        if starved:
            assert call.waiter.asked_at <= self.now - QUARTER, "a lower priority passes only after a whole window"
        for refused in self.refused:
            if refused.reads == call.reads and refused.priority <= call.priority and refused.place < place:
                assert self.now > refused.deadline, "refused, though it could have started in time"

    def check_room(self, call: Call) -> None:
        for budget in self.budgets(call.reads):
            for meter in (budget.quarter, budget.day):
                if meter.limit is not None and meter.usage is not None and not call.probe:
                    assert meter.spent(budget.out) + budget.out <= meter.limit

    def check_straddle(self, call: Call, before: dict[str, int | None]) -> None:
        for meter, _, length in self.meter_states():
            window = self.ledger.window.quarter * QUARTER // length
            if (call.counted_at or 0.0) // length != window and not self.late:
                assert (meter.usage or 0) == (before[meter.name] or 0), "a number of another window"

    @invariant()
    def books_are_complete(self) -> None:
        for budget, calls in (
            (self.ledger.overall, self.out),
            (self.ledger.read, [call for call in self.out if call.reads]),
        ):
            assert budget.out == len(calls)
        for meter, budget, length in self.meter_states():
            assert meter.own >= budget.out >= 0
            if (
                self.timeless
                or meter.usage is None
                or self.ledger.window.quarter * QUARTER // length != self.counter_now // length
            ):
                continue
            own = sum(
                1
                for call in self.counted
                if (call.reads or meter.name.startswith("overall"))
                and (call.counted_at or 0.0) // length == self.counter_now // length
            )
            assert meter.spent(budget.out) + budget.out >= own, meter.name

    @invariant()
    def usage_only_rises(self) -> None:
        for meter, _, length in self.meter_states():
            window = self.ledger.window.quarter * QUARTER // length
            confirmed = 0 if meter.usage is None else meter.usage if meter.doubt is None else meter.doubt.usage
            before = self.usages.get(meter.name)
            if before is not None and before[0] == window and not self.late:
                assert confirmed >= before[1]
            self.usages[meter.name] = (window, confirmed)

    @invariant()
    def clock_is_right(self) -> None:
        clock = self.ledger.clock
        if clock.synchronized:
            assert clock.earliest(self.now) + clock.late <= self.server_now + 1e-3
            assert self.server_now <= clock.latest(self.now) + clock.early + 1e-3
            assert self.ledger.window.quarter <= self.server_now // QUARTER, "a window never begins early"

    @invariant()
    def somebody_wakes_up(self) -> None:
        if not self.queue.length:
            return
        at = self.queue.next_change(self.now)
        assert at > self.now
        if self.ledger.clock.synchronized:
            width = self.ledger.clock.high - self.ledger.clock.low
            boundary = (self.ledger.window.quarter + 1) * QUARTER - self.offset
            assert at <= boundary + width + self.ledger.clock.late + 0.5 + 0.05 + 0.25

    @invariant()
    def no_window_is_longer_than_a_quarter_of_an_hour(self) -> None:
        skew = 0.0 if self.ledger.clock.synchronized else abs(self.skew)
        assert self.ledger.window.turns_at - self.now <= QUARTER + 10 + skew

    @invariant()
    def no_hold_goes_beyond_midnight(self) -> None:
        midnight = (self.server_now // DAY + 1) * DAY - self.offset
        for budget in self.budgets(True):
            assert budget.cooldown_until <= max(self.now + 300, midnight + 10 + abs(self.skew))

    @invariant()
    def every_waiter_starts(self) -> None:
        for call in self.queued:
            budgets = self.budgets(call.reads)
            if call.priority is Priority.BACKGROUND or any(budget.out for budget in budgets):
                continue
            held = any(budget.cooldown_until > self.now for budget in budgets)
            room = all(meter.room(0) > 0 for budget in budgets for meter in (budget.quarter, budget.day))
            assert held or not room or self.ledger.turn.is_probed(self.now)

    @invariant()
    def polling_again_changes_nothing(self) -> None:
        out = len(self.out)
        self.serve()
        assert len(self.out) == out

    @invariant()
    def snapshot_is_the_identity(self) -> None:
        if self.out or not self.ledger.clock.synchronized:
            return
        saved = save(self.ledger, self.now, self.server_now)
        ledger = Ledger(self.now, self.server_now, random=lambda: 0.5, reserve=0.2)
        load(ledger, saved, self.now, self.server_now)
        again = save(ledger, self.now, self.server_now)
        assert again["read"] == saved["read"]
        assert again["overall"] == saved["overall"]
        assert again["quarter"] == saved["quarter"]

    def teardown(self) -> None:
        """Everybody is served in the end."""
        if not hasattr(self, "ledger"):
            return
        self.quiet = False
        days = 3 + len(self.queued) // SMALL.read_day
        end = self.now + days * DAY
        while (self.queued or self.out) and self.now < end:
            for call in list(self.out):
                if call.counted_at is None:
                    self.count(call)
                headers = {**call.headers, "Date": formatdate(math.floor(self.server_now), usegmt=True)}
                self.settle(call, headers)
            if self.queued:
                self.move(self.queue.next_change(self.now))
        assert not self.queued


LimiterMachine.TestCase.settings = settings(
    max_examples=120,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestLimiter = LimiterMachine.TestCase
