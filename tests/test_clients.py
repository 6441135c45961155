"""What the tours of foreign clients make of their steps; the tours are started by hand: ``python -m tests.clients``."""

import pytest

from tests.clients.__main__ import CLIENTS, surprises
from tests.clients.known import KNOWN

AS_KNOWN = {step: f"Error: {known.told}" for (client, step), known in KNOWN.items() if client == "stravalib"}


@pytest.mark.parametrize(
    ("steps", "news"),
    [
        ({}, []),
        ({"athlete": None}, []),
        ({"athlete": "died"}, ["FAILED: athlete: died"]),
        ({"koms": "died"}, ["FAILED: koms: died"]),  # known to fail, but otherwise
        ({"koms": None}, ["NO LONGER: koms: take it out of known.py"]),
    ],
)
def test_a_step_that_ends_otherwise_than_known_is_news(steps: dict[str, str | None], news: list[str]) -> None:
    assert surprises("stravalib", {**AS_KNOWN, **steps}) == news


def test_what_is_known_is_of_a_client_with_a_tour() -> None:
    assert {client for client, _ in KNOWN} <= CLIENTS.keys()
