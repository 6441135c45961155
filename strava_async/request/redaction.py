"""Texts of others without the secrets that they may hold. Pure.

What it protects against: a response, or an error of a library below, that echoes a secret which we sent. Error pages
quote the request, Strava's ``errors`` quote its fields, and httpx quotes a URL. Such texts stand in messages of our
errors, from where they reach logs, crash reporters and users. So each of them comes through here before it is shown:

- The secrets are those of the call (``Call.secrets_with``), its access token included. They are found plain, and in
  every form that a URL, a form, JSON (once or twice) or HTML gives them; also with unseen characters in between.
- A text is cut to the length that is wanted before it is searched, so that the time is linear and bounded whatever a
  server sends; and it is redacted before it is cut finally, because half a secret would not be found.
- An excerpt holds no control characters, so that it cannot command a terminal or change the direction of a line.

What it does not protect against: a secret that we do not know. Of a response that may hold new ones, such as that of a
token endpoint, no excerpt is made at all. Nor the frames of an error: secrets in local variables are ``Hidden``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

# Anything shorter may be a part of a word by chance.
LONG_SECRET_CHARACTERS = 12

_MASK = "***"
_HTML_NAMES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}
# An encoded character may end in a letter, which does not belong to the word that follows.
_WORD_BEGINS = r"(?:(?<!\w)|(?<=%[0-9A-Fa-f]{2})|(?<=%25[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})|(?<=\\[bfnrt]))"
_PLAIN_RUN = r"[0-9A-Za-z]+"

EXCERPT_CHARACTERS = 200
# Pages begin with long runs of style and script.
SEARCHED_PAGE_CHARACTERS = 32 * 1024

# A pattern that is not closed goes to the end: none is tried at a place twice.
_MARKUP = r"(?is:<!--.*?(?:-->|\Z)|<(script|style|svg)\b.*?(?:</\1\s*>|\Z)|<[A-Za-z/!?][^>]*(?:>|\Z))"
# Control characters, invisible ones, and the zeros of UTF-16, between which a secret would not be found.
_UNSEEN = "[\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]+"


def redacted(text: str, secrets: tuple[str, ...]) -> str:
    """Return the text without any of the secrets, be they plain, as in a URL or JSON (once or twice), or HTML.

    A short secret inside a longer word is left: a token that is called "token" must not garble "access_token".
    """
    return _masked(text, secrets, len(text))


def redacted_beginning(text: str, secrets: tuple[str, ...], characters: int) -> str:
    """Return up to that many characters of the text, redacted; a secret that crosses the end is not shown."""
    reached = text[: characters + reach_of(secrets)]
    return _masked(reached, secrets, characters)[:characters]


def excerpt_of(body: bytes, secrets: tuple[str, ...], *, is_page: bool = False) -> str:
    """Return the beginning of a body as one line of text, redacted.

    Args:
        body: it, decompressed.
        secrets: what must not be shown.
        is_page: whether it is HTML or XML, of which the text is wanted rather than the markup.
    """
    searched = SEARCHED_PAGE_CHARACTERS if is_page else EXCERPT_CHARACTERS
    # Enough bytes in any encoding.
    beginning = body[: 4 * (searched + reach_of(secrets))].decode("utf-8", "replace")
    text = redacted_beginning(re.sub(_UNSEEN, "", beginning), secrets, searched)
    if is_page:
        text = _visible(text, secrets) or text
    return " ".join(text.split())[:EXCERPT_CHARACTERS]


def _visible(page: str, secrets: tuple[str, ...]) -> str:
    """Return what a page shows; empty where all of it is markup, style and script."""
    import html  # its table of entities takes a millisecond to load, for what hardly ever comes

    # Once more: a secret may have been cut by a tag, or written in entities.
    unescaped = html.unescape(re.sub(_MARKUP, " ", page))
    return redacted(re.sub(_UNSEEN, "", unescaped), secrets).strip()


def reach_of(secrets: tuple[str, ...]) -> int:
    """Return how many characters the longest form of any of them has."""
    return max((sum(max(map(len, _forms(character))) for character in secret) for secret in secrets), default=0)


def _masked(text: str, secrets: tuple[str, ...], end: int) -> str:
    """Return the text up to there. Of secrets that overlap nothing remains, nor of one that crosses the end."""
    pieces: list[str] = []
    at = 0
    for start, stop in sorted(span for secret in set(secrets) for span in _spans(text, secret)):
        if start >= end:
            break
        if start >= at:
            pieces += text[at:start], _MASK
        at = max(at, stop)
    return "".join((*pieces, text[at:end]))


def _spans(text: str, secret: str) -> Iterator[tuple[int, int]]:
    # Nobody encodes letters and digits: a text without the longest run of them does not hold the secret.
    if not secret or max(re.findall(_PLAIN_RUN, secret), key=len, default="") not in text:
        return
    pattern = "".join(map(_in_any_form, secret))
    if len(secret) < LONG_SECRET_CHARACTERS:
        pattern = rf"{_WORD_BEGINS}{pattern}(?!\w)"
    yield from (found.span() for found in re.finditer(pattern, text))


def _in_any_form(character: str) -> str:
    """Return a pattern for a character of a secret."""
    forms = _forms(character)
    return re.escape(character) if len(forms) == 1 else f"(?i:{'|'.join(map(re.escape, forms))})"


def _forms(character: str) -> list[str]:
    """Return how a character may be written, the longest form first, or a % would leave the rest of its %25."""
    if character.isascii() and character.isalnum():
        return [character]
    quoted = "".join(f"%{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
    as_json = json.dumps(character)[1:-1]
    escaped = [as_json, f"\\u{ord(character):04x}", f"\\{character}"]
    forms = [quoted.replace("%", "%25"), quoted, *escaped, character]
    forms += [json.dumps(form)[1:-1] for form in escaped]  # JSON as a text in JSON
    forms += [f"&#{ord(character)};", f"&#x{ord(character):x};", _HTML_NAMES.get(character, character)]
    forms += ["+", "%2b"] if character == " " else []
    return sorted(set(forms), key=len, reverse=True)
