// Ticking many cases: all of the page, a range with Shift, and x for the one in focus.
"use strict";
(() => {
  const form = document.getElementById("bulk");
  if (!form) return;
  const ticks = () => [...document.querySelectorAll("[data-tick]")];
  const all = form.querySelector("[data-tick-all]");
  const every = all.querySelector("input");
  all.hidden = false;
  form.querySelector("[data-all]").hidden = true;
  let last = null;

  const count = () => {
    const ticked = ticks().filter((one) => one.checked).length;
    every.checked = ticked > 0 && ticked === ticks().length;
    every.indeterminate = ticked > 0 && !every.checked;
    form.querySelector("[data-ticked]").textContent = ticked ? `${ticked} ticked` : "";
  };
  const range = (to) => {
    const boxes = ticks();
    const [from, until] = [boxes.indexOf(last), boxes.indexOf(to)].sort((a, b) => a - b);
    if (from < 0) return;
    for (const one of boxes.slice(from, until + 1)) one.checked = to.checked;
  };

  every.addEventListener("change", () => { for (const one of ticks()) one.checked = every.checked; count(); });
  document.addEventListener("click", (event) => {
    const tick = event.target.closest("[data-tick]");
    if (!tick) return;
    if (event.shiftKey && last) range(tick);
    last = tick;
    count();
  });
  document.addEventListener("keydown", (event) => {
    if (!["x", "X"].includes(event.key) || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const off = document.getElementById("keys-off");
    if ((off && off.checked) || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]")) return;
    const item = document.activeElement.closest("[data-item]");
    const tick = item && item.querySelector("[data-tick]");
    if (!tick) return;
    event.preventDefault();
    tick.checked = !tick.checked;
    if (event.shiftKey && last) range(tick);
    last = tick;
    count();
  });
  window.addEventListener("pageshow", count);
})();
