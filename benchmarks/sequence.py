"""The harvest by stravalib, one request after the other: ``python -m benchmarks.sequence URL``.

Same protocol as ``worker``. stravalib's URLs are https; a subclass redirects them to the benchmark server.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from importlib import import_module
from typing import Any


def make_api(url: str) -> Any:
    """Return a ``stravalib.protocol.ApiV3`` as its ``Client`` makes it, for another base URL."""
    base: Any = import_module("stravalib.protocol").ApiV3
    limiter = import_module("stravalib.util.limiter").DefaultRateLimiter()

    def resolve_url(self: Any, path: str) -> str:
        return f"{url}{path}"

    api_type = type("ApiV3", (base,), {"resolve_url": resolve_url})
    return api_type(access_token="stravalib", rate_limiter=limiter)


def harvest(api: Any, *, pages: int, details: int, streams: int) -> dict[str, float]:
    """Get everything, as dictionaries; return the seconds it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    activities = samples = 0
    for number in range(1, pages + 1):
        activities += len(api.get("/athlete/activities", per_page=200, page=number))
    for number in range(1, details + 1):
        activities += api.get(f"/activities/{number}")["id"] > 0
    for number in range(1, streams + 1):
        answer = api.get(f"/activities/{number}/streams", keys="time,latlng,heartrate", key_by_type="true")
        samples += len(answer["time"]["data"])
    return {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "activities": activities,
        "samples": samples,
    }


def main() -> None:
    """Do the jobs that come in, until the end of the input."""
    logging.disable(logging.WARNING)  # it warns if there are no credentials in the environment
    api = make_api(sys.argv[1])
    for line in sys.stdin:
        arguments = json.loads(line)
        if arguments.pop("job") == "harvest":
            print(json.dumps(harvest(api, **arguments)), flush=True)


if __name__ == "__main__":
    main()
