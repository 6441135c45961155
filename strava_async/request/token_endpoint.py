"""Requests for tokens and about them: ``POST /oauth/token`` and ``POST /oauth/revoke``, for all athletes at once.

They cost no quota and carry no bearer. After an error response of the token endpoint, no request of any athlete is sent
there until a pause is over.

Source:
    https://developers.strava.com/docs/authentication/, RFC 6749 §4.1.3 and §6, RFC 7009.
"""

from __future__ import annotations

from typing import Any

from strava_async._hidden import Hidden
from strava_async.clock import Clock
from strava_async.errors import InputError, StravaError
from strava_async.oauth.credentials import check_client_id, check_secret
from strava_async.oauth.grants import AccessInfo, Form, access_info, refresh_grant
from strava_async.oauth.token_set import TokenSet
from strava_async.request.call import Call, oauth_call
from strava_async.request.exchange import Exchange
from strava_async.request.lifecycle import Lifecycle
from strava_async.request.options import Options, of_oauth
from strava_async.request.pause import Pause
from strava_async.request.reports import Reports

IdAndSecret = tuple[int | str, Hidden[str]]


class Credentials:
    """An application's client id and secret, as far as they are known: shared by all views, and set by the last grant.

    Args:
        client_id: the id; None if it is not known yet.
        client_secret: the secret; None if it is not known yet.

    Raises:
        InputError: one that is given is invalid.
    """

    __slots__ = ("client_id", "client_secret")

    def __init__(self, client_id: int | str | None = None, client_secret: Hidden[str] | None = None) -> None:
        if client_id is not None:
            check_client_id(client_id)
        if client_secret is not None:
            check_secret(client_secret)
        both = client_id is not None and client_secret is not None
        self.client_id = client_id if both else None
        self.client_secret = client_secret if both else None

    @property
    def are_known(self) -> bool:
        """Whether there are both."""
        return self.client_secret is not None

    def resolve(self, client_id: int | str | None = None, client_secret: Hidden[str] | None = None) -> IdAndSecret:
        """Return client id and secret: those given, and what is known in place of None.

        Raises:
            InputError: one is neither given nor known.
        """
        client_id = self.client_id if client_id is None else client_id
        secret = self.client_secret if client_secret is None else client_secret
        if client_id is None or secret is None:
            raise InputError("revoking needs client_id and client_secret: give both, here or to the constructor")
        return client_id, secret

    def adopt(self, client_id: int | str, client_secret: Hidden[str]) -> None:
        """Use these from now on: Strava has accepted them."""
        self.client_id, self.client_secret = client_id, client_secret


class TokenEndpoint:
    """Requests tokens from Strava, and revokes them.

    Args:
        exchange: makes the requests.
        oauth_url: the base of both endpoints.
        credentials: of the application.
        options: how renewals are made; all callers of an athlete share them.
        lifecycle: says whether a request may begin, and waits for its end.
        clock: for pauses and expiries.
        reports: receives the renewals.
    """

    def __init__(
        self,
        exchange: Exchange,
        oauth_url: str,
        credentials: Credentials,
        options: Options,
        *,
        lifecycle: Lifecycle,
        clock: Clock,
        reports: Reports,
    ) -> None:
        self.credentials = credentials
        self._exchange = exchange
        self._oauth_url = oauth_url
        self._options = options
        self._lifecycle = lifecycle
        self._clock = clock
        self._reports = reports
        self._pause = Pause()

    async def exchange_code(self, form: Form, options: Options) -> AccessInfo:
        """Exchange an authorization code for tokens, in one attempt: a code can be used once.

        Args:
            form: see ``oauth.grants.code_grant``.
            options: how the request is made.
        """
        return await self._grant(form, options, idempotent=False)

    async def refresh(self, form: Form, tokens: TokenSet) -> AccessInfo:
        """Exchange a refresh token for the next tokens.

        Args:
            form: see ``oauth.grants.refresh_grant``.
            tokens: the present ones.
        """
        self._pause.check(self._clock.monotonic())  # what is not sent is not reported
        with self._reports.refreshing(tokens.athlete_id):
            return await self._grant(form, self._options, idempotent=True)

    async def renew(self, tokens: TokenSet) -> AccessInfo:
        """Exchange the refresh token of these tokens for the next ones, with the credentials that are known."""
        client_id, secret = self.credentials.client_id, self.credentials.client_secret
        return await self.refresh(refresh_grant(client_id or "", secret or "", tokens.refresh_token or ""), tokens)

    async def revoke(self, token: Hidden[str], options: Options, credentials: IdAndSecret | None = None) -> None:
        """Revoke the grant that a token belongs to.

        Args:
            token: either token of the grant.
            options: how the request is made.
            credentials: client id and secret; None means those that are known.

        Raises:
            InputError: a value is missing or invalid; nothing was sent.
        """
        client_id, secret = credentials or self.credentials.resolve()
        check_client_id(client_id)
        basic = (client_id, check_secret(secret))
        form = {"token": check_secret(token, "the token to revoke")}
        call = oauth_call(f"{self._oauth_url}/revoke", form, idempotent=True, credentials=basic)
        await self._exchange.run(call, None, of_oauth(options))

    async def _grant(self, form: Form, options: Options, *, idempotent: bool) -> AccessInfo:
        self._lifecycle.check_requests()
        call = oauth_call(f"{self._oauth_url}/token", form, idempotent=idempotent)
        end = self._lifecycle.token_requests.begin()
        try:
            answer = await self._ask(call, options)
        finally:
            end()
        return access_info(answer, now=self._clock.time(), refresh_token=form.get("refresh_token"))

    async def _ask(self, call: Call, options: Options) -> Any:
        """Make a call to the token endpoint, unless there is a pause; note what its result means for the next."""
        pause, clock = self._pause, self._clock
        pause.check(clock.monotonic())
        try:
            answer = await self._exchange.run(call, None, of_oauth(options))
        except StravaError as error:
            pause.note(error, options.retry, clock.monotonic())
            raise
        pause.note(None, options.retry, clock.monotonic())
        return answer
