"""No error shows a secret, in whatever form and wherever an answer echoes it; and telling so takes no long time."""

import html
import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from strava_async._hidden import Hidden
from strava_async.errors import DecodeError, FaultError, StravaError
from strava_async.request.call import api_call
from strava_async.request.faults import ERROR_FIELD_CHARACTERS, MAX_ERRORS, MESSAGE_CHARACTERS, fault
from strava_async.request.redaction import (
    EXCERPT_CHARACTERS,
    SEARCHED_PAGE_CHARACTERS,
    reach_of,
    redacted,
    redacted_beginning,
)
from strava_async.request.reply import Reply
from strava_async.request.results import read

GET = api_call("GET", "/athlete", {}, api_url="https://www.strava.com/api/v3")

FORMS: list[Callable[[str], str]] = [
    str,
    quote,
    quote_plus,
    lambda secret: quote(secret, safe=""),
    lambda secret: quote(secret, safe="").lower(),
    lambda secret: quote(quote(secret, safe=""), safe=""),
    lambda secret: json.dumps(secret)[1:-1],
    lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    html.escape,
]
# Letters that stand in no encoding of a character, and nowhere else in these answers.
LETTERS = "GHIJKLMNOPQRSTUVWXYZ"


def is_shown(text: str) -> bool:
    """Say whether as much of a secret as one knows it by is in a text."""
    return re.search(f"[{LETTERS}]{{4}}", text.replace("JSON", "").replace("HTML", "")) is not None


def told_of(answer: Reply, secret: str) -> str:
    """Return all that is said of an answer that has no value."""
    with suppress(StravaError):
        read(GET, answer, Hidden(secret))
        return ""
    with pytest.raises(StravaError) as caught:
        read(GET, answer, Hidden(secret))
    error = caught.value
    return f"{error} {error!r} {vars(error)} {error.__cause__}"


secrets = (
    st.text(LETTERS, min_size=6)
    .flatmap(
        lambda word: st.lists(st.sampled_from(["/", "+", "=", "&", "~", ".", "-", "é", " ", '"', "\U0001f6b4"])).map(
            lambda signs: word + "".join(f"{sign}{word}" for sign in signs)
        )
    )
    .filter(lambda secret: len(secret) >= 12)
)


def page(text: str) -> tuple[str, str]:
    return f"<!DOCTYPE html><title>no</title><style>p {{}}</style><p>{text}</p>", "text/html"


