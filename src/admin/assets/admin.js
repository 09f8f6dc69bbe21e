"use strict";

// Keys of elements with data-key: fields get the focus, everything else is activated. Never while somebody writes.
document.addEventListener("keydown", (event) => {
  const writes = event.target.closest("input, select, textarea");
  if (writes || event.ctrlKey || event.metaKey || event.altKey) return;
  const element = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!element) return;
  event.preventDefault();
  if (element.matches("input, select")) element.focus();
  else element.click();
});
// Replaces the part of a page that is live when the daemon reports a change, or each data-every milliseconds while something
// is waited for. While a field has the focus nothing moves.
(() => {
  const live = () => document.getElementById("live");
  if (!live() || !window.EventSource) return;
  let due = false;
  const isBusy = () => document.hidden || document.activeElement?.matches("input, select, textarea, #live *");
  const refresh = async () => {
    if (isBusy()) { due = true; return; }
    due = false;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected || isBusy()) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("live");
    if (fresh) live().replaceWith(fresh);
  };
  const later = () => { if (due) refresh().catch(() => {}); };
  document.addEventListener("focusout", () => setTimeout(later, 0));
  document.addEventListener("visibilitychange", later);
  if (live().dataset.every) {
    const look = () => {
      if (live().dataset.every) refresh().catch(() => {}).finally(() => setTimeout(look, Number(live().dataset.every)));
    };
    setTimeout(look, Number(live().dataset.every));
  } else {
    // A browser has six connections to a server: a page that is not seen, or was left, must not keep one.
    let events = null;
    const close = () => { events?.close(); events = null; };
    const open = () => {
      if (document.hidden || events) return;
      events = new EventSource("/admin/events");
      events.addEventListener("changed", () => refresh().catch(() => {}));
    };
    addEventListener("pagehide", close);
    addEventListener("pageshow", open);
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return close();
      open();
      refresh().catch(() => {});
    });
  }
})();
