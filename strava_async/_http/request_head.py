"""The head of an HTTP/1.1 request (RFC 9112 §3), for a sender that writes it itself. Pure: no I/O, no state."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from strava_async._hidden import Hidden, revealed
from strava_async.request.outgoing import Body, OutgoingRequest

CHUNKED = "Transfer-Encoding: chunked\r\n"
MAX_URL_CHARACTERS = 64 * 1024  # as with httpx
# Without a body these say that it is empty; the others say nothing (RFC 9110 §8.6).
_HAVE_A_LENGTH = frozenset({"POST", "PUT"})


def address_and_target(url: str) -> tuple[str, str]:
    """Return scheme, host and port of a URL, and the target of a request for it: the path and the query.

    Raises:
        ValueError: it is no http or https URL, or too long.
    """
    scheme, _, rest = url.partition("://")
    authority, _, below = rest.partition("/")
    if scheme not in ("http", "https") or len(url) > MAX_URL_CHARACTERS:
        raise ValueError("not a URL for a request")
    target = f"/{below}"
    if not (target.isascii() and target.isprintable()) or " " in target or "#" in target:
        target = quote(target.partition("#")[0], safe="/?%:@!$&'()*+,;=~[]")
    return f"{scheme}://{authority}", target


def request_head(
    outgoing: OutgoingRequest,
    beginning: str,
    body: bytes | Hidden[bytes] | Body | None,
    described_by: Mapping[str, str],
) -> Hidden[bytes]:
    """Return the head of a request; hidden, as it has the bearer.

    Args:
        outgoing: the request.
        beginning: what follows the method: the target, the version, and the fields of every request.
        body: what is sent after the head.
        described_by: the fields that describe the body.

    Raises:
        InputError: the access token is nothing that a field can hold.
    """
    method, authorization = outgoing.call.method, outgoing.authorization()
    fields = "".join([f"{name}: {value}\r\n" for name, value in described_by.items()])
    if isinstance(body, Body):
        if is_chunked(described_by):
            fields += CHUNKED
    elif body or method in _HAVE_A_LENGTH:
        fields += f"Content-Length: {len(revealed(body) or b'')}\r\n"
    if authorization is None:
        return Hidden(f"{method} {beginning}{fields}\r\n".encode("ascii"))
    # In one expression: a local variable of this frame would show it to a crash reporter.
    return Hidden(f"{method} {beginning}{fields}Authorization: {authorization.reveal()}\r\n\r\n".encode("ascii"))


def is_chunked(described_by: Mapping[str, str]) -> bool:
    """Say whether a body that is sent piece by piece goes out in chunks, because its length is not known."""
    return "Content-Length" not in described_by
