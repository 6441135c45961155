"""How long something takes in this process."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable


def median_ms(job: Callable[[], object], *, seconds: float = 0.6) -> float:
    """Return the median milliseconds of a job, repeated for that long after one run."""
    job()
    gc.collect()
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) < 5:
        began = time.perf_counter()
        job()
        taken.append(time.perf_counter() - began)
    return 1e3 * statistics.median(taken)
