"""Every method of stravalib's client has its line in docs/porting.md, and what the line names exists."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
import stravalib

from strava_async import ApiV3, Client, Strava

TABLE = (Path(__file__).parent.parent / "docs" / "porting.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| (?:`([\w.]+)`|none) \| (.*)\|$", TABLE, re.MULTILINE)
THEIRS = {name for name, _ in inspect.getmembers(stravalib.Client) if not name.startswith("_")}


def ours(name: str) -> object:
    """Return what a dotted name of the table stands for."""
    root, *path = name.split(".")
    if root == "strava_async":
        return getattr(importlib.import_module(".".join([root, *path[:-1]])), path[-1])
    found: object = {"api": ApiV3("token"), "client": Client(ApiV3("token"), 1), "strava": Strava(1, "secret")}[root]
    for part in path[:-1]:
        found = getattr(found, part)
    return getattr(type(found), path[-1])


def test_what_webhooks_bring_has_its_place() -> None:
    places = {theirs: name for theirs, name, _ in ROWS if "subscription" in theirs}
    assert len(places) == 5
    assert all(places.values())


def test_the_table_has_every_method_of_stravalib_and_no_other() -> None:
    assert sorted(name for name, _, _ in ROWS) == sorted(THEIRS)


@pytest.mark.parametrize(("theirs", "name"), [(theirs, name) for theirs, name, _ in ROWS if name])
def test_what_takes_its_place_exists(theirs: str, name: str) -> None:
    assert callable(ours(name)) or isinstance(ours(name), property)


@pytest.mark.parametrize(("theirs", "remark"), [(theirs, remark) for theirs, name, remark in ROWS if not name])
def test_where_nothing_takes_its_place_the_table_says_why(theirs: str, remark: str) -> None:
    assert len(remark.strip()) > 10


@pytest.mark.parametrize("name", re.findall(r"`((?:client|api|strava|strava_async)\.[\w.]+)[`(]", TABLE))
def test_a_remark_names_what_exists(name: str) -> None:
    assert ours(name)
