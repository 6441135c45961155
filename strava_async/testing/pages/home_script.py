"""The script of the emulator's front page, which updates the parts that change. The page works without it."""

from __future__ import annotations

HOME_SCRIPT = """"use strict";
// The address says what was recorded; loading the page again is not to say it again.
if (location.search) history.replaceState(null, "", location.pathname);

setInterval(refresh, 1000);

async function refresh() {
  if (document.hidden) return;
  const note = document.getElementById("gone");
  try {
    const answer = await fetch("emulator/live", { cache: "no-store" });
    if (!answer.ok) return;
    const now = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of now.querySelectorAll("[data-live]")) {
      const shown = document.getElementById(part.id);
      // Leave unchanged parts alone: they may have the focus.
      if (shown && shown.innerHTML !== part.innerHTML) shown.innerHTML = part.innerHTML;
    }
    note.hidden = true;
  } catch {
    note.hidden = false;
  }
}
"""
