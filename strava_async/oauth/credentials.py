"""What is wrong with a credential before anything is sent: one check for every place that accepts one.

Rules:

- A credential that was read from a file, a Kubernetes secret or a ``.env`` often ends in a line break. Strava would
  only say that the application is unknown, and an HTTP library might show the value in its error. It is rejected, not
  trimmed: untrimmed elsewhere, such as in another process of the service, it would be a different value.
- The sentence says which value is wrong, and never shows it: it may be another secret in the wrong place. Nor do the
  frames of the error: the checks return ``Hidden``, and callers hide a value before the call.

Source:
    RFC 6749 appendix A (client_id, client_secret and code are printable ASCII); https://developers.strava.com/docs/authentication/
    (the client id is an integer).
"""

from __future__ import annotations

import re
from typing import Any

from strava_async._hidden import Hidden, hidden
from strava_async.errors import InputError

_LIKE_A_FILE = "has white space around it, such as the line break of a file"


def check_client_id(value: object, what: str = "the client id") -> int:
    """Return the number that a client id is, whether it came as an int or as its digits.

    Raises:
        InputError: it is invalid.
    """
    number = value if isinstance(value, int) and not isinstance(value, bool) else 0
    if isinstance(value, str):
        if not value:
            raise InputError(f"{what} is empty")
        if value != value.strip():
            raise InputError(f"{what} {_LIKE_A_FILE}")
        number = int(value) if re.fullmatch(r"[0-9]{1,18}", value) else 0
    if not 0 < number < 10**18:
        raise InputError(f"{what} is not a number such as https://www.strava.com/settings/api shows")
    return number


def check_secret(value: object, what: str = "the client secret") -> Hidden[str]:
    """Return a client secret, an authorization code or a token to be sent in a form.

    Raises:
        InputError: it is no text, or empty, or has white space around it, or a character that is not printable ASCII.
    """
    secret: Hidden[Any] = hidden(value)
    del value
    check_text(secret, what)
    if not secret.reveal().isascii():
        raise InputError(f"{what} has a character outside ASCII")
    return secret


def is_secret(value: object) -> bool:
    """Say whether ``check_secret`` lets it pass; for what comes from a browser, not from a setting."""
    try:
        check_secret(value)
    except InputError:
        return False
    return True


def check_text(value: object, what: str) -> Hidden[str]:
    """Return a text that both sides compare, such as a verify token; letters of any language are allowed.

    Raises:
        InputError: it is no text, or empty, or has white space around it, or a control character in it.
    """
    text: Hidden[Any] = hidden(value)
    del value
    fault = _fault_of(text.reveal())
    if fault:
        raise InputError(f"{what} {fault}")
    return text


def _fault_of(text: object) -> str:
    if not isinstance(text, str):
        return "is not a text"
    if not text:
        return "is empty"
    if text != text.strip():
        return _LIKE_A_FILE
    return "" if text.isprintable() else "has a control character in it"


def fits_a_field(token: str) -> bool:
    """Say whether a header field can carry a token; a line break would surface in some library's error message."""
    return token.isascii() and token.isprintable() and " " not in token
