"""The methods of ``ApiV3`` that are about tokens: its three attributes, and OAuth as the twin spells it."""

from __future__ import annotations

from collections.abc import Iterable

from strava_async._hidden import Hidden, hidden
from strava_async.errors import InputError
from strava_async.oauth.grants import AccessInfo, code_grant, refresh_grant
from strava_async.oauth.token_set import TokenSet, with_access_token, with_expiry, with_refresh_token
from strava_async.request.core import View


class TokenMethods(View):
    """What ``ApiV3`` does about the tokens of its athlete."""

    @property
    def access_token(self) -> str | None:
        """The access token as it is now."""
        return self._tokens.token.access_token or None

    @access_token.setter
    def access_token(self, value: str | None) -> None:
        token = Hidden(value or "")
        del value
        self._tokens.token = with_access_token(self._tokens.token, token)

    @property
    def refresh_token(self) -> str | None:
        """The refresh token as it is now; it may change with every renewal."""
        return self._tokens.token.refresh_token

    @refresh_token.setter
    def refresh_token(self, value: str | None) -> None:
        token = Hidden(value)
        del value
        self._tokens.token = with_refresh_token(self._tokens.token, token)

    @property
    def token_expires(self) -> int | None:
        """When the access token expires; epoch seconds, None if unknown."""
        return self._tokens.token.expires_at

    @token_expires.setter
    def token_expires(self, value: float | None) -> None:
        self._tokens.token = with_expiry(self._tokens.token, value)

    async def authorization_url(
        self,
        client_id: int | str,
        redirect_uri: str,
        approval_prompt: str = "auto",
        scope: str | Iterable[str] | None = None,
        state: str | None = None,
    ) -> str:
        """Return the URL to send an athlete to. Makes no requests.

        Args:
            client_id: the application's id.
            redirect_uri: where Strava sends the athlete back to; inside the application's callback domain.
            approval_prompt: ``force`` shows the page even to those who have granted everything.
            scope: a string or ``Scope`` values; None means ``read`` and ``activity:read``.
            state: comes back with the redirect; bind it to the athlete's session.

        Raises:
            InputError: an unknown scope or approval prompt, or a redirect URI that is not absolute. It is a ValueError.

        Source:
            https://developers.strava.com/docs/authentication/ and RFC 6749 §4.1.1.
        """
        from strava_async.oauth.redirect import authorization_url  # not above: most programs have their tokens

        return authorization_url(
            self._core.oauth_url,
            client_id=client_id,
            redirect_uri=redirect_uri,
            approval_prompt=approval_prompt,
            scope=scope,
            state=state,
        )

    async def exchange_code_for_token(self, client_id: int | str, client_secret: str, code: str) -> AccessInfo:
        """Exchange the code of a redirect for tokens, and use them from now on. Costs no quota.

        The request is made once, because a code can be used once, whether or not the response arrives. It completes
        even if the caller is cancelled.

        Raises:
            InputError: one of the three is empty, or has white space around it; nothing was sent.
            InvalidGrantError: the code is invalid, used or expired.
            InvalidClientError: the client id or secret is wrong.
            AthleteCapacityError: the application has as many athletes as it may have.
            RateLimitedError: Strava rejected it for now, or another one a moment ago; the code is still good.
            TransportError, ServerError, DecodeError: there was no usable response; the code may be used up.

        Source:
            https://developers.strava.com/docs/authentication/ and RFC 6749 §4.1.3.
        """
        secret, grant = hidden(client_secret), hidden(code)
        del client_secret, code
        form, endpoint = code_grant(client_id, secret, grant), self._core.token_endpoint
        info = await self._tokens.replace(lambda _: endpoint.exchange_code(form, self._options), save=False)
        self._renew_with(client_id, secret)
        return info

    async def refresh_access_token(self, client_id: int | str, client_secret: str, refresh_token: str) -> AccessInfo:
        """Exchange a refresh token for the next tokens, and use them from now on. Costs no quota.

        More than an hour before the access token expires, Strava returns the same one. ``on_token_refresh`` has
        returned before this method does. The request completes even if the caller is cancelled.

        Raises:
            InputError: one of the three is empty, or has white space around it; nothing was sent.
            InvalidGrantError: the refresh token is invalid or revoked; the athlete has to connect again.
            InvalidClientError: the client id or secret is wrong; the grant is still good.
            RateLimitedError: Strava rejected it for now, or a moment ago; ``retry_after`` has the seconds, if it said.
            TransportError, ServerError, DecodeError: there was no usable response, after the retries.

        Source:
            https://developers.strava.com/docs/authentication/ and RFC 6749 §6.
        """
        secret, grant = hidden(client_secret), hidden(refresh_token)
        del client_secret, refresh_token
        form, endpoint = refresh_grant(client_id, secret, grant), self._core.token_endpoint
        info = await self._tokens.replace(lambda tokens: endpoint.refresh(form, tokens), save=True)
        self._renew_with(client_id, secret)
        return info

    async def revoke(
        self, client_id: int | str | None = None, client_secret: str | None = None, token: str | None = None
    ) -> None:
        """Revoke a grant at Strava, and with it both tokens. Costs no quota, and needs no valid access token.

        Args:
            client_id: the application's id; None means the one given before.
            client_secret: the application's secret; None means the one given before.
            token: either token of the grant; None means this object's refresh token, else its access token. Those are
                forgotten afterwards.

        Raises:
            InputError: there is no token, or the credentials are not known, or one of the three is invalid.
            InvalidClientError: the client id or secret is wrong.
            TransportError, ServerError: there was no usable response, after the retries; revoking again does no harm.

        Source:
            https://developers.strava.com/docs/authentication/ (``POST /oauth/revoke``, since June 2026), RFC 7009.
        """
        secret = None if client_secret is None else hidden(client_secret)
        given = Hidden(token)
        del client_secret, token
        credentials = self._core.credentials.resolve(client_id, secret)
        if given.reveal() is None and self._tokens.shared:
            raise InputError("these tokens are kept in a store: disconnect the athlete with Strava.disconnect")
        to_revoke = Hidden(given.reveal() or self.refresh_token or self.access_token or "")
        if not to_revoke.reveal():
            raise InputError("there is no token to revoke")
        await self._core.token_endpoint.revoke(to_revoke, self._options, credentials)
        if to_revoke.reveal() in (self.refresh_token, self.access_token):
            self._tokens.token = TokenSet("")

    def _renew_with(self, client_id: int | str, client_secret: Hidden[str]) -> None:
        self._core.credentials.adopt(client_id, client_secret)
        self._core.renew_by_default(self._tokens)
