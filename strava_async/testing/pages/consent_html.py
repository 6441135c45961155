"""The pages that an athlete sees: the consent form, and the notice that the application has no room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",  # with none at all, the page's own forms would come from the origin "null"
    "X-Content-Type-Options": "nosniff",
}

SCOPE_TEXTS = {
    "read": "View data about your public profile",
    "read_all": "View your private routes, segments and events",
    "profile:read_all": "View your complete profile, whoever else may see it",
    "profile:write": "Change your weight and your starred segments",
    "activity:read": "View data about your activities",
    "activity:read_all": "View your private activities and privacy zones too",
    "activity:write": "Upload and edit activities for you",
}

_FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1f1f24; --soft: #62626c; --line: #dfdfe6; --card: #fff; --back: #f4f4f7;
  --accent: #b93c00; --on-accent: #fff; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #f1f1f4; --soft: #a9a9b5; --line: #3a3a44; --card: #222228;
  --back: #16161a; --accent: #ff7a3d; --on-accent: #1b0d05; }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--back);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }}
main {{ width: 100%; max-width: 28rem; background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 1.75rem; box-shadow: 0 8px 30px rgb(0 0 0 / 8%); overflow-wrap: anywhere; }}
.note {{ margin: 0 0 1rem; font-size: .8rem; event-spacing: .06em; text-transform: uppercase; color: var(--soft); }}
h1 {{ margin: 0 0 .5rem; font-size: 1.35rem; line-height: 1.3; }}
p {{ margin: 0 0 1rem; color: var(--soft); }}
fieldset {{ margin: 0 0 1.25rem; padding: 0; border: 0; }}
legend {{ padding: 0; margin-bottom: .35rem; font-weight: 600; }}
section + section {{ margin-top: 1.75rem; }}
.choice ~ div {{ margin-top: 1rem; }}
h2 {{ margin: 0 0 .5rem; font-size: 1rem; }}
ol {{ margin: 0; padding: 0; list-style: none; color: var(--soft); font-size: .9rem; }}
li {{ padding: .35rem 0; border-top: 1px solid var(--line); }}
.done {{ margin: 1rem 0; padding: .6rem .8rem; border-left: 3px solid var(--accent); background: var(--back);
  color: var(--ink); }}
.scope {{ display: flex; gap: .75rem; align-items: flex-start; padding: .7rem 0; border-top: 1px solid var(--line);
  cursor: pointer; }}
.scope input {{ width: 1.15rem; height: 1.15rem; margin: .2rem 0 0; flex: none; accent-color: var(--accent); }}
.scope code {{ display: block; font-size: .8rem; color: var(--soft); }}
select {{ width: 100%; padding: .6rem; font: inherit; color: inherit; background: var(--back);
  border: 1px solid var(--line); border-radius: 8px; }}
.choice {{ display: flex; gap: .75rem; flex-wrap: wrap; }}
form + form, form + p {{ margin-top: 1rem; }}
button {{ flex: 1 1 9rem; padding: .75rem 1rem; font: inherit; font-weight: 600; border-radius: 9px; cursor: pointer;
  border: 1px solid var(--line); background: transparent; color: var(--ink); }}
button.go {{ background: var(--accent); border-color: var(--accent); color: var(--on-accent); }}
button:focus-visible, select:focus-visible, input:focus-visible {{ outline: 3px solid var(--accent);
  outline-offset: 2px; }}
footer {{ margin-top: 1.25rem; font-size: .8rem; color: var(--soft); }}
</style>
</head>
<body>
<main>
{content}
</main>
</body>
</html>
"""

_CONSENT = """<p class="note">Strava emulator</p>
<h1>Authorize {application} to connect to your account?</h1>
<form method="post">
<input type="hidden" name="request_id" value="{request_id}">
{athlete}
<fieldset>
<legend>It will be able to</legend>
{scopes}
</fieldset>
<div class="choice">
<button class="go" type="submit" name="action" value="authorize">Authorize</button>
<button type="submit" name="action" value="cancel">Cancel</button>
</div>
</form>
<footer>You go back to {destination}. No real account is involved: every athlete here is invented.</footer>"""

_SCOPE = """<label class="scope"><input type="checkbox" name="scope" value="{name}" checked>
<span>{text}<code>{name}</code></span></label>"""

_ONE_ATHLETE = """<p>Signed in as {name}</p><input type="hidden" name="athlete_id" value="{athlete_id}">"""
_ATHLETES = """<fieldset><legend><label for="athlete">Athlete</label></legend>
<select id="athlete" name="athlete_id">{options}</select></fieldset>"""

_FULL = """<p class="note">Strava emulator</p>
<h1>Error 403: Limit of connected athletes exceeded</h1>
<p>This application has as many connected athletes as it may have.</p>"""


def consent_page(
    *,
    application: str,
    request_id: str,
    scope: Iterable[str],
    athletes: Mapping[int, str],
    chosen: int,
    destination: str,
) -> str:
    """Return the page that asks an athlete.

    Args:
        application: the name of the application.
        request_id: the value that the form sends back.
        scope: the scopes requested.
        athletes: names by id.
        chosen: the athlete who is preselected.
        destination: the host that the athlete will be sent to.
    """
    boxes = (_SCOPE.format(name=escape(name), text=escape(SCOPE_TEXTS.get(name, name))) for name in scope)
    content = _CONSENT.format(
        application=escape(application),
        request_id=escape(request_id),
        athlete=_athlete_field(athletes, chosen),
        scopes="\n".join(boxes),
        destination=escape(destination),
    )
    return framed("Authorize an application", content)


def framed(title: str, content: str) -> str:
    """Return a page in the emulator's style; both arguments are HTML."""
    return _FRAME.format(title=title, content=content)


def capacity_page() -> str:
    """Return the page that says that the application has no room for another athlete."""
    return framed("Limit of connected athletes exceeded", _FULL)


def _athlete_field(athletes: Mapping[int, str], chosen: int) -> str:
    if len(athletes) == 1:
        return _ONE_ATHLETE.format(name=escape(athletes[chosen]), athlete_id=chosen)
    options = (
        f'<option value="{athlete_id}"{" selected" if athlete_id == chosen else ""}>{escape(name)}</option>'
        for athlete_id, name in athletes.items()
    )
    return _ATHLETES.format(options="".join(options))
