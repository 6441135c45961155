"""Where a client and the emulator disagree, and are known to: why, and that it is not the emulator's to mend."""

KNOWN: dict[tuple[str, str], str] = {}
