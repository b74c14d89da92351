// The pages work without this script. With it, times are those of the visitor's clock,
// and lists and states are renewed as events come.
"use strict";

(() => {
  const shortest = 1000, usual = 5000; // milliseconds between two renewals

  function localTimes(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const date = new Date(time.dateTime);
      time.title = time.textContent;
      time.textContent = date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    }
  }

  // the notice of a button is said once, and not again when the page is loaded anew
  function forgetNotice() {
    const url = new URL(location.href);
    if (url.searchParams.has("done")) {
      url.searchParams.delete("done");
      url.searchParams.delete("events");
      history.replaceState(null, "", url);
    }
  }

  function boxes(root = document) { return [...root.querySelectorAll("input[name=event][type=checkbox]")]; }

  function selectionChanged() {
    const all = boxes(), some = all.some((box) => box.checked);
    const master = document.querySelector("[data-all]");
    if (!master) return;
    master.checked = all.length > 0 && all.every((box) => box.checked);
    master.indeterminate = some && !master.checked;
    for (const button of document.querySelectorAll("[data-selected] button")) button.disabled = !some;
  }

  document.addEventListener("change", (change) => {
    if (change.target.matches("[data-all]")) for (const box of boxes()) box.checked = change.target.checked;
    if (change.target.matches("[data-all], [name=event]")) selectionChanged();
  });

  const live = document.querySelector("[data-live]");
  const fresh = document.querySelector("[data-new]");
  let last = Date.now(), due = Infinity, timer = 0, renewing = false, ended = false, arrived = 0;

  // keeps what the visitor has chosen while the rows are replaced
  function replace(text) {
    const next = new DOMParser().parseFromString(text, "text/html").querySelector("[data-live]");
    if (!next) return false;
    const chosen = new Set(boxes(live).filter((box) => box.checked).map((box) => box.value));
    const focused = live.contains(document.activeElement) ? document.activeElement : null;
    const same = focused && (focused.id ? "#" + CSS.escape(focused.id)
      : focused.value && focused.name ? `[name="${CSS.escape(focused.name)}"][value="${CSS.escape(focused.value)}"]`
      : focused.getAttribute("href") ? `[href="${CSS.escape(focused.getAttribute("href"))}"]`
      : focused.getAttribute("formaction") ? `[formaction="${CSS.escape(focused.getAttribute("formaction"))}"]` : null);
    localTimes(next);
    for (const box of boxes(next)) box.checked = chosen.has(box.value);
    live.replaceChildren(...next.childNodes);
    if (same) live.querySelector(same)?.focus({ preventScroll: true });
    selectionChanged();
    return true;
  }

  async function renew() {
    renewing = true;
    due = Infinity;
    last = Date.now();
    try {
      const address = new URL(location.href);
      address.searchParams.set("live", "1"); // without the parts that stay as they are
      const answer = await fetch(address, { headers: { Accept: "text/html" } });
      // a sign-in that has run out shows another page
      if (!answer.ok || answer.redirected || !replace(await answer.text())) ended = answer.status < 500;
    } catch { /* Caddy is being restarted */ }
    renewing = false;
    plan(usual);
  }

  // what came during a renewal may not be in it, so the earliest plan counts
  function plan(pause) {
    due = Math.min(due, last + pause);
    if (ended || renewing || document.hidden) return;
    clearTimeout(timer);
    timer = setTimeout(renew, Math.max(0, due - Date.now()));
  }

  function listen() {
    const stream = new EventSource(live.dataset.stream);
    stream.onmessage = () => {
      if (live.dataset.live === "old") { // a page of the past stays as it is
        arrived++;
        if (fresh) { fresh.hidden = false; fresh.querySelector("b").textContent = arrived; }
      } else plan(shortest);
    };
    addEventListener("pagehide", () => stream.close());
  }

  localTimes(document);
  forgetNotice();
  selectionChanged();
  if (live) {
    if (live.dataset.live !== "old") {
      document.addEventListener("visibilitychange", () => plan(shortest));
      plan(usual);
    }
    if (live.dataset.stream) listen();
  }
})();
