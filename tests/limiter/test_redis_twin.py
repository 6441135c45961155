"""The script on Redis and the pure function are the same: their states and replies, after every step of a history."""

from __future__ import annotations

import dataclasses
import hashlib
import random
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strava_async.quota.fleet.codec import VERSION
from strava_async.quota.fleet.line import ASLEEP_MS, AWAKE_MS, ELASTIC, FRESH_MS, Line
from strava_async.quota.fleet.messages import (
    NONE,
    NOTHING,
    UNKNOWN,
    Numbers,
    Pair,
    Reply,
    Report,
    Spent,
    Unconfirmed,
    numbers_of,
)
from strava_async.quota.fleet.messages import Wants as WantsOf
from strava_async.quota.fleet.state import Doubt, Fleet, Lost, Row
from strava_async.quota.fleet.sync import sync
from strava_async.quota.values import Priority
from tests.quota.fleet.simulation import Harvesters
from tests.quota.simulation import ragged
from tests.redis_server import RedisServer, needs_redis

pytestmark = [pytest.mark.one_python, needs_redis]

PLACE_BYTES = 10  # in the line: four for what was had, six for what would be
ABSENT = 2**32 - 1
KEYS = ("{strava:7}:quota", "{strava:7}:rows")
MIDNIGHT_QUARTER = 1_963_104 + 96  # the first of a day


class Twins:
    """The function and the script, over one history."""

    def __init__(self, client: Any, fleet: Fleet | None = None) -> None:
        from strava_async.limiter.redis_script import script

        self.client = client
        self.client.flushall()
        text = script()
        self.sha = hashlib.sha1(text.encode()).hexdigest()
        self.client.script_load(text)
        self.fleet = Fleet() if fleet is None else fleet
        if fleet is not None:
            self.client.hset(KEYS[0], "state", packed(fleet))
            if fleet.rows:
                self.client.hset(KEYS[1], mapping={process: packed_row(row) for process, row in fleet.rows.items()})

    def call(self, report: Report, now: int) -> Reply:
        """Carry out a call in both; they have to agree."""
        from strava_async.limiter.redis_packing import pack_report, unpack_reply

        before = self.fleet
        self.fleet, reply = sync(before, report, now)
        text = self.client.evalsha(self.sha, 2, *KEYS, report.process, pack_report(report), now)
        assert unpack_reply(text) == reply
        assert comparable(self.read()) == comparable(self.fleet)
        if self.fleet is not before:
            assert self.sums() == sums(self.fleet)
        return reply

    def sums(self) -> dict[str, Any]:
        """Return the sums of the rows, and the line, as the script keeps them."""
        from strava_async.limiter.redis_layout import STATE, SUMS

        text = self.client.hget(KEYS[0], "state")
        numbers = struct.unpack(f"<{STATE.size}d", text[-8 * STATE.size :])
        found = {name: numbers[first - 1 : first - 1 + size] for name, (first, size) in STATE.places.items()}
        slots = max(row.slot for row in self.fleet.rows.values())
        places = text[: -8 * STATE.size][-PLACE_BYTES * slots :]
        line: list[tuple[int, int]] = []
        for start in range(0, len(places), PLACE_BYTES):
            place = places[start : start + PLACE_BYTES]
            line.append((int.from_bytes(place[:4], "little"), int.from_bytes(place[4:], "little", signed=True)))
        assert found["lease_ends_at"][0] <= min(self._instants()), "a row's time is over before its sums are made anew"
        kept = {name: found[name] for name in SUMS.places if name not in {"lease_ends_at", "sums_until"}}
        return {**kept, "rows": found["known_rows"], "line": [place for place in line if place[0] != ABSENT]}

    def _instants(self) -> Iterator[int]:
        for row in self.fleet.rows.values():
            yield row.known_until
            if row.held.overall:
                yield row.lease_until

    def read(self) -> Fleet:
        from strava_async.limiter.redis_packing import unpack_fleet

        rows = {process.decode(): row for process, row in self.client.hgetall(KEYS[1]).items()}
        return unpack_fleet(self.client.hget(KEYS[0], "state"), rows)


