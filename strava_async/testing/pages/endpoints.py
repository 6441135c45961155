"""The paths outside of access control: OAuth, webhook subscriptions, and the front page."""

from __future__ import annotations

from strava_async.testing.api.tokens import TokensApi
from strava_async.testing.http.routing import RouteTable
from strava_async.testing.pages.consent import Consent
from strava_async.testing.pages.home import HomePage
from strava_async.testing.webhooks.subscriptions import SubscriptionsApi


def add_oauth(routes: RouteTable, prefix: str, consent: Consent, tokens: TokensApi) -> None:
    """OAuth: the pages for the athlete, the endpoints for the application."""
    # The guide names the paths without the prefix, and the token's with it too; the swagger has the page's with it.
    # Clients that know one base URL ask for all of them there.
    bases = tuple(dict.fromkeys(("/oauth", f"{prefix}/oauth")))
    for path in ("/oauth/mobile/authorize", *(f"{base}/authorize" for base in bases)):
        routes.add("GET", path, consent.show)
        routes.add("POST", path, consent.decide)
    for base in bases:
        routes.add("POST", f"{base}/token", tokens.token)
        routes.add("POST", f"{base}/revoke", tokens.revoke)
        routes.add("POST", f"{base}/deauthorize", tokens.deauthorize)


def add_subscriptions(routes: RouteTable, prefix: str, subscriptions: SubscriptionsApi) -> None:
    """The webhook subscription of an application."""
    # No bearer is sent, and no quota is spent.
    routes.add("POST", f"{prefix}/push_subscriptions", subscriptions.create)
    routes.add("GET", f"{prefix}/push_subscriptions", subscriptions.index)
    routes.add("DELETE", f"{prefix}/push_subscriptions/{{}}", subscriptions.delete)


def add_home(routes: RouteTable, polled: RouteTable, page: HomePage) -> None:
    """The front page, what its script polls, and the link to the consent page."""
    polled.add("GET", "/emulator/live", page.live)
    polled.add("GET", "/emulator/site.js", page.script)
    polled.add("GET", "/emulator/connect", page.connect)
    routes.add("GET", "/", page.show)
    routes.add("POST", "/emulator/record", page.record)
    routes.add("POST", "/emulator/disconnect", page.disconnect)
