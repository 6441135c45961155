"""The methods of ``Strava`` that return an athlete's client: of one who is connected, or by connecting the athlete."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from strava_async._hidden import hidden
from strava_async.client import Client
from strava_async.errors import InputError
from strava_async.login.grants import GrantMethods, IfMissing
from strava_async.oauth.credentials import check_secret
from strava_async.oauth.redirect import authorization_url, parse_redirect, redirect_state
from strava_async.oauth.scopes import parse_scope, scope_names
from strava_async.oauth.state import check_state
from strava_async.protocol import ApiV3, view_of

if TYPE_CHECKING:
    from strava_async.login.local import OpenUrl


class ConnectMethods(GrantMethods):
    """How ``Strava`` gets at its athletes."""

    def api(self, athlete_id: int) -> ApiV3:
        """Return the API for one athlete. Makes no requests; it need not be closed.

        It shares the athlete's tokens and the application's quota with every other ``ApiV3`` of this object. For an
        athlete who is not connected, the first call raises InvalidGrantError, before it costs quota.

        Raises:
            InputError: the athlete id is invalid, or this object is closed.
        """
        self._check_open()
        return view_of(self._core, self._accounts.source(athlete_id), self._options)

    def client(self, athlete_id: int) -> Client:
        """Return one athlete's client; as ``api``, which it holds."""
        return Client(self.api(athlete_id), athlete_id)

    async def authorization_url(
        self,
        redirect_uri: str,
        scope: str | Iterable[str] | None = None,
        state: str | None = None,
        approval_prompt: str = "auto",
    ) -> str:
        """Return the URL to send an athlete to. Makes no requests.

        Args:
            redirect_uri: where Strava sends the athlete back to; inside the application's callback domain.
            scope: a string or ``Scope`` values; None means ``read`` and ``activity:read``.
            state: comes back with the redirect; see ``StateSigner``.
            approval_prompt: ``force`` shows the page even to those who have granted everything.

        Raises:
            InputError: an unknown scope or approval prompt, or a redirect URI that is not absolute.

        Source:
            https://developers.strava.com/docs/authentication/ and RFC 6749 §4.1.1.
        """
        return authorization_url(
            self._core.oauth_url,
            client_id=self._client_id,
            redirect_uri=redirect_uri,
            approval_prompt=approval_prompt,
            scope=scope,
            state=state,
        )

    async def connect(
        self,
        code: str,
        scope: str | Iterable[str] | None = None,
        *,
        granted_scope: str | Iterable[str] | None = None,
        if_missing: IfMissing = "keep",
    ) -> Client:
        """Exchange the code of a redirect, save the tokens, and return the athlete's client.

        Waits for another process that renews this athlete's tokens. Costs no quota, unless Strava's response does not
        say whose tokens they are: finding out is a request, which may wait a minute for quota, because the code is
        spent. Once begun, it completes even if the caller is cancelled: a code can be used once.

        Args:
            code: from the redirect.
            scope: what the athlete must have granted; None requires nothing.
            granted_scope: the ``scope`` of the redirect, for when Strava's response does not name the scopes.
            if_missing: what to do with the tokens if something required was not granted: keep them, or revoke them at
                Strava and, if there were others of this athlete, deleted with them. Should revoking fail, the
                MissingScopeError has that for its cause.

        Raises:
            MissingScopeError: something required was not granted; ``athlete_id`` says by whom.
            InvalidGrantError: the code is invalid, used or expired.
            InvalidClientError: the client id or secret is wrong.
            AthleteCapacityError: the application has as many athletes as it may have.
            RateLimitedError: Strava rejected it for now, or another one a moment ago; the code is still good.
            TokenStoreError: the store failed to save the tokens; this object keeps them and tries again at the
                athlete's next call, and when it is closed.
            TransportError, ServerError, DecodeError: there was no usable response; the code may be used up, and the
                tokens of an earlier grant replaced. Let the athlete connect again.

        Source:
            https://developers.strava.com/docs/authentication/ and RFC 6749 §4.1.3.
        """
        grant = hidden(code)
        del code
        required = () if scope is None else scope_names(scope)
        if if_missing not in ("keep", "revoke"):
            raise InputError(f"if_missing is 'keep' or 'revoke', not {if_missing!r}")
        check_secret(grant, "the authorization code")
        granted = _granted(granted_scope)
        return self.client(await self._run_operation(partial(self._connect, grant, required, granted, if_missing)))

    async def connect_redirect(
        self,
        url: str,
        scope: str | Iterable[str] | None = None,
        *,
        state: str,
        if_missing: IfMissing = "keep",
    ) -> Client:
        """Connect the athlete whom Strava sent back to this address.

        Args:
            url: the whole address, query included.
            scope: see ``connect``.
            state: what was given to ``authorization_url``; compared in constant time.
            if_missing: see ``connect``.

        Raises:
            InvalidStateError: the redirect belongs to another authorization request.
            AuthorizationDeniedError: the athlete denied access.
            InputError: it holds neither a code nor an error.
            StravaError: as in ``connect``.
        """
        address = hidden(url)
        del url
        check_state(redirect_state(address.reveal()), state)
        redirect = parse_redirect(address.reveal())
        return await self.connect(redirect.code, scope, granted_scope=redirect.scope, if_missing=if_missing)

    async def authorize_locally(
        self,
        scope: str | Iterable[str] | None = None,
        *,
        port: int = 0,
        timeout: float | None = 300.0,
        open_url: OpenUrl | None = None,
        if_missing: IfMissing = "keep",
        approval_prompt: str = "auto",
    ) -> Client:
        """Connect the athlete at this machine: show Strava's page in the browser, and take the redirect.

        A server on 127.0.0.1 waits for that one redirect; whatever does not carry the right ``state`` does not end the
        wait. The browser shows how it ended.

        Args:
            scope: what is requested, and required; None means ``read`` and ``activity:read``.
            port: of the server; 0 takes a free one.
            timeout: seconds until the athlete has to be back; None waits for ever.
            open_url: sync or async; called with the URL of Strava's page. None opens the browser of this machine, with
                no access to this program's input and output; one that needs the terminal is not used. The URL, with
                the ``state`` in it, appears in no command line that other users of the machine can read.
            if_missing: see ``connect``.
            approval_prompt: ``force`` shows the page even to those who have granted everything.

        Raises:
            InputError: the port is taken, or there is no browser.
            AuthorizationDeniedError: the athlete denied access.
            AuthorizationTimeoutError: the athlete did not come back in time.
            MissingScopeError: the athlete did not grant a scope.
            StravaError: as in ``connect``.

        Source:
            RFC 8252 §7.3 and https://developers.strava.com/docs/authentication/
        """
        # Not above: only a login at a terminal needs the HTTP parser and the list of browsers.
        from strava_async.login.local import log_in, show_in_browser

        self._check_open()
        return await log_in(
            self,
            scope_names(scope),
            port=port,
            timeout=timeout,
            open_url=open_url or show_in_browser,
            if_missing=if_missing,
            approval_prompt=approval_prompt,
        )


def _granted(scope: str | Iterable[str] | None) -> frozenset[str]:
    if scope is None:
        return frozenset()
    return parse_scope(scope) if isinstance(scope, str) else frozenset(str(name) for name in scope)
