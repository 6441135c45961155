"""From a reply to the value that a call returns, or to its error. Pure: no I/O, no state.

Rules:

====================================  ==================================================
2xx with no body, or 204              ``{}``
2xx, JSON                             the decoded value
2xx, text or XML (GPX, TCX)           ``str``
2xx, HTML                             DecodeError
2xx, anything else                    ``bytes``
every other status, 3xx included      a FaultError (or OAuthError), see ``faults``
any status, more than 64 MB           DecodeError
====================================  ==================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from strava_async._hidden import Hidden
from strava_async.errors import DecodeError
from strava_async.request.call import Call
from strava_async.request.decompression import DecompressionError
from strava_async.request.json_values import decode as decode_json
from strava_async.request.media import begins_like_html, is_html_type, is_json_type, media_type_of
from strava_async.request.reply import Reply, decompressed_reply, too_large

Decode = Callable[[Reply], Any]
"""Makes the value out of a successful reply, whose body is decompressed."""


def read(call: Call, reply: Reply, bearer: Hidden[str] | None = None) -> Any:
    """Return the value that a successful reply stands for.

    Args:
        call: what was asked.
        reply: what came back, compressed or not.
        bearer: the access token that was sent along; no error shows it, whatever the reply echoes.

    Raises:
        StravaError: the reply is no success, its body is not of the documented shape, or too large.
    """
    plain = _success(call, reply, bearer)
    try:
        return _value(plain)
    except (ValueError, RecursionError) as error:
        failed = _undecodable(call, plain, bearer, error)
    raise failed  # outside of the handler: an error that has the body would be its context


def read_json(call: Call, reply: Reply, bearer: Hidden[str] | None, decode: Decode) -> Any:
    """Return what a caller's own decoder makes of the body of a successful reply.

    Args:
        call: what was asked.
        reply: what came back, compressed or not.
        bearer: see ``read``.
        decode: gets the reply decompressed, whatever its media type; raises ValueError for what is no JSON.

    Raises:
        StravaError: the reply is no success, its body is no JSON, or too large.
    """
    plain = _success(call, reply, bearer)
    try:
        return decode(plain)
    except DecodeError as error:
        message = f"{call.method} {call.path}: {error}"
        failed = DecodeError(message, path=call.path, body_excerpt=error.body_excerpt)
        failed.__cause__ = _cause(error.__cause__, call, plain, bearer)
    except (ValueError, RecursionError) as error:
        failed = _undecodable(call, plain, bearer, error)
    raise failed


def read_leniently(reply: Reply) -> Any:
    """Return the body whatever the status; text where it cannot be decoded.

    Raises:
        DecodeError: it is too large.
    """
    plain = decompressed_reply(reply)
    if plain.is_too_large:
        raise too_large("the response")
    try:
        return _value(plain)
    except (ValueError, RecursionError):
        return plain.body.decode("utf-8", "replace")


def _success(call: Call, reply: Reply, bearer: Hidden[str] | None) -> Reply:
    plain = decompressed_reply(reply)
    if plain.is_too_large or not 200 <= plain.status_code < 300:
        from strava_async.request.faults import fault  # not above: with what it needs it adds a twentieth to the import

        raise fault(call, plain, bearer)
    if plain.failure is not None:
        raise _undecodable(call, plain, bearer, plain.failure)
    return plain


def _value(plain: Reply) -> Any:
    body = plain.body
    if not body:
        return {}
    media_type = media_type_of(plain.content_type)
    if is_html_type(media_type) or begins_like_html(body):
        raise ValueError("HTML instead of data")
    if is_json_type(media_type):
        return decode_json(body)
    if media_type.startswith("text/") or media_type.endswith(("/xml", "+xml")):
        return body.decode("utf-8")
    return body


def _undecodable(call: Call, plain: Reply, bearer: Hidden[str] | None, error: Exception) -> DecodeError:
    from strava_async.request.faults import describe

    description = describe(call, plain, bearer, is_json=False)
    reason = str(error) if isinstance(error, DecompressionError) else description.what or type(error).__name__
    if description.is_page and description.excerpt:
        reason += f": {description.excerpt}"
    failed = DecodeError(
        f"{call.method} {call.path} answered {plain.status_code} with a body that cannot be read: {reason}",
        path=call.path,
        body_excerpt=description.excerpt,
    )
    failed.__cause__ = _cause(error, call, plain, bearer)
    return failed


def _cause(error: BaseException | None, call: Call, plain: Reply, bearer: Hidden[str] | None) -> BaseException | None:
    """Return the cause that a DecodeError may have: it has the body, in its frames if nowhere else."""
    shows = call.quota_class is None or any(secret.encode() in plain.body for secret in call.secrets_with(bearer))
    return None if shows else error
