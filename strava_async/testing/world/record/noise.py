"""Random series, made by the thousand: what ``random.Random.gauss`` gives, without a call for each."""

from __future__ import annotations

import math
import random


def gaussians(rng: random.Random, count: int) -> list[float]:
    """Return standard normal numbers: what ``rng.gauss(0.0, 1.0)`` would give ``count`` times in a row.

    So it is if nothing was drawn by ``gauss`` before; of an odd count the last one's twin is lost.
    """
    draw, cos, sin, log, sqrt, tau = rng.random, math.cos, math.sin, math.log, math.sqrt, math.tau
    values: list[float] = []
    for _ in range(0, count, 2):
        angle = draw() * tau
        radius = sqrt(-2.0 * log(1.0 - draw()))
        values += (cos(angle) * radius, sin(angle) * radius)
    del values[count:]
    return values


def waves(rng: random.Random, count: int, seconds: float) -> list[float]:
    """Return a random series between about -1 and 1 that changes over that many samples."""
    keep = math.exp(-1 / seconds)
    push = math.sqrt(1 - keep * keep) * 0.45
    value = 0.0
    return [value := keep * value + push * step for step in gaussians(rng, count)]
