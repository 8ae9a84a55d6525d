// Puts the words of a field where they can be pasted from. Nothing is sent by it.
"use strict";
document.querySelectorAll("[data-copy]").forEach((button) => {
  const field = document.getElementById(button.dataset.copy);
  const told = document.querySelector(`[data-copied="${button.dataset.copy}"]`);
  button.hidden = !field;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(field.value);
      told.textContent = "Copied.";
    } catch { // a page that is not on https or on this machine may not
      field.focus();
      field.select();
      told.textContent = "Marked: copy it with the keyboard.";
    }
  });
});
