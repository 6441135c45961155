"""What a Redis server does to what it has taken: how safe that is, and whether it may be thrown away. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from strava_async.errors import TokenStoreError


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a server that matter here.

    Attributes:
        version: the first two numbers.
        logs: whether it has a log of what was written (``appendonly``).
        evicts: the policy by which it throws keys away that do not expire; empty if it does not.
        fsync: ``appendfsync``; None if the server does not tell this user.
    """

    version: tuple[int, int]
    logs: bool
    evicts: str = ""
    fsync: str | None = None

    @property
    def confirms(self) -> bool:
        """Whether the server says when a write is in its log, on its disk (``WAITAOF``)."""
        return self.logs and self.version >= (7, 2) and self.fsync != "no"

    def check(self, place: str) -> None:
        """Raise TokenStoreError if the server is too old, or may throw tokens away.

        Args:
            place: where the tokens are, for the message.
        """
        if (0, 0) < self.version < (7, 0):
            raise TokenStoreError(f"{place} is version {self.version[0]}.{self.version[1]}: use 7 or later")
        if self.evicts:
            raise TokenStoreError(
                f"{place} throws keys away when its memory is full (maxmemory-policy {self.evicts}), and athletes with "
                "them: set maxmemory-policy noeviction, or use another server"
            )

    @property
    def loses(self) -> str:
        """What a crash of the server loses, and the remedy; empty if it loses nothing that was saved."""
        if not self.logs:
            return "loses all tokens saved since its last snapshot, and without snapshots all: set appendonly yes"
        if self.confirms or self.fsync == "always":
            return ""
        remedy = "set appendfsync always, or everysec with version 7.2 or later"
        if self.fsync is None:
            return f"may lose the last seconds of tokens saved, for it does not tell its appendfsync: {remedy}"
        seconds = "second" if self.fsync == "everysec" else "half minute"
        return f"loses the last {seconds} of tokens saved (appendfsync {self.fsync}): {remedy}"


def settings_of(info: str, fsync: str | None = None) -> Settings:
    """Return the settings that the text of ``INFO`` tells.

    Args:
        info: the text.
        fsync: see ``Settings``; it is not in that text.
    """
    told = dict(re.findall(r"^(\w+):(.*?)\r?$", info, re.M))
    version = re.match(r"(\d+)\.(\d+)", told.get("redis_version", ""))
    policy = told.get("maxmemory_policy", "")
    evicts = told.get("maxmemory", "0") != "0" and policy.startswith("allkeys-")
    return Settings(
        version=(int(version[1]), int(version[2])) if version else (0, 0),
        logs=told.get("aof_enabled") == "1",
        evicts=policy if evicts else "",
        fsync=fsync,
    )
