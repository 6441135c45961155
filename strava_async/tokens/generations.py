"""Whether an athlete's new tokens continue the grant that is kept, and so its generation, or begin another.

Strava has one grant per athlete and application, and does not say whether a code is the answer to a new one. Cases, in
the order in which ``may_continue`` looks at them:

1. The grant that is kept was found dead, or never had a generation: it is another.
2. Both have a token in common: Strava gives the tokens of a grant that lives again where they are good. It is the same.
3. Strava makes an access token for a grant only in the last hour of the one before, and each lives six hours. What
   expires less than five hours later is of another.
4. Else nobody can tell. It is taken for the same: an athlete who connects with a second browser, hours after the first,
   is not to be signed out there. That the one before was ended at Strava is known from a webhook event, or at the
   first call since; then it is case 1, or the tokens were deleted.

Source:
    https://developers.strava.com/docs/authentication/.
"""

from __future__ import annotations

from strava_async.oauth.grants import GENERATION_LENGTH, TokenSet, with_generation

# A minute less than five hours: expiries are rounded, and clocks are set.
LEAST_SECONDS_BETWEEN_EXPIRIES = 5 * 3600 - 60

# Begins the generation of a grant that was found dead. What ``Strava.connect`` makes has letters and digits.
_ENDED = "!"


def may_continue(kept: TokenSet, came: TokenSet) -> bool:
    """Say whether tokens that a code brought are to have the generation of what is kept."""
    if not kept.generation or _has_ended(kept.generation):
        return False
    if _have_a_token_in_common(kept, came):
        return True
    if kept.expires_at is None or came.expires_at is None:
        return False
    return came.expires_at - kept.expires_at >= LEAST_SECONDS_BETWEEN_EXPIRIES


def changed(kept: TokenSet, generation: str) -> TokenSet:
    """Return tokens with another generation; that of a grant that was found dead is none that lives."""
    return with_generation(kept, ended(generation) if _has_ended(kept.generation) else generation)


def ended(generation: str) -> str:
    """Return the generation of a grant that had this one until it was found dead; empty for none."""
    if not generation or _has_ended(generation):
        return generation
    return f"{_ENDED}{generation}"[:GENERATION_LENGTH]


def _has_ended(generation: str) -> bool:
    return generation.startswith(_ENDED)


def _have_a_token_in_common(one: TokenSet, other: TokenSet) -> bool:
    same_access = bool(one.access_token) and one.access_token == other.access_token
    return same_access or (bool(one.refresh_token) and one.refresh_token == other.refresh_token)
