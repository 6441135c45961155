"""Texts without the secrets that they may hold. Pure.

The time is linear in the text. What comes from a server is cut to the length that is wanted before it is looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

# What is shorter may be a part of a word by chance.
LONG_SECRET_CHARACTERS = 12

_MASK = "***"
_HTML_NAMES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}
# The end of an encoded character is not the beginning of the word that follows it.
_WORD_BEGINS = r"(?:(?<!\w)|(?<=%[0-9A-Fa-f]{2})|(?<=%25[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})|(?<=\\[bfnrt]))"
_PLAIN_RUN = r"[0-9A-Za-z]+"


def redacted(text: str, secrets: tuple[str, ...]) -> str:
    """Return the text without any of the secrets, be they plain, as in a URL or JSON (once or twice), or HTML.

    A short secret inside a longer word is left: a token that is called "token" must not garble "access_token".
    """
    return _masked(text, secrets, len(text))


def redacted_beginning(text: str, secrets: tuple[str, ...], characters: int) -> str:
    """Return so many characters of the text at the most, redacted; a secret that the end goes through is not shown."""
    reached = text[: characters + reach_of(secrets)]
    return _masked(reached, secrets, characters)[:characters]


def reach_of(secrets: tuple[str, ...]) -> int:
    """Return how many characters the longest form of any of them has."""
    return max((sum(max(map(len, _forms(character))) for character in secret) for secret in secrets), default=0)


def _masked(text: str, secrets: tuple[str, ...], end: int) -> str:
    """Return the text up to there. Of secrets that overlap nothing is left over, nor of one that goes beyond."""
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
    # Letters and digits are not encoded by anybody: where the longest run of them is not, the secret is not.
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
