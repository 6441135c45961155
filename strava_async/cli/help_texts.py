"""The ends of the help texts: examples, exit statuses, and the variables of the environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

VARIABLES: Mapping[str, str] = {
    "STRAVA_CLIENT_ID": "the application's client id",
    "STRAVA_CLIENT_SECRET": "its client secret",
    "STRAVA_TOKEN_KEY": "a Fernet key, with which tokens are encrypted",
    "STRAVA_API_URL": "the API, if it is not Strava's: an emulator's",
    "STRAVA_OAUTH_URL": "the same for the pages where athletes connect",
    "STRAVA_REDIS_URL": "the Redis server that processes share",
    "STRAVA_VERIFY_TOKEN": "the verify token of a webhook",
}
APPLICATION = ("STRAVA_CLIENT_ID", "STRAVA_CLIENT_SECRET", "STRAVA_TOKEN_KEY", "STRAVA_API_URL", "STRAVA_OAUTH_URL")
STATUSES: Mapping[int, str] = {
    0: "it is done",
    1: "it failed, and a sentence says why",
    2: "an option, a variable or the configuration file is wrong",
}
INTERRUPTED: Mapping[int, str] = {130: "Ctrl-C ended it"}
_WIDTH = 74


def epilog(
    examples: Mapping[str, str], *, statuses: Mapping[int, str] | None = None, variables: Sequence[str] = ()
) -> str:
    """Return the end of a command's help.

    Args:
        examples: what they do, by the commands.
        statuses: beside the usual ones, or in place of them.
        variables: of the environment that it reads.
    """
    told = {**STATUSES, **(INTERRUPTED if statuses is None else statuses)}
    blocks = [_block("Examples:" if len(examples) > 1 else "Example:", _examples(examples))]
    blocks.append(_block("Exit status:", [f"{status:<4}{text}" for status, text in sorted(told.items())]))
    if variables:
        blocks.append(_block("Environment:", [f"{name:<22}{VARIABLES[name]}" for name in variables]))
    return "\n\n".join(blocks)


def _examples(examples: Mapping[str, str]) -> list[str]:
    lines: list[str] = []
    for command, text in examples.items():
        lines += [*([f"# {text}"] if text else []), command]
    return lines


def _block(title: str, lines: Sequence[str]) -> str:
    # \b: the formatter leaves the lines of such a paragraph as they are.
    return "\n".join(["\b", title, *(f"  {line}" for line in lines)])
