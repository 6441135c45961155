"""Where programs import from: these modules answer with these names, wherever the code behind them is."""

import subprocess
import sys
from importlib import import_module

import pytest

PATHS = {
    "strava_async.clock": "Clock SystemClock",
    "strava_async.endpoints": "ENDPOINTS Endpoint endpoint_of",
    "strava_async.errors": "ErrorDetails InputError StravaError TransportError",
    "strava_async.fastapi": "AccessLogFilter AthleteDep AthleteIdDep Backlog ConnectFailure Dependencies SqliteBacklog"
    " StravaDep StravaLifespan WebhookCounts WebhookRouter athlete_id_of athlete_of document_errors exception_handlers"
    " kit_of oauth_router problem_of safe_next strava_of webhook_router",
    "strava_async.hooks": "Hooks RefreshEvent RequestEvent ResponseEvent RetryEvent WaitEvent WaitReason",
    "strava_async.limiter": "Limiter Permit RateLimiter Unlimited",
    "strava_async.login": "open_in_browser show_in_browser",
    "strava_async.models": "DetailedActivity LatLng SportType StravaModel StreamSet SummaryActivity Upload",
    "strava_async.oauth": "AccessInfo Redirect TokenSet are_same_tokens authorization_url"
    " parse_redirect redirect_state",
    "strava_async.otel": "WINDOWS instrument instrument_webhooks",
    "strava_async.paging": "CursorWalk PageWalk",
    "strava_async.protocol": "ApiV3",
    "strava_async.quota": "Blocked Meter Priority Quota QuotaClass",
    "strava_async.redis": "RedisTokenStore",
    "strava_async.retry": "Attempt Decision Pause RetryPolicy Step decide",
    "strava_async.state": "StateSigner check_state",
    "strava_async.stores": "MemoryTokenStore SqliteTokenStore TokenStore",
    "strava_async.stores.base": "TokenStore",
    "strava_async.testing": "ALL_SCOPES Application CallbackReply Callbacks Emulator FakeClock FastClock Fault Faults"
    " MeterLimits Meters PageError PushSubscription Quirks SentEvent Served serve",
    "strava_async.tokens": "OnTokenRefresh TokenSource",
    "strava_async.webhooks": "WebhookEvent challenge_of check_signature parse_event",
}


@pytest.mark.parametrize("path", PATHS)
def test_a_public_path_answers(path: str) -> None:
    module = import_module(path)
    assert {name for name in PATHS[path].split() if not hasattr(module, name)} == set()
    assert set(getattr(module, "__all__", ())) <= set(dir(module))


def test_a_package_says_what_it_lacks() -> None:
    quota, name = import_module("strava_async.quota"), "Ledger"
    with pytest.raises(AttributeError, match=r"'strava_async\.quota' has no attribute 'Ledger'"):
        getattr(quota, name)


def test_a_name_loads_its_module_when_it_is_asked_for() -> None:
    script = """
import sys
import strava_async.stores
assert "sqlite3" not in sys.modules
assert strava_async.stores.SqliteTokenStore is strava_async.SqliteTokenStore
assert "sqlite3" in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_what_only_some_programs_need_is_not_loaded_with_the_package() -> None:
    script = """
import sys
import strava_async
late = {
    "anyio.lowlevel", "strava_async.oauth.redirect", "strava_async.paging.walk", "strava_async.quota.readings",
    "strava_async.request.faults", "strava_async.request.multipart", "strava_async.request.retry",
}
assert not late & sys.modules.keys(), late & sys.modules.keys()
assert strava_async.Quota.__module__ == "strava_async.quota.readings"
"""
    subprocess.run([sys.executable, "-c", script], check=True)
