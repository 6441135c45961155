"""What a Redis server does to what it has taken: how safe that is, and whether it may be thrown away. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from strava_async.errors import StoreError


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

    def check(self, place: str, lost: str, error: type[StoreError]) -> None:
        """Raise an error if the server is too old, or may throw away what it has taken.

        Args:
            place: where it is, for the message.
            lost: what would be lost, in the plural.
            error: what to raise.
        """
        if (0, 0) < self.version < (7, 0):
            raise error(f"{place} is version {self.version[0]}.{self.version[1]}: use 7 or later")
        if self.evicts:
            raise error(
                f"{place} throws keys away when its memory is full (maxmemory-policy {self.evicts}), and {lost} with "
                "them: set maxmemory-policy noeviction, or use another server"
            )

    def loses(self, what: str, *, waits: bool) -> str:
        """Return what a crash of the server loses, and the remedy; empty if it loses nothing that was taken.

        Args:
            what: what there is to lose, such as "tokens saved".
            waits: whether the writer waits for the log, where that confirms.
        """
        if not self.logs:
            return f"loses all {what} since its last snapshot, and without snapshots all: set appendonly yes"
        if self.fsync == "always" or (waits and self.confirms):
            return ""
        remedy = "set appendfsync always" + (", or everysec with version 7.2 or later" if waits else "")
        if self.fsync is None:
            return f"may lose the last seconds of {what}, for it does not tell its appendfsync: {remedy}"
        seconds = "second" if self.fsync == "everysec" else "half minute"
        return f"loses the last {seconds} of {what} (appendfsync {self.fsync}): {remedy}"


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
