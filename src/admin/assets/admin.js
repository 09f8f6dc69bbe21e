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