def packed(fleet: Fleet) -> bytes:
    """Return a state as the script keeps it."""
    from strava_async.limiter.redis_layout import FLEET, SUMS

    sums = [*fleet.held(), *[0] * (SUMS.size - 2)]  # of which most hold no longer
    numbers = [*FLEET.flat(fleet), len(fleet.rows), NONE, *sums, len(fleet.doubts), len(fleet.lost)]
    text = bytes([VERSION])
    for meter, doubt in fleet.doubts.items():
        text += struct.pack("<BddB", meter + 1, doubt.usage, doubt.at, len(doubt.process.encode()))
        text += doubt.process.encode()
    for process, requests in fleet.lost:
        name = process.encode()
        text += struct.pack("<dddBB", *requests[:4], len(name)) + name
    return text + struct.pack(f"<{len(numbers)}d", *numbers)


def packed_row(row: Row) -> bytes:
    """Return a row as the script keeps it."""

    def long(instant: int) -> bytes:
        return instant.to_bytes(6, "little")

    relative = (row.lease_until - row.at, row.known_until - row.at)
    text = long(row.at) + struct.pack("<Ii", row.count, row.asks_at - row.at) + long(row.wanted_at + 1)
    text += struct.pack("<10I", *relative, *row.held, *row.done, *row.wants)
    text += struct.pack("<BBH", row.ahead, len(row.unconfirmed), row.slot)
    for each in row.unconfirmed:
        text += struct.pack("<II", each.read, each.overall) + long(each.until) + struct.pack("<B", each.in_window)
    return text


def sums(fleet: Fleet) -> dict[str, Any]:
    """Return what the script is to keep of the rows, as the function sees them at this instant."""
    rows, since = list(fleet.rows.values()), max(fleet.turned_at, fleet.heals_until)
    nobody = Row(0, 0, 0, NONE, 0, 0)
    waiting = Line(dataclasses.replace(fleet, rows={**fleet.rows, "": nobody}), "").rows
    line, wished = list[tuple[int, int]](), 0
    for row in sorted(waiting, key=lambda row: row.slot):
        used = row.done.overall + row.held.overall + row.ahead
        wish = ELASTIC * max(1, row.wants.total + row.held.overall)
        demand = -used - wish if row.wants.total == row.wants.background > 0 else used + wish
        is_asleep = fleet.at - since > AWAKE_MS and row.asks_at - fleet.at > ASLEEP_MS
        line.append((used, 0 if is_asleep else demand))
        wished += wish
    return {
        "rows": (len(rows),),
        "held": tuple(fleet.held()),
        "done": tuple(fleet.ended().minus(fleet.gone)),
        "with_entries": (sum(bool(row.unconfirmed) for row in rows),),
        "unused": (sum(row.held.overall for row in rows if not row.wants.total),),
        "waiting": (len(waiting),),
        "urgent": (sum(row.wants.interactive + row.wants.normal for row in waiting),),
        "wished": (wished,),
        "line": line,
    }


def comparable(fleet: Fleet) -> dict[str, Any]:
    """Return a state as something that is equal where the order of what was lost alone is not."""
    state = {each.name: getattr(fleet, each.name) for each in dataclasses.fields(fleet)}
    # The milliseconds of a report have become an instant.
    lost = ((process, requests._replace(ms=0)) for process, requests in fleet.lost if any(requests[:2]))
    return {**state, "lost": sorted(lost)}


@pytest.fixture(scope="module")
def twins_client(server_of_module: RedisServer) -> Iterator[Any]:
    from redis import Redis

    with Redis(port=server_of_module.port) as client:
        yield client


# -- whatever is reported ----------------------------------------------------------------------------------------------

few = st.integers(0, 12)
many = st.one_of(few, st.integers(0, 400))
flags = st.booleans()
ago = st.one_of(st.just(NONE), st.sampled_from([0, 1, 900, 1_600, 70_000]))
LIMITS = [(100, 1_000, 200, 2_000), (100, 1_000, 100, 1_000), (400, 900, 700, 1_000)]


