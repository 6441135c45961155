"""The tokens of one athlete, and their renewal: once, for any number of callers.

Cases, in the order in which ``TokenSource.bearer`` looks at them:

1. A renewal is under way: wait for it and share its result, be it tokens or an error.
2. Renewed tokens could not be kept before: that comes first; they are used only after that.
3. The tokens were not read yet: read them.
4. The access token is good for longer than the leeway, or its expiry is unknown: use it.
5. It is not, and it can be renewed: renew it; this caller leads, those who come meanwhile wait (case 1). If Strava
   cannot be reached, or refuses for now, it is used as long as it lives.
6. It is not, and nothing can renew it: use it; Strava's answer decides.

``renew`` is for a token that Strava refused. The refused one is passed in: what somebody else has renewed meanwhile is
not renewed again. It is not sent again either, unless Strava gives it once more. A refresh token that Strava called
dead is not tried again, and the generation of its grant has ended.

Where a ``TokenKeeper`` is shared with other processes, a renewal is: look, lock, look again, ask, save, unlock. After a
refresh token that Strava calls dead comes another look, because somebody without the lock may have been faster.

Strava hands out a new access token only in the last hour of the old one, and the same one before that. A leeway of
five minutes is inside that hour, and covers a local clock that is two minutes wrong.

Source:
    https://developers.strava.com/docs/authentication/ and RFC 6749 §6.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from functools import partial
from typing import Protocol

from strava_async._concurrency.shield import after_waiting_for, commit
from strava_async._hidden import Hidden
from strava_async.clock import Clock, SystemClock
from strava_async.errors import (
    InputError,
    InvalidGrantError,
    MissingScopeError,
    RateLimitedError,
    ServerError,
    TransportError,
)
from strava_async.oauth.grants import AccessInfo, TokenSet, are_same_tokens, with_generation
from strava_async.oauth.scopes import lacks_scope
from strava_async.tokens.expiry import Expiry
from strava_async.tokens.generations import changed, ended, may_continue
from strava_async.tokens.renewals import Renewals, own_copy

Refresh = Callable[[TokenSet], Awaitable[AccessInfo]]
OnTokenRefresh = Callable[[TokenSet], object]

LEEWAY_SECONDS = 300.0

_NONE: Hidden[str | None] = Hidden(None)


class TokenKeeper(Protocol):
    """Where the tokens of one athlete are kept, and who may renew them now."""

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Return a context that excludes everybody else who renews these tokens."""
        ...

    async def load(self, present: TokenSet) -> TokenSet:
        """Return what is kept.

        Args:
            present: what the caller has; returned where nothing else is known.

        Raises:
            InvalidGrantError: the athlete is not connected, or not any more.
        """
        ...

    async def save(self, token: TokenSet) -> None:
        """Keep renewed tokens; when it returns they are safe."""
        ...


class _Handover:
    """A keeper that keeps nothing: it hands renewed tokens to a function of the caller's."""

    def __init__(self, on_refresh: OnTokenRefresh | None) -> None:
        self._on_refresh = on_refresh

    def lock(self) -> AbstractAsyncContextManager[object]:
        return nullcontext()

    async def load(self, present: TokenSet) -> TokenSet:
        return present

    async def save(self, token: TokenSet) -> None:
        if self._on_refresh is not None:
            result = self._on_refresh(token)
            if inspect.isawaitable(result):
                await result


