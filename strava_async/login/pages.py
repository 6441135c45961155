"""What the browser shows at the end of a login in a terminal (``redirect_server``), and of one that failed on the web.

The pages load nothing and show no code, token or message of an exception. The authorization code is in the address
of the page; a script of one line takes it out of the address bar and of the way back. A redirect to an address without
it would keep it out of the list of visited pages too. But the code in that list is spent, and worth nothing without the
client secret; and the server would have to wait for a second request, which may never come.
"""

from __future__ import annotations

import base64
import hashlib
import html
from dataclasses import dataclass

from strava_async.errors import AuthorizationDeniedError, MissingScopeError

_FORGET = 'history.replaceState(null, "", location.pathname)'

_STYLE = """
:root { color-scheme: light dark; --ground: #f2f3f5; --card: #fff; --line: #dcdfe4; --title: #16181d;
  --text: #4a505c; --link: #b93c00; --on-link: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ground: #131519; --card: #1d2026; --line: #32363f; --title: #f3f4f6; --text: #b4bac5;
    --link: #ff8a50; --on-link: #1b0d05 }
}
body {
  box-sizing: border-box; min-height: 100vh; margin: 0; padding: 1.5rem; display: grid; place-items: center;
  background: var(--ground); color: var(--text); font: 1.0625rem/1.55 system-ui, sans-serif
}
main {
  box-sizing: border-box; width: 100%; max-width: 30rem; padding: clamp(1.5rem, 6vw, 2.5rem);
  background: var(--card); border: 1px solid var(--line); border-radius: 1rem; overflow-wrap: anywhere
}
h1 { margin: 0 0 .6rem; color: var(--title); font-size: 1.5rem; line-height: 1.25 }
p { margin: 0 }
a {
  display: inline-block; margin-top: 1.5rem; padding: .6rem 1.25rem; border-radius: .6rem;
  background: var(--link); color: var(--on-link); font-weight: 600; text-decoration: none
}
a:focus-visible { outline: 3px solid var(--link); outline-offset: 3px }
"""

_TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<script>{script}</script>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{text}</p>
{link}</main>
</body>
</html>
"""

_LINK = '<p><a href="{url}">{text}</a></p>\n'


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


PAGE_FIELDS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_FORGET)}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
"""The header fields of a page, but for its length."""


@dataclass(frozen=True, slots=True)
class Link:
    """Where a page leads.

    Attributes:
        url: an address of the service's own; nobody else may have chosen it.
        text: what it says.
    """

    url: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """What the browser is to show. Title and text are plain text.

    Attributes:
        title: a few words.
        text: a sentence or two.
        link: where to go from there; None for nowhere.
    """

    title: str
    text: str
    link: Link | None = None

    def html(self) -> bytes:
        """Return the document."""
        link = self.link and _LINK.format(url=html.escape(self.link.url), text=html.escape(self.link.text))
        document = _TEMPLATE.format(
            title=html.escape(self.title), text=html.escape(self.text), link=link or "", script=_FORGET, style=_STYLE
        )
        return document.encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Reply:
    """A page with its status, and for 405 the allowed methods."""

    status_code: int
    page: Page
    allow: str | None = None

    def fields(self, content_length: int) -> list[tuple[str, str]]:
        """Return the header fields."""
        fields = [
            *PAGE_FIELDS.items(),
            ("Content-Length", str(content_length)),
            ("Connection", "close"),
        ]
        return fields if self.allow is None else [*fields, ("Allow", self.allow)]


NOT_FOUND = Reply(404, Page("Nothing here", "This address only waits for the redirect of a login."))
METHOD_NOT_ALLOWED = Reply(405, Page("Not this way", "A browser comes here with GET, and nothing else does."), "GET")
OTHER_HOST = Reply(400, Page("Another address", "This server responds only under the address of this machine."))
OTHER_LOGIN = Reply(400, Page("Another login", "This redirect belongs to another login. Begin again in the terminal."))
INCOMPLETE = Reply(400, Page("Incomplete redirect", "Strava's redirect is incomplete. Begin again in the terminal."))


def unreadable(status_code: int) -> Reply:
    """Return the reply to what is not HTTP."""
    return Reply(status_code, Page("Not understood", "This is not a request that a browser would send."))


def failure(error: Exception) -> Reply:
    """Return what to show of a login that failed: what the athlete can do about it, or where to look."""
    if isinstance(error, MissingScopeError):
        left_out = ", ".join(sorted(error.missing)) or "something that is needed"
        return Reply(
            403,
            Page("Not connected", f"You left out {left_out}. Begin again in the terminal and leave every box ticked."),
        )
    if isinstance(error, AuthorizationDeniedError) and error.error == "access_denied":
        return Reply(403, Page("Not connected", "You said no, and nothing was changed. You can close this page."))
    return Reply(500, Page("Not connected", "The login failed. The terminal says why."))
