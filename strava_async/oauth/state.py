"""The ``state`` of an authorization request: proof that a redirect is a reply to our request (RFC 6749 §10.12).

Rules:

- A signed state is base64url, without padding, of ``nonce (16 bytes) | signed at (8) | data (UTF-8) | MAC (32)``.
- The MAC is HMAC-SHA256 over ``length of session (8) | session | nonce | signed at | data``. Only the session and the
  data vary in length, and the first says how long it is: no two inputs read alike.
- Its key is derived from the secret for this use alone, and for the ``purpose``: the same secret may sign other things
  elsewhere, and what one purpose signed no other accepts.
- Only the one spelling that ``sign`` makes is accepted.
- A state that was signed more than a minute from now is ``expired``, not ``forged``: we did sign it, a clock has jumped
  since, and its age is unknown. The way out is that of an old one, to begin again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import secrets
import struct
from collections.abc import Callable, Sequence

from strava_async._hidden import Hidden
from strava_async._types import bytes_of
from strava_async.clock import Clock, SystemClock
from strava_async.errors import InputError, InvalidStateError

MAX_DATA_BYTES = 1024
MIN_SECRET_BYTES = 16
CLOCK_SLACK_SECONDS = 60.0

_USE = b"strava_async.state 1"
_NONCE_BYTES = 16
_HEAD = struct.Struct(f">{_NONCE_BYTES}sd")
_MAC_BYTES = hashlib.sha256().digest_size
_MAX_BYTES = _HEAD.size + MAX_DATA_BYTES + _MAC_BYTES
_MAX_CHARACTERS = -(-_MAX_BYTES * 4 // 3)

Secret = str | bytes


class StateSigner:
    """Signs states that expire, and knows its own again. Nothing is kept between the two.

    ::

        signer = StateSigner(os.environ["STATE_SECRET"])
        url = api.authorization_url(..., state=signer.sign("/rides", session=cookie))
        go_to = signer.verify(request.query_params.get("state"), session=cookie)

    A state is good again and again until it expires. What makes it good for one browser only is ``session``; what makes
    it good only once is a session value that is replaced when the redirect has come.

    Args:
        secret: at least 16 bytes that only the service knows; the same in all its processes. Of several, the first
            signs and all verify: put a new one in front, and drop the old one ``max_age_seconds`` later.
        max_age_seconds: how long a state is good; above zero.
        purpose: what the states are for. A signer knows only those of its own purpose.
        clock: None means the system's.
        token_bytes: makes that many random bytes.

    Raises:
        InputError: no secret, one that is too short, or an age that is not above zero.
    """

    def __init__(
        self,
        secret: Secret | Sequence[Secret],
        *,
        max_age_seconds: float = 600.0,
        purpose: str = "",
        clock: Clock | None = None,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        given: Hidden[Secret | Sequence[Secret]] = Hidden(secret)
        del secret
        if not 0 < max_age_seconds < math.inf:
            raise InputError(f"max_age_seconds has to be a number above zero, not {max_age_seconds}")
        self._keys = _keys(given, purpose)
        self._max_age = max_age_seconds
        self._clock = clock or SystemClock()
        self._token_bytes = token_bytes

    def sign(self, data: str = "", *, session: str = "") -> str:
        """Return a new state; no two are equal. It needs no escaping in a URL.

        Args:
            data: comes back from ``verify``, such as where to go afterwards. Whoever sees the state can read it, nobody
                can change it. At most 1024 bytes of UTF-8.
            session: what only this browser sends, such as the value of a cookie. It cannot be read from the state.
                Empty binds the state to no browser: then anybody may bring it.

        Raises:
            InputError: the data is too long, or not Unicode.
        """
        try:
            payload = data.encode()
        except UnicodeEncodeError:
            raise InputError("the data of a state has to be Unicode; half a surrogate pair is in it") from None
        if len(payload) > MAX_DATA_BYTES:
            raise InputError(f"the data of a state is {len(payload)} bytes long; {MAX_DATA_BYTES} fit")
        signed = _HEAD.pack(self._token_bytes(_NONCE_BYTES), self._clock.time()) + payload
        return _encode(signed + _mac(self._keys.reveal()[0], session, signed))

    def verify(self, state: str | None, *, session: str = "") -> str:
        """Return the data of a state that came back.

        Args:
            state: as the redirect brought it.
            session: the same as given to ``sign``.

        Raises:
            InvalidStateError: ``missing``: there is none. ``forged``: not signed with any of the secrets, or for
                another session. ``expired``: too old, or from the future.
        """
        if not state:
            raise InvalidStateError("missing")
        decoded = _decode(state)
        signed, mac = decoded[:-_MAC_BYTES], decoded[-_MAC_BYTES:]
        ours = any(hmac.compare_digest(mac, _mac(key, session, signed)) for key in self._keys.reveal())
        if not ours or len(signed) < _HEAD.size:
            raise InvalidStateError("forged")
        signed_at: float = _HEAD.unpack_from(signed)[1]
        if not -CLOCK_SLACK_SECONDS <= self._clock.time() - signed_at <= self._max_age:
            raise InvalidStateError("expired")
        return signed[_HEAD.size :].decode()


def check_state(given: str | None, expected: str) -> None:
    """Compare the state of a redirect, in constant time, with the one random state that was sent.

    Raises:
        InvalidStateError: ``missing`` or ``forged``.
    """
    if not given:
        raise InvalidStateError("missing")
    if not hmac.compare_digest(bytes_of(given), bytes_of(expected)):
        raise InvalidStateError("forged")


def _keys(secret: Hidden[Secret | Sequence[Secret]], purpose: str) -> Hidden[list[bytes]]:
    materials = Hidden(_materials(secret.reveal()))
    if min(map(len, materials.reveal()), default=0) < MIN_SECRET_BYTES:
        raise InputError(f"the secret of a state has to be at least {MIN_SECRET_BYTES} bytes long")
    return Hidden([hmac.digest(one, _USE + bytes_of(purpose), "sha256") for one in materials.reveal()])


def _materials(secret: Secret | Sequence[Secret]) -> list[bytes]:
    # A single secret is a sequence too: of characters.
    return [bytes_of(each) for each in ([secret] if isinstance(secret, str | bytes) else secret)]


def _mac(key: bytes, session: str, signed: bytes) -> bytes:
    who = bytes_of(session)
    return hmac.digest(key, struct.pack(">Q", len(who)) + who + signed, "sha256")


def _encode(signed: bytes) -> str:
    return base64.urlsafe_b64encode(signed).rstrip(b"=").decode("ascii")


def _decode(state: object) -> bytes:
    """Return what a state holds; nothing unless encoding that yields the very same state."""
    if not isinstance(state, str) or len(state) > _MAX_CHARACTERS:
        return b""
    try:
        signed = base64.urlsafe_b64decode(state + "=" * (-len(state) % 4))
    except ValueError:
        return b""
    return signed if _encode(signed) == state else b""
