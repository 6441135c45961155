"""Writes ``docs/endpoints.md`` from the code: ``python docs/make_endpoints.py``. A test holds that it was run."""

from __future__ import annotations

from pathlib import Path

from strava_async.quota.values import QuotaClass
from strava_async.request.endpoints import ENDPOINTS, Endpoint

PAGE = Path(__file__).parent / "endpoints.md"

HEAD = """# Endpoints

Every endpoint that Strava keeps open to applications, where it is in this library, and what it takes. Made from
`strava_async/request/endpoints.py` by `docs/make_endpoints.py`: change it there.

- **Scope**: the call needs one of these; without any, `MissingScopeError` is raised before a request is made, where it
  is known what the athlete granted.
- **Spends**: `read` counts against the read limits and the overall ones, `upload` against the overall ones alone.
- **List**: how it goes on. By `page` and by `cursor` the method returns a `Listing`; a list without either comes whole,
  in one request.
- What Strava has closed is in [the porting table](porting.md).

| endpoint | Strava's name | here | scope | spends | list | |
|---|---|---|---|---|---|---|
"""

SPENDS = {QuotaClass.READ: "read", QuotaClass.UPLOAD: "upload"}


def page() -> str:
    """Return the page."""
    return HEAD + "".join(row(endpoint) for endpoint in ENDPOINTS)


def row(endpoint: Endpoint) -> str:
    """Return an endpoint's line of the table."""
    cells = (
        f"`{endpoint.method} {endpoint.path}`",
        endpoint.operation,
        f"`{endpoint.method_of_ours}`",
        " or ".join(f"`{scope}`" for scope in endpoint.scope),
        SPENDS[endpoint.quota_class],
        endpoint.paging,
        endpoint.note,
    )
    return "| " + " | ".join(cells) + " |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
