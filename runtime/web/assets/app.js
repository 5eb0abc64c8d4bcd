// What pages can do with JavaScript: they follow changes, and choose many tasks
// at once. Without it they are read, and act, all the same.
"use strict";
(() => {
  const parts = () => document.querySelectorAll("[data-live-part]");

  // ---- Following changes ----

  const url = document.body.dataset.live;
  const button = document.getElementById("live");
  const paused = () => sessionStorage.getItem("taskctx-paused") === "1";
  let source = null, timer = 0, busy = false, again = false;

  // What the reader has done to the page stays: chosen boxes, opened details, and
  // what is typed and not sent.
  const keep = (old, now) => {
    if (!(now instanceof Element)) return;
    if (old instanceof HTMLInputElement && old.type === "checkbox") {
      now.checked = old.checked;
      now.toggleAttribute("checked", old.checked);
      now.hidden = old.hidden;
    }
    if (old instanceof HTMLInputElement && old.type !== "checkbox" && old.value !== old.defaultValue) return false;
    if (old instanceof HTMLButtonElement && old.dataset.copy && old.dataset.copy === now.dataset.copy) return false;
    if (old instanceof HTMLDetailsElement) now.toggleAttribute("open", old.open);
  };

  const selecting = () => {
    const s = getSelection();
    return s && !s.isCollapsed && [...parts()].some((p) => p.contains(s.anchorNode));
  };

  const refresh = async () => {
    if (busy) { again = true; return; }
    if (selecting()) { setTimeout(refresh, 2000); return; }
    busy = true;
    try {
      const r = await fetch(location.href, {headers: {Accept: "text/html", "Taskctx-Live": "1"}});
      const now = new DOMParser().parseFromString(await r.text(), "text/html");
      state(r.ok ? "on" : "down");
      if (r.ok) {
        for (const part of parts()) {
          const next = now.querySelector(`[data-live-part="${part.dataset.livePart}"]`);
          if (next) Idiomorph.morph(part, next, {callbacks: {beforeNodeMorphed: keep}});
        }
        const side = now.querySelector("header.side"), mine = document.querySelector("header.side");
        if (side && mine) Idiomorph.morph(mine, side);
        document.title = now.title;
        localTimes(); chosen(); copies();
      } else if (r.status === 404) {
        location.reload();
      }
      if (!r.ok && r.status !== 404) retry();
    } catch {
      state("down");
      retry();
    }
    busy = false;
    if (again) { again = false; setTimeout(refresh, 500); }
  };

  // A page that got no answer asks again.
  const retry = () => setTimeout(() => { if (!paused() && !document.hidden) refresh(); }, 4000 + Math.random() * 2000);

  const labels = {on: "Live", off: "Paused", down: "No answer"};
  const state = (s) => {
    if (!button || (s !== "off" && paused())) return;
    button.dataset.state = s;
    button.querySelector(".label").textContent = labels[s];
    button.setAttribute("aria-pressed", String(s !== "off"));
  };

  const close = () => { source?.close(); source = null; clearTimeout(timer); };

  // A proxy that keeps events back is found out: nothing comes in time. Then the
  // page asks by itself, now and then.
  const poll = () => {
    close();
    timer = setTimeout(async () => { await refresh(); if (!paused() && !document.hidden) poll(); }, 5000 + Math.random() * 5000);
  };

  const open = () => {
    close();
    if (!url || paused() || document.hidden) return;
    source = new EventSource(url);
    timer = setTimeout(poll, 8000);
    source.addEventListener("hello", () => { clearTimeout(timer); state("on"); });
    source.addEventListener("change", refresh);
    source.addEventListener("error", () => { if (source?.readyState === EventSource.CLOSED) poll(); });
  };

  if (url && button) {
    button.hidden = false;
    button.addEventListener("click", () => {
      sessionStorage.setItem("taskctx-paused", paused() ? "0" : "1");
      if (paused()) { close(); state("off"); } else { state("on"); refresh(); open(); }
    });
    if (paused()) state("off");
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) close(); else if (!paused()) { refresh(); open(); }
    });
    addEventListener("pagehide", close);
    open();
  }

  // ---- Choosing tasks ----

  const boxes = () => [...document.querySelectorAll('#chosen input[name="id"]')];

  const chosen = () => {
    const label = document.querySelector("[data-chosen]");
    if (!label) return;
    const n = boxes().filter((b) => b.checked).length;
    label.textContent = n === 1 ? "1 chosen:" : `${n} chosen:`;
    for (const b of document.querySelectorAll('#chosen button[name="do"]')) b.disabled = n === 0;
    const all = document.querySelector("#chosen [data-all]");
    if (all) {
      all.hidden = false;
      all.checked = n > 0 && n === boxes().length;
      all.indeterminate = n > 0 && n < boxes().length;
    }
  };

  document.addEventListener("change", (e) => {
    if (e.target.matches?.("#chosen [data-all]")) for (const b of boxes()) b.checked = e.target.checked;
    chosen();
  });

  // ---- Copying ----

  const copies = () => { for (const b of document.querySelectorAll("button[data-copy]")) b.hidden = false; };

  // What a JSON object has under a key, as it stands there: numbers keep their digits.
  const valueOf = (text, key) => {
    const token = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s"{}[\],:]+/g;
    let depth = 0, from = -1, last = "";
    for (let m; (m = token.exec(text));) {
      const t = m[0];
      if (from >= 0 && depth === 1 && (t === "," || t === "}")) return text.slice(from, m.index).trim();
      if (t === "{" || t === "[") depth++;
      else if (t === "}" || t === "]") depth--;
      else if (t === ":" && depth === 1 && from < 0 && last === `"${key}"`) from = token.lastIndex;
      last = t;
    }
    throw new Error(`there is no ${key}`);
  };

  const copy = async (text) => {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea"); // without TLS there is no other way
    area.className = "sr";
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Error("the browser does not copy");
  };

  document.addEventListener("click", async (e) => {
    const b = e.target.closest?.("button[data-copy]");
    if (!b) return;
    const label = b.querySelector(".label");
    try {
      let text = document.getElementById(b.dataset.copy).textContent;
      if (b.dataset.whole) {
        const r = await fetch(b.dataset.whole);
        if (!r.ok) throw new Error(r.statusText);
        text = valueOf(await r.text(), b.dataset.key);
      }
      await copy(text);
      label.textContent = "Copied";
      b.dataset.done = "";
    } catch {
      label.textContent = "Not copied";
    }
    b.focus();
    setTimeout(() => { label.textContent = "Copy"; delete b.dataset.done; }, 2000);
  });

  // ---- Forms ----

  // What is empty need not be in the URL.
  document.addEventListener("submit", (e) => {
    if (!e.target.matches("form.filter")) return;
    for (const f of e.target.elements) if (f.name && f.value === "") f.disabled = true;
    setTimeout(() => { for (const f of e.target.elements) f.disabled = false; });
  });

  // An action on many tasks goes on by itself.
  const going = document.querySelector("form[data-continue]");
  if (going) setTimeout(() => going.requestSubmit(), 300);

  // A slash looks for a task.
  document.addEventListener("keydown", (e) => {
    if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || e.target.matches("input, textarea, select")) return;
    const find = document.getElementById("find");
    if (find) { e.preventDefault(); find.focus(); }
  });

  // ---- Times in the reader's own zone ----

  const local = new Intl.DateTimeFormat(undefined, {dateStyle: "medium", timeStyle: "medium"});
  const localTimes = () => {
    for (const t of document.querySelectorAll("time[title]")) {
      const d = new Date(t.dateTime);
      if (!isNaN(d)) t.title = `${local.format(d)} (${d.toISOString()})`;
    }
  };

  // On a phone the pages are in a row: the present one is to be seen.
  const here = document.querySelector(".side nav [aria-current]"), row = here?.closest("nav");
  if (row && row.scrollWidth > row.clientWidth) row.scrollLeft = here.offsetLeft - row.clientWidth / 2;

  localTimes(); chosen(); copies();
})();
