"""What went wrong with Redis, as a sentence with its remedy. Pure: it gets the error, and knows no client.

A client's exceptions may hold what was sent: their texts are searched for what is known, and not passed on.
"""

from __future__ import annotations

import re

_MOVING = "is moving these keys to another of its servers: try again later"
_SAID: dict[str, str] = {
    "NOAUTH": "wants a password: give the client its user name and password",
    "WRONGPASS": "refused the user name or the password: give the client those of the server",
    "AuthenticationError": "refused the user name or the password: give the client those of the server",
    "AuthenticationWrongNumberOfArgsError": "wants another kind of password: give the client that of the server",
    "READONLY": "is a read-only replica: connect to the primary, or through Sentinel",
    "ReadOnlyError": "is a read-only replica: connect to the primary, or through Sentinel",
    "OOM": "has no memory left: give it more than its present maxmemory",
    "OutOfMemoryError": "has no memory left: give it more than its present maxmemory",
    "MASTERDOWN": "is a replica that has lost its primary: connect to the primary, or through Sentinel",
    "MasterDownError": "is a replica that has lost its primary: connect to the primary, or through Sentinel",
    "MISCONF": "cannot write to its disk, and takes no writes: see the server's log",
    "NOREPLICAS": "has fewer replicas than its min-replicas-to-write: see what has become of them",
    "LOADING": "is loading its data after a start: try again later",
    "BusyLoadingError": "is loading its data after a start: try again later",
    "BUSY": "is busy with a script that does not end: see which program runs it, and end it with SCRIPT KILL",
    "CLUSTERDOWN": "is a cluster without all of its slots: see CLUSTER INFO",
    "ClusterDownError": "is a cluster without all of its slots: see CLUSTER INFO",
    **dict.fromkeys(("ClusterError", "AskError", "TryAgainError", "MovedError"), _MOVING),
    "MasterNotFoundError": "has no primary that a Sentinel knows: see what has become of it",
    "WRONGTYPE": "holds something else under one of this application's keys: see which program shares the server",
    "MaxConnectionsError": "has no connection left for this client: allow its pool more",
    "TimeoutError": "did not answer in time",
    "ConnectionError": "cannot be reached: see that it runs, and the client's host and port",
    "OSError": "cannot be reached: see that it runs, and the client's host and port",
}
_FORBIDDEN = re.compile(r"STRAVA COMMAND (\w+)|'([\w|]+)' (?:command|subcommand)")
_NO_KEYS = re.compile(r"STRAVA KEYS|access (?:a|one of the) key", re.I)
_UNKNOWN = re.compile(r"unknown (?:redis )?command '?(\w+)", re.I)
_CODE = re.compile(r"([A-Z]{3,})\b")


def reason(error: BaseException, keys: str) -> str:
    """Return what happened, as a part of a sentence whose subject is the server.

    Args:
        error: what a client of Redis raised.
        keys: the pattern of the keys in use, as an ACL has it.
    """
    text = str(error)
    kinds = [kind.__name__ for kind in type(error).__mro__]
    if _NO_KEYS.search(text):
        return f"denies this user the keys {keys}: add ~{keys} to its ACL"
    if "STRAVA COMMAND" in text or "NoPermissionError" in kinds or "NOPERM" in text:
        found = _FORBIDDEN.search(text)
        name = (found[1] or found[2]).lower() if found else "eval"
        return f"denies this user the command {name.upper()}: add +{name} to its ACL"
    unknown = _UNKNOWN.search(text)
    if unknown:
        return f"does not know the command {unknown[1].upper()}: use Redis 7 or later"
    code = _CODE.match(text)
    for each in (code[1] if code else "", *kinds):
        if each in _SAID:
            return _SAID[each]
    return f"answered with an error ({kinds[0]})"
