"""Lists that come in pages: which request is next, when the end is reached, and how they are walked."""

from typing import TYPE_CHECKING

from strava_async._lazy import lazy

if TYPE_CHECKING:
    from strava_async.paging.pages import CursorWalk, PageWalk
else:
    __getattr__, __dir__ = lazy(__name__, {"CursorWalk": "pages", "PageWalk": "pages"})

__all__ = ["CursorWalk", "PageWalk"]
