"""What is known of an athlete's tokens: ``Unread``, ``Held``, ``Unsaved`` or ``Dead``. A state does not change.

========  ==================================================  =====================================================
state     what happens                                        next state
========  ==================================================  =====================================================
Unread    tokens were read                                    Held
Unread    there are none (InvalidGrantError)                  Unread
Held      Strava answered with tokens that are to be saved    Unsaved, until they are saved
Held      Strava answered with tokens that are not            Held
Held      Strava rejected the refresh token, under a lease    Dead
Held      other tokens were read                              Held
Unsaved   the tokens were saved                               Held
Unsaved   saving failed                                       Unsaved
Unsaved   others replaced or deleted what was to be replaced  Unread: what is in the store counts
Dead      other tokens were read                              Held
any       a new grant came (``adopt_grant``)                  Unsaved, and it overrides
any       the caller set tokens                               Held
any       the tokens were deleted (``invalidate``)            Unread
========  ==================================================  =====================================================

Unsaved tokens are not used before they are saved: a process that is killed would take them along, and Strava has
invalidated the previous refresh token.
"""

from __future__ import annotations

from typing import ClassVar, Final

from strava_async.errors import InvalidGrantError
from strava_async.oauth.token_set import TokenSet, are_same_tokens, with_generation
from strava_async.tokens.generations import ended, may_continue


class Unread:
    """The tokens are read before their next use."""

    __slots__ = ("token",)
    is_usable: ClassVar[bool] = False

    def __init__(self) -> None:
        self.token: Final = TokenSet("")


class Held:
    """The tokens are those that are saved, as far as is known; or nothing saves them."""

    __slots__ = ("token",)
    is_usable: ClassVar[bool] = True

    def __init__(self, token: TokenSet) -> None:
        self.token: Final = token

    def with_token(self, token: TokenSet) -> Held:
        """Return the state with these tokens, which are those of the same grant."""
        return Held(token)


class Unsaved:
    """Strava gave these tokens, and they are not saved yet.

    Attributes:
        token: the tokens.
        replaced: those that were saved when these came; None if there were none.
        overrides: they are a new grant, and replace whatever is saved.
    """

    __slots__ = ("overrides", "replaced", "token")
    is_usable: ClassVar[bool] = False

    def __init__(self, token: TokenSet, replaced: TokenSet | None = None, *, overrides: bool = False) -> None:
        self.token: Final = token
        self.replaced: Final = replaced
        self.overrides: Final = overrides

    def with_token(self, token: TokenSet) -> Unsaved:
        """Return the state with these tokens to be saved instead."""
        return Unsaved(token, self.replaced, overrides=self.overrides)

    def to_save(self, saved: TokenSet | None) -> TokenSet | None:
        """Return the tokens to save in place of those that are saved now; None if those count instead.

        They count if the athlete was connected again, or disconnected, since these came. The generation is that of what
        is saved, because it may have changed since; unless these tokens are another grant's, see ``may_continue``.
        """
        if saved == self.replaced:
            return self.token
        if not self.overrides and not any(are_same_tokens(saved, token) for token in (self.replaced, self.token)):
            return None
        if saved is None or (self.overrides and not may_continue(saved, self.token)):
            return self.token
        if not self.overrides and self.replaced is not None and saved.generation == ended(self.replaced.generation):
            # Another process took the grant for dead. It is not: its refresh token brought these.
            return with_generation(self.token, self.replaced.generation)
        return with_generation(self.token, saved.generation)


class Dead:
    """Strava rejected the refresh token: it is not sent again.

    Attributes:
        token: the tokens, as they are saved.
        error: what each caller that needs a renewal gets a copy of.
    """

    __slots__ = ("error", "token")
    is_usable: ClassVar[bool] = True  # the access token may be valid for some time

    def __init__(self, token: TokenSet, error: InvalidGrantError) -> None:
        self.token: Final = token
        self.error: Final = error

    def with_token(self, token: TokenSet) -> Dead:
        """Return the state with these tokens, which are those of the same grant."""
        return Dead(token, self.error)


State = Unread | Held | Unsaved | Dead
