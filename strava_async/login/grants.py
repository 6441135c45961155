"""The methods of ``Strava`` that end a grant, or say whether it lasts; and how a new one is kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal, TypeVar

from strava_async._concurrency.shield import call_shielded, commit
from strava_async._hidden import Hidden
from strava_async.errors import DecodeError, MissingScopeError, StravaError
from strava_async.oauth.grants import AccessInfo, code_grant
from strava_async.oauth.scopes import check_scope
from strava_async.oauth.token_set import TokenSet
from strava_async.quota.values import Priority
from strava_async.request.call import api_call
from strava_async.request.core import Core
from strava_async.request.options import Options, changed
from strava_async.tokens.accounts import Accounts
from strava_async.tokens.source import TokenSource

IfMissing = Literal["keep", "revoke"]
T = TypeVar("T")

# How long the one request may queue that finds out whose tokens came.
LOOKUP_SECONDS = 60.0

GENERATION_BYTES = 12


class GrantMethods:
    """What ``Strava`` does about grants that exist.

    Whatever takes more than one step is an operation: it completes even if cancelled, and ``aclose`` waits for it.
    """

    _core: Core
    _options: Options
    _accounts: Accounts
    _client_id: int | str
    _client_secret: Hidden[str]
    _new_secret: Callable[[int], str]

    async def is_connected(self, athlete_id: int) -> bool:
        """Say whether there are tokens of this athlete. Makes no requests; the grant may have been revoked at Strava.

        Raises:
            InputError: the athlete id is invalid.
            TokenStoreError: the store cannot be read.
        """
        self._check_open()
        self._accounts.source(athlete_id)
        return await self._accounts.newest(athlete_id) is not None

    async def generation(self, athlete_id: int) -> str | None:
        """Return the generation of an athlete's grant; None if the athlete is not connected.

        What was issued for a grant, such as the session of a browser, is valid as long as this is what it was then. It
        is made by ``connect``, stays the same through renewals, and ends with the tokens, or when Strava reports the
        grant as revoked. Connecting an athlete again does not change it, unless the grant had ended, or Strava's
        response shows that it is another one: see ``docs/fastapi.md``. Reads the store; makes no requests.

        Raises:
            InputError: the athlete id is invalid.
            TokenStoreError: the store cannot be read.
        """
        self._check_open()
        return await self._accounts.generation(athlete_id)

    async def end_sessions(self, athlete_id: int) -> None:
        """Give an athlete's grant a new generation, which signs out every browser. The athlete stays connected.

        Does nothing if the athlete is not connected. Waits for another process that renews the tokens. Costs no quota.
        Once begun, it completes even if the caller is cancelled.

        Raises:
            InputError: the athlete id is invalid.
            TokenStoreError: the store failed, or does not keep ``TokenSet.generation``.
        """
        self._accounts.source(athlete_id)
        generation = self._new_generation()
        await self._run_operation(partial(self._accounts.change_generation, athlete_id, generation))

    async def athlete_ids(self) -> list[int]:
        """Return the connected athletes, in ascending order."""
        self._check_open()
        return await self._accounts.store.athlete_ids()

    async def disconnect(self, athlete_id: int) -> None:
        """Revoke an athlete's grant at Strava, then delete the tokens. Does nothing if there are none.

        Costs no quota. Works for expired tokens and for a grant that is revoked already. Once begun, it completes even
        if the caller is cancelled; a wait, for the lock or before the next attempt, is given up.

        Raises:
            InvalidClientError: the client id or secret is wrong; the tokens are kept.
            TransportError, ServerError: there was no usable response, after the retries; the tokens are kept, and
                disconnecting again does no harm.

        Source:
            https://developers.strava.com/docs/authentication/ (``POST /oauth/revoke``), RFC 7009.
        """
        self._accounts.source(athlete_id)  # an invalid id is an error before anything is done
        await self._run_operation(partial(self._accounts.delete, athlete_id, self._revoke))

    async def forget(self, athlete_id: int) -> None:
        """Delete an athlete's tokens without a request, as when the athlete has removed the application at Strava."""
        self._accounts.source(athlete_id)
        await self._run_operation(partial(self._accounts.delete, athlete_id, None))

    async def forget_if_revoked(self, athlete_id: int) -> bool:
        """Find out whether an athlete has removed the application, and delete the tokens if so.

        For unverified claims, such as a webhook event, which anybody may have sent. The tokens are renewed to find out,
        which costs no quota and does no harm to a valid grant. Once begun, it completes even if the caller is
        cancelled.

        Returns:
            whether the grant was found to be revoked, and this call deleted the tokens. False for a valid grant, and
            where there were no tokens, because something else had ended it before.

        Raises:
            InputError: the athlete id is invalid.
            InvalidClientError, TransportError, ServerError: it could not be determined; the tokens are kept.
            TokenStoreError: the store failed.
        """
        source = self._accounts.source(athlete_id)
        return await self._run_operation(partial(self._accounts.delete_if_revoked, source, athlete_id))

    def _check_open(self) -> None:
        self._core.lifecycle.check_operations()

    async def _run_operation(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run what must not be left half done; ``aclose`` waits for it."""
        self._check_open()
        return await call_shielded(work, self._core.lifecycle.operations.begin())

    async def _connect(
        self, code: Hidden[str], required: tuple[str, ...], granted: frozenset[str], if_missing: IfMissing
    ) -> int:
        form = code_grant(self._client_id, self._client_secret, code)
        tokens, generation = TokenSource(refresh=self._core.renew, clock=self._core.clock), self._new_generation()
        answer = Hidden(
            await tokens.replace(lambda _: self._core.token_endpoint.exchange_code(form, self._options), save=False)
        )
        commit()  # the code is used up: from now on nothing that waits, for a lock or for quota, may be cancelled
        if granted and not answer.reveal().get("scope"):
            answer.reveal()["scope"] = " ".join(sorted(granted))
        athlete_id = await self._owner(tokens, answer)
        missing = _missing(answer.reveal().token_set(), required)
        if missing is not None and if_missing == "revoke":
            try:
                await self._accounts.delete(athlete_id, self._revoke, granted=answer.reveal().token_set())
            except StravaError as error:
                raise missing from error
        else:
            await self._accounts.connect(athlete_id, answer.reveal(), generation)
        if missing is not None:
            raise missing
        return athlete_id

    async def _owner(self, tokens: TokenSource, answer: Hidden[AccessInfo]) -> int:
        """Return whose tokens these are; a response that does not say costs a request to find out."""
        athlete_id = answer.reveal().token_set().athlete_id
        if athlete_id is None:
            call = api_call("GET", "/athlete", {}, api_url=self._core.api_url)
            options = changed(self._options, priority=Priority.INTERACTIVE, max_wait=LOOKUP_SECONDS)
            answer.reveal()["athlete"] = await self._core.exchange.run(call, tokens, options)
            athlete_id = answer.reveal().token_set().athlete_id
        if athlete_id is None:
            raise DecodeError("Strava does not say whose tokens these are", path="/athlete")
        return athlete_id

    async def _revoke(self, token: TokenSet | None) -> None:
        if token is not None:
            to_revoke = Hidden(token.refresh_token or token.access_token)
            await self._core.token_endpoint.revoke(to_revoke, self._options)

    def _new_generation(self) -> str:
        return TokenSet("", generation=self._new_secret(GENERATION_BYTES)).generation


def _missing(token: TokenSet, required: tuple[str, ...]) -> MissingScopeError | None:
    """Return the error if something required was not granted; None too where Strava does not say what was."""
    try:
        check_scope(token.scope or frozenset(required), required)
    except MissingScopeError as error:
        error.athlete_id = token.athlete_id
        return error
    return None
