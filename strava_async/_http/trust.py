"""The TLS context of this process: one, made on first use, because loading the trust store takes 20 ms and more."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from functools import cache

import httpx

from strava_async.errors import InputError

_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_KEY_LOG = "SSLKEYLOGFILE"


@cache
def tls_context() -> ssl.SSLContext:
    """Return the TLS context. It blocks the first time: that is a thread's work.

    Raises:
        InputError: the certificates that the environment names cannot be read.
    """
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
