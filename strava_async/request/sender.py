"""What the exchange needs to know about HTTP: the Protocol that each sender implements.

A sender moves bytes. What they are was decided before: ``OutgoingRequest`` has the URL, the fields, the body and the
bounds. What comes back is a ``Reply`` as it arrived, still compressed; what it means is decided afterwards.

Rules for an implementation; ``tests/http/sender_contract.py`` checks them:

1. One ``send`` is one request: no retry of its own, no redirect, no cookie. Each request has a permit of its own.
2. It sets ``outgoing.sent`` to ``"maybe"`` before the first byte of the request can leave, and not before that if it
   can tell: what was never sent gives its quota back, and is tried again.
3. ``outgoing.timeout`` bounds connecting, and each wait for bytes of the reply. A body that goes out bounds itself.
4. A cancelled ``send`` ends at once. A connection with half a request or half a reply on it is not used again, nor
   one on which bytes came that nobody asked for.
5. No error that it raises shows a secret: not in its text, nor in its cause, nor in the frames of either.
"""

from __future__ import annotations

from typing import Protocol

from strava_async.request.outgoing import OutgoingRequest
from strava_async.request.reply import Reply


class Sender(Protocol):
    """Moves the bytes of requests and replies. See the rules of this module."""

    async def send(self, outgoing: OutgoingRequest) -> Reply:
        """Send one request and return its reply, whatever the status.

        Args:
            outgoing: what to send, and within which bounds.

        Raises:
            TransportError: no reply came.
            DecodeError: the body of the reply is too large, or cannot be decompressed.
            InputError: the request cannot be sent.
        """
        ...

    async def aclose(self) -> None:
        """End the requests in flight, and close the connections that this sender opened."""
        ...
