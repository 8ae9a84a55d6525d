// Who else is here. A page of a case says so while it is open; a list of cases only asks.
"use strict";
(() => {
  const EVERY = 20000;
  const page = document.querySelector("[data-presence]");
  if (!page) return;
  const visit = page.dataset.visit;
  let timer = 0;
  let stopped = false;
  let told = "";

  const later = (wait) => { clearTimeout(timer); if (!stopped) timer = setTimeout(ask, wait); };
  // Not all at the same moment, after a restart of the server for one.
  const again = () => later(EVERY + Math.random() * 2000);

  const writing = () => {
    if (!visit) return "";
    const typed = [...document.querySelectorAll("main textarea, main input:not([type=hidden])")]
      .filter((one) => one.type !== "checkbox" && one.type !== "radio" && one.value !== one.defaultValue);
    if (typed.some((one) => one.name === "body" || one.name.startsWith("text:"))) return "letter";
    return typed.length ? "words" : "";
  };
  const form = (more) => new URLSearchParams({
    csrf: page.dataset.csrf, visit, version: page.dataset.version, writing: writing(), ...more,
  });

  // The regions themselves are never hidden: only so is what comes into them read out.
  const say = (region, words, look) => {
    if (region.textContent.trim() === words) return;
    const line = document.createElement("p");
    line.className = look;
    line.textContent = words;
    region.replaceChildren(...(words ? [line] : []));
  };
  const warn = (words) => say(page.querySelector("[data-changed]"), words, "notice warn");
  const showCase = (found) => {
    say(page.querySelector("[data-people]"), found.people.join(" "), "here");
    if (found.changed) warn(found.changed);
  };
  const showList = (found) => {
    for (const one of document.querySelectorAll("[data-present]")) {
      one.textContent = found[one.dataset.present] || "";
      one.hidden = !one.textContent;
    }
  };

  const ask = async () => {
    if (document.hidden && !writing()) { again(); return; }
    told = writing();
    try {
      const answer = visit
        ? await fetch(page.dataset.presence, { method: "POST", body: form({}) })
        : await fetch(page.dataset.presence);
      if (answer.status === 401 || answer.status === 419) {
        stopped = true;
        if (visit) warn("You are signed out. What you typed is still here: sign in again in another window before you save it.");
        return;
      }
      if (answer.ok) (visit ? showCase : showList)(await answer.json());
    } catch { /* no connection just now; the next time will tell */ }
    again();
  };
  const leave = () => { clearTimeout(timer); if (visit) navigator.sendBeacon(page.dataset.presence, form({ left: "1" })); };

  document.addEventListener("input", () => { if (visit && writing() !== told) later(800); });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) later(0);
    else if (!writing()) { leave(); again(); }
  });
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", (event) => later(event.persisted ? 0 : 300));
})();