class TokenSource:
    """Where the requests of one athlete get their bearer from. Share it between ``ApiV3`` objects of that athlete.

    It belongs to the event loop that uses it first, until that has ended; used in another meanwhile, it raises
    InputError. A renewal that was begun is waited for when its loop ends, but not for ever.

    Args:
        token: what to begin with; None if the athlete is not connected yet, or if ``keeper`` knows.
        refresh: asks Strava for the next tokens; None means that tokens are used as long as they live.
            Can be given later, as the attribute of that name.
        on_refresh: sync or async; gets each renewed TokenSet, and has returned before it is used. What it raises
            reaches every caller that waits, and it is called again before the next use. It cannot make requests
            with these tokens.
        keeper: in place of ``on_refresh``: where the tokens are read before their first use, and kept.
        clock: None means the system's.
        leeway_seconds: renew that long before the expiry.
        athlete_id: whose tokens these are; None leaves it to the tokens. A renewal that names another is refused.

    Raises:
        InputError: both ``on_refresh`` and ``keeper`` are given.
    """

    def __init__(
        self,
        token: TokenSet | None = None,
        *,
        refresh: Refresh | None = None,
        on_refresh: OnTokenRefresh | None = None,
        keeper: TokenKeeper | None = None,
        clock: Clock | None = None,
        leeway_seconds: float = LEEWAY_SECONDS,
        athlete_id: int | None = None,
    ) -> None:
        if keeper is not None and on_refresh is not None:
            raise InputError("give either keeper or on_refresh: both are told of renewed tokens")
        self._token = token or TokenSet("")
        self.refresh = refresh
        self._keeper: TokenKeeper = keeper or _Handover(on_refresh)
        self._expiry = Expiry(clock or SystemClock(), leeway_seconds)
        self._athlete_id = athlete_id
        self._shared = keeper is not None
        self._unread = self._shared and token is None
        self._unsaved = False
        self._replaced: TokenSet | None = None  # what was kept when the unsaved tokens were got; None if nothing was
        self._overrides = False  # the unsaved tokens are a new grant, and replace whatever is kept
        self._dead: InvalidGrantError | None = None
        self._renewals = Renewals()

    @property
    def token(self) -> TokenSet:
        """The tokens as they are now; setting them ends any complaint about the old ones."""
        return self._token

    @token.setter
    def token(self, token: TokenSet) -> None:
        self._put(token)
        self._expiry.reset()

    @property
    def shared(self) -> bool:
        """Whether the tokens have a keeper."""
        return self._shared

    @property
    def refreshable(self) -> bool:
        """Whether there is a refresh token, and a way to use it."""
        return self.refresh is not None and bool(self._token.refresh_token)

    @property
    def remembers(self) -> bool:
        """Whether there is something to remember for a minute, so that Strava is not asked at once again."""
        return self._expiry.remembers

    @property
    def unsaved(self) -> bool:
        """Whether renewed tokens are in hand that could not be kept yet."""
        return self._unsaved

    async def bearer(self) -> str | None:
        """Return an access token that should be good, renewing it first if need be; None if there is none.

        Waits for a renewal, no longer. Costs no quota. A token that cannot be renewed now is used as long as it lives;
        a minute later the next call tries again.

        Raises:
            InvalidGrantError: the refresh token is dead; the athlete has to connect again.
            StravaError: the renewal failed for another reason; the next call tries again.
        """
        self._renewals.enter()
        while self._renewals.under_way or self._unsaved or self._unread or self._is_due():
            try:
                if await self._renewals.share(partial(self._next_tokens, _NONE)) and not self._unread:
                    break
            except (RateLimitedError, ServerError, TransportError):
                if not self._is_alive():
                    raise
        return self._token.access_token or None

    async def renew(self, stale: str | None) -> bool:
        """Replace an access token that Strava refused.

        Args:
            stale: the refused one.

        Returns:
            whether there is another one now. False also where nothing can renew it, where Strava gave the same one
            again, and for a minute after that, or after Strava gave one that was dead already.

        Raises:
            InvalidGrantError: the refresh token is dead; the athlete has to connect again.
            StravaError: the renewal failed for another reason.
        """
        refused = Hidden(stale)
        del stale
        self._renewals.enter()
        if self._token.access_token and self._is_present(refused):
            self._expiry.note_refusal(self._token)
        if self._expiry.asked_in_vain:
            return not self._is_present(refused)
        while self._is_present(refused) and (self._renewals.under_way or self.refreshable):
            if await self._renewals.share(partial(self._next_tokens, refused)):
                break
        return bool(self._token.access_token) and not self._is_present(refused)

    async def replace(self, ask: Refresh, *, save: bool) -> AccessInfo:
        """Ask for tokens now, whatever the present ones are worth, and use them from then on.

        Waits for a renewal under way first. Cancelling the caller does not stop what was begun.

        Args:
            ask: makes the request; gets the present tokens.
            save: whether ``keeper`` or ``on_refresh`` is to have them before they are used. False is for a new grant,
                of which the caller takes care: nothing that is known of the one before holds for it.

        Raises:
            InputError: there is a ``keeper``, and it is not to have them.
            StravaError: what ``ask`` raises; the present tokens stay.
        """
        if self._shared and not save:
            raise InputError("these tokens are kept in a store: connect the athlete with Strava.connect")
        await self._renewals.settled()
        answer: list[AccessInfo] = []

        async def work() -> None:
            async with self._exclusive():
                answer.append(await self._adopt(ask, save, await self._kept()))

        await self._renewals.lead(work, private=True)
        return answer[0]

    async def put(self, info: AccessInfo, generation: str = "") -> None:
        """Keep the tokens of a new grant in place of whatever is kept, and use them from then on.

        They are in hand at once, and stay so until they are kept. Waits for a renewal under way first; cancelling the
        caller does not stop what was begun.

        Args:
            info: Strava's answer.
            generation: of the grant, unless it continues the one that is kept, and has its generation; see
                ``generations``.

        Raises:
            Exception: what the keeper raises; see ``hand_over``.
        """
        grant = Hidden(info)
        del info
        await self._renewals.settled()

        async def work() -> None:
            self._take(grant.reveal(), TokenSet("", generation=generation), TokenSet(""))
            self._unsaved = self._overrides = True
            await self._save_at_last()

        await self._renewals.lead(work, private=True)

    async def change_generation(self, generation: str) -> bool:
        """Keep another generation with the tokens that are kept.

        Waits for a renewal under way first; cancelling the caller does not stop what was begun.

        Returns:
            whether it is kept. False for a keeper that does not keep generations.

        Raises:
            InvalidGrantError: the athlete is not connected.
            Exception: what the keeper raises; the generation is the one before.
        """
        await self._renewals.settled()
        is_kept: list[bool] = []

        async def work() -> None:
            async with self._exclusive():
                await self._save_unless_superseded()
                await self._read()
                token = changed(self._token, generation)
                await self._keeper.save(token)
                await self._read()
                is_kept.append(self._token.generation == token.generation)

        await self._renewals.lead(work, private=True)
        return is_kept == [True]

    async def prepare(self, any_of: tuple[str, ...] = ()) -> None:
        """Do and tell what can be done and told before a call takes its place in the queue for quota. Costs none.

        Tokens with a keeper are read, and renewed if need be: another process may hold them for long, and a permit is
        not held meanwhile. They are read again before the athlete is blamed: somebody may have connected them anew.

        Args:
            any_of: scopes of which the call needs one; none if empty.

        Raises:
            MissingScopeError: it is known that none of them was granted; a new authorization may help.
            StravaError: as in ``bearer``, where there is a keeper.
        """
        if self._shared:
            await self.bearer()
        while lacks_scope(self._token.scope, any_of):
            if await self._renewals.share(self._read) and lacks_scope(self._token.scope, any_of):
                message = f"this call needs {' or '.join(any_of)}, which the athlete did not grant"
                raise MissingScopeError(message, missing=any_of[:1], athlete_id=self._token.athlete_id)

    async def confirm(self, end: Callable[[], Awaitable[None]]) -> bool:
        """Find out from Strava whether the grant lives, by renewing the tokens whatever they are worth. Costs no quota.

        Waits for a renewal under way first; cancelling the caller does not stop what was begun.

        Args:
            end: called if the grant is dead, or nothing is kept, while nobody else can renew or replace the tokens.

        Returns:
            whether it lives. True also for tokens that nothing can renew: there is no way to tell.

        Raises:
            StravaError: it could not be found out.
        """
        await self._renewals.settled()
        lives: list[bool] = []

        async def work() -> None:
            async with self._exclusive():
                try:
                    await self._save_unless_superseded()
                    await self._read()
                    while self.refreshable and not await self._ask():
                        await self._read()
                    lives.append(True)
                except InvalidGrantError:
                    await end()
                    lives.append(False)

        await self._renewals.lead(work, private=True)
        return lives[0]

    def offer(self, kept: TokenSet, before: TokenSet) -> None:
        """Take what somebody has just read from the keeper, if it was to be read before the next use anyway.

        Args:
            kept: what was found.
            before: the tokens here when the reading began; if they are others now it may be out of date.
        """
        if self._unread and self._token is before and not self._renewals.under_way:
            self._put(kept)

    def reread(self) -> None:
        """Forget the tokens; what is kept is read before the next use."""
        self.token = TokenSet("")
        self._unread = True

    async def settled(self) -> None:
        """Wait until no renewal is under way, so that what it uses may be closed."""
        await self._renewals.settled()

    async def hand_over(self) -> None:
        """Offer renewed tokens once more that could not be kept; nothing happens if there are none."""
        while self._unsaved and not await self._renewals.share(self._save_at_last):
            pass

    def in_hand(self, kept: TokenSet | None) -> TokenSet | None:
        """Return the tokens that are to replace what is kept and do not yet; None if what is kept counts.

        It counts if the athlete was connected anew, or disconnected, since the tokens in hand were got. The generation
        is that of what is kept, unless the tokens in hand are those of another grant; see ``may_continue``.
        """
        if not self._unsaved:
            return None
        if not self._overrides and not any(are_same_tokens(kept, token) for token in (self._replaced, self._token)):
            return None
        if kept is None or (self._overrides and not may_continue(kept, self._token)):
            return self._token
        return with_generation(self._token, kept.generation)  # it may have changed meanwhile

    def _is_present(self, refused: Hidden[str | None]) -> bool:
        return (self._token.access_token or None) == refused.reveal()

    def _is_due(self) -> bool:
        return self.refreshable and self._expiry.is_due(self._token)

    def _is_alive(self) -> bool:
        """Say whether there is a token that can be used although it is due."""
        return not (self._unread or self._unsaved) and self._expiry.is_alive(self._token)

    async def _next_tokens(self, refused: Hidden[str | None]) -> None:
        if not self._unsaved and await self._will_do(refused):
            return
        # Another process may hold it for as long as Strava takes.
        async with self._exclusive():
            await self._save_unless_superseded()
            while not await self._will_do(refused) and not await self._ask():
                pass

    async def _will_do(self, refused: Hidden[str | None]) -> bool:
        """Read what is kept, and say whether there is nothing to ask Strava for."""
        await self._read()
        if self._token.access_token and not self._is_present(refused) and not self._is_due():
            return True
        if self._dead is not None:
            raise own_copy(self._dead)
        return not self.refreshable

    async def _read(self) -> None:
        while not self._unsaved:
            before = self._token
            try:
                kept = await self._keeper.load(before)
            except InvalidGrantError:
                self.reread()
                raise
            if self._token is before:
                if not are_same_tokens(kept, before):
                    self.token = kept
                elif kept != before:
                    self._token = kept  # what is known of them, such as that Strava refused one, holds
                self._unread = False
                return

    async def _ask(self) -> bool:
        """Ask Strava for the next tokens and keep them; False if somebody else got them first."""
        before = self._token
        if self.refresh is None:
            return True
        try:
            await self._adopt(self.refresh, True, before)
        except InvalidGrantError as error:
            kept = await self._kept()
            if kept is not None and kept.refresh_token != before.refresh_token:
                return False
            if self._token is before:
                self._dead = own_copy(error)  # each raise would add its frames
                self._expiry.remember()
                await self._end_generation(kept)
            raise
        except (RateLimitedError, ServerError, TransportError):
            if not self._unsaved:
                self._expiry.note_failure(self._token)
            raise
        return True

    async def _end_generation(self, kept: TokenSet | None) -> None:
        """Let what was given out for a grant, such as sessions, end with it: the tokens stay, and say so.

        A keeper that does not take it is told once more by whoever next finds the grant dead.
        """
        generation = "" if kept is None else ended(kept.generation)
        if self._shared and kept is not None and kept.generation != generation:
            with suppress(Exception):
                await self._keeper.save(with_generation(kept, generation))

    async def _adopt(self, ask: Refresh, save: bool, replaced: TokenSet | None) -> AccessInfo:
        before, unsaved = self._token, self._unsaved
        self._renewals.asked()
        answer = Hidden(await ask(before))
        if self._token is not before:
            return answer.reveal()  # somebody set other tokens meanwhile: theirs count
        commit()  # the tokens before may be dead
        if save:
            self._check_owner(answer.reveal().token_set(), before)
        # What is kept may have another generation than the tokens here, and tells more if they were not read yet.
        known = (self.in_hand(replaced) or replaced or before) if save else TokenSet("")
        self._take(answer.reveal(), known, before)
        if save and (unsaved or self._token != replaced):
            self._unsaved, self._replaced = True, replaced
            await self._save()
        return answer.reveal()

    def _check_owner(self, renewed: TokenSet, before: TokenSet) -> None:
        """Raise InvalidGrantError if renewed tokens are not those of the athlete whose the old ones were."""
        ours, theirs = self._athlete_id or before.athlete_id, renewed.athlete_id
        if None not in (ours, theirs) and ours != theirs:
            raise InvalidGrantError(f"Strava renewed the tokens of athlete {ours} with another's: connect again")

    def _take(self, info: AccessInfo, known: TokenSet, before: TokenSet) -> None:
        token = info.token_set(known)
        self._put(token)
        self._expiry.note_answer(info, token, before)

    def _put(self, token: TokenSet) -> None:
        self._token = token
        self._unread = self._unsaved = self._overrides = False
        self._dead = None

    async def _save(self) -> None:
        token = self._token
        await self._keeper.save(token)
        if self._token is token:
            self._unsaved = self._overrides = False

    async def _save_at_last(self) -> None:
        async with self._exclusive():
            await self._save_unless_superseded()

    def _exclusive(self) -> AbstractAsyncContextManager[object]:
        """Return the keeper's lock; waiting for it can be cancelled unless there are tokens to lose."""
        lock = self._keeper.lock()
        return lock if self._unsaved else after_waiting_for(lock)

    async def _save_unless_superseded(self) -> None:
        """Keep what could not be kept before, unless the athlete was connected anew, or disconnected, meanwhile."""
        if self._unsaved:
            token = self.in_hand(await self._kept())
            if token is None:
                self.reread()
            else:
                self._token = token
                await self._save()

    async def _kept(self) -> TokenSet | None:
        try:
            return await self._keeper.load(self._token)
        except InvalidGrantError:
            return None
