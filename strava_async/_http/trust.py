"""TLS: whom this process trusts, and how a failure is explained.

One context, made on first use, because loading the trust store takes 20 ms and more.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from functools import cache

from strava_async.errors import InputError

_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_KEY_LOG = "SSLKEYLOGFILE"
# Beside a certificate that is refused: the two sides have no TLS in common, or one of them speaks none.
_PERMANENT = frozenset(
    {
        "NO_PROTOCOLS_AVAILABLE",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "TLSV1_ALERT_UNKNOWN_CA",
        "UNSUPPORTED_PROTOCOL",
        "WRONG_VERSION_NUMBER",
    }
)


@cache
def tls_context() -> ssl.SSLContext:
    """Return the TLS context. It blocks the first time: that is a thread's work.

    Raises:
        InputError: the certificates that the environment names cannot be read.
    """
    import httpx  # not above: to load it takes longer than all of this package, and may be a thread's work too

    variable = trust_variable(os.environ)
    if variable == "SSL_CERT_DIR" and not any(map(os.path.isdir, os.environ[variable].split(os.pathsep))):
        # OpenSSL takes it without a word, and trusts nobody.
        raise _unusable(variable, "it is no directory")
    try:
        return httpx.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        # Python opens the key log where this variable names one, whatever the trust store is.
        if os.environ.get(_KEY_LOG) and getattr(error, "filename", None) == os.environ[_KEY_LOG]:
            variable = _KEY_LOG
        if variable is None:
            raise InputError(f"the trust store of the package certifi cannot be read: {error}") from error
        raise _unusable(variable, str(error)) from error


def trust_variable(environ: Mapping[str, str]) -> str | None:
    """Return the variable that says whom to trust; None where the trust store is that of certifi."""
    return next((name for name in _VARIABLES if environ.get(name)), None)


def _unusable(variable: str, reason: str) -> InputError:
    what = "is not writable" if variable == _KEY_LOG else "holds no certificates that can be read"
    return InputError(
        f"{variable} is {os.environ[variable]}, which {what} ({reason}): correct the variable, or unset it"
    )


def permanent_tls_failure(error: BaseException) -> str | None:
    """Return why TLS failed, if another attempt meets that again; as with a certificate that is refused."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _explained(cause)
        if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", None) in _PERMANENT:
            return _explained(cause)
        cause = cause.__cause__ or cause.__context__
    return None


def _explained(failure: ssl.SSLError) -> str:
    if not isinstance(failure, ssl.SSLCertVerificationError):
        return f"there is no TLS with this server: {failure}"
    trusted = trust_variable(os.environ) or "the package certifi"
    return f"its certificate is refused: {failure} (who is trusted comes from {trusted})"
