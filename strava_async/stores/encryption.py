"""Encryption of what a store keeps, with Fernet of the ``cryptography`` package (AES-128-CBC and HMAC-SHA256)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from strava_async._hidden import Hidden, hidden
from strava_async.errors import InputError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

Key = str | bytes

# Fernet skips what is outside of the alphabet, such as the line break of a file: two spellings would be one key here,
# and two elsewhere.
_KEY = re.compile(r"[A-Za-z0-9_+/-]{43}=")


class Cipher:
    """Encrypts and decrypts with one key. Its repr does not show it.

    Args:
        key: 32 bytes in URL-safe base64, without white space.

    Raises:
        InputError: the key is invalid, or the extra ``encryption`` is not installed.
    """

    __slots__ = ("_fernet",)

    def __init__(self, key: Key | Hidden[Key]) -> None:
        secret: Hidden[Key] = hidden(key)
        del key
        self._fernet = _fernet(secret)

    def encrypt(self, text: str) -> str:
        """Return the text encrypted and signed."""
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, encrypted: str) -> str | None:
        """Return the text, or None if it was not encrypted with this key or was changed since."""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(encrypted.encode()).decode()
        except (InvalidToken, UnicodeError):
            return None


def ciphers(key: Key | Sequence[Key] | Hidden[Key | Sequence[Key] | None] | None) -> tuple[Cipher, ...]:
    """Return a cipher for each key, in their order; none for None.

    Raises:
        InputError: a key is invalid, the sequence is empty, or the extra ``encryption`` is not installed.
    """
    given = hidden(key)
    del key
    if given.reveal() is None:
        return ()
    keys = _keys(given.reveal())
    if not keys:
        raise InputError("the sequence of keys is empty: pass None to store tokens unencrypted")
    return tuple(Cipher(each) for each in keys)


def _keys(key: Key | Sequence[Key] | None) -> tuple[Hidden[Key], ...]:
    return tuple(Hidden(each) for each in ((key,) if isinstance(key, str | bytes) else key or ()))


def generate_key() -> str:
    """Return a new key. Keep it where the tokens are not.

    Raises:
        InputError: the extra ``encryption`` is not installed.
    """
    return _library().generate_key().decode()


def _library() -> type[Fernet]:
    try:
        from cryptography.fernet import Fernet
    except ImportError as error:
        raise InputError('encryption needs another package: pip install "strava-async[encryption]"') from error
    return Fernet


def _fernet(key: Hidden[Key]) -> Fernet:
    library = _library()
    try:
        text = Hidden(_text(key.reveal()))
        if _KEY.fullmatch(text.reveal()):
            return library(text.reveal())
        spaced = text.reveal() != text.reveal().strip()
    except (ValueError, TypeError, AttributeError):
        spaced = False  # raised below: here an error that carries the key would be its context
    what = "this one has white space around it, such as the line break of a file" if spaced else ""
    hint = what or "generate_key() of the store makes one"
    raise InputError(f"a key is 32 bytes in URL-safe base64; {hint}")


def _text(key: Key) -> str:
    return key.decode("ascii") if isinstance(key, bytes) else key