def rarely(usual: st.SearchStrategy[Any], rare: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw something that is rare in one case of six: what is rare all at once leads nowhere."""
    return st.one_of(*[usual] * 5, rare)


@st.composite
def steps(draw: st.DrawFn) -> tuple[Any, ...]:
    """Draw a report whose counts and instants are told from the state that it meets; see ``reported``."""
    number = st.one_of(st.just(NONE), st.sampled_from([0, 1, 2, 30, 70, 98, 99, 100, 101, 150, 1_000]), many)
    numbers = st.tuples(number, number, number, number)
    pair = st.tuples(ago, ago)
    wants = st.one_of(
        st.just((0, 0, 0, 0)),
        st.tuples(st.just(0), many, st.just(0), st.just(0)),
        st.tuples(st.just(0), st.just(0), many, st.just(0)),
        st.tuples(few, many, many, few),
    )
    requests = st.tuples(few, few, ago, flags, st.sampled_from([0, 1, 2_000, 60_000]))
    return draw(
        st.tuples(
            st.sampled_from(["a", "b", "c", "ü"]),
            rarely(st.just(1), st.sampled_from([1, 0, -1])),  # of the count
            rarely(st.just(0), st.sampled_from([0, 1, 2, 99])),  # calls whose reply was lost
            rarely(st.just(0), st.sampled_from([0, -1, 1, 5])),  # of what it has seen
            rarely(st.just(False), flags),
            rarely(st.just(0), st.sampled_from([0, 1, 1, -1, 2, 96])),  # of the quarter
            rarely(st.just(True), flags),
            st.integers(0, 900_000),
            st.one_of(st.just((0, 0)), st.tuples(few, few)),
            st.tuples(many, many),
            # Mostly a few more than are known.
            rarely(st.one_of(st.just(UNKNOWN), st.integers(0, 9)), numbers),
            rarely(st.just(UNKNOWN), numbers),
            pair,
            rarely(st.just(UNKNOWN), numbers),
            st.sampled_from([NONE, NONE, 0, 1]),  # above the limit, with a 429
            rarely(
                st.sampled_from(LIMITS[:1]),
                st.sampled_from([*LIMITS, UNKNOWN, (NONE, NONE, 100, 1_000), (100, 1_000, NONE, NONE), (0, 0, 0, 0)]),
            ),
            ago,
            rarely(st.just(False), flags),
            rarely(st.just([]), st.lists(requests, max_size=3)),
            rarely(st.just((NONE, NONE)), pair),
            st.sampled_from([0, 0, 60_000]),
            pair,
            rarely(st.just(NONE), st.sampled_from([0, 50])),
            wants,
            few,
            st.sampled_from([10_000, 10_000, 3_000, 0]),
            st.sampled_from([0, 10_000, 900_000]),
            st.sampled_from([0.2, 0.0, 1.0, 0.33]),
            # How much later it is, by a clock that may be set.
            rarely(
                st.sampled_from([0, 1, 20, 500, 1_000, 1_500, 1_501]),
                st.one_of(st.integers(0, 9_000), st.sampled_from([61_000, 300_000, 900_000, 4_000_000, -7_000])),
            ),
        )
    )


def usual(step: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a step after which the sums that are kept still hold, unless some time goes by."""
    answered, (in_advance, _, _, reserve, later) = step[7:18], step[24:]
    unconfirmed, refused = list[tuple[Any, ...]](), ((NONE, NONE), 0)
    times = (10_000, 900_000, reserve, min(max(later, 0), 900))
    return (
        *(step[0], 1, 0, 0, False, 0, True),
        *(*answered, unconfirmed, *refused, step[21], NONE),
        *(step[23], in_advance, *times),
    )


def reported(step: tuple[Any, ...], fleet: Fleet) -> Report:
    """Return the report of a step."""
    (process, counts, unheard, seen, alone, quarters, sure, ms_left, held, done, numbers, latest, number_at) = step[:13]
    (known, above, limits, limits_at, assumed, unconfirmed, refused, refused_ms, served, late, wants) = step[13:24]
    (in_advance, lease_ms, row_ms, reserve) = step[24:28]
    if isinstance(numbers, int):
        numbers = tuple(max(0, usage) + numbers for usage in fleet.usage)
    row = fleet.rows.get(process)
    count = max(1, (row.count if row else 0) + counts)

    def instant(ago: int) -> int:
        return NONE if ago == NONE else max(0, fleet.at - ago)

    def pair(agos: Pair) -> Pair:
        return instant(agos[0]), instant(agos[1])

    return Report(
        process=process,
        count=count,
        acknowledged=max(0, count - 1 - unheard),
        seen=max(0, fleet.sequence + seen),
        alone=alone,
        quarter=(fleet.quarter or MIDNIGHT_QUARTER - 2) + quarters,
        sure=sure,
        ms_left=ms_left,
        held=Spent(min(held), max(held)),
        done=Spent(min(done), max(done)),
        numbers=numbers,
        latest=latest,
        refused=UNKNOWN if above == NONE else numbers_of(number - above for number in numbers),
        number_at=pair(number_at),
        known=known,
        limits=limits,
        limits_at=instant(limits_at),
        assumed=assumed,
        unconfirmed=tuple(Unconfirmed(*each[:2], instant(each[2]), *each[3:]) for each in unconfirmed),
        refused_at=pair(refused),
        refused_ms=refused_ms,
        served_at=pair(served),
        late_at=instant(late),
        late_ms=max(0, late) * 100,
        lateness=(late + 1, 2 * late + 2),
        wants=WantsOf(*wants),
        in_advance=in_advance,
        lease_ms=lease_ms,
        row_ms=row_ms,
        reserve=reserve,
    )


def agree(client: Any, history: list[tuple[Any, ...]]) -> None:
    twins, now = Twins(client), 1_767_693_600_000
    for step in history:
        now += step[-1]
        twins.call(reported(step, twins.fleet), now)


SETTINGS = settings(
    deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@given(st.lists(steps(), min_size=8, max_size=30))
@settings(SETTINGS, max_examples=40)
def test_they_agree_on_any_reports(twins_client: Any, history: list[tuple[Any, ...]]) -> None:
    agree(twins_client, history)


@given(st.lists(steps().map(usual), min_size=12, max_size=40))
@settings(SETTINGS, max_examples=40)
def test_they_agree_where_the_sums_of_the_rows_are_kept(twins_client: Any, history: list[tuple[Any, ...]]) -> None:
    twins_client.config_resetstat()
    agree(twins_client, history)
    calls = {name: told["calls"] for name, told in twins_client.info("commandstats").items()}
    # One HGETALL of each step is the test's own.
    assert calls["cmdstat_hgetall"] - len(history) <= 0.7 * len(history)


@pytest.mark.long
@pytest.mark.timeout(1_200)
@given(st.lists(steps().map(usual), min_size=12, max_size=80))
@settings(SETTINGS, max_examples=3_000)
def test_they_agree_where_the_sums_are_kept_for_minutes(twins_client: Any, history: list[tuple[Any, ...]]) -> None:
    agree(twins_client, history)


@pytest.mark.long
@pytest.mark.timeout(1_200)
@given(st.lists(steps(), min_size=8, max_size=60))
@settings(SETTINGS, max_examples=3_000)
def test_they_agree_on_any_reports_for_minutes(twins_client: Any, history: list[tuple[Any, ...]]) -> None:
    agree(twins_client, history)


# -- whatever is known -------------------------------------------------------------------------------------------------


class Draw:
    """Draws a state and a report that meet: of a quota that is in use, with anything that may have happened to it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.at = 1_767_693_600_000
        self.quarter = MIDNIGHT_QUARTER - self.rng.choice([1, 40, 96])
        self.limits = self.rng.choice(LIMITS)
        # Much is decided by a few: where nobody is out, where nothing is unconfirmed, where a meter is full.
        self.is_idle, self.is_doubted, self.is_full = (self.rng.random() < 0.4 for _ in range(3))
        self.done = self.spent(40)  # of some, who are thus equal

    def maybe(self, share: float = 0.2) -> bool:
        return self.rng.random() < share

    def few(self) -> int:
        return 0 if self.maybe(0.5) else self.rng.randint(0, 12)

    def instant(self) -> int:
        return NONE if self.maybe(0.3) else self.at - self.rng.choice([0, 1, 999, 1_000, 1_500, 1_501, 70_000, 400_000])

    def pair(self) -> Pair:
        return self.instant(), self.instant()

    def spent(self, most: int) -> Spent:
        overall = self.rng.randint(0, most)
        return Spent(self.rng.randint(0, overall), overall)

    def held(self) -> Spent:
        return NOTHING if self.is_idle or self.maybe() else self.spent(12)

    def wants(self) -> WantsOf:
        return WantsOf(*(self.few() if self.maybe(0.4) else 0 for _ in range(4)))

    def unconfirmed(self) -> tuple[Unconfirmed, ...]:
        count = self.rng.choice([0, 0, 0, 1, 2])
        return tuple(Unconfirmed(self.few(), self.few(), max(0, self.instant()), self.maybe(0.7)) for _ in range(count))

    def numbers(self) -> Numbers:
        """Return numbers that leave some, or none, of the limits."""
        full = {meter for meter in range(4) if self.is_full and self.maybe(0.4)}
        left = [0 if meter in full else self.rng.choice([0, 1, 2, 5, 12, 40, 90]) for meter in range(4)]
        read_quarter, read_day, quarter, day = (
            NONE if self.maybe(0.03) else max(0, limit - less) for limit, less in zip(self.limits, left, strict=True)
        )
        return read_quarter, read_day, quarter, day

    def row(self, slot: int) -> Row:
        at = self.at - self.rng.choice([0, 1, 300, 1_500, 1_501, 9_000])
        lease_until = at + self.rng.choice([0, 1, 500, 3_000, 10_000])
        return Row(
            count=self.rng.randint(1, 9),
            at=at,
            asks_at=at + self.rng.choice([0, 200, 700, 60_000]),
            wanted_at=max(NONE, self.instant()),
            lease_until=lease_until,
            known_until=lease_until + self.rng.choice([0, 900_000]),
            held=self.held(),
            done=self.done if self.maybe(0.4) else self.spent(40),
            wants=self.wants(),
            unconfirmed=self.unconfirmed(),
            ahead=self.few() // 4,
            slot=slot,
        )

    def fleet(self) -> Fleet:
        rng, names = self.rng, ["a", "ab", "b", "c", "ü"]
        slots = list(enumerate(rng.sample(names, k=len(names)), 1))
        others = rng.choice([0, 0, 0, 3, 50])
        turned_at = self.at - rng.choice([100, 1_500, 100_000, 500_000])
        doubted = [meter for meter in range(4) if self.is_doubted and self.maybe(0.5)]
        return Fleet(
            sequence=rng.randint(5, 99),
            wall=self.at - 500,
            at=self.at,
            quarter=self.quarter,
            sure=self.maybe(0.8),
            turned_at=turned_at,
            ends_at=self.at + rng.choice([-2_001, -1_500, 0, 400_000]),
            heals_until=self.at + (rng.choice([0, 1, 3_000]) if self.maybe(0.1) else -9),
            usage=self.numbers(),
            limits=(NONE, NONE, NONE, NONE) if self.maybe(0.05) else self.limits,
            limits_at=self.instant(),
            limits_confirmed=self.maybe(0.7),
            number_at=self.pair(),
            doubts={m: Doubt(rng.choice([NONE, 10, 95]), self.at - rng.choice([1, 2_000]), "b") for m in doubted},
            lost=tuple(
                Lost(rng.choice(names), each) for _ in range(rng.choice([1] * 7 + [20])) for each in self.unconfirmed()
            ),
            gone=self.spent(9),
            others=rng.choice([NONE, others]),
            others_at_first=rng.choice([0, others]),
            others_before=rng.choice([0, 0, others]),
            own_before=rng.randint(0, 90),
            was_full=self.maybe(),
            first_at=self.instant(),
            has_number=self.maybe(0.8),
            answered_at=self.at - rng.choice([0, 999, 1_000, 3_700_000]),
            step=rng.choice([0, 1, 2, 2, 2, 2]),
            answered=self.few() if self.maybe(0.5) else 200,
            cooldown_until=(0, self.at + rng.choice([-1, 1, 500, 600])) if self.maybe() else (0, 0),
            refused_at=self.pair() if self.maybe() else (NONE, NONE),
            judged_at=self.pair(),
            served_at=self.pair(),
            refusals=(self.few(), self.few()),
            late_until=self.at + rng.choice([-1, 1, 500, 700]) if self.maybe() else 0,
            late_at=self.instant(),
            lateness=(self.few(), self.few()),
            probed_at=turned_at if self.maybe() else self.instant(),
            interactive=rng.choice([0, 0, 7, 90]),
            interactive_before=rng.choice([0, 0, 7, 90]),
            most=rng.randint(1, 9),
            most_before=rng.randint(0, 9),
            rows={name: self.row(slot) for slot, name in slots if self.maybe(0.6)},
        )

    def report(self, fleet: Fleet) -> Report:
        rng, process = self.rng, self.rng.choice(["a", "b", "e"])
        count = fleet.rows[process].count if process in fleet.rows else 0
        known = tuple(max(0, usage) + rng.choice([-3, 0, 0, 1, 4]) for usage in fleet.usage)
        others_limits = (50, NONE, 90, 900)
        return Report(
            process=process,
            count=count + rng.choice([1, 1, 1, 1, 1, 1, 0]),
            acknowledged=max(0, count + (self.maybe(0.05))),
            seen=fleet.sequence - rng.choice([0, 1]) + self.maybe(0.05),
            alone=self.maybe(0.05),
            quarter=self.quarter + rng.choice([0, 0, 0, 0, 1, 1, 2, -1]),
            sure=self.maybe(0.7),
            ms_left=rng.choice([1, 5_000, 300_000, 900_000, 900_001]),
            held=self.held(),
            done=self.done if self.maybe(0.4) else self.spent(40),
            numbers=numbers_of(known) if self.maybe(0.5) else UNKNOWN,
            latest=self.numbers(),
            refused=numbers_of(known) if self.maybe() else UNKNOWN,
            number_at=self.pair(),
            known=self.numbers(),
            limits=rng.choice([self.limits, self.limits, UNKNOWN, others_limits]),
            limits_at=self.instant(),
            assumed=self.maybe(0.1),
            unconfirmed=tuple(each._replace(until=self.instant(), ms=self.few()) for each in self.unconfirmed()),
            refused_at=self.pair() if self.maybe(0.1) else (NONE, NONE),
            refused_ms=rng.choice([0, 60_000]),
            served_at=self.pair(),
            late_at=self.instant() if self.maybe(0.1) else NONE,
            late_ms=900,
            lateness=(3, 4),
            wants=self.wants(),
            in_advance=self.few(),
            row_ms=rng.choice([0, 900_000]),
            reserve=rng.choice([0.2, 0.2, 0.0, 1.0, 0.33, rng.random(), 5e-324, 1 - 2**-53]),
        )


def agree_on(client: Any, seeds: range) -> None:
    for seed in seeds:
        draw = Draw(seed)
        twins = Twins(client, draw.fleet())
        for _ in range(2):
            draw.at = twins.fleet.at
            report = draw.report(twins.fleet)
            twins.call(report, twins.fleet.wall + draw.rng.choice([0, 1, 500, 1_500, 20_000]))


def test_they_agree_on_a_call_whatever_is_known(twins_client: Any) -> None:
    agree_on(twins_client, range(1_500))


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_they_agree_on_a_call_whatever_is_known_for_minutes(twins_client: Any) -> None:
    agree_on(twins_client, range(1_500, 100_000))


# -- what processes report ---------------------------------------------------------------------------------------------


def spoilt(fleet: Harvesters, lost_at: list[int]) -> None:
    """Let answers come late and without fields, replies and the books be lost, processes die, pause and come back."""
    world, place = fleet.world, fleet.place
    world.spoil = lambda rng, fields: None if rng.random() < 0.1 else fields
    world.latency = ragged
    place.loses = 0.05
    world.at(world.now + 30.5, fleet.desks[0].kill)
    world.at(world.now + 61.5, fleet.desks[1].pause)
    world.at(world.now + 85.5, fleet.desks[1].go_on)

    def lose() -> None:
        place.fleet = Fleet()
        lost_at.append(len(place.history))

    world.at(world.now + 120.0, lose)


def plain(fleet: Harvesters, lost_at: list[int]) -> None:
    """Let nothing happen but the work."""


@pytest.mark.parametrize("happens", [plain, spoilt])
@pytest.mark.parametrize("priority", [Priority.NORMAL, Priority.BACKGROUND])
@pytest.mark.parametrize("limit", [100, pytest.param(600, marks=pytest.mark.long)])
def test_they_agree_on_what_a_fleet_reports(twins_client: Any, limit: int, priority: Priority, happens: Any) -> None:
    fleet, lost_at = Harvesters(limit, processes=5, tasks=20, priority=priority), list[int]()
    happens(fleet, lost_at)
    fleet.place.keeps_history = True
    fleet.run(1.2)
    assert len(fleet.place.reports) > 50
    twins = Twins(twins_client)
    for index, (report, state) in enumerate(zip(fleet.place.reports, fleet.place.history, strict=True)):
        if index in lost_at:
            twins = Twins(twins_client)
        twins.call(report, state.wall)
        assert comparable(twins.fleet) == comparable(state)


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_large_numbers_are_exact(twins_client: Any) -> None:
    twins, limits = Twins(twins_client), (999_999_999, 999_999_999, 999_999_999, 999_999_999)
    nothing: Numbers = UNKNOWN
    for count in range(1, 9):
        report = Report(
            process="p" * 255,
            count=count,
            acknowledged=count - 1,
            seen=2**50 if count == 5 else 0,
            quarter=MIDNIGHT_QUARTER,
            ms_left=450_000,
            done=Spent(999_999_997, 999_999_998),
            held=NOTHING,
            numbers=(999_999_990, 999_999_991, 999_999_992, 999_999_993) if count > 2 else nothing,
            number_at=(1, 1),
            limits=limits,
            wants=WantsOf(1, 999_999, 999_999, 3),
        )
        twins.call(report, 4_000_000_000_000 + count)


def test_a_line_of_any_length_is_kept(twins_client: Any) -> None:
    at, quarter = 1_767_693_600_000, MIDNIGHT_QUARTER
    rows = {
        f"{slot:04}": Row(1, at, at, at, at + 10_000, at + 900_000, NOTHING, Spent(slot % 5, slot % 5), slot=slot)
        for slot in range(1, 1_203)
    }
    for index, (process, row) in enumerate(rows.items()):
        rows[process] = dataclasses.replace(row, wants=WantsOf(0, index % 7, index % 3, 0))
    limits = (5_000, 50_000, 9_000, 90_000)
    known = Fleet(1, at, at, quarter, True, at, at + 900_000, usage=(9, 9, 9, 9), limits=limits, limits_at=1, step=2)
    twins = Twins(twins_client, dataclasses.replace(known, most=len(rows), rows=rows))
    twins_client.config_resetstat()
    calls = 0
    for process in ("0001", "0500", "0501", "1000", "1001", "1202", "new"):
        for count in (2, 3):
            calls += 1
            report = Report(process, count, quarter=quarter, sure=True, ms_left=900_000, done=Spent(3, 3))
            report = dataclasses.replace(report, limits=limits, limits_at=1, wants=WantsOf(0, 9, 9, 0))
            twins.call(report, at + 10 * calls)
    stats = twins_client.info("commandstats")
    assert stats["cmdstat_hgetall"]["calls"] - calls == 2  # the first time, and for the new one


# -- sums that are kept ------------------------------------------------------------------------------------------------

AT = 1_767_693_600_000
WINDOW = MIDNIGHT_QUARTER + 40
QUIET_LIMITS: Numbers = (1_000, 10_000, 2_000, 20_000)


def quiet(**changes: Any) -> Fleet:
    """Return a state in which nothing is special: a has units out and wants more, b waits, c has just been served."""
    base = Row(1, AT, AT + 400, AT, AT + 10_000, AT + 900_000)
    rows = {
        "a": dataclasses.replace(base, held=Spent(3, 3), done=Spent(5, 5), wants=WantsOf(0, 4, 0, 0), slot=1),
        "b": dataclasses.replace(base, done=Spent(7, 7), wants=WantsOf(0, 0, 2, 0), asks_at=AT + 2_100, slot=2),
        "c": dataclasses.replace(base, held=Spent(2, 2), done=Spent(6, 6), wanted_at=AT - 100, slot=3),
    }
    known = {"usage": (40, 40, 40, 40), "limits": QUIET_LIMITS, "limits_at": 1, "limits_confirmed": True}
    begun = {"turned_at": AT - 60_000, "ends_at": AT + 800_000, "has_number": True, "first_at": 1, "step": 2, "most": 3}
    fleet = Fleet(sequence=9, wall=AT, at=AT, quarter=WINDOW, sure=True, others=0, **known, **begun, rows=rows)
    return dataclasses.replace(fleet, **changes)


def asking(process: str, count: int, **changes: Any) -> Report:
    """Return the report of a process that has one request waiting."""
    report = Report(process, count, acknowledged=count - 1, seen=9, quarter=WINDOW, sure=True, ms_left=790_000)
    limits = {"limits": QUIET_LIMITS, "limits_at": 1}
    wanted = {"done": Spent(7, 7), "wants": WantsOf(0, 1, 0, 0), "row_ms": 900_000}
    return dataclasses.replace(report, **{**limits, **wanted, **changes})


def reads_all(client: Any) -> bool:
    """Return whether the script has read the rows of all since the last time; one such reading is the test's own."""
    read = client.info("commandstats").get("cmdstat_hgetall", {"calls": 0})["calls"]
    client.config_resetstat()
    return int(read) > 1


def test_a_usual_call_reads_its_own_row_alone(twins_client: Any) -> None:
    twins = Twins(twins_client, quiet())
    found: list[bool] = []
    reads_all(twins_client)
    for count in (2, 3, 4):
        twins.call(asking("b", count), AT + count)
        found.append(reads_all(twins_client))
    assert found == [True, False, False]


UNUSUAL = {
    "writes are lost": {"seen": 99},
    "its last call is lost": {"acknowledged": 3, "count": 4},
    "it was alone": {"alone": True},
    "a window begins": {"quarter": WINDOW + 1},
    "it has not turned yet": {"quarter": WINDOW - 1},
    "it has unconfirmed requests": {"unconfirmed": (Unconfirmed(1, 1, AT, ms=0),)},
}


@pytest.mark.parametrize("changes", UNUSUAL.values(), ids=UNUSUAL)
def test_they_agree_on_a_call_that_reads_all(twins_client: Any, changes: dict[str, Any]) -> None:
    twins = Twins(twins_client, quiet())
    twins.call(asking("b", 2), AT + 1)
    reads_all(twins_client)
    twins.call(dataclasses.replace(asking("b", 3), **changes), AT + 2)
    assert reads_all(twins_client)
    twins.call(dataclasses.replace(asking("a", 2), quarter=twins.fleet.quarter), AT + 3)


LOST = (Lost("z", Unconfirmed(2, 3, AT + 60_000)),)


def with_unconfirmed_requests() -> Fleet:
    fleet = quiet()
    fleet.rows["a"] = dataclasses.replace(fleet.rows["a"], unconfirmed=(Unconfirmed(1, 1, AT + 50_000),))
    return fleet


@pytest.mark.parametrize("fleet", [quiet(lost=LOST), quiet(sure=False), quiet(quarter=0), with_unconfirmed_requests()])
def test_they_agree_while_something_is_unusual(twins_client: Any, fleet: Fleet) -> None:
    twins = Twins(twins_client, fleet)
    sure = fleet.sure
    for count, process in ((2, "b"), (3, "b"), (2, "c"), (4, "b"), (3, "c")):
        twins.call(asking(process, count, sure=sure), AT + 10 * count + (process == "c"))
    twins.call(asking("b", 5), AT + 100)


@pytest.mark.parametrize("turned_at", [AT - 60_000, AT - 3_000], ids=["known", "new"])
@pytest.mark.parametrize("asks_at", [None, AT + 60_000])
@pytest.mark.parametrize("process", ["a", "b", "c"])
def test_they_agree_at_the_instant_at_which_a_row_counts_as_something_else(
    twins_client: Any, process: str, asks_at: int | None, turned_at: int
) -> None:
    row = quiet().rows[process]
    row = dataclasses.replace(row, asks_at=row.asks_at if asks_at is None else asks_at)
    instants = [turned_at + AWAKE_MS, row.asks_at - ASLEEP_MS, row.asks_at + FRESH_MS, row.wanted_at + FRESH_MS]
    for instant in (*instants, row.lease_until):
        for later in (-1, 0, 1, 2):
            twins = Twins(twins_client, quiet(turned_at=turned_at, rows={process: row}))
            # It has nothing to wait for: so nothing changes earlier than the other row.
            twins.call(asking("new", 1, wants=WantsOf()), AT + 1)
            twins.call(asking("new", 2), max(AT + 2, instant + later))


@pytest.mark.parametrize("wants", [WantsOf(0, 100, 0, 0), WantsOf(0, 0, 100, 0), WantsOf(0, 5, 0, 50)])
def test_they_agree_on_what_is_fair_of_any_room(twins_client: Any, wants: WantsOf) -> None:
    for room in range(120):
        used = QUIET_LIMITS[0] - 5 - room
        twins = Twins(twins_client, quiet(usage=(used, used, used, used), others=NONE))
        for count in (2, 3):
            twins.call(asking("b", count, wants=wants, reserve=0.0), AT + count)
