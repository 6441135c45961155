"""Strava's quota: its terms, and the rules of its ledger.

Strava counts requests in four meters, {read, overall} x {quarter hour, UTC day}, which start again at zero at each
natural boundary, and reports the counts in the header fields of each answer. In the field's words they are token
buckets that refill whole.

Rules:

1. A request starts with a permit, and a permit is a reservation: a read takes one of both budgets, an upload one of the
   overall budget. A permit may be given while, in each meter of its class, ``spent + out < limit``.
2. A permit ends once: **settled** (an answer came), **released** (nothing was sent: all is undone), or **abandoned**
   (sent, outcome unknown: counts as spent until a number says otherwise).
3. A number counts for a window only if its request was surely counted in that window: the earliest that Strava's clock
   can have shown when the permit was given, and the latest it can have shown when the answer was there, lie in it.
   A request that may belong to either of two windows is spent in both, and its number is believed in neither.
4. A window turns when Strava's clock has surely passed the boundary, plus a margin and a jitter that keeps the
   processes of an application apart. After a full window one call probes if the counter has turned too; where it turns
   late, the windows after that begin so much later. Where a window may have turned unnoticed (the machine
   slept, its clock was set, or the first ``Date`` says otherwise), a meter that is spent lets one request through,
   whose answer decides.
5. Slow start. Nothing known: one request at a time, and up to ten after a second without a number. Then ten, but no
   more than a quarter of what is left; when most are answered, no bound. While they are slow, another ten each second.
   The same after an hour without answers.
6. Others spend too (the numbers rise by more than was sent here): at most half of our share of what is left is out.
7. A 429 that the numbers explain needs no rule: the meter is full. After one that they do not explain the budget cools
   down: nothing is sent for 5 s, 10 s, ... 300 s, or for ``Retry-After`` if that is longer, until midnight UTC at the
   most; then one request at a time, until Strava answers otherwise.
8. Background work leaves a reserve to calls of a higher priority, which shrinks to nothing at the end of the window.

What is believed from one answer, and what needs the answer to a second request:

=================================================  ===================================================================
one answer reports                                 it is believed
=================================================  ===================================================================
a number that our own count explains               at once, and for good
a higher number, limits higher or lower            at once; a number is for good when a second answer's reaches as high,
                                                   and withdrawn when that of a later request is lower
that a quarter hour is full                        until it turns: 900 s at the most
that a day is full                                 the same, but one call in each quarter hour asks again, until our
                                                   own count explains it or a second answer confirms it
a ``Date`` that agrees with the clock              at once
a ``Date`` farther off than 5 s (the first one:    when the next one agrees with it; until then a window that turns
300 s from the machine's clock)                    begins with one call
a number of the first seconds that goes on from    as one of the window before
the count before, which is full
anything, with an ``Age``                          never: it is from a cache, about another request
=================================================  ===================================================================

The modules of this package are pure; instants are passed in. ``headers`` reads an answer, ``server_clock`` keeps
Strava's time, ``turn`` that of the counters, ``window`` the windows (3, 4). ``entry`` has what is kept of a permit,
``meter`` counts (1, 2), ``budget`` has limits and cooldown, ``refusal`` says what a 429 leads to (7), ``ceiling`` how
many permits may be out (4 to 7), ``reserve`` what background work leaves (8), ``witness`` what a second witness is,
``wait`` what a call waits for. ``ledger`` puts it all together, and ``snapshot`` saves it.

Source:
    https://developers.strava.com/docs/rate-limits/
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

QUARTER_SECONDS = 900
QUARTERS_PER_DAY = 96


class QuotaClass(StrEnum):
    """What a request spends.

    ``UPLOAD`` is ``POST /activities`` and ``POST /uploads``; every other request of the API is ``READ``, whatever its
    method.
    """

    READ = "read"
    UPLOAD = "upload"


class Priority(IntEnum):
    """Which calls go first when quota is short."""

    INTERACTIVE = 0
    NORMAL = 1
    BACKGROUND = 2


@dataclass(frozen=True, slots=True)
class Blocked:
    """What keeps a call from starting now, and until when.

    Attributes:
        window: the meter without room, named as on ``Quota``.
        resume_at: when it has room again; epoch seconds on Strava's clock.
        awaits: the answer that decides, where nothing else is known to be in the way; the instants are a guess then.
        until: when a call can start, on the limiter's monotonic clock; inf where that is not known. Two that differ in
            this alone are equal.
    """

    window: str
    resume_at: float
    awaits: str = ""
    until: float = field(default=math.inf, compare=False)
