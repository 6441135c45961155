"""Rescale a series of measurements to a given average and maximum, so that it stays believable."""

from __future__ import annotations

from collections.abc import Sequence


def rescale(values: Sequence[float], *, average: float, peak: float, floor: int = 0) -> list[int]:
    """Return whole numbers like ``values`` whose mean is ``average`` and whose maximum is ``peak``.

    The mean is exact to half a unit in the whole sum, as long as ``floor < average < peak`` leaves room.

    Args:
        values: at least one; the least becomes ``floor`` and stays there (coasting is 0 watts).
        average: the wanted mean.
        peak: the wanted maximum.
        floor: the least allowed.
    """
    mean, top = sum(values) / len(values), max(values)
    above = (peak - average) / (top - mean) if top > mean else 0.0
    below = (average - floor) / (mean - min(values)) if mean > min(values) else 0.0
    bent = [average + (value - mean) * (above if value > mean else below) for value in values]
    most = round(peak)
    whole = [floor if value < floor else most if value > peak else round(value) for value in bent]
    highest = values.index(top)
    whole[highest] = int(peak)
    _settle(whole, round(average * len(whole)), int(peak), floor, keep=highest)
    return whole


def _settle(whole: list[int], total: int, peak: int, floor: int, *, keep: int) -> None:
    """Make the sum ``total`` by moving entries by the same small step, evenly spread, within the bounds."""
    for _ in range(64):
        missing = total - sum(whole)
        if not missing:
            return
        step = 1 if missing > 0 else -1
        bound = peak if step > 0 else floor
        free = [i for i, value in enumerate(whole) if value != bound and i != keep and value != floor] or [
            i for i, value in enumerate(whole) if value != bound and i != keep
        ]
        if not free:
            return
        each, some = divmod(abs(missing), len(free))
        for i in free if each else ():
            whole[i] = min(max(whole[i] + step * each, floor), peak)
        spread = len(free) / some if some else 0.0
        for k in range(some):
            i = free[int(k * spread)]
            if whole[i] != bound:
                whole[i] += step
