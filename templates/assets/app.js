// The dashboard works without this file. With it: live updates that keep your place, keys, copy buttons, the theme switch.
"use strict";
(() => {
  const root = document.documentElement;
  const base = root.dataset.base || "";
  root.classList.add("js");

  // the theme is set before the first paint; storage may be forbidden
  const stored = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
  if (stored === "light" || stored === "dark") root.dataset.theme = stored;

  const $ = (selector, within = document) => within.querySelector(selector);
  const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
  const seen = (element) => element && element.offsetParent !== null;

  function switchTheme() {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* for this page only, then */ }
  }

  // what is shown in place of a character that cannot be seen is copied as that character
  function textOf(element) {
    const copy = element.cloneNode(true);
    for (const odd of $$("[data-raw]", copy)) odd.textContent = odd.dataset.raw;
    return copy.textContent;
  }

  async function copyFrom(button) {
    const source = document.getElementById(button.dataset.copy);
    if (!source) return;
    const text = textOf(source);
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // without TLS there is no clipboard API
      const area = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
      button.focus();
    }
    const label = button.firstChild;
    label.textContent = done ? "Copied " : "Not allowed ";
    setTimeout(() => { label.textContent = "Copy "; }, 1500);
  }

  // keys

  const rows = () => $$("[data-row]").filter(seen);
  const rowAtFocus = () => document.activeElement && document.activeElement.closest("[data-row]");

  function move(step) {
    const all = rows();
    if (!all.length) return;
    const at = all.indexOf(rowAtFocus());
    const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + step, 0), all.length - 1);
    const link = $("a.title", all[next]);
    link.focus();
    all[next].scrollIntoView({ block: "nearest" });
  }

  function acknowledge() {
    const own = $("form[data-key=a]");
    if (own) return own.requestSubmit();
    const bulk = $("form[data-bulk]");
    if (!bulk) return;
    const row = rowAtFocus();
    if (!$("input[name=fingerprint]:checked", bulk)) {
      if (!row) return;
      const box = $("input[name=fingerprint]", row);
      if (box && bulk.contains(box)) box.checked = true;
      else if (box || bulk.hidden) bulk.append(Object.assign(document.createElement("input"), { type: "hidden", name: "fingerprint", value: row.dataset.row }));
      else return;
    }
    bulk.requestSubmit();
  }

  function search() {
    const box = $$("[data-search], [data-search-narrow]").find(seen);
    if (box) { box.focus(); box.select(); } else location.href = base + "/findings";
  }

  const keys = {
    "/": search,
    j: () => move(1),
    k: () => move(-1),
    a: acknowledge,
    c: () => { const button = $("[data-copy][data-key=c]"); if (button) copyFrom(button); },
    "?": () => $("#help").showModal(),
  };

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const typing = event.target.closest && event.target.closest("input:not([type=checkbox]), textarea, select, dialog");
    if (event.key === "Escape") {
      for (const menu of $$("details.menu[open]")) menu.open = false;
      if (typing && !typing.matches("dialog")) event.target.blur();
    } else if (!typing && Object.hasOwn(keys, event.key)) {
      event.preventDefault();
      keys[event.key]();
    }
  }

  function onClick(event) {
    const button = event.target.closest("button");
    if (button && button.dataset.copy) copyFrom(button);
    else if (button && "themeSwitch" in button.dataset) switchTheme();
    else if (button && "help" in button.dataset) $("#help").showModal();
    for (const menu of $$("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  }

  // live: the server says that something changed, the page is fetched again and only what differs is touched

  let due = 0;
  let busy = false;

  // what a person has opened, ticked or typed is his
  const his = (name, node) => name === "open" || name === "checked" || (name === "value" && node.matches("input, textarea, select"));

  async function refresh() {
    if (busy || document.hidden || !window.Idiomorph) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
      if (!answer.ok || answer.redirected) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const content = $("#main", fresh);
      if (!content) return;
      Idiomorph.morph($("#main"), content.innerHTML, {
        morphStyle: "innerHTML",
        ignoreActiveValue: true,
        restoreFocus: true,
        callbacks: {
          beforeAttributeUpdated: (name, node) => !his(name, node),
          beforeNodeMorphed: (old) => !(old.nodeType === 1 && old.matches("textarea")),
        },
      });
      const made = $(".foot time", fresh);
      if (made) $(".foot time").replaceWith(made);
      document.title = fresh.title;
      due = 0;
    } catch { /* the next event tries again */ } finally { busy = false; }
  }

  function follow() {
    if (!("live" in root.dataset) || !window.EventSource) return;
    const state = $("[data-live-state]");
    const nudge = () => { clearTimeout(due); due = setTimeout(refresh, 400); };
    const say = (text) => { if (state.textContent !== text) state.textContent = text; };
    let events = null;
    // a browser has few connections to one host: a tab that nobody sees gives its own back
    const listen = () => {
      if (document.hidden) { events?.close(); events = null; return; }
      if (events) return;
      events = new EventSource(base + "/events");
      let lost = false;
      events.onopen = () => { say("live"); if (lost) nudge(); lost = false; };
      events.onmessage = nudge;
      for (const name of ["revision", "change", "nudge"]) events.addEventListener(name, nudge);
      events.onerror = () => { lost = true; say("not live: the advisor does not answer"); };
    };
    listen();
    document.addEventListener("visibilitychange", () => { listen(); if (!document.hidden) nudge(); });
    addEventListener("pagehide", () => { events?.close(); events = null; });
    addEventListener("pageshow", (event) => { if (event.persisted) { listen(); nudge(); } });
    // "3 min ago" grows old by itself
    setInterval(nudge, 60_000);
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.addEventListener("keydown", onKey);
    document.addEventListener("click", onClick);
    follow();
  });
})();
