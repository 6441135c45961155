"""The ends of the help texts of the commands about one application; see ``help_texts``."""

from __future__ import annotations

from strava_async.cli.help_texts import APPLICATION, epilog

_WITHOUT_TOKENS = tuple(name for name in APPLICATION if name != "STRAVA_TOKEN_KEY")

MAIN_END = epilog(
    {
        "strava-async login": "connect an athlete",
        "strava-async harvest --data rides.sqlite --keep 7d": "fetch everything, for as long as it takes",
        "strava-async export --data rides.sqlite --to parquet": "for DuckDB, Polars and pandas",
        "strava-async --install-completion": "complete commands and options with Tab",
    },
    statuses={75: "harvest --no-wait: the quota is spent", 130: "Ctrl-C ended it"},
    variables=(*APPLICATION, "STRAVA_REDIS_URL", "STRAVA_VERIFY_TOKEN"),
)
DEMO_END = epilog({"strava-async demo --days 30": "a month", "strava-async demo --plain": "lines, and no panel"})
EMULATE_END = epilog(
    {
        "strava-async emulate --athletes 3": "",
        "strava-async emulate --limits 200,2000,400,4000": "the quota of a larger application",
    }
)
LOGIN_END = epilog(
    {
        "strava-async login --scope read,activity:read_all": "private activities, too",
        "strava-async login --no-browser": "on a machine without a browser",
    },
    variables=APPLICATION,
)
ACCOUNTS_END = epilog({"strava-async accounts --json": ""}, variables=APPLICATION)
LOGOUT_END = epilog({"strava-async logout 1234567": "", "strava-async logout --all": ""}, variables=APPLICATION)
QUOTA_END = epilog(
    {
        "strava-async quota --file quota.sqlite": "what the processes of this machine know",
        "strava-async quota --strava": "what Strava says; costs one read",
    },
    variables=(*APPLICATION, "STRAVA_REDIS_URL"),
)
WEBHOOK_END = epilog(
    {
        "strava-async webhook subscribe https://example.org/webhook": "let Strava send events",
        "strava-async webhook events --file events.sqlite": "what a service has not finished",
    },
    variables=(*_WITHOUT_TOKENS, "STRAVA_REDIS_URL", "STRAVA_VERIFY_TOKEN"),
)
SUBSCRIBE_END = epilog(
    {"strava-async webhook subscribe https://example.org/webhook": ""},
    variables=(*_WITHOUT_TOKENS, "STRAVA_VERIFY_TOKEN"),
)
VIEW_END = epilog({"strava-async webhook view --json": ""}, variables=_WITHOUT_TOKENS)
UNSUBSCRIBE_END = epilog({"strava-async webhook unsubscribe": ""}, variables=_WITHOUT_TOKENS)
EVENTS_END = epilog(
    {
        "strava-async webhook events --file events.sqlite": "",
        "strava-async webhook events --file events.sqlite --retry 1a2b3c4d": "let one be tried now",
    },
    variables=("STRAVA_CLIENT_ID", "STRAVA_REDIS_URL"),
)
