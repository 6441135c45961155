"""What a process that shares its quota has told last, as far as the reply is to be compared with it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from strava_async.quota.entry import Completion
from strava_async.quota.fleet.books import FleetMeter
from strava_async.quota.fleet.messages import METERS, NO_WANTS, NONE, UNKNOWN, Numbers, Reply, Wants


class Told(NamedTuple):
    """What a report told.

    Attributes:
        quarter: the window.
        wants: what waited.
        numbers: of each meter the highest number, and the permit of the youngest request that brought one.
        limits: as known then.
        limits_at: the grant of the request that brought them.
        unconfirmed: the requests that were told for the first time, with the milliseconds until they have arrived.
    """

    quarter: int = 0
    wants: Wants = NO_WANTS
    numbers: tuple[tuple[int, int], ...] = ((NONE, NONE),) * len(METERS)
    limits: Numbers = UNKNOWN
    limits_at: int = NONE
    unconfirmed: Mapping[Completion, int] = MappingProxyType({})

    def adopt_usage(self, meters: Sequence[FleetMeter], reply: Reply, until: dict[Completion, int]) -> None:
        """Let the meters take over the numbers of the reply, unless answers since know better.

        Args:
            meters: in the order of all messages.
            reply: to the report, about the window that the meters are in.
            until: when unconfirmed requests have surely arrived, as far as they were told.
        """
        for index, meter in enumerate(meters):
            usage: int | None = reply.usage[index]
            usage = None if usage == NONE else usage
            if (meter.told, meter.latest_number) == self.numbers[index]:
                meter.told = meter.latest = meter.refused = NONE
                meter.usage = usage
            elif usage is not None:
                meter.usage = max(meter.usage or 0, usage)
            meter.spoken_for = (usage or 0) + reply.elsewhere[index // 2]
            meter.is_closed = reply.poll_ms == NONE and self.wants.total > reply.granted.overall
            meter.settle_unconfirmed(until, reply.number_at[index // 2])
