// Single keys that move the focus. Nothing is ever done by a key alone but what Enter does anyway.
"use strict";
(() => {
  const OFF = "fit-triage-keys-off";
  const dialog = document.getElementById("keys");
  const off = document.getElementById("keys-off");
  let stored = false;
  try { stored = localStorage.getItem(OFF) === "1"; } catch { /* storage may be switched off */ }
  off.checked = stored;
  off.addEventListener("change", () => {
    try { localStorage.setItem(OFF, off.checked ? "1" : "0"); } catch { /* as above */ }
  });

  const showKeys = () => { if (!dialog.open) dialog.showModal(); };
  document.querySelectorAll("[data-keys]").forEach((link) =>
    link.addEventListener("click", (event) => { event.preventDefault(); showKeys(); }));

  const typing = (element) =>
    element.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");

  const reveal = (element) => {
    for (let at = element.closest("details"); at; at = at.parentElement.closest("details")) at.open = true;
    element.focus();
    element.scrollIntoView({ block: "nearest" });
  };

  const items = () => {
    const list = [...document.querySelectorAll("[data-item]")];
    return list.length ? list : [...document.querySelectorAll("[data-section]")];
  };
  const step = (by) => {
    const all = items();
    if (!all.length) return;
    const now = all.findIndex((one) => one.contains(document.activeElement));
    const next = now < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(now + by, 0), all.length - 1);
    reveal(all[next].querySelector("[data-open]") || all[next]);
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || dialog.open) return;
    if (off.checked || typing(event.target)) return;
    if (event.key === "?") { event.preventDefault(); showKeys(); return; }
    if (event.key === "j" || event.key === "k") { event.preventDefault(); step(event.key === "j" ? 1 : -1); return; }
    if (!/^[a-z/]$/.test(event.key)) return;
    const target = document.querySelector(`[data-key="${event.key}"]`);
    if (!target) return;
    event.preventDefault();
    if (target.tagName === "A") target.click(); else reveal(target);
  });

  // A frame costs a process on the server: it is asked for when somebody opens it.
  document.querySelectorAll("details[data-frame]").forEach((details) =>
    details.addEventListener("toggle", () => {
      const frame = details.querySelector("iframe");
      if (details.open && !frame.src) frame.src = frame.dataset.src;
    }));

  // What is wider than its place is scrolled by keys as well.
  const scrolled = () => document.querySelectorAll("main table, .scrolling").forEach((one) => {
    if (one.scrollWidth > one.clientWidth) one.tabIndex = 0; else one.removeAttribute("tabindex");
  });
  scrolled();
  window.addEventListener("resize", scrolled);

  // A second click while the first is on its way would only be told apart on the server.
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (button && event.target.method === "post") setTimeout(() => { button.disabled = true; }, 0);
  });
  window.addEventListener("pageshow", () =>
    document.querySelectorAll("button:disabled").forEach((button) => { button.disabled = false; }));
})();
