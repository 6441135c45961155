"""Whether an athlete's new tokens continue the saved grant, and so its generation, or begin another.

Strava has one grant per athlete and application, and does not say whether a code belongs to a new one. Cases, in
the order in which ``may_continue`` looks at them:

1. The saved grant was found dead, or never had a generation: the new tokens are another grant's.
2. Both have a token in common: Strava answers with the present tokens of a valid grant. It is the same grant.
3. Strava issues an access token for a grant only in the last hour of the one before, and each is valid for six hours.
   A token that expires less than five hours later is another grant's.
4. Otherwise it is unknown, and taken for the same: an athlete who connects with a second browser, hours after the
   first, must not be signed out there. A webhook event, or the first call since, shows that the saved grant was
   revoked at Strava; then it is case 1, or the tokens were deleted.

Source:
    https://developers.strava.com/docs/authentication/.
"""

from __future__ import annotations

from strava_async.oauth.token_set import GENERATION_LENGTH, TokenSet, with_generation

# A minute less than five hours: expiries are rounded, and clocks are set.
LEAST_SECONDS_BETWEEN_EXPIRIES = 5 * 3600 - 60

# Begins the generation of a grant that was found dead. What ``Strava.connect`` makes has letters and digits.
_ENDED = "!"


def may_continue(kept: TokenSet, came: TokenSet) -> bool:
    """Return whether tokens that were exchanged for a code get the generation of those that are saved."""
    if not kept.generation or _has_ended(kept.generation):
        return False
    if _have_a_token_in_common(kept, came):
        return True
    if kept.expires_at is None or came.expires_at is None:
        return False
    return came.expires_at - kept.expires_at >= LEAST_SECONDS_BETWEEN_EXPIRIES


def changed(kept: TokenSet, generation: str) -> TokenSet:
    """Return tokens with another generation; that of a grant that was found dead stays ended."""
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
