"use strict";
const steps = [...document.querySelectorAll(".step")];
const links = [...document.querySelectorAll(".tokens a")];
const buttons = [...document.querySelectorAll("button")];
let current = 0;

// The index of the next step or, if `diverging`, divergence in direction `by`; `current` if none.
function target(by, diverging) {
  let index = current + by;
  while (diverging && steps[index] && !steps[index].classList.contains("diverges")) index += by;
  return steps[index] ? index : current;
}

function buttonTarget(button) {
  return target(Number(button.dataset.by), "diverging" in button.dataset);
}

function show(shown) {
  current = shown;
  steps.forEach((step, index) => { step.hidden = index !== shown; });
  links.forEach((link, index) => {
    if (index === shown) link.setAttribute("aria-current", "step");
    else link.removeAttribute("aria-current");
  });
  for (const button of buttons) {
    button.setAttribute("aria-disabled", String(buttonTarget(button) === current));
  }
  history.replaceState(null, "", "#" + (shown + 1));  // matches no id, so the page does not scroll
}

function showFromHash() {
  const index = Number(location.hash.replace(/^#(step-)?/, "")) - 1;
  const divergence = steps.findIndex((step) => step.classList.contains("diverges"));
  show(steps[index] ? index : Math.max(0, divergence));
}

links.forEach((link, index) => {
  link.addEventListener("click", (event) => { event.preventDefault(); show(index); });
});
for (const button of buttons) button.addEventListener("click", () => show(buttonTarget(button)));
document.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  show(target(by, event.shiftKey));
});
window.addEventListener("hashchange", showFromHash);
document.querySelector(".controls").hidden = false;
showFromHash();
