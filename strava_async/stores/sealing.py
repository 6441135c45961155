"""How a store encrypts the tokens of its athletes, and knows whether its key is the right one.

Rules:

- The canary is a known word, encrypted, kept beside the tokens. The key that decrypts it is the current key: all
  encrypted values are encrypted with it. Only a rotation makes another one current, for all values at once.
- It is written together with the first encrypted value. What has a canary is neither read nor written without its key.
- Values from before it are plain, and are read as they are.
- A value names its place, so that none can be passed off as another athlete's.
- Values are ``Hidden`` where an error may go through: a frame that had one would show it to crash reporters.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from strava_async._hidden import Hidden
from strava_async._types import is_list
from strava_async.errors import TokenStoreError
from strava_async.oauth.token_set import TokenSet
from strava_async.stores._values import from_json, parse, to_json
from strava_async.stores.encryption import Cipher

_CANARY = "strava-async"


class Seal:
    """The keys that a store was given, held against the canary that it has found.

    Args:
        ciphers: one for each key, the first of which begins a store and is what a rotation changes to.
        canary: what was found; None if there is none.
        place: where the tokens are, for error messages.

    Raises:
        TokenStoreError: the tokens are encrypted, and not with one of these keys.
    """

    def __init__(self, ciphers: Sequence[Cipher], canary: str | None, place: str) -> None:
        self._ciphers = ciphers
        self._place = place
        self._cipher = None if canary is None else self._cipher_of(canary)

    @property
    def is_encrypting(self) -> bool:
        """Whether what is encoded is encrypted."""
        return self._cipher is not None

    def begin(self) -> str | None:
        """Return the canary to write with the next value; None if there is one, or no key."""
        return self.change() if self._cipher is None and self._ciphers else None

    def change(self) -> str:
        """Encode with the first key from now on; return the canary to write with the values."""
        self._cipher = self._ciphers[0]
        return self._cipher.encrypt(_CANARY)

    def encoded(self, application: str, athlete_id: int, token: TokenSet) -> Hidden[str]:
        """Return what to keep for the tokens."""
        text = Hidden(json.dumps([application, athlete_id, to_json(token)]))
        return text if self._cipher is None else Hidden(self._cipher.encrypt(text.reveal()))

    def decoded(self, application: str, athlete_id: int, value: Hidden[str], *, is_encrypted: bool) -> TokenSet:
        """Return the tokens that a value holds.

        Raises:
            TokenStoreError: it holds none, or not those of this place.
        """
        token = _token(parse(self._decrypted(value, is_encrypted) or ""), application, athlete_id)
        if token is None:
            raise TokenStoreError(
                f"the row of athlete {athlete_id} in {self._place} cannot be read: restore a backup, "
                "or delete it and connect the athlete again"
            )
        return token

    def _decrypted(self, value: Hidden[str], is_encrypted: bool) -> str | None:
        if not is_encrypted:
            return value.reveal()
        return None if self._cipher is None else self._cipher.decrypt(value.reveal())

    def _cipher_of(self, canary: str) -> Cipher:
        if not self._ciphers:
            raise TokenStoreError(f"the tokens in {self._place} are encrypted: pass the key")
        for cipher in self._ciphers:
            if cipher.decrypt(canary) == _CANARY:
                return cipher
        raise TokenStoreError(f"the tokens in {self._place} are encrypted with another key: pass that key")


def _token(value: object, application: str, athlete_id: int) -> TokenSet | None:
    """Return the tokens of a row, if it is one and of that place."""
    if is_list(value) and len(value) == 3 and value[:2] == [application, athlete_id]:
        return from_json(value[2])
    return None