def long_page(text: str) -> tuple[str, str]:
    return "<html>" + "<br>" * (SEARCHED_PAGE_CHARACTERS // 4 - 50) + text, "text/html"


def plain(text: str) -> tuple[str, str]:
    return text, "text/plain"


def broken(text: str) -> tuple[str, str]:
    return f'{{"m":"{text}', "application/json"


def message(text: str) -> tuple[str, str]:
    return json.dumps({"message": text}), "application/json"


def errors(text: str) -> tuple[str, str]:
    return json.dumps({"message": "no", "errors": [{"resource": text, "field": text, "code": text}]}), ""


def other(text: str) -> tuple[str, str]:
    return json.dumps({"Message": text}, ensure_ascii=False), "application/json"


@given(
    secret=secrets,
    form=st.sampled_from(FORMS),
    around=st.sampled_from([page, long_page, plain, broken, message, errors, other]),
    before=st.one_of(st.integers(0, 300), st.integers(MESSAGE_CHARACTERS - 100, MESSAGE_CHARACTERS)),
    times=st.integers(1, 30),
    status_code=st.sampled_from([200, 302, 400, 401, 403, 429, 503]),
    coding=st.sampled_from(["utf-8", "utf-16", "utf-32-be"]),
)
@example(secret="G" * 40, form=str, around=plain, before=190, times=1, status_code=403, coding="utf-8")
@example(secret="G" * 40, form=str, around=plain, before=190, times=1, status_code=403, coding="utf-16")
@example(secret="G" * 40, form=str, around=long_page, before=180, times=1, status_code=403, coding="utf-8")
@example(secret="GHIJKL/GHIJKL", form=FORMS[7], around=other, before=0, times=1, status_code=403, coding="utf-8")
@example(secret='GHIJKL"GHIJKL', form=FORMS[6], around=other, before=0, times=1, status_code=403, coding="utf-8")
@example(secret="GHIJKLé" * 4, form=quote, around=message, before=990, times=1, status_code=400, coding="utf-8")
def test_no_part_of_a_secret_is_shown(
    secret: str,
    form: Callable[[str], str],
    around: Callable[[str], tuple[str, str]],
    before: int,
    times: int,
    status_code: int,
    coding: str,
) -> None:
    if not secret.isascii():
        coding = "utf-8"  # of tokens none is so; in other codings what is no ASCII cannot be told
    text, content_type = around("." * before + " " + f"{form(secret)} " * times + "and more" * 100)
    answer = Reply(status_code, {}, text.encode(coding), content_type)
    assert not is_shown(told_of(answer, secret))


@given(secret=secrets, form=st.sampled_from(FORMS), before=st.integers(0, 50), characters=st.integers(0, 120))
def test_a_beginning_is_that_of_the_redacted_text(
    secret: str, form: Callable[[str], str], before: int, characters: int
) -> None:
    text = "." * before + form(secret) + "." * 100
    beginning = redacted_beginning(text, (secret,), characters)
    assert redacted(text, (secret,)).startswith(beginning)
    assert len(form(secret)) <= reach_of((secret,))
    assert not is_shown(beginning)


def test_of_secrets_that_overlap_nothing_is_left_over() -> None:
    first, second = "0123456789abcdef", "9abcdefghijklmno"
    assert redacted("<0123456789abcdefghijklmno>", (first, second)) == "<***>"
    assert redacted("<0123456789abcdefghijklmno>", (second, first)) == "<***>"
    assert redacted(f"{first}{second}", (second, first)) == "******"
    assert redacted(f"<{first}{first}>", (first + first, first[2:])) == "<***>"


def test_what_is_between_the_letters_of_a_secret_and_not_seen_hides_it_from_nobody() -> None:
    secret = "s3kret-0123456789"
    for unseen in ("\0", "\u200b", "\x1b", "\u2060", "\xad"):
        for before, content_type in (("<p>", "text/html"), ("", "text/plain"), ("{", "application/json")):
            answer = Reply(403, {}, f"{before}{unseen.join(secret)}".encode(), content_type)
            assert "***" in str(fault(GET, answer, Hidden(secret)))


def test_an_excerpt_commands_no_terminal() -> None:
    error = fault(GET, Reply(403, {}, b"<p>\x1b[2J\x07 one\r\n\ttwo \xe2\x80\xae three", "text/html"))
    assert str(error).endswith(": [2J one two three")


@pytest.mark.parametrize("secret", ["0123456789abcdef" * 3, "/+=&" * 10, "code"])
def test_a_refusal_of_any_size_is_reported_in_few_words(secret: str) -> None:
    huge = f"{secret} " * 5_000
    details = [{"resource": huge[:2_000], "field": huge[:2_000], "code": "x"}] * 30
    error = fault(GET, Reply(400, {}, json.dumps({"message": huge, "errors": details}).encode()), Hidden(secret))
    assert isinstance(error, FaultError)
    assert 0 < len(error.message) <= MESSAGE_CHARACTERS
    assert len(error.errors) == MAX_ERRORS
    assert max(len(text) for detail in error.errors for text in detail.values()) <= ERROR_FIELD_CHARACTERS
    assert secret not in f"{error.message} {[list(detail.values()) for detail in error.errors]}"


class Counted(str):
    """A text that knows how much of it was looked at."""

    looked_at = 0

    def __getitem__(self, key: Any) -> str:
        part = super().__getitem__(key)
        self.looked_at += len(part)
        return part


@pytest.mark.parametrize("secret", ["0123456789abcdef" * 3, "/+=&" * 10, "code"])
def test_of_a_long_text_only_the_beginning_is_looked_at(secret: str) -> None:
    text = Counted(f"{secret} " * 1_000_000)
    assert len(redacted_beginning(text, (secret,), 100)) <= 100
    assert text.looked_at == 100 + reach_of((secret,))


@pytest.mark.parametrize(
    "body",
    [
        "<html>" + "<script>" * 400_000,
        "<html>" + "</script" * 400_000,
        "<html>" + "<!--" * 800_000,
        "<html>" + "<a " * 1_000_000,
        "<html>" + "&#" * 1_000_000,
        "<html>" + " " * 3_000_000,
        "<html>" + "<script></script " * 200_000,
    ],
    ids=range(7),
)
def test_a_page_made_to_be_slow_is_not(body: str) -> None:
    # Where a pattern tried each place again it would take minutes.
    with pytest.raises(DecodeError) as caught:
        read(GET, Reply(200, {}, body.encode(), "text/html"), Hidden("s3kret-0123456789"))
    assert len(caught.value.body_excerpt) <= EXCERPT_CHARACTERS
