// The live part of the dashboard. Without it the pages work; they only do not change by themselves.
"use strict";

const live = document.getElementById("live");
if (live) follow(new EventSource(`/live?since=${live.dataset.since}`));

function follow(source) {
  const list = document.getElementById("rides");
  const told = document.getElementById("told");

  source.onopen = () => say("on", "Live");
  source.onerror = () => say("off", source.readyState === EventSource.CLOSED ? "Not live" : "Reconnecting");
  source.addEventListener("ride", (event) => place(parse(event.data)));
  source.addEventListener("gone", (event) => document.getElementById(`ride-${event.data}`)?.remove());
  source.addEventListener("weeks", (event) => show("weeks", event.data));
  source.addEventListener("meters", (event) => show("meters", event.data));
  source.addEventListener("reload", () => {
    source.close();
    location.reload();
  });
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && location.reload());

  function say(state, text) {
    live.dataset.state = state;
    live.textContent = text;
  }

  // The server escapes what athletes wrote, and the policy of the page runs no script that would slip through.
  function parse(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content.firstElementChild;
  }

  function show(id, html) {
    document.getElementById(id).innerHTML = html;
  }

  // An activity that is on the page is replaced. Another goes where its date belongs, or nowhere if it is older than all.
  function place(card) {
    const old = document.getElementById(card.id);
    if (old) return old.replaceWith(card);
    const next = [...list.children].find((other) => other.dataset.began < card.dataset.began);
    if (list.children.length && !next) return;
    list.insertBefore(card, next ?? null);
    card.classList.add("new");
    told.textContent = `New activity: ${card.querySelector("h2").textContent}`;
  }
}
